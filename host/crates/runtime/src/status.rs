//! Statistics of the runtime: counts, never names of tenants.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lector_core::batching::plan::BatchingPolicyStatus;

/// Upper bounds of the start-time histogram, in microseconds.
const START_US: [u64; 10] = [25, 50, 75, 100, 150, 250, 500, 1_000, 10_000, u64::MAX];

/// Counters that live as long as the runtime.
#[derive(Debug, Default)]
pub struct Counters {
    pub calls: AtomicU64,
    pub log_bytes_dropped: AtomicU64,
    pub cache_hits: AtomicU64,
    pub cache_misses: AtomicU64,
    pub cache_rejected: AtomicU64,
    /// Components in memory, with their machine code.
    components: Arc<AtomicU64>,
    /// Counts of all batching policies together.
    pub batching_policies: PolicyCounts,
    starts: [AtomicU64; START_US.len()],
    start_ns: AtomicU64,
    faults: Mutex<BTreeMap<&'static str, u64>>,
}

/// One component in memory. Each holder of its machine code also holds this value, so that the count shows a component that
/// is never freed.
#[derive(Debug)]
pub struct Loaded(Arc<AtomicU64>);

impl Drop for Loaded {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts of the questions by outcome, of one policy or of all.
#[derive(Debug, Default)]
pub struct PolicyCounts {
    pub asked: AtomicU64,
    pub late: AtomicU64,
    pub trapped: AtomicU64,
    pub invalid: AtomicU64,
    pub skipped: AtomicU64,
    pub computed_ns: AtomicU64,
    /// Policies that were disabled.
    pub disabled: AtomicU64,
}

impl PolicyCounts {
    /// Returns the counts; the other fields are empty.
    pub fn snapshot(&self) -> BatchingPolicyStatus {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        BatchingPolicyStatus {
            asked: get(&self.asked),
            late: get(&self.late),
            trapped: get(&self.trapped),
            invalid: get(&self.invalid),
            skipped: get(&self.skipped),
            computed_us: get(&self.computed_ns) / 1000,
            disabled: false,
            last_fault: None,
        }
    }
}

/// A snapshot of the counters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeStatus {
    /// Guest instances that exist now.
    pub live: u64,
    /// Instances started so far.
    pub started: u64,
    /// Guest calls so far (configure, recognize, assemble).
    pub calls: u64,
    /// Faults of guest calls so far, by code. The codes are this crate's, so their number is bounded.
    pub faults: BTreeMap<&'static str, u64>,
    /// Components in memory, with their machine code. One that several revisions share counts once for each load.
    pub components: u64,
    /// Linear memories that no guest uses and that keep bytes of the component that used them last.
    pub idle_memories: u64,
    /// Bytes that these keep.
    pub idle_memory_bytes: u64,
    /// Components whose code came from the cache or the installation.
    pub cache_hits: u64,
    /// Components that had to be compiled.
    pub cache_misses: u64,
    /// Cache files that were damaged or foreign, and were replaced.
    pub cache_rejected: u64,
    /// Bytes of guests' log messages beyond their budgets.
    pub log_bytes_dropped: u64,
    /// Outcomes of the questions to all batching policies together.
    pub batching_policies: BatchingPolicyStatus,
    /// Batching policies disabled so far.
    pub policies_disabled: u64,
    /// Mean time to create a Store and an instance.
    pub start_mean: Duration,
    /// Histogram of start times: upper bound in microseconds (`u64::MAX` for the last) and the number of starts within
    /// it and above the previous bound.
    pub start_classes_us: Vec<(u64, u64)>,
}

impl Counters {
    /// Counts a component until the returned value is dropped.
    pub fn loaded(&self) -> Arc<Loaded> {
        self.components.fetch_add(1, Ordering::Relaxed);
        Arc::new(Loaded(Arc::clone(&self.components)))
    }

    pub fn started(&self, took: Duration) {
        let us = took.as_micros() as u64;
        let class = START_US.iter().position(|bound| us <= *bound).unwrap_or(START_US.len() - 1);
        if let Some(count) = self.starts.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.start_ns.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    pub fn fault(&self, code: &'static str) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    pub fn snapshot(&self, live: u64) -> RuntimeStatus {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let start_classes_us: Vec<_> =
            START_US.iter().zip(&self.starts).map(|(bound, count)| (*bound, get(count))).collect();
        let started = start_classes_us.iter().map(|(_, count)| count).sum::<u64>();
        RuntimeStatus {
            live,
            started,
            calls: get(&self.calls),
            faults: self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            components: get(&self.components),
            idle_memories: 0,
            idle_memory_bytes: 0,
            cache_hits: get(&self.cache_hits),
            cache_misses: get(&self.cache_misses),
            cache_rejected: get(&self.cache_rejected),
            log_bytes_dropped: get(&self.log_bytes_dropped),
            batching_policies: self.batching_policies.snapshot(),
            policies_disabled: get(&self.batching_policies.disabled),
            start_mean: Duration::from_nanos(get(&self.start_ns) / started.max(1)),
            start_classes_us,
        }
    }
}
