//! The platform's face: start, let in, admit, submit, probe, drain.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use lector_core::{DeploymentName, Documents, Fault, ModelName};
use lector_runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::access::{self, Admin, Caller, Failures, Shown};
use crate::acts::Acts;
use crate::admission::{Admission, Bounds, Permit};
use crate::config::PlatformConfig;
use crate::directory::Directory;
use crate::key::Scope;
use crate::pipeline::{self, Turns, Work};
use crate::probe::{Probe, ProbeReport};
use crate::quarantine::Found;
use crate::reader::Loader;
use crate::revision::Lease;
use crate::rounds::Flushes;
use crate::shadow::Shadows;
use crate::shelf::Shelf;
use crate::status::{DeploymentStatus, DrainReport, PlatformStatus};
use crate::store::{SqliteStore, Store};
use crate::submission::{EventStream, Submission};
use crate::tenant::Tenant;
use crate::{opening, rounds};

/// Events that wait for a slow reader of one document before the pipeline itself waits.
const EVENTS_WAITING_MAX: usize = 4;
/// After the drain's time is over: what the cut-off documents have to say so to their readers.
const CUT_OFF_GRACE: Duration = Duration::from_secs(1);

/// The house: tenants and their deployments, the door, the pipeline.
pub struct Platform {
    pub(crate) directory: Arc<ArcSwap<Directory>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shelf: Shelf,
    pub(crate) acts: Acts,
    /// Deploys being staged.
    pub(crate) staging: Semaphore,
    /// Models of tenants that were given none of their own.
    pub(crate) lent_models: BTreeMap<String, ModelName>,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) turns: Turns,
    pub(crate) shadows: Shadows,
    failures: Failures,
    /// How long engines stay that nobody needs.
    pub(crate) engine_linger: Duration,
    /// Use on its way to disk, one writing at a time.
    pub(crate) flushes: tokio::sync::Mutex<Flushes>,
    /// Tenants that were dropped and have use that is not on disk yet.
    left: Mutex<Vec<Arc<Tenant>>>,
    /// Damaged rows that a start does not read.
    pub(crate) found_damaged: Found,
    probe: Probe,
    work: TaskTracker,
    cut_off: tokio_util::sync::CancellationToken,
    pages_per_document_max: u32,
    pub(crate) document_result_bytes_max: u64,
    pub(crate) tenant_images_bytes_max: u64,
}

impl Platform {
    /// Opens the store, puts what it serves into memory, and makes the configuration's deployments revisions where they
    /// are new or changed. One of those that cannot be loaded or configured is a fault that names it; a tenant's own that
    /// cannot be loaded is logged, and answers so.
    pub async fn start(
        config: PlatformConfig,
        runtime: Arc<Runtime>,
        documents: Arc<dyn Documents>,
    ) -> Result<Arc<Self>, Fault> {
        let store: Arc<dyn Store> = Arc::new(match &config.data_dir {
            Some(dir) => SqliteStore::open(dir)?,
            None => SqliteStore::in_memory()?,
        });
        Self::start_with(config, Arc::new(runtime), documents, store).await
    }

    pub(crate) async fn start_with(
        config: PlatformConfig,
        loader: Arc<dyn Loader>,
        documents: Arc<dyn Documents>,
        store: Arc<dyn Store>,
    ) -> Result<Arc<Self>, Fault> {
        opening::check(&config)?;
        let collected = store.collect().await?;
        if collected != Default::default() {
            tracing::info!(collected.unfinished, collected.unnamed, "leftovers were collected");
        }
        let shelf = Shelf::new(loader, store.clone());
        let directory = opening::directory(&config, &store, &shelf).await?;
        let platform = Arc::new(Self {
            directory: Arc::new(ArcSwap::from_pointee(directory)),
            store,
            shelf,
            acts: Acts::default(),
            staging: Self::staging_places(),
            lent_models: opening::lent_models(&config),
            documents,
            admission: Admission::new(Bounds {
                documents_max: config.documents_max,
                held_bytes_max: config.held_bytes_max,
                tenant_held_bytes_max: config.tenant_held_bytes_max,
                wait_max: config.wait_max,
            }),
            turns: Turns::new(config.pages_in_flight_max),
            shadows: Shadows::default(),
            failures: Failures::default(),
            engine_linger: config.engine_linger,
            flushes: tokio::sync::Mutex::new(Flushes::new()?),
            left: Mutex::default(),
            found_damaged: Found::default(),
            probe: Probe::default(),
            work: TaskTracker::new(),
            cut_off: tokio_util::sync::CancellationToken::new(),
            pages_per_document_max: config.pages_per_document_max,
            document_result_bytes_max: config.document_result_bytes_max,
            tenant_images_bytes_max: config.tenant_images_bytes_max,
        });
        let host = platform.host("config")?;
        platform.seed(&host, config.deployments).await?;
        rounds::start(&platform);
        Ok(platform)
    }

