//! The document service: reads a document, given a request and bytes, and returns events or the complete result.
//!
//! Owns the order of the steps: find the deployment, count the request against the tenant's rate limit, admit, account
//! for the upload, set the deadline, run the pipeline; and the drain. Independent of the transport. The native API, the
//! command line, and every later dialect or job use [`DocumentService::read`], [`DocumentService::stream`], or, if the
//! bytes arrive in parts, a [`Session`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use lector_control::{ControlPlane, Principal, Tenant};
use lector_core::{Blame, DeploymentName, Documents, Fault, Kind, TenantName};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::admission::{Admission, AnswerMemory, Bounds, Permit, ReceivedBytes, UploadSlot};
use crate::collector::{Collector, DocumentResult};
use crate::config::ServingConfig;
use crate::event_stream::EventStream;
use crate::page_scheduler::PageScheduler;
use crate::pipeline::{self, Work};
use crate::plane::{DataPlane, DocumentLimits};
use crate::readiness_check::{ReadinessCheck, ReadinessReport};
use crate::request::{DocumentRequest, Event, Submission};
use crate::retained::Retained;
use crate::shadow_traffic::Shadows;
use crate::status::{DrainReport, ServingStatus, TenantActivity};

/// Most events that wait for a slow reader of one document; beyond it the pipeline waits.
const EVENTS_WAITING_MAX: usize = 4;
/// Time after the end of the drain for the delivery of the last events of documents that were cut off.
const CUT_OFF_GRACE: Duration = Duration::from_secs(1);

/// The document service.
pub struct DocumentService {
    plane: Arc<DataPlane>,
    check_readiness: ReadinessCheck,
    work: TaskTracker,
    cut_off: CancellationToken,
}

/// The start of a document's timeout.
#[derive(Clone, Copy, Debug)]
pub enum TimeoutStart {
    /// A fixed time: the request has one document.
    Since(Instant),
    /// The time at which the document is received: the request has many.
    PerDocument,
}

/// A received document.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    /// The client's name for the document.
    pub name: Option<String>,
    /// `Content-Type` from the client.
    pub content_type: Option<String>,
    /// The bytes of the document.
    pub bytes: Vec<u8>,
}

impl DocumentService {
    /// Starts the service on a control plane.
    pub fn start(
        config: &ServingConfig,
        control: Arc<ControlPlane>,
        documents: Arc<dyn Documents>,
    ) -> Result<Arc<Self>, Fault> {
        if config.documents_max == 0 || config.pages_in_flight_max == 0 || config.pages_per_document_max == 0
        {
            let message = "The limits in `platform` must be 1 or more: correct the configuration.";
            return Err(Fault::new(Kind::Invalid, "platform_config", message).blaming(Blame::Host));
        }
        let (work, cut_off) = (TaskTracker::new(), CancellationToken::new());
        let plane = DataPlane {
            control,
            documents,
            admission: Admission::new(bounds(config)),
            page_scheduler: PageScheduler::new(config.pages_in_flight_max),
            shadows: Shadows::new(work.clone(), cut_off.clone()),
            limits: DocumentLimits::new(config),
        };
        Ok(Arc::new(Self {
            plane: Arc::new(plane),
            check_readiness: ReadinessCheck::default(),
            work,
            cut_off,
        }))
    }

    /// Replaces the limits of admission and of documents, except `pages_in_flight_max`. Documents in flight keep their
    /// places and their bytes; later ones find the new limits.
    pub fn retune(&self, config: &ServingConfig) {
        self.plane.limits.retune(config);
        self.plane.admission.retune(bounds(config));
    }

    /// Returns the control plane.
    pub fn control(&self) -> &Arc<ControlPlane> {
        &self.plane.control
    }

    /// Reads a complete document, and returns the whole result.
    pub async fn read(
        self: &Arc<Self>,
        principal: &Principal,
        request: DocumentRequest,
        bytes: Vec<u8>,
    ) -> Result<Box<DocumentResult>, Fault> {
        self.stream(principal, request, bytes)?.collected(|_| {}).await
    }

    /// Reads a complete document, and returns its events. Must be called within a tokio runtime.
    pub fn stream(
        self: &Arc<Self>,
        principal: &Principal,
        request: DocumentRequest,
        bytes: Vec<u8>,
    ) -> Result<EventStream, Fault> {
        let upload =
            Upload { name: request.name.clone(), content_type: request.hint.content_type.clone(), bytes };
        let session = self.begin(principal, request, TimeoutStart::Since(Instant::now()))?;
        let permit = self.admit(principal, upload.bytes.len() as u64, session.time_left())?;
        Ok(session.stream(permit, upload))
    }

