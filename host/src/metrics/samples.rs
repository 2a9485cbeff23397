//! Samples of the server's state on each scrape: document service, engines, render workers, guests; those of lanes are
//! in `lanes.rs`.
//!
//! Owns the plain types in which `app.rs` passes the state of crates on which this module must not depend.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lector_serving::{DocumentService, PredictionError};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::family::{counter, family, gauge, labeled_counter, labeled_gauge};
use super::lanes::{self, LaneSample};

/// A sample of a model and its engine variants.
#[derive(Clone, Debug, Default)]
pub struct EngineSample {
    /// Name of the model.
    pub model: String,
    /// The variant that serves the model, for example `openvino/bf16`.
    pub serving: String,
    /// The cache entry from which the engine was loaded; `None` if it was built from the model at load time.
    pub entry: Option<String>,
    /// Time since that engine began to serve.
    pub serving_for: Duration,
    /// Load time of that engine.
    pub load: Duration,
    /// Whether a better engine is being built or is queued.
    pub upgrading: bool,
    /// The engine variants in the order of preference.
    pub variants: Vec<VariantSample>,
    /// Reasons for this provider preference list.
    pub reasons: Vec<String>,
}

/// A sample of an engine variant.
#[derive(Clone, Debug, Default)]
pub struct VariantSample {
    /// Provider and precision.
    pub variant: String,
    /// State: `ready`, `missing`, `building`, ...
    pub state: &'static str,
    /// Reason of the state, for example the last error.
    pub why: Option<String>,
    /// Number of consecutive failed attempts.
    pub attempts: Option<usize>,
    /// Whether the fast retries are used up.
    pub slow_retry: bool,
    /// Time until the next attempt.
    pub retry_in: Option<Duration>,
    /// Time since the build began.
    pub building_for: Option<Duration>,
    /// Time of the last similar build.
    pub estimate: Option<Duration>,
    /// Entry in the engine cache.
    pub entry: Option<String>,
    /// Size of its files in bytes.
    pub bytes: Option<u64>,
    /// Build time.
    pub build: Option<Duration>,
    /// Acceptance time.
    pub acceptance: Option<Duration>,
    /// Result of acceptance.
    pub acceptance_summary: Option<String>,
}

/// A sample of a GPU.
#[derive(Clone, Debug, Default)]
pub struct GpuSample {
    /// Number and name.
    pub device: String,
    /// Values by metric name; values that the device does not report are omitted.
    pub values: Vec<(&'static str, f64)>,
}

/// A sample of the render workers: the processes that open documents.
#[derive(Clone, Debug, Default)]
pub struct WorkersSample {
    /// Processes alive.
    pub alive: usize,
    /// Idle processes.
    pub idle: usize,
    /// Configured number of processes.
    pub wanted: usize,
    /// Processes replaced after a crash or a hang.
    pub respawns: u64,
    /// Number of workers replaced because their next job was of another tenant.
    pub recycled: u64,
    /// Number of slow jobs that were ended for a job of another tenant, to start again later.
    pub gave_way: u64,
    /// The layers of the sandbox that are missing, with the reason.
    pub sandbox_missing: Vec<String>,
    /// The sandbox mechanisms in use, as text.
    pub sandbox: Vec<String>,
}

/// A sample of the guests.
#[derive(Clone, Debug, Default)]
pub struct GuestsSample {
    /// Components in memory, with their machine code.
    pub components: u64,
    /// Bytes that idle slots of the instance pool keep for the guests that used them last.
    pub idle_memory_bytes: u64,
    /// Instances alive.
    pub live: u64,
    /// Maximum number of instances; 0 for no limit.
    pub live_max: u64,
    /// Instances started so far.
    pub started: u64,
    /// Guest calls that ended in a trap or a limit, by code.
    pub traps: Vec<(String, u64)>,
    /// Calls to batching policies, by outcome.
    pub plans: Vec<(&'static str, u64)>,
    /// Compute time of these calls.
    pub plans_computed: Duration,
    /// Number of disabled batching policies.
    pub policies_disabled: u64,
}

/// The source of samples of engines, workers and guests. Implemented by the composition root.
pub trait StatusSource: fmt::Debug + Send + Sync + 'static {
    /// Returns one sample per lane.
    fn lanes(&self) -> Vec<LaneSample>;
    /// Returns one sample per model, with its engine variants.
    fn engines(&self) -> Vec<EngineSample>;
    /// Returns one sample per GPU.
    fn gpus(&self) -> Vec<GpuSample>;
    /// Returns the sample of the render workers.
    fn workers(&self) -> WorkersSample;
    /// Returns the sample of the guests.
    fn guests(&self) -> GuestsSample;
}

/// A collector that samples the state of the server on each scrape.
pub(super) struct ServerStatus {
    pub(super) service: Arc<DocumentService>,
    pub(super) parts: Arc<dyn StatusSource>,
    /// Whether the series with tenant labels are included.
    pub(super) tenants: bool,
}

impl fmt::Debug for ServerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerStatus").finish_non_exhaustive()
    }
}

