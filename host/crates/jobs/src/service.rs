//! [`Jobs`]: status, lists, cancellation, and the tasks behind them.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use lector_control::store::jobs::{
    ClaimRef, Deleted, Documents, JobCounts, JobDocumentRow, JobId, JobQuery, JobRow, JobStore, Listed,
};
use lector_control::{Principal, Trigger};
use lector_core::{Clock, Fault, TenantName};
use lector_serving::{DocumentService, Event};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::JobsConfig;
use crate::faults;
use crate::spec::JobSpec;
use crate::status::{JobFilter, JobStatus};
use crate::store_access::{StoreAccess, TenantStore};
use crate::transport::WebhookTransport;

/// Period of the deletion of expired jobs.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// Most jobs that are deleted in one transaction.
const EXPIRED_AT_ONCE: u32 = 16;
/// Period of the look for due webhooks, besides the end of each job.
const DELIVERY_EVERY: Duration = Duration::from_secs(5);
/// Time for which the counts of jobs are those of the last look: metrics may be read by anyone.
const COUNTS_KEPT: Duration = Duration::from_secs(5);
/// Watched jobs from which the map of watchers is cleaned.
const WATCHED_CLEAN: usize = 64;
/// Time that a stop waits for claims to be released.
const STOP_MAX: Duration = Duration::from_secs(5);

/// The parts that jobs work with.
pub struct Parts {
    /// Reads the documents.
    pub service: Arc<DocumentService>,
    /// Stores the jobs.
    pub store: Arc<dyn JobStore>,
    /// Sends webhooks.
    pub webhooks: Arc<dyn WebhookTransport>,
    /// Sees each event of a document, for metrics.
    pub see: Box<dyn Fn(&Event) + Send + Sync>,
}

/// The notifications of a job.
#[derive(Default)]
pub(crate) struct Watched {
    /// Notified when it has a new event.
    pub(crate) changed: Notify,
    /// Notified when it may have ended.
    pub(crate) ended: Notify,
}

/// The jobs of a server.
pub struct Jobs {
    config: ArcSwap<JobsConfig>,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<dyn Clock>,
    /// Notified when a job may be ready to be claimed.
    pub(crate) ready: Notify,
    /// Notified when a webhook may be due.
    pub(crate) deliveries_due: Arc<Notify>,
    /// By job, as long as a client waits for it.
    watched: Mutex<HashMap<JobId, Weak<Watched>>>,
    /// The store for requests.
    access: StoreAccess,
    /// The last counts, with their time.
    counted: tokio::sync::Mutex<Option<(Instant, JobCounts)>>,
    /// The turns in progress by the token of their claim, each with its job and the token that a cancellation cancels.
    running: Mutex<HashMap<String, (JobId, CancellationToken)>>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Number of the next claim of this process.
    pub(crate) claims: AtomicU64,
    /// Distinguishes the claims of this process.
    pub(crate) process: String,
    /// The start of this process, by the monotonic clock and by the civil one.
    began: (Instant, u64),
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("config", &self.config()).finish_non_exhaustive()
    }
}

impl Jobs {
    /// Starts to work on the stored jobs. Must be called within a tokio runtime.
    pub fn start(config: JobsConfig, parts: Parts) -> Result<Arc<Self>, Fault> {
        let clock = parts.service.control().clock().clone();
        let process = JobId::random().ok_or_else(faults::no_randomness)?.to_string();
        let (tasks, began) = (TaskTracker::new(), (clock.now(), clock.now_ms()));
        let jobs = Arc::new(Self {
            access: StoreAccess::new(parts.store.clone(), tasks.clone()),
            counted: tokio::sync::Mutex::default(),
            config: ArcSwap::from_pointee(config),
            parts,
            clock,
            ready: Notify::new(),
            deliveries_due: Arc::default(),
            watched: Mutex::default(),
            running: Mutex::default(),
            stop: CancellationToken::new(),
            tasks,
            claims: AtomicU64::new(0),
            process,
            began,
        });
        jobs.tasks.spawn(jobs.clone().run());
        let weak = Arc::downgrade(&jobs);
        jobs.parts.service.control().keeps_tenant_data(Arc::new(move |tenant| {
            let jobs = weak.upgrade();
            Box::pin(async move {
                match jobs {
                    Some(jobs) => jobs.forget_tenant(tenant).await,
                    None => Ok(()),
                }
            })
        }));
        let background = jobs.parts.service.control().background_tasks();
        let weak = Arc::downgrade(&jobs);
        background.start("job_retention", Trigger::Period(RETENTION_EVERY), move || {
            let jobs = weak.upgrade()?;
            Some(async move { jobs.expire().await })
        });
        let weak = Arc::downgrade(&jobs);
        let trigger = Trigger::PeriodOrNotify(DELIVERY_EVERY, jobs.deliveries_due.clone());
        background.start("webhook_delivery", trigger, move || {
            let jobs = weak.upgrade()?;
            Some(async move { jobs.deliver_due().await })
        });
        Ok(jobs)
    }

