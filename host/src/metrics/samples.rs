//! The state of the house at the moment somebody asks: platform, lanes, render workers, guests.
//!
//! Owns the plain readings through which `app.rs` shows rooms that this one must not know.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lector_serving::{DocumentService, PredictionError};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{self, DescriptorEncoder, EncodeCounterValue, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The queue in front of one engine.
#[derive(Clone, Debug, Default)]
pub struct LaneSample {
    /// The model.
    pub model: String,
    /// Execution provider of its engine, e.g. `cpu`.
    pub provider: String,
    /// Its precision, e.g. `f32`.
    pub precision: String,
    /// Sessions that serve it.
    pub sessions: usize,
    /// Items that wait.
    pub queue_depth: usize,
    /// Items being run.
    pub in_flight: usize,
    /// Runs so far.
    pub runs: u64,
    /// Rows so far.
    pub rows: u64,
    /// Items by what became of them: `ok`, `failed`, `expired`, `cancelled`, ...
    pub items: Vec<(&'static str, u64)>,
    /// Items that ran together with others.
    pub items_merged: u64,
    /// Most rows of one run.
    pub rows_max: u32,
    /// Pixels run, and those of them that were padding.
    pub pixels: u64,
    /// Pixels of padding.
    pub padded_pixels: u64,
    /// Predicted time until what waits has run.
    pub backlog: Duration,
    /// From the offer of an item to the start of its run, in seconds.
    pub queue_wait: HistogramSample,
    /// Runs, in seconds.
    pub run: HistogramSample,
    /// Runs, by their rows.
    pub batch_rows: HistogramSample,
    /// Time of all runs.
    pub busy: Duration,
}

/// A histogram.
#[derive(Clone, Debug, Default)]
pub struct HistogramSample {
    /// Upper bounds and what is in each bucket, not cumulated; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all values.
    pub sum: f64,
}

impl HistogramSample {
    pub(super) fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let count = self.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<encoding::NoLabelSet>(self.sum, count, &self.buckets, None)
    }
}

/// A model and its engines.
#[derive(Clone, Debug, Default)]
pub struct EngineSample {
    /// The model.
    pub model: String,
    /// Who serves it, e.g. `openvino/bf16`.
    pub serving: String,
    /// The entry of the cache that it was loaded from; `None`: straight from the model.
    pub entry: Option<String>,
    /// How long that one has served.
    pub serving_for: Duration,
    /// How long loading it took.
    pub load: Duration,
    /// Whether a better one is being built or waits for it.
    pub upgrading: bool,
    /// The ladder, best first.
    pub variants: Vec<VariantSample>,
    /// Why it is this ladder.
    pub reasons: Vec<String>,
}

/// One rung of a model's ladder.
#[derive(Clone, Debug, Default)]
pub struct VariantSample {
    /// Provider and precision.
    pub variant: String,
    /// How it stands: `ready`, `missing`, `building`, ...
    pub state: &'static str,
    /// Why it stands so, where that needs saying.
    pub why: Option<String>,
    /// Tries of what failed, one after another.
    pub attempts: Option<usize>,
    /// Whether those that come soon are used up.
    pub slow_retry: bool,
    /// When what failed is tried again.
    pub retry_in: Option<Duration>,
    /// How long it has been worked on.
    pub building_for: Option<Duration>,
    /// How long the last build like it took.
    pub estimate: Option<Duration>,
    /// Its entry in the cache.
    pub entry: Option<String>,
    /// Bytes of its files.
    pub bytes: Option<u64>,
    /// Time of its build.
    pub build: Option<Duration>,
    /// Time of its acceptance.
    pub acceptance: Option<Duration>,
    /// What acceptance said.
    pub verdict: Option<String>,
}

