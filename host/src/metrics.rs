//! Metrics: counters, gauges and histograms in OpenMetrics text.
//!
//! Owns the names of all metrics (in base units; `lector_` for the server, `process_` for the process) and the
//! registry. Events (requests, pages) are recorded when they occur; state (queues, workers, memory) is sampled on each
//! scrape, see `metrics/samples.rs`. Recorded by `http/`; served at `/metrics`.

mod family;
mod lanes;
mod process;
mod samples;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use lector_core::Timing;
use lector_jobs::{JobCounts, JobState};
use lector_serving::{DocumentService, Event};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub use lanes::{HistogramSample, LaneSample};
pub use samples::{EngineSample, GpuSample, GuestsSample, StatusSource, VariantSample, WorkersSample};

/// `Content-Type` of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Buckets of request times in seconds: from a rejection (below a millisecond) to a long document (minutes).
const REQUEST_BUCKETS_S: [f64; 13] =
    [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0];
/// Buckets of page stages in seconds: from the start of an instance (tens of microseconds) to a dense page on a small
/// machine.
const STAGE_BUCKETS_S: [f64; 13] =
    [0.0001, 0.0005, 0.002, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: String,
    status: u16,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Copy, Debug)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Histograms<L> = Family<L, Histogram, Buckets>;

/// All metrics of the host.
#[derive(Debug)]
pub struct Metrics {
    /// All metrics.
    all: Registry,
    /// The metrics without tenant labels.
    open: Registry,
    parts: Arc<dyn StatusSource>,
    requests: Family<RequestLabels, Counter>,
    request_time: Histograms<RouteLabels>,
    requests_in_flight: Gauge,
    connections: Gauge,
    connections_refused: Counter,
    body_bytes: Counter,
    page_time: Histogram,
    stages: Histograms<StageLabels>,
    inference: Histograms<ModelLabels>,
    inference_rows: Family<ModelLabels, Counter>,
    page_compute: Counter<f64, AtomicU64>,
    jobs: Family<StateLabels, Gauge>,
    jobs_bytes: Gauge,
    deliveries: Family<StateLabels, Gauge>,
}

impl Metrics {
    /// Creates the registry over the document service and the status source.
    pub fn new(service: Arc<DocumentService>, parts: Arc<dyn StatusSource>) -> Arc<Self> {
        let mut metrics = Self {
            all: Registry::default(),
            open: Registry::default(),
            parts: parts.clone(),
            requests: Family::default(),
            request_time: Family::new_with_constructor(Buckets(&REQUEST_BUCKETS_S)),
            requests_in_flight: Gauge::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            body_bytes: Counter::default(),
            page_time: Histogram::new(STAGE_BUCKETS_S),
            stages: Family::new_with_constructor(Buckets(&STAGE_BUCKETS_S)),
            inference: Family::new_with_constructor(Buckets(&STAGE_BUCKETS_S)),
            inference_rows: Family::default(),
            page_compute: Counter::default(),
            jobs: Family::default(),
            jobs_bytes: Gauge::default(),
            deliveries: Family::default(),
        };
        for tenants in [true, false] {
            let mut registry = Registry::default();
            metrics.register(&mut registry);
            let (service, parts) = (service.clone(), parts.clone());
            registry.register_collector(Box::new(samples::ServerStatus { service, parts, tenants }));
            registry.register_collector(Box::new(process::Process::default()));
            *(if tenants { &mut metrics.all } else { &mut metrics.open }) = registry;
        }
        Arc::new(metrics)
    }

