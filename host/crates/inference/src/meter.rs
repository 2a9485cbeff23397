//! Figures of a lane: counters and fixed-bucket histograms in atomics, read as a [`LaneStatus`].
//!
//! Written by owner threads and by offers, without locks; read by the metrics page. A reading is not a snapshot of
//! one instant, each figure is right by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lector_core::ModelName;

/// Upper bounds of the histograms' buckets in seconds; one more bucket is open above.
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

/// A histogram as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramStatus {
    /// By bucket, not cumulated: one for each of [`BOUNDS_S`] and one above the last.
    pub counts: Vec<u64>,
    /// Of all.
    pub count: u64,
    /// Of all.
    pub sum: Duration,
}

/// Figures of one lane since its start.
#[derive(Default)]
pub(crate) struct Meter {
    pub(crate) in_flight: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) skipped_cancelled: AtomicU64,
    pub(crate) skipped_expired: AtomicU64,
    pub(crate) refused_full: AtomicU64,
    pub(crate) refused_invalid: AtomicU64,
    pub(crate) queue_wait: Histogram,
    pub(crate) run: Histogram,
    /// Mean run time of late, in microseconds; 0 before the first run.
    pace_us: AtomicU64,
}

/// A run's weight in the mean of late: about the last ten count.
const PACE_SHARE: u64 = 8;

impl Meter {
    /// Notes a run that ended, well or not.
    pub(crate) fn ran(&self, rows: u64, queue_wait: Duration, run: Duration) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.queue_wait.record(queue_wait);
        self.run.record(run);
        // A lost update between two owner threads costs one sample of many.
        let (old, new) = (self.pace_us.load(Ordering::Relaxed), micros(run));
        let mean = if old == 0 { new } else { (old * (PACE_SHARE - 1) + new) / PACE_SHARE };
        self.pace_us.store(mean, Ordering::Relaxed);
    }

    /// Mean run time of late; `None` before the first run.
    pub(crate) fn pace(&self) -> Option<Duration> {
        match self.pace_us.load(Ordering::Relaxed) {
            0 => None,
            us => Some(Duration::from_micros(us)),
        }
    }

    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

/// A lane as the metrics page shows it. Counters rise from the start of the host.
#[derive(Clone, Debug)]
pub struct LaneStatus {
    /// Which model.
    pub model: ModelName,
    /// Who computes: `cpu`, `cuda`, `tensorrt`.
    pub provider: &'static str,
    /// Sessions, each with an owner thread.
    pub sessions: usize,
    /// Threads of each session.
    pub threads_per_session: usize,
    /// Most waiting items.
    pub queue_items_max: usize,
    /// Waiting items now, gone callers' included.
    pub queue_depth: usize,
    /// Runs going on now.
    pub in_flight: u64,
    /// Runs ended, failed ones included.
    pub runs: u64,
    /// Rows of those runs.
    pub rows: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Items never run because their caller had gone.
    pub skipped_cancelled: u64,
    /// Items never run because their deadline had passed.
    pub skipped_expired: u64,
    /// Items refused because the queue was full.
    pub refused_full: u64,
    /// Items refused because they did not fit the model.
    pub refused_invalid: u64,
    /// Sum of run times over all sessions.
    pub busy: Duration,
    /// From the offer to the start of the run.
    pub queue_wait: HistogramStatus,
    /// The runs.
    pub run: HistogramStatus,
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
    fn the_pace_follows_the_runs() {
        let meter = Meter::default();
        assert_eq!(meter.pace(), None);
        meter.ran(1, Duration::ZERO, Duration::from_millis(80));
        assert_eq!(meter.pace(), Some(Duration::from_millis(80)));
        (0..100).for_each(|_| meter.ran(1, Duration::ZERO, Duration::from_millis(160)));
        assert!(meter.pace().unwrap() > Duration::from_millis(159));
    }
}