/// A GPU.
#[derive(Clone, Debug, Default)]
pub struct GpuSample {
    /// Number and name.
    pub device: String,
    /// Figures by metric name: what the device does not tell is left out.
    pub figures: Vec<(&'static str, f64)>,
}

/// The processes that open documents.
#[derive(Clone, Debug, Default)]
pub struct WorkersSample {
    /// Processes alive.
    pub alive: usize,
    /// Of them without work.
    pub idle: usize,
    /// Processes that there should be.
    pub wanted: usize,
    /// Processes replaced after a crash or a hang.
    pub respawns: u64,
    /// What confines them, in words.
    pub sandbox: Vec<String>,
}

/// The guests.
#[derive(Clone, Debug, Default)]
pub struct GuestsSample {
    /// Instances alive.
    pub live: u64,
    /// Most instances alive at once; 0 where there is no such bound.
    pub live_max: u64,
    /// Instances started so far.
    pub started: u64,
    /// Calls that a guest did not end well, by code.
    pub traps: Vec<(String, u64)>,
    /// Answers of batching programs, by what they were worth.
    pub plans: Vec<(&'static str, u64)>,
    /// Their computing.
    pub plans_computed: Duration,
    /// Batching programs given up.
    pub policies_disabled: u64,
}

/// The rooms behind the platform, as far as operators see them. Implemented by the composition root.
pub trait StatusSource: fmt::Debug + Send + Sync + 'static {
    /// One entry a lane.
    fn lanes(&self) -> Vec<LaneSample>;
    /// One entry a lane: its engines.
    fn engines(&self) -> Vec<EngineSample>;
    /// One entry a device.
    fn gpus(&self) -> Vec<GpuSample>;
    /// The render workers.
    fn workers(&self) -> WorkersSample;
    /// The guests' instances.
    fn guests(&self) -> GuestsSample;
}

/// Reads the rooms when the metrics are asked for.
pub(super) struct ServerStatus {
    pub(super) service: Arc<DocumentService>,
    pub(super) parts: Arc<dyn StatusSource>,
}

impl fmt::Debug for ServerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("House").finish_non_exhaustive()
    }
}

impl Collector for ServerStatus {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.platform(&mut encoder)?;
        super::lanes::encode(&self.parts.lanes(), &mut encoder)?;
        self.engines(&mut encoder)?;
        let workers = self.parts.workers();
        gauge(&mut encoder, "lector_render_workers", "Render worker processes alive", workers.alive)?;
        gauge(
            &mut encoder,
            "lector_render_workers_wanted",
            "Render worker processes that there should be",
            workers.wanted,
        )?;
        gauge(
            &mut encoder,
            "lector_render_workers_idle",
            "Render worker processes without work",
            workers.idle,
        )?;
        counter(
            &mut encoder,
            "lector_render_worker_respawns",
            "Render workers replaced after a crash or a hang",
            workers.respawns,
        )?;
        let guests = self.parts.guests();
        gauge(&mut encoder, "lector_guest_instances", "Guest instances alive", guests.live)?;
        counter(&mut encoder, "lector_guest_instances_started", "Guest instances started", guests.started)?;
        let mut traps = family(
            &mut encoder,
            "lector_guest_traps",
            "Guest calls that ended in a trap or a limit",
            MetricType::Counter,
        )?;
        for (code, count) in &guests.traps {
            labelled_counter(&mut traps, &[("code", code.as_str())], *count)?;
        }
        let mut plans = family(
            &mut encoder,
            "lector_batching_plans",
            "Questions to guests' own batching programs, by what became of them",
            MetricType::Counter,
        )?;
        for (outcome, count) in &guests.plans {
            labelled_counter(&mut plans, &[("outcome", *outcome)], *count)?;
        }
        let computed = ConstCounter::new(guests.plans_computed.as_secs_f64());
        computed.encode(encoder.encode_descriptor(
            "lector_batching_plan_seconds",
            "Computing of guests' own batching programs",
            None,
            MetricType::Counter,
        )?)?;
        counter(
            &mut encoder,
            "lector_batching_policies_disabled",
            "Batching programs given up after too many bad answers",
            guests.policies_disabled,
        )?;
        Ok(())
    }
}

