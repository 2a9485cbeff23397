//! Metrics of lanes: queues, runs, batch sizes and padding.
//!
//! Owns their names, and the names of the same values in Triton's dashboards (`nv_inference_*`). Those counters have no
//! suffix `_total`, so that their OpenMetrics type is `unknown`; `rate()` accepts that.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{self, DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::family::family;

/// A sample of the lane in front of one engine.
#[derive(Clone, Debug, Default)]
pub struct LaneSample {
    /// Name of the model.
    pub model: String,
    /// Execution provider of its engine, for example `cpu`.
    pub provider: String,
    /// Precision of its engine, for example `f32`.
    pub precision: String,
    /// Number of sessions.
    pub sessions: usize,
    /// Items in the queue.
    pub queue_depth: usize,
    /// Items in progress.
    pub in_flight: usize,
    /// Runs so far.
    pub runs: u64,
    /// Rows so far.
    pub rows: u64,
    /// Items by outcome: `ok`, `failed`, `expired`, `cancelled`, ...
    pub items: Vec<(&'static str, u64)>,
    /// Items that shared a run with other items.
    pub items_merged: u64,
    /// Maximum rows of one run.
    pub rows_max: u32,
    /// Pixels of all runs, including padding.
    pub pixels: u64,
    /// Padding pixels of all runs.
    pub padded_pixels: u64,
    /// Predicted time until the queued items have run.
    pub backlog: Duration,
    /// Time from the submission of an item to the start of its run, in seconds.
    pub queue_wait: HistogramSample,
    /// Times of runs in seconds.
    pub run: HistogramSample,
    /// Rows per run.
    pub batch_rows: HistogramSample,
    /// Total time of all runs.
    pub busy: Duration,
}

/// A sample of a histogram.
#[derive(Clone, Debug, Default)]
pub struct HistogramSample {
    /// Upper bound and count of each bucket, not cumulative; the last bound is infinite.
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

type Read = fn(&LaneSample) -> f64;
type ReadHistogram = fn(&LaneSample) -> &HistogramSample;

const GAUGES: [(&str, &str, Read); 5] = [
    ("lector_lane_queue_depth", "Items in the queue of the lane", |lane| lane.queue_depth as f64),
    ("lector_lane_in_flight", "Runs in progress", |lane| lane.in_flight as f64),
    ("lector_lane_sessions", "Sessions that serve the lane", |lane| lane.sessions as f64),
    ("lector_lane_rows_max", "Maximum rows of one run", |lane| f64::from(lane.rows_max)),
    ("lector_lane_backlog_seconds", "Predicted time until the queued items have run", |lane| {
        lane.backlog.as_secs_f64()
    }),
];

const COUNTERS: [(&str, &str, Read); 6] = [
    ("lector_lane_runs", "Runs", |lane| lane.runs as f64),
    ("lector_lane_rows", "Rows of all runs", |lane| lane.rows as f64),
    ("lector_lane_items_merged", "Items that shared a run with other items", |lane| lane.items_merged as f64),
    ("lector_lane_pixels", "Pixels of all runs, including padding", |lane| lane.pixels as f64),
    ("lector_lane_padded_pixels", "Padding pixels of all runs", |lane| lane.padded_pixels as f64),
    ("lector_lane_busy_seconds", "Time of all runs", |lane| lane.busy.as_secs_f64()),
];

const HISTOGRAMS: [(&str, &str, ReadHistogram); 3] = [
    (
        "lector_lane_queue_wait_seconds",
        "Time from the submission of an item to the start of its run",
        |lane| &lane.queue_wait,
    ),
    ("lector_lane_run_seconds", "Time of a run", |lane| &lane.run),
    ("lector_lane_batch_rows", "Rows of a run", |lane| &lane.batch_rows),
];

const TRITON: [(&str, &str, Read); 6] = [
    ("nv_inference_request_success", "Items that succeeded", |lane| outcome(lane, "ok")),
    ("nv_inference_request_failure", "Items whose run failed", |lane| outcome(lane, "failed")),
    ("nv_inference_count", "Rows of all runs", |lane| lane.rows as f64),
    ("nv_inference_exec_count", "Runs", |lane| lane.runs as f64),
    ("nv_inference_queue_duration_us", "Queue time of items in microseconds", |lane| {
        lane.queue_wait.sum * 1e6
    }),
    ("nv_inference_pending_request_count", "Items in the queue", |lane| lane.queue_depth as f64),
];

fn outcome(lane: &LaneSample, outcome: &str) -> f64 {
    lane.items.iter().find(|(name, _)| *name == outcome).map_or(0.0, |(_, count)| *count as f64)
}

/// Encodes the metrics of all lanes.
pub(super) fn encode(lanes: &[LaneSample], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for (name, help, read) in GAUGES {
        let mut values = family(encoder, name, help, MetricType::Gauge)?;
        for lane in lanes {
            ConstGauge::new(read(lane)).encode(values.encode_family(&labels(lane))?)?;
        }
    }
    for (name, help, read) in COUNTERS {
        let mut values = family(encoder, name, help, MetricType::Counter)?;
        for lane in lanes {
            ConstCounter::new(read(lane)).encode(values.encode_family(&labels(lane))?)?;
        }
    }
    let mut items = family(encoder, "lector_lane_items", "Items, by outcome", MetricType::Counter)?;
    for lane in lanes {
        for (outcome, count) in &lane.items {
            let [model, provider] = labels(lane);
            let labels = [model, provider, ("outcome", *outcome)];
            ConstCounter::new(*count).encode(items.encode_family(&labels)?)?;
        }
    }
    for (name, help, read) in HISTOGRAMS {
        let mut values = family(encoder, name, help, MetricType::Histogram)?;
        for lane in lanes {
            read(lane).encode(values.encode_family(&labels(lane))?)?;
        }
    }
    for (name, help, read) in TRITON {
        let mut values = family(encoder, name, help, MetricType::Unknown)?;
        for lane in lanes {
            // Triton's dashboards group by version; models have none here.
            let labels = [("model", lane.model.as_str()), ("version", "1")];
            ConstGauge::new(read(lane)).encode(values.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn labels(lane: &LaneSample) -> [(&'static str, &str); 2] {
    [("model", lane.model.as_str()), ("provider", lane.provider.as_str())]
}
