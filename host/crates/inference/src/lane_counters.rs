//! Metrics of a lane: counters and fixed-bucket histograms in atomics, read as a [`LaneStatus`].
//!
//! Written by owner threads and by offers, without locks; read by the metrics page. A reading is not a snapshot of one
//! instant; each value is correct by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lector_core::ModelName;
use lector_core::batching::Bucket;
use lector_core::port::BatchComposition;

/// Upper bounds of the histograms' buckets in seconds; one more bucket has no upper bound.
pub const BOUNDS_S: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// Durations by bucket.
#[derive(Default)]
pub(crate) struct Histogram {
    counts: [AtomicU64; BOUNDS_S.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(crate) fn record(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS_S.iter().position(|&bound| seconds <= bound).unwrap_or(BOUNDS_S.len());
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(micros(duration), Ordering::Relaxed);
    }

    pub(crate) fn status(&self) -> HistogramStatus {
        let counts: Vec<u64> = self.counts.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        let sum = Duration::from_micros(self.sum_us.load(Ordering::Relaxed));
        HistogramStatus { count: counts.iter().sum(), counts, sum }
    }
}

/// Upper bounds of the buckets of batch sizes in rows; one more bucket has no upper bound.
pub const BOUNDS_ROWS: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Batches by their rows.
#[derive(Default)]
pub(crate) struct Sizes {
    counts: [AtomicU64; BOUNDS_ROWS.len() + 1],
    sum: AtomicU64,
}

impl Sizes {
    fn record(&self, rows: u64) {
        let bucket = BOUNDS_ROWS.iter().position(|&bound| rows <= bound).unwrap_or(BOUNDS_ROWS.len());
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn status(&self) -> SizesStatus {
        let counts: Vec<u64> = self.counts.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        SizesStatus { count: counts.iter().sum(), counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// Batch sizes as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SizesStatus {
    /// Counts by bucket, not cumulative: one for each of [`BOUNDS_ROWS`] and one above the last.
    pub counts: Vec<u64>,
    /// Number of runs.
    pub count: u64,
    /// Rows of all runs.
    pub sum: u64,
}

/// A histogram as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramStatus {
    /// Counts by bucket, not cumulative: one for each of [`BOUNDS_S`] and one above the last.
    pub counts: Vec<u64>,
    /// Number of all durations.
    pub count: u64,
    /// Sum of all durations.
    pub sum: Duration,
}

/// Metrics of one lane since its start.
#[derive(Default)]
pub(crate) struct LaneCounters {
    pub(crate) in_flight: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) skipped_cancelled: AtomicU64,
    pub(crate) skipped_expired: AtomicU64,
    pub(crate) refused_full: AtomicU64,
    pub(crate) refused_invalid: AtomicU64,
    pub(crate) queue_wait: Histogram,
    pub(crate) run: Histogram,
    /// Items run, failed ones included.
    pub(crate) items: AtomicU64,
    /// Items that ran together with others.
    pub(crate) shared_items: AtomicU64,
    /// Merged runs that failed and were repeated item by item.
    pub(crate) merged_failures: AtomicU64,
    pub(crate) batch_rows: Sizes,
    /// Pixels run, and the padding among them.
    pub(crate) pixels: AtomicU64,
    pub(crate) padded_pixels: AtomicU64,
}

impl LaneCounters {
    /// Records a run that ended, failed or not.
    pub(crate) fn ran(&self, composition: &BatchComposition, bucket: &Bucket, run: Duration) {
        Self::add(&self.rows, u64::from(composition.rows));
        Self::add(&self.pixels, bucket.row_pixels().saturating_mul(u64::from(composition.rows)));
        self.batch_rows.record(u64::from(composition.rows));
        if composition.items > 1 {
            Self::add(&self.shared_items, u64::from(composition.items));
        }
        self.run.record(run);
    }

    /// Records an item that was run after a wait of `queue_wait`.
    pub(crate) fn waited(&self, bucket: &Bucket, rows: u32, content: f32, queue_wait: Duration) {
        Self::add(&self.items, 1);
        let padded = f64::from(1.0 - content.clamp(0.0, 1.0)) * bucket.row_pixels() as f64 * f64::from(rows);
        Self::add(&self.padded_pixels, padded.round() as u64);
        self.queue_wait.record(queue_wait);
    }

    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

/// The state of a lane for the metrics page. Counters increase from the start of the host.
#[derive(Clone, Debug)]
pub struct LaneStatus {
    /// Name of the model.
    pub model: ModelName,
    /// Provider: `cpu`, `openvino`, `cuda`, `tensorrt`.
    pub provider: &'static str,
    /// Precision: `f32`, `bf16`, `f16`.
    pub precision: &'static str,
    /// Sessions, each with an owner thread.
    pub sessions: usize,
    /// Threads of each session.
    pub threads_per_session: usize,
    /// Most waiting items.
    pub queue_items_max: usize,
    /// Items waiting now, those of callers that have gone included.
    pub queue_depth: usize,
    /// Current runs.
    pub in_flight: u64,
    /// Ended runs, failed ones included.
    pub runs: u64,
    /// Rows of those runs.
    pub rows: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Items never run because their caller had gone.
    pub skipped_cancelled: u64,
    /// Items never run because their deadline had passed.
    pub skipped_expired: u64,
    /// Items rejected because the queue was full.
    pub refused_full: u64,
    /// Items rejected because they did not fit the model.
    pub refused_invalid: u64,
    /// Sum of run times over all sessions.
    pub busy: Duration,
    /// Time from the offer to the start of the run.
    pub queue_wait: HistogramStatus,
    /// Duration of the runs.
    pub run: HistogramStatus,
    /// Items run, failed ones included.
    pub items: u64,
    /// Items that ran together with others.
    pub shared_items: u64,
    /// Merged runs that failed and were repeated item by item.
    pub merged_failures: u64,
    /// Rows of the runs.
    pub batch_rows: SizesStatus,
    /// Pixels (height times width) of all rows run.
    pub pixels: u64,
    /// Pixels of padding, as far as the host knows.
    pub padded_pixels: u64,
    /// Most rows that are merged into one run; 1: no merging.
    pub rows_max: u32,
    /// Predicted time until the waiting items have run.
    pub backlog: Duration,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_whose_bound_they_do_not_exceed() {
        let histogram = Histogram::default();
        for ms in [0, 1, 3, 100, 60_000] {
            histogram.record(Duration::from_millis(ms));
        }
        let status = histogram.status();
        assert_eq!(status.count, 5);
        assert_eq!((status.counts[0], status.counts[2], status.counts[6], status.counts[14]), (2, 1, 1, 1));
        assert_eq!(status.sum, Duration::from_millis(60_104));
    }

    #[test]
    fn padding_is_counted_in_pixels() {
        let (counters, bucket) = (LaneCounters::default(), Bucket::new(vec![vec![3, 48, 100]], vec![]));
        let composition = BatchComposition { run: 1, rows: 4, items: 2, tenants: 1 };
        counters.ran(&composition, &bucket, Duration::from_millis(1));
        counters.waited(&bucket, 1, 1.0, Duration::ZERO);
        counters.waited(&bucket, 3, 0.75, Duration::ZERO);
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!((get(&counters.pixels), get(&counters.padded_pixels)), (4 * 4800, 3600));
        assert_eq!((get(&counters.items), get(&counters.shared_items)), (2, 2));
        assert_eq!(counters.batch_rows.status().counts[2], 1);
    }
}