    fn host(&self, actor: &str) -> Result<Caller, Fault> {
        let directory = self.directory.load();
        let tenant = directory.tenants.get(&directory.host).cloned();
        let tenant = tenant.ok_or_else(|| access::tenant_not_found(directory.host.as_str()))?;
        Ok(Caller { tenant, actor: access::Actor::named(actor), manages: true })
    }

    /// The host's own tenant, for the command line of this machine.
    pub fn of_this_machine(&self) -> Result<Caller, Fault> {
        self.host("cli")
    }

    /// Whether nobody has made a key yet: then whoever reaches the house may use it.
    pub fn is_open(&self) -> bool {
        self.directory.load().is_open()
    }

    /// Whether keys are asked for and no administrator's can be read: damage took it.
    pub fn lost_admin_key(&self) -> bool {
        let directory = self.directory.load();
        !directory.is_open() && !directory.keys.values().any(|key| key.scope == Scope::Admin)
    }

    /// The right to act for a tenant, by what a request shows. Faults: `key_missing`, `key_invalid`, `tenant_not_found`,
    /// `auth_throttled`.
    pub fn caller(&self, shown: Shown<'_>) -> Result<Caller, Fault> {
        access::caller(&self.directory.load(), &self.failures, shown)
    }

    /// The right to act for the house, by what a request shows. Faults: as of [`caller`](Self::caller), and `admin_only`.
    pub fn admin(&self, shown: Shown<'_>) -> Result<Admin, Fault> {
        access::admin(&self.directory.load(), &self.failures, shown)
    }

    /// Counts a request against the tenant's rate: `rate_limited`, with the time after which to try again.
    pub fn enter(&self, caller: &Caller) -> Result<(), Fault> {
        caller.tenant.enter(Instant::now())
    }

    /// A place for one document, or a fault that says why not: `tenant_backlog_full` (the tenant's share is used up) or
    /// `tenant_bytes_full` (it holds as many bytes as it may) or `house_full`, each with the time after which to try again,
    /// `submission_too_large`, `shutting_down`. `time_left`: how long its answer will be of use. Takes microseconds; call it
    /// before the body is read, and [`Permit::hold`] as a body of unknown length grows.
    pub fn admit(
        &self,
        caller: &Caller,
        bytes_hint: Option<u64>,
        time_left: Duration,
    ) -> Result<Permit, Fault> {
        let tenant = &caller.tenant;
        self.admission.admit(tenant, bytes_hint, time_left).inspect_err(|_| tenant.meter.rejected())
    }

    /// The same for a client that can wait for up to `within`, in the order of the tenants' shares: a refusal counts once,
    /// when that time is over. Dropping the future withdraws the request.
    pub async fn admit_within(
        &self,
        caller: &Caller,
        bytes_hint: Option<u64>,
        time_left: Duration,
        within: Duration,
    ) -> Result<Permit, Fault> {
        let tenant = &caller.tenant;
        let admitted = self.admission.admit_within(tenant, bytes_hint, time_left, within).await;
        admitted.inspect_err(|_| tenant.meter.rejected())
    }

    /// Reads a document. Everything that goes wrong from here on is an event.
    /// Must be called within a tokio runtime.
    pub fn submit(self: &Arc<Self>, permit: Permit, submission: Submission) -> EventStream {
        let (events, stream) = mpsc::channel(EVENTS_WAITING_MAX);
        let tenant = submission.caller.tenant();
        let span = tracing::info_span!("document", request = %submission.request, %tenant);
        let work = Work {
            platform: self.clone(),
            pages_max: self.pages_per_document_max,
            cut_off: self.cut_off.clone(),
            permit,
            submission,
            events,
        };
        let task = self.work.spawn(pipeline::run(work).instrument(span));
        EventStream::new(stream, task.abort_handle())
    }

    /// A lease on the revision that answers `deployment` (`None`: the caller's default one); a fault
    /// `deployment_not_found` for a name that is not there. `submit` takes a lease of its own; this one
    /// is for those who want to know beforehand.
    pub fn lease(&self, caller: &Caller, deployment: Option<&DeploymentName>) -> Result<Lease, Fault> {
        Ok(self.directory.load().lease(&caller.tenant, deployment, "look", "look")?.lease)
    }