impl ServerStatus {
    fn platform(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.service.status();
        gauge(
            encoder,
            "lector_documents_in_flight",
            "Documents admitted, those being received included",
            status.documents_admitted,
        )?;
        gauge(
            encoder,
            "lector_documents_in_flight_max",
            "Most documents admitted at once",
            status.documents_max,
        )?;
        let mut decisions =
            family(encoder, "lector_admission_decisions", "Documents at the door", MetricType::Counter)?;
        for (decision, count) in [
            ("admitted", status.documents_taken),
            ("server_overloaded", status.documents_refused),
            ("tenant_overloaded", status.documents_over_share),
            ("tenant_memory_exceeded", status.documents_over_bytes),
        ] {
            labelled_counter(&mut decisions, &[("decision", decision)], count)?;
        }
        gauge(
            encoder,
            "lector_pending_work_seconds",
            "Predicted work for documents in the house",
            status.pending_work.as_secs_f64(),
        )?;
        gauge(
            encoder,
            "lector_work_rate",
            "Seconds of such work that are done in a second, as learned",
            status.work_rate,
        )?;
        let predictions = &status.work_predictions;
        for (name, help, of) in [
            (
                "lector_page_work_seconds",
                "Work of pages read for which it was predicted, by what was known of them",
                (|prediction| prediction.work) as fn(&PredictionError) -> Duration,
            ),
            (
                "lector_page_work_prediction_error_seconds",
                "How far these predictions were off, either way",
                |prediction| prediction.off,
            ),
        ] {
            let mut seconds = family(encoder, name, help, MetricType::Counter)?;
            for prediction in predictions {
                labelled_counter(
                    &mut seconds,
                    &[("predicted_from", prediction.known)],
                    of(prediction).as_secs_f64(),
                )?;
            }
        }
        let mut documents =
            family(encoder, "lector_documents", "Documents, by what became of them", MetricType::Counter)?;
        for (outcome, count) in [
            ("done", status.documents_done),
            ("failed", status.documents_failed),
            ("abandoned", status.documents_abandoned),
            ("refused", status.documents_refused),
        ] {
            labelled_counter(&mut documents, &[("outcome", outcome)], count)?;
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
            "Most bytes of documents in memory",
            status.held_bytes_max,
        )?;
        gauge(
            encoder,
            "lector_pages_waiting",
            "Pages of open documents still to be read",
            status.pages_waiting,
        )?;
        gauge(encoder, "lector_pages_in_flight", "Pages being read", status.pages_running)?;
        gauge(encoder, "lector_pages_in_flight_max", "Most pages read at once", status.pages_in_flight_max)?;
        let mut pages = family(encoder, "lector_pages", "Pages, by outcome", MetricType::Counter)?;
        labelled_counter(&mut pages, &[("outcome", "ok")], status.pages_ok)?;
        labelled_counter(&mut pages, &[("outcome", "failed")], status.pages_failed)?;
        let mut faults =
            family(encoder, "lector_faults", "Faults of pages and documents, by code", MetricType::Counter)?;
        for (code, count) in &status.faults {
            labelled_counter(&mut faults, &[("code", code)], *count)?;
        }
        let mut leases = family(
            encoder,
            "lector_deployment_leases",
            "Documents being read, by deployment",
            MetricType::Gauge,
        )?;
        for deployment in &status.deployments {
            labelled_gauge(
                &mut leases,
                &[("tenant", deployment.tenant.as_str()), ("deployment", deployment.name.as_str())],
                deployment.leases as f64,
            )?;
        }
        self.background_tasks(encoder)?;
        let mut damaged = family(
            encoder,
            "lector_store_damaged_rows",
            "Rows of the store that cannot be read and are in quarantine, by table",
            MetricType::Gauge,
        )?;
        for (table, count) in &status.damaged_rows {
            labelled_gauge(&mut damaged, &[("table", table)], *count as f64)?;
        }
        gauge(
            encoder,
            "lector_draining",
            "1 while the house takes on nothing new",
            u64::from(status.draining),
        )
    }

    fn background_tasks(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let tasks = self.service.control().background_tasks().status();
        let mut runs = family(
            encoder,
            "lector_background_task_runs",
            "Runs of background tasks that have begun",
            MetricType::Counter,
        )?;
        for task in &tasks {
            labelled_counter(&mut runs, &[("task", task.name)], task.runs)?;
        }
        let mut failures = family(
            encoder,
            "lector_background_task_failures",
            "Runs of background tasks that ended with a fault or a panic",
            MetricType::Counter,
        )?;
        for task in &tasks {
            labelled_counter(&mut failures, &[("task", task.name)], task.failures + task.panics)?;
        }
        let mut seconds = family(
            encoder,
            "lector_background_task_last_seconds",
            "Time of the last run of a background task",
            MetricType::Gauge,
        )?;
        for task in &tasks {
            if let Some(ms) = task.last_duration_ms {
                labelled_gauge(&mut seconds, &[("task", task.name)], ms / 1e3)?;
            }
        }
        Ok(())
    }