    /// Begins a request before its bytes are received: finds the deployment and counts the request against the tenant's
    /// rate limit. `request` applies to each document of the request; the name and the content type come from the
    /// upload.
    ///
    /// Faults: `deployment_not_found`, `guest_option_invalid`, `rate_limited`, and the faults of a deployment without a usable
    /// revision.
    pub fn begin(
        self: &Arc<Self>,
        principal: &Principal,
        request: DocumentRequest,
        timeout_start: TimeoutStart,
    ) -> Result<Session, Fault> {
        let control = self.control();
        let (deployment, key) = (request.deployment.as_ref(), request.routing_key());
        let deployment = control.begin_request(principal, deployment, key, &request.guest_options)?;
        Ok(Session {
            service: self.clone(),
            principal: principal.clone(),
            request,
            deployment,
            timeout_start,
        })
    }

    pub(crate) fn admit(
        &self,
        principal: &Principal,
        bytes: u64,
        time_left: Duration,
    ) -> Result<Permit, Fault> {
        let tenant = principal.account();
        let admitted = self.plane.admission.admit(tenant, bytes, time_left);
        admitted.inspect_err(|_| tenant.usage.rejected())
    }

    /// Gives an upload slot for a component of a deploy. Faults: `tenant_uploads_exceeded`, `tenant_memory_exceeded`,
    /// each with the time to wait; `submission_too_large`, `shutting_down`.
    pub fn receive_component(
        &self,
        principal: &Principal,
        declared: Option<u64>,
    ) -> Result<UploadSlot, Fault> {
        let tenant = principal.account();
        let given = self.plane.admission.component_upload(tenant, declared);
        given.inspect_err(|_| tenant.usage.rejected())
    }

    /// Gives an answer that is made of stored results a place, and an account for its memory. Fault: `tenant_overloaded`.
    pub fn answer_memory(&self, principal: &Principal) -> Result<AnswerMemory, Fault> {
        let tenant = principal.account();
        self.plane.admission.answer(tenant).inspect_err(|_| tenant.usage.rejected())
    }

    /// Reads a document. All later faults are events.
    pub(crate) fn submit(
        &self,
        permit: Permit,
        submission: Submission,
        deployment: DeploymentName,
    ) -> EventStream {
        self.submit_retaining(permit, submission, deployment, None)
    }

    /// Reads a document; hands it over open after its last page, if `retain` is set.
    fn submit_retaining(
        &self,
        permit: Permit,
        submission: Submission,
        deployment: DeploymentName,
        retain: Option<oneshot::Sender<Retained>>,
    ) -> EventStream {
        let (events, stream) = mpsc::channel(EVENTS_WAITING_MAX);
        let (request, name) = (submission.request.request.clone(), submission.request.name.clone());
        let span = tracing::info_span!("document", %request, tenant = %submission.principal.tenant());
        let work =
            Work { plane: self.plane.clone(), cut_off: self.cut_off(), permit, submission, events, retain };
        let task = self.work.spawn(pipeline::run(work).instrument(span));
        let collector =
            Collector::new(request, deployment, name).at_most(self.plane.limits.result_bytes_max());
        EventStream::new(stream, task.abort_handle(), collector)
    }

    /// Reads the smoke-test page through the render worker, guest and engines of each shared deployment, all within
    /// `deadline`. The answer is kept for a time, so that frequent checks cause little load. Fails if no deployment read
    /// it.
    pub async fn check_readiness(&self, deadline: Duration) -> Result<ReadinessReport, Fault> {
        self.check_readiness.answer(&self.plane, deadline).await
    }

    /// Returns the number of shared deployments that did not read the smoke-test page in the last check: all of them if the
    /// whole check failed.
    pub fn unready_deployments(&self) -> usize {
        self.check_readiness.failed()
    }