    /// Reads a tiny golden page through documents, guests and engines, once for each deployment that the
    /// configuration lends to all, all within `deadline`. An answer is kept for a second, so that probing
    /// cannot be used as a load.
    pub async fn probe(&self, deadline: Duration) -> Result<ProbeReport, Fault> {
        self.probe.answer(self, deadline).await
    }

    /// Takes on nothing new, waits `within` for what is there, then cuts off the rest. Each document
    /// that is cut off gets a last event `shutting_down`.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        let started = Instant::now();
        let gate = &self.admission.gate;
        self.admission.close();
        let clean = tokio::time::timeout(within, gate.empty()).await.is_ok();
        let cut_off = if clean { Vec::new() } else { gate.holders() };
        self.cut_off.cancel();
        self.work.close();
        let ended = tokio::time::timeout(CUT_OFF_GRACE, self.work.wait()).await.is_ok();
        self.flush_usage().await;
        DrainReport { clean: clean && ended, took: started.elapsed(), cut_off }
    }

    /// Waits until the memory of a large document is free: a good time to return it to the system.
    pub async fn large_document_freed(&self) {
        self.admission.large_freed.notified().await;
    }

    /// Most bytes of the results of one document.
    pub fn document_result_bytes_max(&self) -> u64 {
        self.document_result_bytes_max
    }

    /// Whether [`drain`](Self::drain) has begun.
    pub fn is_draining(&self) -> bool {
        self.admission.gate.is_closed()
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_drained(&self) -> bool {
        self.work.is_closed() && self.work.is_empty()
    }

    pub(crate) fn lock_left(&self) -> MutexGuard<'_, Vec<Arc<Tenant>>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tenant goes; what it used is still to be written.
    pub(crate) fn leave(&self, tenant: Arc<Tenant>) {
        self.lock_left().push(tenant);
    }

    /// A look at the counters.
    pub fn status(&self) -> PlatformStatus {
        let tally = &self.admission.tally;
        let directory = self.directory.load();
        let (owed_ms, work_ms_per_s) = self.admission.load.owed_and_capacity();
        PlatformStatus {
            documents_admitted: self.admission.gate.count(),
            documents_max: self.admission.bounds.documents_max,
            documents_done: tally.documents_done.load(Relaxed),
            documents_failed: tally.documents_failed.load(Relaxed),
            documents_abandoned: tally.documents_abandoned.load(Relaxed),
            documents_taken: tally.documents_admitted.load(Relaxed),
            documents_refused: tally.documents_refused.load(Relaxed),
            documents_over_share: tally.documents_over_share.load(Relaxed),
            documents_over_bytes: tally.documents_over_bytes.load(Relaxed),
            work_owed: Duration::try_from_secs_f64(owed_ms / 1e3).unwrap_or(Duration::MAX),
            work_rate: work_ms_per_s / 1e3,
            work_predictions: self.admission.load.predictions(),
            held_bytes: self.admission.held_bytes(),
            held_bytes_max: self.admission.bounds.held_bytes_max,
            pages_waiting: tally.pages_waiting(),
            pages_running: self.turns.taken(),
            pages_in_flight_max: self.turns.most(),
            pages_ok: tally.pages_ok.load(Relaxed),
            pages_failed: tally.pages_failed.load(Relaxed),
            faults: tally.faults(),
            page_time: self.admission.load.page_time(),
            damaged_rows: self.damaged_counts(),
            draining: self.is_draining(),
            deployments: directory
                .deployments
                .values()
                .filter_map(|of| deployment_status(&directory, of))
                .collect(),
        }
    }
}

/// A deployment with something live in it.
fn deployment_status(
    directory: &Directory,
    deployment: &crate::directory::Deployment,
) -> Option<DeploymentStatus> {
    let route = &deployment.route;
    let record = deployment.revisions.get(&route.stable()?)?;
    let in_memory = deployment.loaded.values().filter_map(|loaded| loaded.as_ref().ok().cloned());
    let draining = deployment.draining.iter().filter_map(std::sync::Weak::upgrade);
    Some(DeploymentStatus {
        tenant: route.tenant.clone(),
        name: route.deployment.clone(),
        default: route.seed && route.deployment == directory.default,
        revision: record.number,
        digest: record.component.to_string(),
        leases: in_memory.chain(draining).map(|revision| revision.gate.count()).sum(),
        models: record.declaration.models.clone(),
        features: record.declaration.features.clone(),
    })
}