    /// Stops the work: pages in progress are dropped, and are read again after the next start. Event streams end.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!("a job did not stop in time; its claim ends with the process");
        }
    }

    /// Returns the configuration that applies now.
    pub fn config(&self) -> Arc<JobsConfig> {
        self.config.load_full()
    }

    /// Replaces the configuration, except `running_max`. A turn in progress keeps the limits that it has read.
    pub fn retune(&self, config: JobsConfig) {
        self.config.store(Arc::new(config));
        self.ready.notify_one();
        self.deliveries_due.notify_one();
    }

    /// Returns the store for the work of the server itself.
    pub(crate) fn store(&self) -> &Arc<dyn JobStore> {
        &self.parts.store
    }

    /// Returns the store for requests of the principal.
    pub(crate) fn store_of(&self, principal: &Principal) -> TenantStore {
        self.access.of(principal.account().account())
    }

    pub(crate) fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.clock.sleep_until(self.clock.now() + time)
    }

    /// Returns the time of the clock that ends claims: the civil time of the start, and the time since then. A civil clock that
    /// is set forward would end the claims of turns in progress.
    pub(crate) fn claims_now_ms(&self) -> u64 {
        let (began, at_ms) = self.began;
        let since = self.clock.now().saturating_duration_since(began).as_millis();
        at_ms.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + '_ {
        self.stop.cancelled()
    }

    /// Returns the notifications of a job.
    pub(crate) fn watched(&self, id: &JobId) -> Arc<Watched> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = watched.get(id).and_then(Weak::upgrade) {
            return known;
        }
        if watched.len() >= WATCHED_CLEAN {
            watched.retain(|_, watched| watched.strong_count() > 0);
        }
        let new = Arc::new(Watched::default());
        watched.insert(id.clone(), Arc::downgrade(&new));
        new
    }

    /// Returns the token that the cancellation of the claim's job cancels, for the turn that begins.
    pub(crate) fn turn_begins(&self, claim: &ClaimRef) -> CancellationToken {
        let token = CancellationToken::new();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(claim.token.clone(), (claim.job.clone(), token.clone()));
        token
    }

    /// Forgets the turn of a claim, and no later one of its job.
    pub(crate) fn turn_ends(&self, claim: &ClaimRef) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&claim.token);
    }

    /// Cancels the turns in progress of a job.
    pub(crate) fn cancel_turns(&self, id: &JobId) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, token) in running.values().filter(|(job, _)| job == id) {
            token.cancel();
        }
    }

    fn notify(&self, id: &JobId, notify: impl FnOnce(&Watched)) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = watched.get(id).and_then(Weak::upgrade) {
            notify(&watched);
        }
    }

    /// Wakes the event streams of a job.
    pub(crate) fn has_changed(&self, id: &JobId) {
        self.notify(id, |watched| watched.changed.notify_waiters());
    }

    /// Wakes the event streams of a job, and the clients that wait for its end.
    pub(crate) fn has_ended(&self, id: &JobId) {
        self.notify(id, |watched| {
            watched.changed.notify_waiters();
            watched.ended.notify_waiters();
        });
    }

    /// Returns a row of the principal's tenant. Fault: `job_not_found`.
    pub(crate) async fn row(
        &self,
        principal: &Principal,
        id: &JobId,
        documents: Documents,
    ) -> Result<JobRow, Fault> {
        let job = id.clone();
        let row = self.store_of(principal).call(move |store| store.job(job, documents)).await?;
        row.filter(|row| row.tenant == *principal.tenant()).ok_or_else(|| faults::not_found(id))
    }

    /// Returns a document of a job with the job's specification.
    pub(crate) async fn document(
        &self,
        principal: &Principal,
        id: &JobId,
        document: u32,
    ) -> Result<(JobSpec, JobDocumentRow), Fault> {
        let row = self.row(principal, id, Documents::One(document)).await?;
        let spec = serde_json::from_str(&row.spec).map_err(faults::spec_damaged)?;
        let found = row.documents.into_iter().next();
        found.map(|row| (spec, row)).ok_or_else(|| faults::document_not_found(document))
    }

    /// Returns the status of a job. Fault: `job_not_found`.
    pub async fn status(&self, principal: &Principal, id: &JobId) -> Result<JobStatus, Fault> {
        JobStatus::of(&self.row(principal, id, Documents::All).await?)
    }

    /// Waits until a job has ended, or until `at_most` is over, or until the server stops; returns its status.
    pub async fn wait(
        &self,
        principal: &Principal,
        id: &JobId,
        at_most: Duration,
    ) -> Result<JobStatus, Fault> {
        let over = self.sleep(at_most);
        let mut over = std::pin::pin!(over);
        loop {
            // Registered before the read, so that the end is not missed.
            let watched = self.watched(id);
            let mut ended = std::pin::pin!(watched.ended.notified());
            ended.as_mut().enable();
            if self.row(principal, id, Documents::None).await?.state.is_finished() {
                break;
            }
            tokio::select! {
                () = ended => {}
                () = &mut over => break,
                () = self.stopped() => break,
            }
        }
        self.status(principal, id).await
    }

    /// Returns jobs of the principal's tenant, newest first, with their positions; those before a position. There are none
    /// only if none follow.
    pub async fn list(
        &self,
        principal: &Principal,
        filter: JobFilter,
        mut before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, JobStatus)>, Fault> {
        loop {
            let page = self.list_page(principal, filter, before, limit).await?;
            if !page.rows.is_empty() || page.next.is_none() {
                return Ok(page.rows);
            }
            before = page.next;
        }
    }

    /// Returns a page of the jobs of the principal's tenant, newest first, with their positions; those before a position.
    /// It may have fewer than `limit`, see [`JobStore::jobs`]. Damaged jobs are left out.
    pub async fn list_page(
        &self,
        principal: &Principal,
        filter: JobFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Listed<(u64, JobStatus)>, Fault> {
        let query = JobQuery { tenant: principal.tenant().clone(), state: filter.state, before, limit };
        let page = self.store_of(principal).call(move |store| store.jobs(query)).await?;
        let damaged = |row: &JobRow, fault: &Fault| tracing::error!(job = %row.id, %fault, "a damaged job is not listed");
        let status = |row: &JobRow| {
            let status = JobStatus::of(row).inspect_err(|fault| damaged(row, fault)).ok()?;
            Some((row.seq, status))
        };
        Ok(Listed { rows: page.rows.iter().filter_map(status).collect(), next: page.next })
    }

    /// Cancels an unfinished job, or deletes a finished one with its inputs and results. Fault: `job_not_found`.
    pub async fn delete(&self, principal: &Principal, id: &JobId) -> Result<Deleted, Fault> {
        let (tenant, job, now_ms) = (principal.tenant().clone(), id.clone(), self.clock.now_ms());
        let deleted = self.store_of(principal).call(move |store| store.delete(tenant, job, now_ms)).await?;
        let deleted = deleted.ok_or_else(|| faults::not_found(id))?;
        self.cancel_turns(id);
        self.has_ended(id);
        self.deliveries_due.notify_one();
        self.ready.notify_one();
        Ok(deleted)
    }

    /// Deletes all that is stored for a tenant, and ends the work on its jobs.
    pub(crate) async fn forget_tenant(&self, tenant: TenantName) -> Result<(), Fault> {
        loop {
            let gone = self.store().forget_tenant(tenant.clone(), EXPIRED_AT_ONCE).await;
            let gone = gone.map_err(faults::stored)?;
            for id in &gone {
                self.cancel_turns(id);
                self.has_ended(id);
            }
            if gone.is_empty() {
                return Ok(());
            }
        }
    }

    /// Returns counts for metrics, at most some seconds old.
    pub async fn counts(&self) -> Result<JobCounts, Fault> {
        // Held during the read: requests at the same time get the same counts.
        let mut counted = self.counted.lock().await;
        match &*counted {
            Some((at, counts)) if self.clock.now().duration_since(*at) < COUNTS_KEPT => Ok(counts.clone()),
            _ => {
                let counts = self.store().counts().await.map_err(faults::stored)?;
                *counted = Some((self.clock.now(), counts.clone()));
                Ok(counts)
            }
        }
    }

    /// Deletes the jobs whose retention is over.
    pub(crate) async fn expire(&self) -> Result<(), Fault> {
        loop {
            let expired = self.store().expire(self.clock.now_ms(), EXPIRED_AT_ONCE).await;
            if expired.map_err(faults::stored)? == 0 {
                return Ok(());
            }
        }
    }

    /// Returns a principal for requests with a capability URL, whose token the caller has verified. `None`: the tenant is
    /// gone.
    pub fn by_capability(&self, tenant: &TenantName) -> Option<Principal> {
        self.parts.service.control().principal_of_job(tenant).ok()
    }
}