    fn register(&self, r: &mut Registry) {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        r.register("lector_build", "Version of the running server", version);
        r.register(
            "lector_http_requests",
            "Completed requests, by route, method, status and problem code",
            self.requests.clone(),
        );
        r.register_with_unit(
            "lector_http_request_duration",
            "Time from the head of a request to the last byte of its response",
            Unit::Seconds,
            self.request_time.clone(),
        );
        r.register(
            "lector_http_requests_in_flight",
            "Requests whose response is not complete",
            self.requests_in_flight.clone(),
        );
        r.register("lector_http_connections", "Open connections", self.connections.clone());
        r.register(
            "lector_http_connections_refused",
            "Connections rejected because of http.connections_max",
            self.connections_refused.clone(),
        );
        r.register_with_unit(
            "lector_document_received",
            "Bytes of documents received",
            Unit::Bytes,
            self.body_bytes.clone(),
        );
        r.register_with_unit(
            "lector_page_duration",
            "Time of a page in its guest",
            Unit::Seconds,
            self.page_time.clone(),
        );
        r.register_with_unit(
            "lector_page_stage_duration",
            "Time of the stages of a page; stages overlap",
            Unit::Seconds,
            self.stages.clone(),
        );
        r.register_with_unit(
            "lector_page_inference_duration",
            "Inference time of a page, by model",
            Unit::Seconds,
            self.inference.clone(),
        );
        r.register(
            "lector_inference_rows",
            "Rows of inference for pages, by model",
            self.inference_rows.clone(),
        );
        r.register_with_unit(
            "lector_guest_compute",
            "Compute time of guests",
            Unit::Seconds,
            self.page_compute.clone(),
        );
        r.register("lector_jobs", "Jobs in the store, by state", self.jobs.clone());
        r.register_with_unit(
            "lector_jobs_stored",
            "Bytes of documents and results of jobs",
            Unit::Bytes,
            self.jobs_bytes.clone(),
        );
        r.register(
            "lector_webhook_deliveries",
            "Webhooks that wait for an attempt, and webhooks that were given up",
            self.deliveries.clone(),
        );
    }

    /// Sets the counts of jobs.
    pub(crate) fn jobs(&self, counts: &JobCounts) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (state, count) in JobState::ALL.into_iter().zip(counts.jobs) {
            self.jobs.get_or_create(&StateLabels { state: state.as_str() }).set(gauge(count));
        }
        self.jobs_bytes.set(gauge(counts.bytes));
        for (state, count) in [("waiting", counts.deliveries.0), ("dead", counts.deliveries.1)] {
            self.deliveries.get_or_create(&StateLabels { state }).set(gauge(count));
        }
    }

    /// Records the times of a page that an event reports.
    pub(crate) fn page_event(&self, event: &Event) {
        if let Event::Page { timing, .. } | Event::PageError { timing, .. } = event {
            self.page(timing);
        }
    }

    /// Returns the status source.
    pub(crate) fn parts(&self) -> &dyn StatusSource {
        self.parts.as_ref()
    }

    /// Encodes the metrics as OpenMetrics text, with or without the series that have tenant labels.
    pub fn text(&self, tenants: bool) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, if tenants { &self.all } else { &self.open })?;
        Ok(out)
    }

    /// Returns the open connections, and the requests whose response is not complete.
    pub(crate) fn open_now(&self) -> (i64, i64) {
        (self.connections.get(), self.requests_in_flight.get())
    }

    /// Counts a request as in flight until the guard is dropped.
    pub(crate) fn request_began(&self) -> InFlight {
        InFlight::one_of(&self.requests_in_flight)
    }

    /// Counts a connection as open until the guard is dropped.
    pub(crate) fn connection_opened(&self) -> InFlight {
        InFlight::one_of(&self.connections)
    }

    /// Counts a rejected connection.
    pub(crate) fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// Records a completed request. `route` is a route pattern, `code` the code of a problem or empty.
    pub(crate) fn request_ended(
        &self,
        route: &str,
        method: &str,
        status: u16,
        code: &'static str,
        took: Duration,
    ) {
        let labels = RequestLabels { route: route.to_owned(), method: method.to_owned(), status, code };
        self.requests.get_or_create(&labels).inc();
        self.request_time.get_or_create(&RouteLabels { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    /// Records a completely received document.
    pub(crate) fn document_received(&self, bytes: usize) {
        self.body_bytes.inc_by(bytes as u64);
    }

    /// Records the times of a page, read or failed.
    pub(crate) fn page(&self, timing: &Timing) {
        self.page_time.observe(timing.total.as_secs_f64());
        let queue = timing.models.values().map(|model| model.queue).sum();
        for (stage, time) in [
            ("start", timing.start),
            ("guest", timing.guest),
            ("render", timing.render),
            ("text_layer", timing.text_layer),
            ("image", timing.image),
            ("queue", queue),
        ] {
            self.stages.get_or_create(&StageLabels { stage }).observe(time.as_secs_f64());
        }
        for (name, model) in &timing.models {
            // The label set is bounded by the model catalog.
            let labels = ModelLabels { model: name.to_string() };
            self.inference.get_or_create(&labels).observe(model.run.as_secs_f64());
            self.inference_rows.get_or_create(&labels).inc_by(model.rows);
        }
        self.page_compute.inc_by(timing.guest.as_secs_f64());
    }
}

/// A guard that increments a gauge until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Gauge);

impl InFlight {
    fn one_of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