    fn engines(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let engines = self.parts.engines();
        let mut serving = family(
            encoder,
            "lector_engine_serving",
            "1 for the rung that serves the model",
            MetricType::Gauge,
        )?;
        for engine in &engines {
            let labels = [("model", engine.model.as_str()), ("variant", engine.serving.as_str())];
            labelled_gauge(&mut serving, &labels, 1.0)?;
        }
        let mut upgrading = family(
            encoder,
            "lector_engine_upgrading",
            "1 while a better engine is being built or waits for it",
            MetricType::Gauge,
        )?;
        for engine in &engines {
            let value = f64::from(u8::from(engine.upgrading));
            labelled_gauge(&mut upgrading, &[("model", engine.model.as_str())], value)?;
        }
        let mut state =
            family(encoder, "lector_engine_state", "1 for the state of each rung", MetricType::Gauge)?;
        for (engine, variant) in
            engines.iter().flat_map(|engine| engine.variants.iter().map(move |r| (engine, r)))
        {
            let labels = [
                ("model", engine.model.as_str()),
                ("variant", variant.variant.as_str()),
                ("state", variant.state),
            ];
            labelled_gauge(&mut state, &labels, 1.0)?;
        }
        type Read = fn(&VariantSample) -> Option<f64>;
        let figures: [(&str, &str, Read); 5] = [
            ("lector_engine_failed_attempts", "Tries of an engine that failed, one after another", |r| {
                r.attempts.map(|attempts| attempts as f64)
            }),
            ("lector_engine_retry_seconds", "Time until a failed engine is tried again", |r| {
                r.retry_in.map(|time| time.as_secs_f64())
            }),
            ("lector_engine_build_seconds", "Time of the engine's build", |r| {
                r.build.map(|time| time.as_secs_f64())
            }),
            ("lector_engine_acceptance_seconds", "Time of the engine's acceptance", |r| {
                r.acceptance.map(|time| time.as_secs_f64())
            }),
            ("lector_engine_bytes", "Bytes of the engine's files", |r| r.bytes.map(|bytes| bytes as f64)),
        ];
        for (name, help, read) in figures {
            let mut values = family(encoder, name, help, MetricType::Gauge)?;
            for (engine, variant) in
                engines.iter().flat_map(|engine| engine.variants.iter().map(move |r| (engine, r)))
            {
                if let Some(value) = read(variant) {
                    let labels = [("model", engine.model.as_str()), ("variant", variant.variant.as_str())];
                    labelled_gauge(&mut values, &labels, value)?;
                }
            }
        }
        let gpus = self.parts.gpus();
        let names: BTreeSet<&str> = gpus.iter().flat_map(|gpu| gpu.figures.iter().map(|f| f.0)).collect();
        for name in names {
            let mut values = family(encoder, name, "As NVML tells", MetricType::Gauge)?;
            for gpu in &gpus {
                for (_, value) in gpu.figures.iter().filter(|figure| figure.0 == name) {
                    labelled_gauge(&mut values, &[("device", gpu.device.as_str())], *value)?;
                }
            }
        }
        Ok(())
    }
}

pub(super) fn family<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
    kind: MetricType,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, kind)
}

pub(super) fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl encoding::EncodeGaugeValue,
) -> fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn labelled_counter<N: EncodeCounterValue>(
    family: &mut MetricEncoder<'_>,
    labels: &[(&str, &str); 1],
    value: N,
) -> fmt::Result {
    ConstCounter::new(value).encode(family.encode_family(labels)?)
}

fn labelled_gauge<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &[(&str, &str); N],
    value: f64,
) -> fmt::Result {
    ConstGauge::new(value).encode(family.encode_family(labels)?)
}
