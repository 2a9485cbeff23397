//! [`Jobs`]: submission, status, cancellation, and the tasks behind them.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use lector_control::store::jobs::{
    Added, ClaimRef, Deleted, JobCounts, JobDocumentRow, JobId, JobLimits, JobQuery, JobRow, JobStore,
    NewJob, NewJobDocument,
};
use lector_control::{Principal, Trigger};
use lector_core::{Clock, Fault, Kind, TenantName};
use lector_serving::{DocumentService, Event};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::JobsConfig;
use crate::faults;
use crate::spec::{JobSpec, StagedInput, Submission};
use crate::status::{JobFilter, JobStatus, Submitted};
use crate::transport::WebhookTransport;

/// Period of the deletion of expired jobs.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// Jobs that are deleted in one transaction.
const EXPIRED_AT_ONCE: u32 = 16;
/// Period of the look for due webhooks, besides the end of each job.
const DELIVERY_EVERY: Duration = Duration::from_secs(5);
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

/// The jobs of a server.
pub struct Jobs {
    config: ArcSwap<JobsConfig>,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<dyn Clock>,
    /// Notified when a job may be ready to be claimed.
    pub(crate) ready: Notify,
    /// Notified when a webhook may be due.
    pub(crate) deliveries_due: Arc<Notify>,
    /// By job: notified when it has a new event.
    watched: Mutex<HashMap<JobId, Weak<Notify>>>,
    /// The turns in progress by the token of their claim, each with its job and the token that a cancellation cancels.
    running: Mutex<HashMap<String, (JobId, CancellationToken)>>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Number of the next claim of this process.
    pub(crate) claims: AtomicU64,
    /// Distinguishes the claims of this process.
    pub(crate) process: String,
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
        let jobs = Arc::new(Self {
            config: ArcSwap::from_pointee(config),
            parts,
            clock,
            ready: Notify::new(),
            deliveries_due: Arc::default(),
            watched: Mutex::default(),
            running: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            claims: AtomicU64::new(0),
            process,
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

    pub(crate) fn store(&self) -> &Arc<dyn JobStore> {
        &self.parts.store
    }

    pub(crate) fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.clock.sleep_until(self.clock.now() + time)
    }

    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + '_ {
        self.stop.cancelled()
    }