impl Collector for ServerStatus {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.service(&mut encoder)?;
        lanes::encode(&self.parts.lanes(), &mut encoder)?;
        self.engines(&mut encoder)?;
        let workers = self.parts.workers();
        gauge(&mut encoder, "lector_render_workers", "Render worker processes alive", workers.alive)?;
        gauge(
            &mut encoder,
            "lector_render_workers_wanted",
            "Configured number of render worker processes",
            workers.wanted,
        )?;
        gauge(&mut encoder, "lector_render_workers_idle", "Idle render worker processes", workers.idle)?;
        counter(
            &mut encoder,
            "lector_render_worker_respawns",
            "Render workers replaced after a crash or a hang",
            workers.respawns,
        )?;
        counter(
            &mut encoder,
            "lector_render_workers_recycled",
            "Render workers replaced because their next document was of another tenant",
            workers.recycled,
        )?;
        counter(
            &mut encoder,
            "lector_render_jobs_gave_way",
            "Slow jobs of render workers that were ended, to start again later, because another tenant waited",
            workers.gave_way,
        )?;
        let guests = self.parts.guests();
        gauge(
            &mut encoder,
            "lector_components",
            "Components in memory, with their machine code",
            guests.components,
        )?;
        gauge(
            &mut encoder,
            "lector_guest_idle_memory_bytes",
            "Memory that idle slots of the instance pool keep",
            guests.idle_memory_bytes,
        )?;
        gauge(&mut encoder, "lector_guest_instances", "Guest instances alive", guests.live)?;
        counter(&mut encoder, "lector_guest_instances_started", "Guest instances started", guests.started)?;
        let mut traps = family(
            &mut encoder,
            "lector_guest_traps",
            "Guest calls that ended in a trap or a limit",
            MetricType::Counter,
        )?;
        for (code, count) in &guests.traps {
            labeled_counter(&mut traps, &[("code", code.as_str())], *count)?;
        }
        let mut plans = family(
            &mut encoder,
            "lector_batching_plans",
            "Calls to batching policies, by outcome",
            MetricType::Counter,
        )?;
        for (outcome, count) in &guests.plans {
            labeled_counter(&mut plans, &[("outcome", *outcome)], *count)?;
        }
        let computed = ConstCounter::new(guests.plans_computed.as_secs_f64());
        computed.encode(encoder.encode_descriptor(
            "lector_batching_plan_seconds",
            "Compute time of batching policies",
            None,
            MetricType::Counter,
        )?)?;
        counter(
            &mut encoder,
            "lector_batching_policies_disabled",
            "Batching policies disabled after too many failures",
            guests.policies_disabled,
        )?;
        Ok(())
    }
}

