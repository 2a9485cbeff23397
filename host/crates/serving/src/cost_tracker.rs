//! What the house still owes its tenants, and how fast it works that off: the arithmetic of admission.
//!
//! Work is counted in milliseconds of engines and of what pages take beside them ([`work_of`]), as predicted by those who
//! call: by the mean of the tenant's pages before a document is open, by that of its pages in the revision before a page
//! is begun, by what is known of the page from then on (`pipeline/bill.rs`). How far predictions were off is counted here.
//! The house works it off at a rate that is learned while it is full. A tenant may be owed as much as its share of that rate
//! does in the longest wait that is acceptable; so a tenant that sends too much waits, and is refused, for itself. Knows no
//! body and no byte; called by `admission.rs` at the door and by the pipeline as pages are read.

mod predictions;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lector_control::{Prediction, work_of};
use lector_core::cost::Mean;
use lector_core::{TenantName, Timing};
use tokio::sync::Notify;

pub use predictions::PredictionError;
use predictions::PredictionErrors;

/// Assumed before anything was read: the order of magnitude of a page of print.
const FIRST_PAGE_MS: f64 = 500.0;
/// Assumed as well: of each core, so many milliseconds of work in a second.
const FIRST_CORE_MS: f64 = 1000.0;
/// The rate is measured over so long, while the house is full.
const WINDOW: Duration = Duration::from_secs(1);
/// Weight of the newest window.
const NEWEST_WINDOW: f64 = 0.3;
/// Of the places for documents one in so many is kept for tenants that have none in the house.
const KEPT_FOR_NEWCOMERS: usize = 8;

/// Who asks, and how much it may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkRequest<'a> {
    pub(crate) tenant: &'a TenantName,
    /// Its share of the house, next to those of others.
    pub(crate) weight: u32,
    /// The longest wait that is acceptable.
    pub(crate) wait_max: Duration,
    /// What its pages cost of late, in milliseconds; `None`: not known, as all pages do.
    pub(crate) page_ms: Option<f64>,
}

/// Why a document is not taken on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Overloaded {
    /// Whether others could be served: then it is the tenant's own doing.
    pub(crate) own: bool,
    /// How long what is owed takes.
    pub(crate) wait: Duration,
}

/// The house's debts.
#[derive(Debug)]
pub(crate) struct LoadTracker {
    documents_max: usize,
    /// Work done in a second, as long as it was not learned.
    first_rate: f64,
    state: Mutex<State>,
    /// Notified when a document could fit that did not before.
    pub(crate) freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    owed: BTreeMap<TenantName, Pending>,
    /// Work of a page, by the clock and by what it cost.
    page_s: Mean,
    page_ms: Mean,
    /// Work done in a second, while all places are taken.
    capacity: Mean,
    window: Option<(Instant, f64)>,
    prediction_errors: PredictionErrors,
}

#[derive(Debug, Default)]
struct Pending {
    ms: f64,
    documents: usize,
    /// Of documents and of pages; the last one goes with all of it.
    parts: usize,
    weight: f64,
}

