//! The pending work of each tenant, and the rate at which the server completes it: the arithmetic of admission.
//!
//! Work is counted in milliseconds of engine time and of the other work of pages ([`work_of`]), as predicted by the
//! callers: from the mean of the tenant's pages before a document is open, from the mean of the tenant's pages in the
//! revision before a page begins, and from the known properties of the page after that (`pipeline/page_cost.rs`).
//! Prediction errors are counted here. The work rate is measured while all page slots are in use. A tenant may have as
//! much pending work as its share of that rate completes within the longest acceptable wait; so only the tenant that
//! sends too much waits and is rejected. Independent of bodies and bytes. Called by `admission.rs` and by the pipeline.

mod predictions;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lector_control::{Prediction, work_of};
use lector_core::cost::Mean;
use lector_core::{TenantName, Timing};
use tokio::sync::Notify;

pub use predictions::PredictionError;
use predictions::PredictionErrors;

/// Cost of a page before any page was read: the order of magnitude of a page of print.
const FIRST_PAGE_MS: f64 = 500.0;
/// Work rate per core before it was measured, in milliseconds of work per second.
const FIRST_CORE_MS: f64 = 1000.0;
/// Time over which the work rate is measured, while all page slots are in use.
const WINDOW: Duration = Duration::from_secs(1);
/// Weight of the newest window.
const NEWEST_WINDOW: f64 = 0.3;
/// One in this many document places is reserved for tenants without a document in flight.
const RESERVED_FOR_NEW_TENANTS: usize = 8;

/// A request for admission, with the limits that apply to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkRequest<'a> {
    pub(crate) tenant: &'a TenantName,
    /// The tenant's weight, relative to those of others.
    pub(crate) weight: u32,
    /// The longest acceptable wait.
    pub(crate) wait_max: Duration,
    /// Recent mean cost of the tenant's pages, in milliseconds; `None`: unknown, and the mean of all pages applies.
    pub(crate) page_ms: Option<f64>,
}

/// The rejection of a document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Overloaded {
    /// Whether only this tenant is overloaded, and the server could serve others.
    pub(crate) own: bool,
    /// Predicted time for the pending work.
    pub(crate) wait: Duration,
}

/// The pending work of the server.
#[derive(Debug)]
pub(crate) struct LoadTracker {
    documents_max: AtomicUsize,
    /// Work rate until it is measured.
    first_rate: f64,
    state: Mutex<State>,
    /// Notified when a document that did not fit may fit.
    pub(crate) freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    pending: BTreeMap<TenantName, Pending>,
    /// Mean time of a page by the clock, and its mean work.
    page_s: Mean,
    page_ms: Mean,
    /// Work per second while all page slots are in use.
    capacity: Mean,
    window: Option<(Instant, f64)>,
    prediction_errors: PredictionErrors,
}

#[derive(Debug, Default)]
struct Pending {
    ms: f64,
    documents: usize,
    /// Number of shares, of documents and of pages; the entry is removed with the last one.
    parts: usize,
    weight: f64,
}