    /// Rejects new documents and ends the event streams, waits `within` for the admitted documents, then cuts off the
    /// rest. Each document that is cut off gets a last event `shutting_down`.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        let started = Instant::now();
        let gate = &self.plane.admission.gate;
        self.plane.admission.close();
        self.control().close_event_streams();
        let clean = tokio::time::timeout(within, gate.empty()).await.is_ok();
        let cut_off = if clean { Vec::new() } else { gate.holders() };
        self.cut_off.cancel();
        self.work.close();
        let ended = tokio::time::timeout(CUT_OFF_GRACE, self.work.wait()).await.is_ok();
        self.control().stop().await;
        DrainReport { clean: clean && ended, took: started.elapsed(), cut_off }
    }

    /// Waits until the memory of a large document is free: a good time to return memory to the operating system.
    pub async fn large_document_freed(&self) {
        self.plane.admission.large_freed.notified().await;
    }

    /// Returns whether [`drain`](Self::drain) has begun.
    pub fn is_draining(&self) -> bool {
        self.plane.is_draining()
    }

    /// Returns the counters.
    pub fn status(&self) -> ServingStatus {
        let DataPlane { admission, page_scheduler, control, .. } = &*self.plane;
        let counters = &admission.counters;
        let (pending_ms, work_ms_per_s) = admission.load.pending_and_capacity();
        ServingStatus {
            documents_admitted: admission.documents.count() as usize,
            uploads: admission.uploads.count(),
            documents_max: admission.bounds().documents_max,
            documents_done: counters.documents_done.load(Relaxed),
            documents_failed: counters.documents_failed.load(Relaxed),
            documents_abandoned: counters.documents_abandoned.load(Relaxed),
            documents_taken: counters.documents_admitted.load(Relaxed),
            documents_refused: counters.documents_refused.load(Relaxed),
            documents_over_share: counters.documents_over_share.load(Relaxed),
            documents_over_bytes: counters.documents_over_bytes.load(Relaxed),
            documents_over_uploads: counters.documents_over_uploads.load(Relaxed),
            pending_work: Duration::try_from_secs_f64(pending_ms / 1e3).unwrap_or(Duration::MAX),
            work_rate: work_ms_per_s / 1e3,
            work_predictions: admission.load.predictions(),
            held_bytes: admission.held_bytes(),
            held_bytes_max: admission.bounds().held_bytes_max,
            pages_waiting: counters.pages_waiting(),
            pages_running: page_scheduler.taken(),
            pages_in_flight_max: page_scheduler.most(),
            pages_ok: counters.pages_ok.load(Relaxed),
            pages_failed: counters.pages_failed.load(Relaxed),
            faults: counters.faults(),
            page_time: admission.load.page_time(),
            damaged_rows: control.damaged_counts(),
            draining: self.is_draining(),
            deployments: control.deployment_status(),
        }
    }

    /// Returns the work of each tenant, by name. Each count is of one moment; they are read one after the other.
    pub fn tenant_activity(&self) -> Vec<TenantActivity> {
        let DataPlane { admission, page_scheduler, control, .. } = &*self.plane;
        let (documents_waiting, uploads_waiting) = admission.waiting();
        let (pages_running, pages_waiting) = page_scheduler.by_tenant();
        let load = admission.load.by_tenant();
        let activity = |tenant: &Arc<Tenant>| {
            let name = tenant.name();
            let count = |of: &BTreeMap<TenantName, usize>| of.get(name).copied().unwrap_or(0);
            let (documents, pending_ms) = load.get(name).copied().unwrap_or((0, 0.0));
            TenantActivity {
                tenant: name.clone(),
                weight: tenant.record.policy.weight,
                uploads: tenant.usage.uploads.count(),
                uploads_waiting: count(&uploads_waiting),
                documents_waiting: count(&documents_waiting),
                documents,
                pages_waiting: count(&pages_waiting),
                pages_running: count(&pages_running),
                pending_work: Duration::try_from_secs_f64(pending_ms / 1e3).unwrap_or(Duration::MAX),
                held_bytes: tenant.usage.held_bytes.held(),
                pages_ended: tenant.usage.pages_ended(),
            }
        };
        control.tenants_with_counters().iter().map(activity).collect()
    }

    pub(crate) fn plane(&self) -> &DataPlane {
        &self.plane
    }

    /// Returns the token that ends all work at the end of a drain.
    pub(crate) fn cut_off(&self) -> CancellationToken {
        self.cut_off.clone()
    }
}

fn bounds(config: &ServingConfig) -> Bounds {
    Bounds {
        documents_max: config.documents_max,
        held_bytes_max: config.held_bytes_max,
        tenant_held_bytes_max: config.tenant_held_bytes_max,
        tenant_uploads_max: config.tenant_uploads_max,
        wait_max: config.wait_max,
    }
}

/// A request of a client, for one document or for many. Its deployment exists, and it is within the tenant's rate
/// limit.
pub struct Session {
    service: Arc<DocumentService>,
    principal: Principal,
    request: DocumentRequest,
    deployment: DeploymentName,
    timeout_start: TimeoutStart,
}

impl Session {
    /// Returns the deployment that serves the request.
    pub fn deployment(&self) -> &DeploymentName {
        &self.deployment
    }

