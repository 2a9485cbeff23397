//! What the data plane says of itself: counters of the work done, for metrics, logs and the drain.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lector_control::{DeploymentStatus, Holder};
use lector_core::Fault;

use crate::cost_tracker::PredictionError;

/// The counters of the data plane at one moment.
#[derive(Clone, Debug)]
pub struct ServingStatus {
    /// Documents admitted now.
    pub documents_admitted: usize,
    /// Most documents admitted at once.
    pub documents_max: usize,
    /// Documents answered to the end.
    pub documents_done: u64,
    /// Documents that failed as a whole.
    pub documents_failed: u64,
    /// Documents whose reader went away before the end.
    pub documents_abandoned: u64,
    /// Documents taken on so far.
    pub documents_taken: u64,
    /// Documents refused at admission because the house was full or closing.
    pub documents_refused: u64,
    /// Documents refused at admission because their tenant's share was used up.
    pub documents_over_share: u64,
    /// Documents refused at admission because their tenant held as many bytes as it may.
    pub documents_over_bytes: u64,
    /// Work owed to documents in the house, predicted: engines' time and what pages take beside it.
    pub pending_work: Duration,
    /// Seconds of such work that are done in a second, as learned while all places were taken.
    pub work_rate: f64,
    /// How far predictions of such work were off, by what was known of the pages.
    pub work_predictions: Vec<PredictionError>,
    /// Bytes of documents held now.
    pub held_bytes: u64,
    /// Most bytes held at once.
    pub held_bytes_max: u64,
    /// Pages that admitted, opened documents still have to be read, running ones included.
    pub pages_waiting: u64,
    /// Guest calls running now.
    pub pages_running: usize,
    /// Most guest calls at once.
    pub pages_in_flight_max: usize,
    /// Pages read.
    pub pages_ok: u64,
    /// Pages not read.
    pub pages_failed: u64,
    /// Faults of pages, summaries and documents, by code.
    pub faults: BTreeMap<&'static str, u64>,
    /// Learned time of one page in its guest; `None` before the first.
    pub page_time: Option<Duration>,
    /// Damaged rows of the store, by table.
    pub damaged_rows: BTreeMap<&'static str, usize>,
    /// Whether the house is closing.
    pub draining: bool,
    /// The deployments.
    pub deployments: Vec<DeploymentStatus>,
}

/// How a drain went.
#[derive(Clone, Debug)]
pub struct DrainReport {
    /// Whether all documents were answered in time.
    pub clean: bool,
    /// How long it took.
    pub took: Duration,
    /// Who was still inside when the time was over, and was cut off.
    pub cut_off: Vec<Holder>,
}

/// Counters behind [`ServingStatus`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) documents_done: AtomicU64,
    pub(crate) documents_failed: AtomicU64,
    pub(crate) documents_abandoned: AtomicU64,
    pub(crate) documents_admitted: AtomicU64,
    pub(crate) documents_refused: AtomicU64,
    pub(crate) documents_over_share: AtomicU64,
    pub(crate) documents_over_bytes: AtomicU64,
    pub(crate) pages_ok: AtomicU64,
    pub(crate) pages_failed: AtomicU64,
    pages_waiting: AtomicU64,
    // Bounded: the keys are the codes that the source text names.
    faults: Mutex<BTreeMap<&'static str, u64>>,
    last_page_ok: Mutex<Option<Instant>>,
}

impl Counters {
    /// One more of `counter`.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// One more fault.
    pub(crate) fn fault(&self, fault: &Fault) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner).entry(fault.code).or_default() += 1;
    }

    /// Faults so far.
    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A page was answered.
    pub(crate) fn page(&self, fault: Option<&Fault>) {
        match fault {
            None => {
                Self::count(&self.pages_ok);
                *self.last_page_ok.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            Some(fault) => {
                Self::count(&self.pages_failed);
                self.fault(fault);
            }
        }
    }

    /// When a page was last read.
    pub(crate) fn last_page_ok(&self) -> Option<Instant> {
        *self.last_page_ok.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pages still to be read.
    pub(crate) fn pages_waiting(&self) -> u64 {
        self.pages_waiting.load(Relaxed)
    }

    /// `pages` more are to be read; what the guard still holds when it is dropped is taken back.
    pub(crate) fn wait(&self, pages: u64) -> PendingPages<'_> {
        self.pages_waiting.fetch_add(pages, Relaxed);
        PendingPages { counters: self, pages }
    }
}

/// Pages of one document that are still to be read.
pub(crate) struct PendingPages<'a> {
    counters: &'a Counters,
    pages: u64,
}

impl PendingPages<'_> {
    /// One page less.
    pub(crate) fn done(&mut self) {
        if let Some(left) = self.pages.checked_sub(1) {
            self.pages = left;
            self.counters.pages_waiting.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for PendingPages<'_> {
    fn drop(&mut self) {
        self.counters.pages_waiting.fetch_sub(self.pages, Relaxed);
    }
}