    /// Returns the notification of new events of a job.
    pub(crate) fn changed(&self, id: &JobId) -> Arc<Notify> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = watched.get(id).and_then(Weak::upgrade) {
            return known;
        }
        if watched.len() >= WATCHED_CLEAN {
            watched.retain(|_, notify| notify.strong_count() > 0);
        }
        let notify = Arc::new(Notify::new());
        watched.insert(id.clone(), Arc::downgrade(&notify));
        notify
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
    fn cancel_turns(&self, id: &JobId) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, token) in running.values().filter(|(job, _)| job == id) {
            token.cancel();
        }
    }

    /// Wakes the watchers of a job.
    pub(crate) fn has_changed(&self, id: &JobId) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = watched.get(id).and_then(Weak::upgrade) {
            notify.notify_waiters();
        }
    }

    /// Stores an input. It is durable when this returns. Faults: `storage_full`, `storage_unavailable`.
    pub async fn stage(
        &self,
        _: &Principal,
        name: Option<String>,
        content_type: Option<String>,
        bytes: impl Into<Arc<Vec<u8>>>,
    ) -> Result<StagedInput, Fault> {
        let bytes = bytes.into();
        let length = bytes.len() as u64;
        let blob = self.store().stage(bytes).await.map_err(faults::stored)?;
        Ok(StagedInput { name, content_type, bytes: length, blob })
    }

    /// Submits a job. It is durable when this returns. The inputs of a job that is not accepted are deleted. Faults:
    /// `option_invalid`, `deployment_not_found`, `tenant_not_found`, `idempotency_key_reused`, `tenant_jobs_exceeded`,
    /// `tenant_job_bytes_exceeded`, `storage_full`.
    pub async fn submit(&self, principal: &Principal, submission: Submission) -> Result<Submitted, Fault> {
        submission.spec.check(self.config().retention_max)?;
        if submission.inputs.is_empty() {
            let message = "The job has no document: send at least one as a part named `file`.";
            return Err(Fault::new(Kind::Invalid, "file_missing", message));
        }
        let control = self.parts.service.control();
        control.lease(principal, submission.spec.request.deployment.as_ref())?;
        let idempotency = submission.idempotency()?;
        let Submission { spec, inputs, .. } = submission;
        let id = JobId::random().ok_or_else(faults::no_randomness)?;
        let limits = self.limits(principal);
        let document = |input: &StagedInput| NewJobDocument {
            name: input.name.clone(),
            content_type: input.content_type.clone(),
            digest: input.blob.digest().clone(),
            bytes: input.bytes,
        };
        let retention = spec.retention.unwrap_or(self.config().retention);
        let job = NewJob {
            id: id.clone(),
            tenant: principal.tenant().clone(),
            created_at_ms: self.clock.now_ms(),
            priority: spec.priority,
            retention_ms: u64::try_from(retention.as_millis()).unwrap_or(u64::MAX),
            spec: crate::json::text(&spec),
            idempotency,
            webhook: spec.webhook.clone(),
            documents: inputs.iter().map(document).collect(),
            limits,
        };
        // The tenant may be deleted while its documents arrive; the next tenant of that name must not get them.
        control.still_exists(principal)?;
        let inputs = inputs.into_iter().map(|input| input.blob).collect();
        let added = self.store().add(job, inputs).await.map_err(faults::stored)?;
        if let Err(gone) = control.still_exists(principal) {
            // Deleted during the addition, which the deletion may not have seen.
            if added == Added::New {
                self.forget(&id).await?;
            }
            return Err(gone);
        }
        let (id, created) = match added {
            Added::New => (id, true),
            Added::Same(id) => (id, false),
            Added::Other(id) => {
                let message = format!(
                    "The idempotency key belongs to the job `{id}`, which has other documents or options: use a new key."
                );
                return Err(Fault::new(Kind::Conflict, "idempotency_key_reused", message));
            }
            Added::TooMany(unfinished) => {
                return Err(faults::too_many_jobs(unfinished));
            }
            Added::TooManyBytes(bytes) => return Err(faults::too_many_bytes(bytes, limits.bytes)),
        };
        self.ready.notify_one();
        Ok(Submitted { job: self.status(principal, &id).await?, created })
    }

    /// Returns the limits of the tenant's jobs: its own, else those of the server.
    fn limits(&self, principal: &Principal) -> JobLimits {
        let own = principal.limits();
        let or = |own: u64, otherwise: u64| if own == 0 { otherwise } else { own };
        JobLimits {
            unfinished: or(own.jobs_unfinished_max, self.config().tenant_jobs_max),
            bytes: or(own.jobs_bytes_max, self.config().tenant_bytes_max),
        }
    }

    /// Returns a row of the principal's tenant.
    pub(crate) async fn row(&self, principal: &Principal, id: &JobId) -> Result<JobRow, Fault> {
        let row = self.store().job(id.clone()).await.map_err(faults::stored)?;
        row.filter(|row| row.tenant == *principal.tenant()).ok_or_else(|| faults::not_found(id))
    }

    /// Returns a document of a job with the job's specification.
    pub(crate) async fn document(
        &self,
        principal: &Principal,
        id: &JobId,
        document: u32,
    ) -> Result<(JobSpec, JobDocumentRow), Fault> {
        let mut row = self.row(principal, id).await?;
        let spec = serde_json::from_str(&row.spec).map_err(faults::spec_damaged)?;
        let documents = row.documents.len();
        match row.documents.iter().position(|of| of.number == document) {
            Some(at) => Ok((spec, row.documents.swap_remove(at))),
            None => Err(faults::document_not_found(document, documents)),
        }
    }

    /// Returns the status of a job. Fault: `job_not_found`.
    pub async fn status(&self, principal: &Principal, id: &JobId) -> Result<JobStatus, Fault> {
        JobStatus::of(&self.row(principal, id).await?)
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
            let changed = self.changed(id);
            let mut changed = std::pin::pin!(changed.notified());
            changed.as_mut().enable();
            let row = self.row(principal, id).await?;
            if row.state.is_finished() {
                return JobStatus::of(&row);
            }
            tokio::select! {
                () = changed => {}
                () = &mut over => return JobStatus::of(&row),
                () = self.stopped() => return JobStatus::of(&row),
            }
        }
    }

    /// Returns jobs of the principal's tenant, newest first, with their positions; those before a position.
    pub async fn list(
        &self,
        principal: &Principal,
        filter: JobFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, JobStatus)>, Fault> {
        let tenant = Some(principal.tenant().clone());
        let query = JobQuery { tenant, state: filter.state, before, limit };
        let rows = self.store().jobs(query).await.map_err(faults::stored)?;
        rows.iter().map(|row| Ok((row.seq, JobStatus::of(row)?))).collect()
    }

    /// Cancels an unfinished job, or deletes a finished one with its inputs and results. Fault: `job_not_found`.
    pub async fn delete(&self, principal: &Principal, id: &JobId) -> Result<Deleted, Fault> {
        self.row(principal, id).await?;
        let deleted = self.store().delete(id.clone(), self.clock.now_ms()).await.map_err(faults::stored)?;
        self.cancel_turns(id);
        self.has_changed(id);
        self.deliveries_due.notify_one();
        self.ready.notify_one();
        deleted.ok_or_else(|| faults::not_found(id))
    }

    /// Deletes a job in any state.
    async fn forget(&self, id: &JobId) -> Result<(), Fault> {
        let delete =
            async || self.store().delete(id.clone(), self.clock.now_ms()).await.map_err(faults::stored);
        if delete().await? == Some(Deleted::Canceled) {
            self.cancel_turns(id);
            delete().await?;
        }
        self.has_changed(id);
        Ok(())
    }

    /// Deletes all that is stored for a tenant, and ends the work on its jobs.
    pub(crate) async fn forget_tenant(&self, tenant: TenantName) -> Result<(), Fault> {
        loop {
            let gone = self.store().forget_tenant(tenant.clone(), EXPIRED_AT_ONCE).await;
            let gone = gone.map_err(faults::stored)?;
            for id in &gone {
                self.cancel_turns(id);
                self.has_changed(id);
            }
            if gone.len() < EXPIRED_AT_ONCE as usize {
                return Ok(());
            }
        }
    }

    /// Returns counts for metrics.
    pub async fn counts(&self) -> Result<JobCounts, Fault> {
        self.store().counts().await.map_err(faults::stored)
    }

    /// Deletes the jobs whose retention is over.
    pub(crate) async fn expire(&self) -> Result<(), Fault> {
        loop {
            let expired = self.store().expire(self.clock.now_ms(), EXPIRED_AT_ONCE).await;
            if expired.map_err(faults::stored)? < u64::from(EXPIRED_AT_ONCE) {
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