impl ServerStatus {
    fn service(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.service.status();
        gauge(encoder, "lector_documents_in_flight", "Admitted documents", status.documents_admitted)?;
        gauge(encoder, "lector_uploads_in_flight", "Request bodies that are being received", status.uploads)?;
        gauge(
            encoder,
            "lector_documents_in_flight_max",
            "Maximum number of admitted documents",
            status.documents_max,
        )?;
        let mut decisions = family(
            encoder,
            "lector_admission_decisions",
            "Admission decisions, by decision",
            MetricType::Counter,
        )?;
        for (decision, count) in [
            ("admitted", status.documents_taken),
            ("server_overloaded", status.documents_refused),
            ("tenant_overloaded", status.documents_over_share),
            ("tenant_memory_exceeded", status.documents_over_bytes),
            ("tenant_uploads_exceeded", status.documents_over_uploads),
        ] {
            labeled_counter(&mut decisions, &[("decision", decision)], count)?;
        }
        gauge(
            encoder,
            "lector_pending_work_seconds",
            "Predicted work of the documents in flight",
            status.pending_work.as_secs_f64(),
        )?;
        gauge(
            encoder,
            "lector_work_rate",
            "Learned rate of that work: seconds of work per second",
            status.work_rate,
        )?;
        let predictions = &status.work_predictions;
        for (name, help, of) in [
            (
                "lector_page_work_seconds",
                "Work of pages with a prediction, by the basis of the prediction",
                (|prediction| prediction.work) as fn(&PredictionError) -> Duration,
            ),
            (
                "lector_page_work_prediction_error_seconds",
                "Absolute error of these predictions, by the basis of the prediction",
                |prediction| prediction.off,
            ),
        ] {
            let mut seconds = family(encoder, name, help, MetricType::Counter)?;
            for prediction in predictions {
                labeled_counter(
                    &mut seconds,
                    &[("predicted_from", prediction.known)],
                    of(prediction).as_secs_f64(),
                )?;
            }
        }
        let mut documents =
            family(encoder, "lector_documents", "Documents, by outcome", MetricType::Counter)?;
        for (outcome, count) in [
            ("completed", status.documents_done),
            ("failed", status.documents_failed),
            ("abandoned", status.documents_abandoned),
            ("rejected", status.documents_refused),
        ] {
            labeled_counter(&mut documents, &[("outcome", outcome)], count)?;
        }
        gauge(
            encoder,
            "lector_documents_held_bytes",
            "Bytes of documents and their results in memory",
            status.held_bytes,
        )?;
        gauge(
            encoder,
            "lector_documents_held_max_bytes",
            "Maximum bytes of documents in memory",
            status.held_bytes_max,
        )?;
        gauge(
            encoder,
            "lector_pages_waiting",
            "Pages of open documents that are not finished",
            status.pages_waiting,
        )?;
        gauge(encoder, "lector_pages_in_flight", "Pages in progress", status.pages_running)?;
        gauge(
            encoder,
            "lector_pages_in_flight_max",
            "Maximum number of pages in progress",
            status.pages_in_flight_max,
        )?;
        let mut pages = family(encoder, "lector_pages", "Pages, by outcome", MetricType::Counter)?;
        labeled_counter(&mut pages, &[("outcome", "ok")], status.pages_ok)?;
        labeled_counter(&mut pages, &[("outcome", "failed")], status.pages_failed)?;
        let mut faults =
            family(encoder, "lector_faults", "Faults of pages and documents, by code", MetricType::Counter)?;
        for (code, count) in &status.faults {
            labeled_counter(&mut faults, &[("code", code)], *count)?;
        }
        gauge(
            encoder,
            "lector_metrics_tenant_labels",
            "1 if this response includes the series with tenant labels, which need an administrator's key or http.metrics_listen",
            u64::from(self.tenants),
        )?;
        gauge(
            encoder,
            "lector_shared_deployments_unready",
            "Shared deployments that did not read the smoke-test page in the last readiness check",
            u64::try_from(self.service.unready_deployments()).unwrap_or(u64::MAX),
        )?;
        if self.tenants {
            let mut leases = family(
                encoder,
                "lector_deployment_leases",
                "Documents in progress, by deployment",
                MetricType::Gauge,
            )?;
            for deployment in &status.deployments {
                labeled_gauge(
                    &mut leases,
                    &[("tenant", deployment.tenant.as_str()), ("deployment", deployment.name.as_str())],
                    deployment.leases as f64,
                )?;
            }
        }
        self.background_tasks(encoder)?;
        let mut damaged = family(
            encoder,
            "lector_store_damaged_rows",
            "Damaged rows of the store, which are in quarantine, by table",
            MetricType::Gauge,
        )?;
        for (table, count) in &status.damaged_rows {
            labeled_gauge(&mut damaged, &[("table", table)], *count as f64)?;
        }
        gauge(
            encoder,
            "lector_draining",
            "1 while the server is draining and accepts no new work",
            u64::from(status.draining),
        )
    }