impl LoadTracker {
    pub(crate) fn new(documents_max: usize) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::at(documents_max, cores as f64 * FIRST_CORE_MS)
    }

    fn at(documents_max: usize, first_rate: f64) -> Arc<Self> {
        Arc::new(Self { documents_max, first_rate, state: Mutex::default(), freed: Arc::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Numbers, whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes on a document of which nothing is known: one page, until it is open.
    pub(crate) fn take(self: &Arc<Self>, asked: &WorkRequest<'_>) -> Result<PendingWork, Overloaded> {
        let mut state = self.lock();
        let ms = asked.page_ms.or(state.page_ms.value()).unwrap_or(FIRST_PAGE_MS);
        state.may_take(asked, ms, self)?;
        let owed = state.owed.entry(asked.tenant.clone()).or_default();
        owed.documents += 1;
        owed.weight = f64::from(asked.weight.max(1));
        let part = PendingShare::of(&mut state, self, asked.tenant, ms);
        drop(state);
        Ok(PendingWork::new(part))
    }

    /// A page was read. `full`: all places were taken while it was.
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

    /// What was said of a page that took so much work.
    pub(crate) fn record_prediction(&self, prediction: Prediction, ms: f64) {
        self.lock().prediction_errors.record(prediction, ms);
    }

    /// How good predictions were so far.
    pub(crate) fn predictions(&self) -> Vec<PredictionError> {
        self.lock().prediction_errors.view()
    }

    /// Mean time of a page by the clock; `None` before the first.
    pub(crate) fn page_time(&self) -> Option<Duration> {
        self.lock().page_s.value().map(Duration::from_secs_f64)
    }

    /// Mean work of a page, in milliseconds.
    pub(crate) fn page_ms(&self) -> f64 {
        self.lock().page_ms.value().unwrap_or(FIRST_PAGE_MS)
    }

    /// Work owed to all, in milliseconds, and milliseconds of it done in a second.
    pub(crate) fn owed_and_capacity(&self) -> (f64, f64) {
        let state = self.lock();
        (state.owed.values().map(|owed| owed.ms).sum(), state.rate(self))
    }

    /// How long all that is owed takes.
    pub(crate) fn wait(&self) -> Duration {
        let (owed_ms, rate) = self.owed_and_capacity();
        seconds(owed_ms / rate)
    }
}

impl State {
    fn rate(&self, load: &LoadTracker) -> f64 {
        self.capacity.value().unwrap_or(load.first_rate).max(1.0)
    }

    fn may_take(&self, asked: &WorkRequest<'_>, ms: f64, load: &LoadTracker) -> Result<(), Overloaded> {
        let documents_max = load.documents_max;
        let weight = f64::from(asked.weight.max(1));
        let others = self.owed.iter().filter(|(tenant, _)| *tenant != asked.tenant);
        let others: f64 = others.map(|(_, owed)| owed.weight).sum();
        let (own_ms, own) = self.owed.get(asked.tenant).map_or((0.0, 0), |owed| (owed.ms, owed.documents));
        let (alone, share) = (others == 0.0, weight / (weight + others));
        let wait = seconds((own_ms + ms) / (self.rate(load) * share));
        // An idle house takes anything: there is nothing to wait for.
        if alone && own == 0 {
            return Ok(());
        }
        if wait > asked.wait_max {
            return Err(Overloaded { own: !alone && own > 0, wait });
        }
        let kept = if alone { documents_max / KEPT_FOR_NEWCOMERS } else { 0 };
        let places = (documents_max as f64 * share) as usize - kept;
        if own > 0 && own >= places.max(1) {
            return Err(Overloaded { own: !alone, wait });
        }
        Ok(())
    }
}

/// A part of what is owed to a tenant, in milliseconds of work. Dropping it takes back what is left of it.
#[derive(Debug)]
pub(crate) struct PendingShare {
    load: Arc<LoadTracker>,
    tenant: TenantName,
    ms: Mutex<f64>,
}

impl PendingShare {
    /// One more of the tenant's.
    fn of(state: &mut State, load: &Arc<LoadTracker>, tenant: &TenantName, ms: f64) -> Self {
        let owed = state.owed.entry(tenant.clone()).or_default();
        owed.parts += 1;
        owed.ms += ms;
        Self { load: load.clone(), tenant: tenant.clone(), ms: Mutex::new(ms) }
    }

    /// So much is to be done for it, as is known now.
    pub(crate) fn set(&self, ms: f64) {
        let before = std::mem::replace(&mut *self.ms.lock().unwrap_or_else(PoisonError::into_inner), ms);
        if let Some(owed) = self.load.lock().owed.get_mut(&self.tenant) {
            owed.ms = (owed.ms + ms - before).max(0.0);
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
        if let Some(owed) = state.owed.get_mut(&self.tenant) {
            owed.parts = owed.parts.saturating_sub(1);
            if owed.parts == 0 {
                state.owed.remove(&self.tenant);
            }
        }
        drop(state);
        self.load.freed.notify_one();
    }
}

/// One document's place and its pages that are not begun.
#[derive(Debug)]
pub(crate) struct PendingWork(PendingShare);

impl PendingWork {
    fn new(part: PendingShare) -> Self {
        Self(part)
    }

    /// So much is to be done for it, apart from the pages that are being read.
    pub(crate) fn set(&self, ms: f64) {
        self.0.set(ms);
    }

    /// A page of it that is begun, a part of its own from now on.
    pub(crate) fn page(&self, ms: f64) -> PendingShare {
        let PendingShare { load, tenant, .. } = &self.0;
        PendingShare::of(&mut load.lock(), load, tenant, ms)
    }
}

impl Drop for PendingWork {
    fn drop(&mut self) {
        if let Some(owed) = self.0.load.lock().owed.get_mut(&self.0.tenant) {
            owed.documents = owed.documents.saturating_sub(1);
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
    fn a_tenant_may_be_owed_what_its_share_does_in_the_longest_wait() {
        let load = LoadTracker::at(1000, 1000.0);
        // Nothing read yet: a page is 500 ms, and 1000 ms are done in a second.
        let of_a: Vec<PendingWork> = (0..20).map(|_| take(&load, "a", 10).unwrap()).collect();
        let full = take(&load, "a", 10).unwrap_err();
        assert!(!full.own, "nobody else is there: the house is full");
        assert_eq!(full.wait, Duration::from_millis(10_500));
        // Another one has half of the house, whatever was owed before it came.
        let of_b: Vec<PendingWork> = (0..10).map(|_| take(&load, "b", 10).unwrap()).collect();
        assert!(take(&load, "b", 10).unwrap_err().own);
        assert!(take(&load, "a", 10).unwrap_err().own);
        drop(of_b);
        assert_eq!(load.wait(), Duration::from_secs(10));
        drop(of_a);
        assert_eq!(load.wait(), Duration::ZERO);
        assert!(load.lock().owed.is_empty());
    }

    #[test]
    fn a_long_document_is_taken_by_an_idle_server_and_not_by_a_busy_one() {
        let load = LoadTracker::at(1000, 1000.0);
        let long = take(&load, "a", 10).unwrap();
        long.set(60_000.0);
        assert!(take(&load, "a", 10).is_err());
        let other = take(&load, "b", 10).unwrap();
        long.set(5_000.0);
        assert!(take(&load, "a", 10).is_err(), "half of the house does 5 s of it in 10");
        drop(other);
        assert!(take(&load, "a", 10).is_ok());
    }

    #[test]
    fn who_sends_posters_is_owed_posters() {
        let load = LoadTracker::at(1000, 1000.0);
        let letters: TenantName = "letters".into();
        let posters = WorkRequest {
            tenant: &"posters".into(),
            weight: 100,
            wait_max: Duration::from_secs(10),
            page_ms: Some(4000.0),
        };
        let letters = WorkRequest { tenant: &letters, page_ms: Some(100.0), ..posters };
        // Half of the house does 5 s of work in 10 s.
        let _first = (load.take(&letters).unwrap(), load.take(&posters).unwrap());
        assert!(load.take(&posters).unwrap_err().own, "two are 8 s");
        let more: Vec<PendingWork> = (0..49).map(|_| load.take(&letters).unwrap()).collect();
        assert!(load.take(&letters).is_err());
        drop(more);
    }

    #[test]
    fn a_page_outlives_its_document_and_is_owed_until_then() {
        let load = LoadTracker::at(1000, 1000.0);
        let document = take(&load, "a", 10).unwrap();
        document.set(0.0);
        let page = document.page(300.0);
        page.set(800.0);
        assert_eq!(load.owed_and_capacity().0, 800.0);
        drop(document);
        assert_eq!(load.owed_and_capacity().0, 800.0);
        let again = take(&load, "a", 10).unwrap();
        drop(page);
        assert_eq!(load.owed_and_capacity().0, FIRST_PAGE_MS);
        drop(again);
        assert!(load.lock().owed.is_empty());
    }

    #[test]
    fn places_are_kept_for_newcomers_and_shared_when_there_are_others() {
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
        assert_eq!(load.owed_and_capacity().1, 1000.0, "idle: nothing is known of it");
        // A page of 300 ms ends every 100 ms.
        for ms in (5000..30_000).step_by(100) {
            load.learn(&timing(300), true, at(ms));
        }
        let (_, rate) = load.owed_and_capacity();
        assert!((2900.0..3100.0).contains(&rate), "{rate}");
        assert!((load.page_ms() - 300.0).abs() < 1.0);
        assert!(load.page_time().is_some());
    }
}
