//! The platform's face: start, admit, submit, probe, drain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use lector_core::{Blame, DeploymentName, Documents, Fault, Kind};
use lector_runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::admission::{Admission, Permit};
use crate::config::PlatformConfig;
use crate::pipeline::{self, Turns, Work};
use crate::probe::{Probe, ProbeReport};
use crate::reader::Loader;
use crate::revision::{Lease, Revision, Routes, Snapshot};
use crate::status::{DeploymentStatus, DrainReport, PlatformStatus};
use crate::submission::{EventStream, Submission};

/// Events that wait for a slow reader of one document before the pipeline itself waits.
const EVENTS_WAITING_MAX: usize = 4;
/// After the drain's time is over: what the cut-off documents have to say so to their readers.
const CUT_OFF_GRACE: Duration = Duration::from_secs(1);

/// The house: deployments, the door, the pipeline.
pub struct Platform {
    pub(crate) routes: Routes,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) turns: Turns,
    probe: Probe,
    work: TaskTracker,
    cut_off: tokio_util::sync::CancellationToken,
    pages_per_document_max: u32,
}

impl Platform {
    /// Loads and configures every deployment. A component that cannot be loaded, settings that a
    /// guest refuses, a grant that is missing: each is a fault that names the deployment.
    pub async fn start(
        config: PlatformConfig,
        runtime: Arc<Runtime>,
        documents: Arc<dyn Documents>,
    ) -> Result<Arc<Self>, Fault> {
        Self::start_with(config, &runtime, documents).await
    }

    pub(crate) async fn start_with(
        config: PlatformConfig,
        loader: &dyn Loader,
        documents: Arc<dyn Documents>,
    ) -> Result<Arc<Self>, Fault> {
        let misconfigured =
            |message: String| Fault::new(Kind::Invalid, "platform_config", message).blaming(Blame::Host);
        if config.documents_max == 0 || config.pages_in_flight_max == 0 || config.pages_per_document_max == 0
        {
            return Err(misconfigured("The limits of the platform must be 1 or more.".to_owned()));
        }
        let mut live = BTreeMap::new();
        for deployment in config.deployments {
            let name = deployment.name.clone();
            let revision = Revision::make(config.tenant.clone(), deployment, loader).await?;
            tracing::info!(deployment = %name, digest = revision.reader.digest(), models = ?revision.declaration.models, "deployment live");
            if live.insert(name.clone(), revision).is_some() {
                return Err(misconfigured(format!(
                    "Deployment `{name}` is there twice: each needs a name of its own."
                )));
            }
        }
        if !live.contains_key(&config.default_deployment) {
            return Err(misconfigured(format!(
                "The default deployment `{}` is none of the deployments.",
                config.default_deployment
            )));
        }
        Ok(Arc::new(Self {
            routes: Routes::new(Snapshot { default: config.default_deployment, live }),
            documents,
            admission: Admission::new(
                config.documents_max,
                config.held_bytes_max,
                config.pages_in_flight_max,
            ),
            turns: Turns::new(config.pages_in_flight_max),
            probe: Probe::default(),
            work: TaskTracker::new(),
            cut_off: tokio_util::sync::CancellationToken::new(),
            pages_per_document_max: config.pages_per_document_max,
        }))
    }

    /// A place for one document, or a fault that says why not: `house_full` with the time after which
    /// to try again, `submission_too_large`, `shutting_down`. Takes microseconds; call it before the
    /// body is read, and [`Permit::hold`] as a body of unknown length grows.
    pub fn admit(&self, bytes_hint: Option<u64>) -> Result<Permit, Fault> {
        self.admission.admit(bytes_hint)
    }

    /// Reads a document. Everything that goes wrong from here on is an event.
    /// Must be called within a tokio runtime.
    pub fn submit(self: &Arc<Self>, permit: Permit, submission: Submission) -> EventStream {
        let (events, stream) = mpsc::channel(EVENTS_WAITING_MAX);
        let span = tracing::info_span!("document", request = %submission.request);
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

    /// A lease on the revision that answers `deployment` (`None`: the default one); a fault
    /// `deployment_not_found` for a name that is not there. `submit` takes a lease of its own; this one
    /// is for those who want to know beforehand.
    pub fn lease(&self, deployment: Option<&DeploymentName>) -> Result<Lease, Fault> {
        self.routes.lease(deployment, "look")
    }

    /// Reads a tiny golden page through documents, guests and engines, once for each deployment, all
    /// within `deadline`. An answer is kept for a second, so that probing cannot be used as a load.
    pub async fn probe(&self, deadline: Duration) -> Result<ProbeReport, Fault> {
        self.probe.answer(self, deadline).await
    }

    /// Takes on nothing new, waits `within` for what is there, then cuts off the rest. Each document
    /// that is cut off gets a last event `shutting_down`.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        let started = Instant::now();
        let gate = &self.admission.gate;
        gate.close();
        let clean = tokio::time::timeout(within, gate.empty()).await.is_ok();
        let cut_off = if clean { Vec::new() } else { gate.holders() };
        self.cut_off.cancel();
        self.work.close();
        let ended = tokio::time::timeout(CUT_OFF_GRACE, self.work.wait()).await.is_ok();
        DrainReport { clean: clean && ended, took: started.elapsed(), cut_off }
    }

    /// Whether [`drain`](Self::drain) has begun.
    pub fn is_draining(&self) -> bool {
        self.admission.gate.is_closed()
    }

    /// A look at the counters.
    pub fn status(&self) -> PlatformStatus {
        let tally = &self.admission.tally;
        let snapshot = self.routes.now();
        let deployments = snapshot.live.iter().map(|(name, revision)| DeploymentStatus {
            name: name.clone(),
            default: *name == snapshot.default,
            digest: revision.reader.digest().to_owned(),
            leases: revision.gate.count(),
            models: revision.declaration.models.clone(),
            features: revision.declaration.features.clone(),
        });
        PlatformStatus {
            documents_admitted: self.admission.gate.count(),
            documents_max: self.admission.documents_max,
            documents_done: tally.documents_done.load(Relaxed),
            documents_failed: tally.documents_failed.load(Relaxed),
            documents_abandoned: tally.documents_abandoned.load(Relaxed),
            documents_refused: tally.documents_refused.load(Relaxed),
            held_bytes: self.admission.held_bytes(),
            held_bytes_max: self.admission.held_bytes_max,
            pages_waiting: tally.pages_waiting(),
            pages_running: self.turns.taken(),
            pages_in_flight_max: self.turns.most(),
            pages_ok: tally.pages_ok.load(Relaxed),
            pages_failed: tally.pages_failed.load(Relaxed),
            faults: tally.faults(),
            page_time: self.admission.pace.page(),
            draining: self.is_draining(),
            deployments: deployments.collect(),
        }
    }
}
