//! Counters of the data plane, for metrics, logs and the drain.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lector_control::{DeploymentStatus, Holder};
use lector_core::{Fault, TenantName};

use crate::cost_tracker::PredictionError;

/// The counters of the data plane at one moment.
#[derive(Clone, Debug)]
pub struct ServingStatus {
    /// Uploads that are being received now.
    pub uploads: u64,
    /// Documents admitted now.
    pub documents_admitted: usize,
    /// Most documents admitted at once.
    pub documents_max: usize,
    /// Documents that were read to the end.
    pub documents_done: u64,
    /// Documents that failed as a whole.
    pub documents_failed: u64,
    /// Documents whose client disconnected before the end.
    pub documents_abandoned: u64,
    /// Documents admitted so far.
    pub documents_taken: u64,
    /// Documents rejected at admission because the server was overloaded or shutting down.
    pub documents_refused: u64,
    /// Documents rejected at admission because their tenant's share was used up.
    pub documents_over_share: u64,
    /// Documents rejected at admission because their tenant held its limit of bytes.
    pub documents_over_bytes: u64,
    /// Uploads rejected because their tenant sent its limit of request bodies at once.
    pub documents_over_uploads: u64,
    /// Pending work of the documents in flight, predicted: engine time and the other work of pages.
    pub pending_work: Duration,
    /// Seconds of work completed per second, measured while all page slots were in use.
    pub work_rate: f64,
    /// Prediction errors of the work, by the known properties of the pages.
    pub work_predictions: Vec<PredictionError>,
    /// Bytes of documents and results held now.
    pub held_bytes: u64,
    /// Most bytes held at once.
    pub held_bytes_max: u64,
    /// Pages of admitted, opened documents that are not finished, including running ones.
    pub pages_waiting: u64,
    /// Guest calls running now.
    pub pages_running: usize,
    /// Most guest calls at once.
    pub pages_in_flight_max: usize,
    /// Pages that were read.
    pub pages_ok: u64,
    /// Pages that failed.
    pub pages_failed: u64,
    /// Faults of pages, summaries and documents, by code.
    pub faults: BTreeMap<&'static str, u64>,
    /// Mean time of one page in its guest; `None` before the first.
    pub page_time: Option<Duration>,
    /// Damaged rows of the store, by table.
    pub damaged_rows: BTreeMap<&'static str, usize>,
    /// Whether the server is draining.
    pub draining: bool,
    /// The deployments.
    pub deployments: Vec<DeploymentStatus>,
}

/// The work of one tenant at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantActivity {
    /// The tenant.
    pub tenant: TenantName,
    /// Its weight.
    pub weight: u32,
    /// Request bodies that are being received.
    pub uploads: u64,
    /// Uploads that wait for bytes of memory.
    pub uploads_waiting: usize,
    /// Documents that have arrived and wait for a place.
    pub documents_waiting: usize,
    /// Documents in flight.
    pub documents: usize,
    /// Pages that wait for a page slot, at most one of each document.
    pub pages_waiting: usize,
    /// Page slots in use.
    pub pages_running: usize,
    /// Pending work, predicted.
    pub pending_work: Duration,
    /// Bytes of its documents and results.
    pub held_bytes: u64,
    /// Pages that have ended since the start of the server.
    pub pages_ended: u64,
}

impl TenantActivity {
    /// Returns whether the tenant has anything in flight or waiting.
    pub fn is_active(&self) -> bool {
        let Self { uploads, documents_waiting, documents, pages_waiting, pages_running, held_bytes, .. } =
            self;
        let counts = [*documents_waiting, *documents, *pages_waiting, *pages_running];
        *uploads > 0 || *held_bytes > 0 || counts.iter().any(|count| *count > 0)
    }
}

/// The result of a drain.
#[derive(Clone, Debug)]
pub struct DrainReport {
    /// Whether all documents were finished in time.
    pub clean: bool,
    /// Duration of the drain.
    pub took: Duration,
    /// The holders that were cut off at the end of the time.
    pub cut_off: Vec<Holder>,
}

/// The counters behind [`ServingStatus`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) documents_done: AtomicU64,
    pub(crate) documents_failed: AtomicU64,
    pub(crate) documents_abandoned: AtomicU64,
    pub(crate) documents_admitted: AtomicU64,
    pub(crate) documents_refused: AtomicU64,
    pub(crate) documents_over_share: AtomicU64,
    pub(crate) documents_over_bytes: AtomicU64,
    pub(crate) documents_over_uploads: AtomicU64,
    pub(crate) pages_ok: AtomicU64,
    pub(crate) pages_failed: AtomicU64,
    pages_waiting: AtomicU64,
    // Bounded: the keys are the codes in the source text.
    faults: Mutex<BTreeMap<&'static str, u64>>,
    last_page_ok: Mutex<Option<Instant>>,
}

impl Counters {
    /// Adds 1 to `counter`.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Counts a fault.
    pub(crate) fn fault(&self, fault: &Fault) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner).entry(fault.code).or_default() += 1;
    }

    /// Returns the faults so far, by code.
    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a finished page.
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

    /// Returns the time at which a page was last read.
    pub(crate) fn last_page_ok(&self) -> Option<Instant> {
        *self.last_page_ok.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of pages that are not finished.
    pub(crate) fn pages_waiting(&self) -> u64 {
        self.pages_waiting.load(Relaxed)
    }

    /// Adds `pages` pending pages; the guard subtracts the unfinished ones when it is dropped.
    pub(crate) fn wait(&self, pages: u64) -> PendingPages<'_> {
        self.pages_waiting.fetch_add(pages, Relaxed);
        PendingPages { counters: self, pages }
    }
}

/// Pages of one document that are not finished.
pub(crate) struct PendingPages<'a> {
    counters: &'a Counters,
    pages: u64,
}

impl PendingPages<'_> {
    /// Subtracts one page.
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