    fn background_tasks(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let tasks = self.service.control().background_tasks().status();
        let mut runs = family(
            encoder,
            "lector_background_task_runs",
            "Started runs of background tasks",
            MetricType::Counter,
        )?;
        for task in &tasks {
            labeled_counter(&mut runs, &[("task", task.name)], task.runs)?;
        }
        let mut failures = family(
            encoder,
            "lector_background_task_failures",
            "Runs of background tasks that ended with a fault or a panic",
            MetricType::Counter,
        )?;
        for task in &tasks {
            labeled_counter(&mut failures, &[("task", task.name)], task.failures + task.panics)?;
        }
        let mut seconds = family(
            encoder,
            "lector_background_task_last_seconds",
            "Time of the last run of a background task",
            MetricType::Gauge,
        )?;
        for task in &tasks {
            if let Some(ms) = task.last_duration_ms {
                labeled_gauge(&mut seconds, &[("task", task.name)], ms / 1e3)?;
            }
        }
        Ok(())
    }

    fn engines(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let engines = self.parts.engines();
        let mut serving = family(
            encoder,
            "lector_engine_serving",
            "1 for the engine variant that serves the model",
            MetricType::Gauge,
        )?;
        for engine in &engines {
            let labels = [("model", engine.model.as_str()), ("variant", engine.serving.as_str())];
            labeled_gauge(&mut serving, &labels, 1.0)?;
        }
        let mut upgrading = family(
            encoder,
            "lector_engine_upgrading",
            "1 while a better engine is being built or is queued",
            MetricType::Gauge,
        )?;
        for engine in &engines {
            let value = f64::from(u8::from(engine.upgrading));
            labeled_gauge(&mut upgrading, &[("model", engine.model.as_str())], value)?;
        }
        let mut state = family(
            encoder,
            "lector_engine_state",
            "1 for the current state of each engine variant",
            MetricType::Gauge,
        )?;
        for (engine, variant) in
            engines.iter().flat_map(|engine| engine.variants.iter().map(move |r| (engine, r)))
        {
            let labels = [
                ("model", engine.model.as_str()),
                ("variant", variant.variant.as_str()),
                ("state", variant.state),
            ];
            labeled_gauge(&mut state, &labels, 1.0)?;
        }
        type Read = fn(&VariantSample) -> Option<f64>;
        let figures: [(&str, &str, Read); 5] = [
            (
                "lector_engine_failed_attempts",
                "Consecutive failed attempts to build or load the engine",
                |r| r.attempts.map(|attempts| attempts as f64),
            ),
            ("lector_engine_retry_seconds", "Time until the next attempt for a failed engine", |r| {
                r.retry_in.map(|time| time.as_secs_f64())
            }),
            ("lector_engine_build_seconds", "Build time of the engine", |r| {
                r.build.map(|time| time.as_secs_f64())
            }),
            ("lector_engine_acceptance_seconds", "Acceptance time of the engine", |r| {
                r.acceptance.map(|time| time.as_secs_f64())
            }),
            ("lector_engine_bytes", "Size of the files of the engine", |r| r.bytes.map(|bytes| bytes as f64)),
        ];
        for (name, help, read) in figures {
            let mut values = family(encoder, name, help, MetricType::Gauge)?;
            for (engine, variant) in
                engines.iter().flat_map(|engine| engine.variants.iter().map(move |r| (engine, r)))
            {
                if let Some(value) = read(variant) {
                    let labels = [("model", engine.model.as_str()), ("variant", variant.variant.as_str())];
                    labeled_gauge(&mut values, &labels, value)?;
                }
            }
        }
        let gpus = self.parts.gpus();
        let names: BTreeSet<&str> = gpus.iter().flat_map(|gpu| gpu.values.iter().map(|f| f.0)).collect();
        for name in names {
            let mut values = family(encoder, name, "As reported by NVML", MetricType::Gauge)?;
            for gpu in &gpus {
                for (_, value) in gpu.values.iter().filter(|figure| figure.0 == name) {
                    labeled_gauge(&mut values, &[("device", gpu.device.as_str())], *value)?;
                }
            }
        }
        Ok(())
    }
}