    /// Changes the request, for a client that states options inside of the body, and finds the deployment again.
    /// Faults: those of the deployment.
    pub fn with_request(mut self, change: impl FnOnce(&mut DocumentRequest)) -> Result<Self, Fault> {
        change(&mut self.request);
        let lease = self.service.control().lease(&self.principal, self.request.deployment.as_ref())?;
        self.deployment = lease.deployment().clone();
        Ok(self)
    }

    /// Returns the most bytes of one document: the smaller of `host_max` and the tenant's own limit.
    pub fn bytes_max(&self, host_max: u64) -> u64 {
        self.principal.limits().document_bytes_max(host_max)
    }

    /// Returns the time until the client's timeout.
    fn time_left(&self) -> Duration {
        match self.timeout_start {
            TimeoutStart::Since(began) => self.request.timeout.saturating_sub(began.elapsed()),
            TimeoutStart::PerDocument => self.request.timeout,
        }
    }

    /// Gives an upload slot, before the body is read. `declared`: the announced bytes, which are checked and not
    /// reserved. Takes microseconds. Faults: those of a document that could not be accepted now, each with the time to
    /// wait: `tenant_overloaded` (the tenant's share is used up), `tenant_memory_exceeded` (the tenant holds its limit
    /// of bytes), `tenant_uploads_exceeded` (the tenant sends its limit of bodies) or `server_overloaded`;
    /// `submission_too_large`, `shutting_down`. The caller begins a document with [`UploadSlot::begin`] and counts its
    /// bytes with [`ReceivedBytes::arrived`].
    pub fn receive(&self, declared: Option<u64>) -> Result<UploadSlot, Fault> {
        let account = self.principal.account();
        let given = self.service.plane.admission.upload(account, declared, self.time_left());
        given.inspect_err(|_| account.usage.rejected())
    }

    /// Admits a document that has arrived, and waits for its place, in fair order over tenants: at most until the
    /// client's timeout, and the only document of a request at most the longest accepted wait. A rejection counts once,
    /// at the end of that time. Dropping the future withdraws the request.
    pub async fn admitted(&self, slot: &UploadSlot, received: ReceivedBytes) -> Result<Permit, Fault> {
        let time = self.time_left();
        let within = match self.timeout_start {
            TimeoutStart::Since(_) => time.min(self.service.plane.admission.bounds().wait_max),
            TimeoutStart::PerDocument => time,
        };
        let admitted = slot.admit(received, time, within).await;
        admitted.inspect_err(|_| self.principal.account().usage.rejected())
    }

    /// Admits a document of `bytes` bytes that was not uploaded, and waits like [`admitted`](Self::admitted).
    pub async fn admitted_whole(&self, bytes: u64) -> Result<Permit, Fault> {
        let (account, time) = (self.principal.account(), self.time_left());
        let admitted = self.service.plane.admission.admit_whole(account, bytes, time).await;
        admitted.inspect_err(|_| account.usage.rejected())
    }

    /// Reads a document; returns its events.
    pub fn stream(&self, permit: Permit, upload: Upload) -> EventStream {
        let submission = self.submission(upload);
        self.service.submit(permit, submission, self.deployment.clone())
    }

    /// Like [`stream`](Self::stream); hands the document over open after its last page. Also returns the token that ends
    /// all work at the end of a drain.
    pub(crate) fn stream_retaining(
        &self,
        permit: Permit,
        upload: Upload,
        retain: oneshot::Sender<Retained>,
    ) -> (EventStream, CancellationToken) {
        let (submission, deployment) = (self.submission(upload), self.deployment.clone());
        let stream = self.service.submit_retaining(permit, submission, deployment, Some(retain));
        (stream, self.service.cut_off())
    }

    fn submission(&self, upload: Upload) -> Submission {
        let began = match self.timeout_start {
            TimeoutStart::Since(began) => began,
            TimeoutStart::PerDocument => Instant::now(),
        };
        let mut request = self.request.clone();
        request.name = upload.name;
        request.hint.content_type = upload.content_type;
        Submission {
            principal: self.principal.clone(),
            deadline: began + request.timeout,
            request,
            bytes: Arc::new(upload.bytes),
        }
    }

    /// Reads a document; returns the whole result. Calls `see` with each event as it happens.
    pub async fn read(
        &self,
        permit: Permit,
        upload: Upload,
        see: impl FnMut(&Event),
    ) -> Result<Box<DocumentResult>, Fault> {
        self.stream(permit, upload).collected(see).await
    }
}