impl LoadTracker {
    pub(crate) fn new(documents_max: usize) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::at(documents_max, cores as f64 * FIRST_CORE_MS)
    }

    fn at(documents_max: usize, first_rate: f64) -> Arc<Self> {
        let documents_max = AtomicUsize::new(documents_max);
        Arc::new(Self { documents_max, first_rate, state: Mutex::default(), freed: Arc::default() })
    }

    /// Replaces the number of places, of which a part is reserved for new tenants.
    pub(crate) fn retune(&self, documents_max: usize) {
        self.documents_max.store(documents_max, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave these numbers inconsistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a document, which counts as one page until it is open.
    pub(crate) fn take(self: &Arc<Self>, asked: &WorkRequest<'_>) -> Result<PendingWork, Overloaded> {
        let mut state = self.lock();
        let ms = asked.page_ms.or(state.page_ms.value()).unwrap_or(FIRST_PAGE_MS);
        state.may_take(asked, ms, self)?;
        let pending = state.pending.entry(asked.tenant.clone()).or_default();
        pending.documents += 1;
        pending.weight = f64::from(asked.weight.max(1));
        let part = PendingShare::of(&mut state, self, asked.tenant, ms);
        drop(state);
        Ok(PendingWork::new(part))
    }

    /// Returns whether [`take`](Self::take) would add a document now.
    pub(crate) fn check(&self, asked: &WorkRequest<'_>) -> Result<(), Overloaded> {
        let state = self.lock();
        let ms = asked.page_ms.or(state.page_ms.value()).unwrap_or(FIRST_PAGE_MS);
        state.may_take(asked, ms, self)
    }

    /// Adds a page that was read. `full`: all page slots were in use meanwhile.
    pub(crate) fn learn(&self, timing: &Timing, full: bool, now: Instant) {
        let ms = work_of(timing).as_secs_f64() * 1e3;
        let mut state = self.lock();
        state.page_s.learn(timing.total.as_secs_f64());
        state.page_ms.learn(ms);
        if !full {
            state.window = None;
            return;
        }
        let (since, done) = state.window.map_or((now, 0.0), |(since, done)| (since, done + ms));
        let took = now.saturating_duration_since(since);
        state.window = Some((since, done));
        if took >= WINDOW {
            state.capacity.learn_at(NEWEST_WINDOW, done / took.as_secs_f64());
            state.window = Some((now, 0.0));
            self.freed.notify_one();
        }
    }

    /// Records the predictions for a page that took `ms` of work.
    pub(crate) fn record_prediction(&self, prediction: Prediction, ms: f64) {
        self.lock().prediction_errors.record(prediction, ms);
    }

    /// Returns the prediction errors so far.
    pub(crate) fn predictions(&self) -> Vec<PredictionError> {
        self.lock().prediction_errors.view()
    }

    /// Returns the mean time of a page by the clock; `None` before the first.
    pub(crate) fn page_time(&self) -> Option<Duration> {
        self.lock().page_s.value().map(Duration::from_secs_f64)
    }

    /// Returns the mean work of a page, in milliseconds.
    pub(crate) fn page_ms(&self) -> f64 {
        self.lock().page_ms.value().unwrap_or(FIRST_PAGE_MS)
    }

    /// Returns the pending work of all tenants, in milliseconds, and the milliseconds of work completed per second.
    pub(crate) fn pending_and_capacity(&self) -> (f64, f64) {
        let state = self.lock();
        (state.pending.values().map(|pending| pending.ms).sum(), state.rate(self))
    }

    /// Returns the documents in flight and the pending work in milliseconds, by tenant.
    pub(crate) fn by_tenant(&self) -> BTreeMap<TenantName, (usize, f64)> {
        let state = self.lock();
        state.pending.iter().map(|(tenant, of)| (tenant.clone(), (of.documents, of.ms))).collect()
    }

    /// Returns the predicted time for all pending work.
    pub(crate) fn wait(&self) -> Duration {
        let (pending_ms, rate) = self.pending_and_capacity();
        seconds(pending_ms / rate)
    }
}

impl State {
    fn rate(&self, load: &LoadTracker) -> f64 {
        self.capacity.value().unwrap_or(load.first_rate).max(1.0)
    }

    fn may_take(&self, asked: &WorkRequest<'_>, ms: f64, load: &LoadTracker) -> Result<(), Overloaded> {
        let documents_max = load.documents_max.load(Relaxed);
        let weight = f64::from(asked.weight.max(1));
        let others = self.pending.iter().filter(|(tenant, _)| *tenant != asked.tenant);
        let others: f64 = others.map(|(_, pending)| pending.weight).sum();
        let (own_ms, own) =
            self.pending.get(asked.tenant).map_or((0.0, 0), |pending| (pending.ms, pending.documents));
        let (alone, share) = (others == 0.0, weight / (weight + others));
        let wait = seconds((own_ms + ms) / (self.rate(load) * share));
        // A tenant alone on an idle server may add any document: there is nothing to wait for.
        if alone && own == 0 {
            return Ok(());
        }
        if wait > asked.wait_max {
            return Err(Overloaded { own: !alone && own > 0, wait });
        }
        let kept = if alone { documents_max / RESERVED_FOR_NEW_TENANTS } else { 0 };
        let places = (documents_max as f64 * share) as usize - kept;
        if own > 0 && own >= places.max(1) {
            return Err(Overloaded { own: !alone, wait });
        }
        Ok(())
    }
}

/// A share of a tenant's pending work, in milliseconds. Dropping it removes the rest of the share.
#[derive(Debug)]
pub(crate) struct PendingShare {
    load: Arc<LoadTracker>,
    tenant: TenantName,
    ms: Mutex<f64>,
}

impl PendingShare {
    /// Adds a share to the tenant's pending work.
    fn of(state: &mut State, load: &Arc<LoadTracker>, tenant: &TenantName, ms: f64) -> Self {
        let pending = state.pending.entry(tenant.clone()).or_default();
        pending.parts += 1;
        pending.ms += ms;
        Self { load: load.clone(), tenant: tenant.clone(), ms: Mutex::new(ms) }
    }

    /// Sets the remaining work of the share.
    pub(crate) fn set(&self, ms: f64) {
        let before = std::mem::replace(&mut *self.ms.lock().unwrap_or_else(PoisonError::into_inner), ms);
        if let Some(pending) = self.load.lock().pending.get_mut(&self.tenant) {
            pending.ms = (pending.ms + ms - before).max(0.0);
        }
        if ms < before {
            self.load.freed.notify_one();
        }
    }
}

impl Drop for PendingShare {
    fn drop(&mut self) {
        self.set(0.0);
        let mut state = self.load.lock();
        if let Some(pending) = state.pending.get_mut(&self.tenant) {
            pending.parts = pending.parts.saturating_sub(1);
            if pending.parts == 0 {
                state.pending.remove(&self.tenant);
            }
        }
        drop(state);
        self.load.freed.notify_one();
    }
}

/// The pending work of one document: its place and its pages that have not begun.
#[derive(Debug)]
pub(crate) struct PendingWork(PendingShare);

impl PendingWork {
    fn new(part: PendingShare) -> Self {
        Self(part)
    }

    /// Sets the remaining work, without the pages in progress.
    pub(crate) fn set(&self, ms: f64) {
        self.0.set(ms);
    }

    /// Makes a separate share for a page that begins.
    pub(crate) fn page(&self, ms: f64) -> PendingShare {
        let PendingShare { load, tenant, .. } = &self.0;
        PendingShare::of(&mut load.lock(), load, tenant, ms)
    }
}

impl Drop for PendingWork {
    fn drop(&mut self) {
        if let Some(pending) = self.0.load.lock().pending.get_mut(&self.0.tenant) {
            pending.documents = pending.documents.saturating_sub(1);
        }
    }
}

fn seconds(s: f64) -> Duration {
    Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn timing(ms: u64) -> Timing {
        let time = Duration::from_millis(ms);
        Timing { total: time, guest: time, ..Timing::default() }
    }

    fn take(load: &Arc<LoadTracker>, tenant: &str, wait_s: u64) -> Result<PendingWork, Overloaded> {
        let tenant = TenantName::from(tenant);
        load.take(&WorkRequest {
            tenant: &tenant,
            weight: 100,
            wait_max: Duration::from_secs(wait_s),
            page_ms: None,
        })
    }

    #[test]
    fn pending_work_is_limited_to_the_share_in_the_longest_wait() {
        let load = LoadTracker::at(1000, 1000.0);
        // Before the first page: a page is 500 ms, and 1000 ms of work are completed per second.
        let of_a: Vec<PendingWork> = (0..20).map(|_| take(&load, "a", 10).unwrap()).collect();
        let full = take(&load, "a", 10).unwrap_err();
        assert!(!full.own, "there are no other tenants: the server is full");
        assert_eq!(full.wait, Duration::from_millis(10_500));
        // Another tenant has half of the server, however much work was pending before it came.
        let of_b: Vec<PendingWork> = (0..10).map(|_| take(&load, "b", 10).unwrap()).collect();
        assert!(take(&load, "b", 10).unwrap_err().own);
        assert!(take(&load, "a", 10).unwrap_err().own);
        drop(of_b);
        assert_eq!(load.wait(), Duration::from_secs(10));
        drop(of_a);
        assert_eq!(load.wait(), Duration::ZERO);
        assert!(load.lock().pending.is_empty());
    }

    #[test]
    fn a_long_document_is_taken_by_an_idle_server_and_not_by_a_busy_one() {
        let load = LoadTracker::at(1000, 1000.0);
        let long = take(&load, "a", 10).unwrap();
        long.set(60_000.0);
        assert!(take(&load, "a", 10).is_err());
        let other = take(&load, "b", 10).unwrap();
        long.set(5_000.0);
        assert!(take(&load, "a", 10).is_err(), "half of the server does 5 s of it in 10");
        drop(other);
        assert!(take(&load, "a", 10).is_ok());
    }

    #[test]
    fn a_tenant_that_sends_posters_has_the_pending_work_of_posters() {
        let load = LoadTracker::at(1000, 1000.0);
        let letters: TenantName = "letters".into();
        let posters = WorkRequest {
            tenant: &"posters".into(),
            weight: 100,
            wait_max: Duration::from_secs(10),
            page_ms: Some(4000.0),
        };
        let letters = WorkRequest { tenant: &letters, page_ms: Some(100.0), ..posters };
        // Half of the server does 5 s of work in 10 s.
        let _first = (load.take(&letters).unwrap(), load.take(&posters).unwrap());
        assert!(load.take(&posters).unwrap_err().own, "two are 8 s");
        let more: Vec<PendingWork> = (0..49).map(|_| load.take(&letters).unwrap()).collect();
        assert!(load.take(&letters).is_err());
        drop(more);
    }

    #[test]
    fn a_page_outlives_its_document_and_stays_pending() {
        let load = LoadTracker::at(1000, 1000.0);
        let document = take(&load, "a", 10).unwrap();
        document.set(0.0);
        let page = document.page(300.0);
        page.set(800.0);
        assert_eq!(load.pending_and_capacity().0, 800.0);
        drop(document);
        assert_eq!(load.pending_and_capacity().0, 800.0);
        let again = take(&load, "a", 10).unwrap();
        drop(page);
        assert_eq!(load.pending_and_capacity().0, FIRST_PAGE_MS);
        drop(again);
        assert!(load.lock().pending.is_empty());
    }

    #[test]
    fn document_places_are_reserved_for_new_tenants_and_shared() {
        let load = LoadTracker::at(16, 1000.0);
        let of_a: Vec<PendingWork> = (0..14).map(|_| take(&load, "a", 600).unwrap()).collect();
        assert!(!take(&load, "a", 600).unwrap_err().own);
        let _of_b = take(&load, "b", 600).unwrap();
        let mut left = of_a;
        left.truncate(8);
        assert!(take(&load, "a", 600).unwrap_err().own, "eight of sixteen");
        left.truncate(7);
        assert!(take(&load, "a", 600).is_ok());
    }

    #[test]
    fn the_rate_is_learned_while_the_server_is_full() {
        let (load, start) = (LoadTracker::at(10, 1000.0), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        for ms in (0..5000).step_by(100) {
            load.learn(&timing(50), false, at(ms));
        }
        assert_eq!(load.pending_and_capacity().1, 1000.0, "idle: nothing was measured");
        // A page of 300 ms ends every 100 ms.
        for ms in (5000..30_000).step_by(100) {
            load.learn(&timing(300), true, at(ms));
        }
        let (_, rate) = load.pending_and_capacity();
        assert!((2900.0..3100.0).contains(&rate), "{rate}");
        assert!((load.page_ms() - 300.0).abs() < 1.0);
        assert!(load.page_time().is_some());
    }
}
