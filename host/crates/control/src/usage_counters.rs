//! The counters of one tenant while the process runs: request rate, pages of the day, cost of a page, usage not yet in
//! the store.
//!
//! Owns the counting; the usage flush (`usage_flush.rs`) writes the counts to the store every [`FLUSH_EVERY`]. A sudden
//! death of the process loses at most the counts of that time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lector_core::cost::Mean;
use lector_core::{Clock, Fault, Kind, PageRun, Timing};
use serde::{Deserialize, Serialize};

use crate::bounded_count::BoundedCount;
use crate::memory::ByteBudget;

/// Period of the usage flush.
pub const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// Seconds of a day.
const DAY_S: u64 = 86_400;
const DAY: Duration = Duration::from_secs(DAY_S);

/// Returns the day (UTC) since 1970 of a time in milliseconds.
pub fn day_of(at_ms: u64) -> u32 {
    u32::try_from(at_ms / 1000 / DAY_S).unwrap_or(u32::MAX)
}

/// Counts of usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageCounts {
    /// Requests that were admitted.
    pub requests: u64,
    /// Pages that were read.
    pub pages_ok: u64,
    /// Pages that began and failed.
    pub pages_failed: u64,
    /// Pixels of the pages read, at the resolution at which they were read.
    pub pixels: u64,
    /// Time in engines, microseconds.
    pub engine_us: u64,
    /// Compute time of guests, microseconds.
    pub guest_us: u64,
    /// Requests rejected because of the tenant's own limits, or because the server is overloaded.
    pub rejections: u64,
}

impl UsageCounts {
    /// Returns the sum.
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            pages_ok: self.pages_ok.saturating_add(other.pages_ok),
            pages_failed: self.pages_failed.saturating_add(other.pages_failed),
            pixels: self.pixels.saturating_add(other.pixels),
            engine_us: self.engine_us.saturating_add(other.engine_us),
            guest_us: self.guest_us.saturating_add(other.guest_us),
            rejections: self.rejections.saturating_add(other.rejections),
        }
    }
}

/// Pages of the daily quota that are reserved for a document; pages that did not begin are returned on drop to the quota
/// of the day from which they were reserved.
#[derive(Debug)]
pub struct QuotaReservation {
    counters: Arc<UsageCounters>,
    day: u32,
    left: u64,
}

impl QuotaReservation {
    /// Counts one page as begun: it is charged, whatever becomes of it.
    pub fn begun(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

impl Drop for QuotaReservation {
    fn drop(&mut self) {
        let mut state = self.counters.today();
        if state.day == self.day {
            state.pages_today = state.pages_today.saturating_sub(self.left);
        }
    }
}

/// The counters of one tenant.
#[derive(Debug)]
pub struct UsageCounters {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Bytes of its documents and results.
    pub held_bytes: Arc<ByteBudget>,
    /// Uploads that are being received.
    pub uploads: BoundedCount,
}

#[derive(Debug)]
struct State {
    /// Tokens of the rate limit, and the time of the last refill; `None` before the first request.
    tokens: Option<(f64, Instant)>,
    /// The day that `pages_today` counts.
    day: u32,
    /// When the count of that day began.
    day_began: Instant,
    /// Pages read or reserved on that day.
    pages_today: u64,
    /// Usage of `day` that is not yet in the store.
    pending: UsageCounts,
    /// Usage of earlier days that is not yet in the store.
    older: Vec<(u32, UsageCounts)>,
    /// Work of a page, in milliseconds.
    page_ms: Mean,
    /// Pages that have ended since these counters exist.
    pages_ended: u64,
}

impl State {
    fn new(day: u32, pages_today: u64, now: Instant) -> Self {
        Self {
            tokens: None,
            day,
            day_began: now,
            pages_today,
            pending: UsageCounts::default(),
            older: Vec::new(),
            page_ms: Mean::default(),
            pages_ended: 0,
        }
    }

    /// Starts the counts of a new day. A day earlier than the counted one means that the civil time was set back; the
    /// counts go on, because the pages of that day were already given out. They start again after 24 hours: the counted
    /// day may have been the mistake of a clock that was far ahead.
    fn on(&mut self, day: u32, now: Instant) {
        if day == self.day || (day < self.day && now.saturating_duration_since(self.day_began) < DAY) {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        if pending != UsageCounts::default() {
            self.older.push((self.day, pending));
        }
        self.day = day;
        self.day_began = now;
        self.pages_today = 0;
    }
}

impl UsageCounters {
    /// Makes counters of a tenant without usage today.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let today = day_of(clock.now_ms());
        Self::resumed(clock, today, UsageCounts::default())
    }

    /// Makes counters that continue from the counts of `day` in the store.
    pub fn resumed(clock: Arc<dyn Clock>, day: u32, counts: UsageCounts) -> Self {
        let pages_today = counts.pages_ok.saturating_add(counts.pages_failed);
        let state = Mutex::new(State::new(day, pages_today, clock.now()));
        Self { clock, state, held_bytes: Arc::default(), uploads: BoundedCount::default() }
    }

    fn today(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.on(day_of(self.clock.now_ms()), self.clock.now());
        state
    }

    /// Takes one token for a request; the error is the time until there is one. A rate of 0 is no limit.
    pub fn rate(&self, per_s: f64, burst: u32, now: Instant) -> Result<(), Duration> {
        let mut state = self.today();
        if per_s > 0.0 {
            let most = f64::from(burst);
            let (tokens, at) = state.tokens.unwrap_or((most, now));
            let earned = now.saturating_duration_since(at).as_secs_f64() * per_s;
            let tokens = (tokens + earned).min(most);
            if tokens < 1.0 {
                state.tokens = Some((tokens, now));
                return Err(Duration::try_from_secs_f64((1.0 - tokens) / per_s).unwrap_or(Duration::MAX));
            }
            state.tokens = Some((tokens - 1.0, now));
        }
        state.pending.requests += 1;
        Ok(())
    }

    /// Counts a rejected request.
    pub fn rejected(&self) {
        self.today().pending.rejections += 1;
    }

    /// Reserves `pages` of the daily quota (0: no limit), all of them or none.
    pub fn reserve(self: &Arc<Self>, pages: u64, per_day: u64) -> Result<QuotaReservation, Fault> {
        let mut state = self.today();
        let after = state.pages_today.saturating_add(pages);
        if per_day > 0 && after > per_day {
            state.pending.rejections += 1;
            let left = per_day.saturating_sub(state.pages_today);
            let message = format!(
                "The document has {pages} pages to read, and {left} are left of the {per_day} pages that the tenant may read \
                 today (UTC): ask for fewer pages, or try again tomorrow."
            );
            return Err(self.quota_exceeded(&state, message));
        }
        state.pages_today = after;
        Ok(QuotaReservation { counters: self.clone(), day: state.day, left: pages })
    }

    /// Returns the pages that are left of the daily quota (0: no limit), for work that takes as many as there are. Fault:
    /// `quota_exceeded` if none is left; it is not counted as a rejection.
    pub fn pages_left(&self, per_day: u64) -> Result<u64, Fault> {
        let state = self.today();
        match per_day.saturating_sub(state.pages_today) {
            _ if per_day == 0 => Ok(u64::MAX),
            0 => {
                let message = format!(
                    "The tenant has read the {per_day} pages that it may read today (UTC): the work goes on tomorrow."
                );
                Err(self.quota_exceeded(&state, message))
            }
            left => Ok(left),
        }
    }

    /// Returns the fault of a used quota, with the time until the next day.
    fn quota_exceeded(&self, state: &State, message: String) -> Fault {
        let next_day_s = (u64::from(state.day) + 1) * DAY_S;
        let until_next = Duration::from_secs(next_day_s.saturating_sub(self.clock.now_ms() / 1000));
        Fault::new(Kind::Busy, "quota_exceeded", message).retry_after(until_next.min(DAY))
    }

    /// Counts a finished page, with or without an error.
    pub fn page(&self, run: &PageRun) {
        let mut state = self.today();
        state.pages_ended += 1;
        let counts = &mut state.pending;
        match &run.result {
            Ok(page) => {
                counts.pages_ok += 1;
                counts.pixels += u64::from(page.size.width) * u64::from(page.size.height);
            }
            Err(_) => counts.pages_failed += 1,
        }
        counts.engine_us += us(engine_time(&run.timing));
        counts.guest_us += us(run.timing.guest);
        if run.result.is_ok() {
            state.page_ms.learn(work_of(&run.timing).as_secs_f64() * 1e3);
        }
    }

    /// Counts a run of a model that a client asked for without a guest, as one page.
    pub fn model_run(&self, pixels: u64, engine: Duration, ok: bool) {
        let mut state = self.today();
        state.pages_ended += 1;
        let counts = &mut state.pending;
        if ok {
            counts.pages_ok += 1;
        } else {
            counts.pages_failed += 1;
        }
        counts.pixels += pixels;
        counts.engine_us += us(engine);
    }

    /// Returns the recent mean cost of the tenant's pages, in milliseconds of work; `None` before the first.
    pub fn page_ms(&self) -> Option<f64> {
        self.today().page_ms.value()
    }

    /// Returns the pages that have ended since the start of the server, read or failed.
    pub fn pages_ended(&self) -> u64 {
        self.today().pages_ended
    }

    /// Takes the usage that is not yet in the store, by day.
    pub fn take(&self) -> Vec<(u32, UsageCounts)> {
        let mut state = self.today();
        let mut taken = std::mem::take(&mut state.older);
        let pending = std::mem::take(&mut state.pending);
        if pending != UsageCounts::default() {
            taken.push((state.day, pending));
        }
        taken
    }
}

/// Returns the engine time over all models; of a run with co-batched items, only this call's share.
pub fn engine_time(timing: &Timing) -> Duration {
    timing.models.values().map(|model| model.own).sum()
}

/// Returns the cost of a page, without waits.
pub fn work_of(timing: &Timing) -> Duration {
    engine_time(timing) + timing.guest + timing.render + timing.text_layer + timing.image
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::clock::ManualClock;

    use super::*;

    /// Counters at noon of a day with `pages_ok` pages, and their clock.
    fn counters(pages_ok: u64) -> (Arc<UsageCounters>, ManualClock) {
        let clock = ManualClock::default();
        let counts = UsageCounts { pages_ok, ..UsageCounts::default() };
        let today = day_of(clock.now_ms());
        (Arc::new(UsageCounters::resumed(Arc::new(clock.clone()), today, counts)), clock)
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_rate_limit_admits_a_burst_and_then_the_rate() {
        let (counters, clock) = counters(0);
        let start = clock.now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        for _ in 0..3 {
            assert_eq!(counters.rate(2.0, 3, start), Ok(()));
        }
        assert_eq!(counters.rate(2.0, 3, start), Err(Duration::from_millis(500)));
        assert_eq!(counters.rate(2.0, 3, at(250)), Err(Duration::from_millis(250)));
        assert_eq!(counters.rate(2.0, 3, at(500)), Ok(()));
        assert!(counters.rate(2.0, 3, at(500)).is_err());
        for _ in 0..3 {
            assert_eq!(counters.rate(2.0, 3, at(60_000)), Ok(()), "rest fills the bucket, and no further");
        }
        assert!(counters.rate(2.0, 3, at(60_000)).is_err());
        assert_eq!(counters.rate(0.0, 0, at(60_000)), Ok(()), "no bound");
    }

    #[test]
    fn pages_of_the_day_are_reserved_completely_or_not_at_all() {
        let (counters, _clock) = counters(5);
        let _first = counters.reserve(3, 10).unwrap();
        let fault = counters.reserve(3, 10).unwrap_err();
        assert_eq!(fault.code, "quota_exceeded");
        assert_eq!(fault.retry_after, Some(12 * HOUR), "midnight");
        let mut second = counters.reserve(2, 10).unwrap();
        assert!(counters.reserve(1, 10).is_err());
        second.begun();
        drop(second);
        let _third = counters.reserve(1, 10).unwrap();
        assert!(counters.reserve(1, 10).is_err(), "of the two pages one was tried");
        let _unbounded = counters.reserve(1_000_000, 0).unwrap();
        let used = counters.pages_left(2_000_000).unwrap();
        assert_eq!((used, counters.pages_left(0).unwrap()), (2_000_000 - 1_000_010, u64::MAX));
        let used = counters.pages_left(10).unwrap_err();
        assert_eq!((used.code, used.retry_after), ("quota_exceeded", Some(12 * HOUR)));
    }

    #[test]
    fn a_new_day_has_its_whole_quota_and_no_page_of_the_day_before() {
        let (counters, clock) = counters(0);
        let mut late = counters.reserve(10, 10).unwrap();
        late.begun();
        clock.advance(12 * HOUR);
        let today = counters.reserve(10, 10).unwrap();
        drop(late);
        assert!(counters.reserve(1, 10).is_err(), "nine pages of yesterday are not returned to today");
        drop(today);
        assert!(counters.reserve(10, 10).is_ok());
    }

    #[test]
    fn a_clock_set_back_does_not_reset_the_quota() {
        let (counters, clock) = counters(10);
        counters.rejected();
        clock.step_back(24 * HOUR);
        let fault = counters.reserve(1, 10).unwrap_err();
        assert_eq!(fault.retry_after, Some(24 * HOUR), "{fault}");
        clock.advance(24 * HOUR - Duration::from_secs(1));
        assert!(counters.reserve(1, 10).is_err(), "the same day for the second time");
        clock.advance(13 * HOUR);
        assert!(counters.reserve(10, 10).is_ok(), "the next day");
        let days: Vec<u32> = counters.take().into_iter().map(|(day, _)| day).collect();
        assert_eq!(days, [day_of(clock.now_ms()) - 1], "usage stays with the day that was counted");
    }

    #[test]
    fn a_clock_that_was_far_ahead_delays_the_quota_by_a_day_at_most() {
        let (counters, clock) = counters(10);
        let right = clock.civil();
        clock.set_civil(right + 1000 * 24 * HOUR);
        let _all = counters.reserve(10, 10).unwrap();
        clock.set_civil(right);
        clock.advance(23 * HOUR);
        assert!(counters.reserve(1, 10).is_err());
        clock.advance(HOUR);
        assert!(counters.reserve(10, 10).is_ok());
    }

    #[test]
    fn usage_is_taken_once() {
        let (counters, _clock) = counters(0);
        counters.rejected();
        assert_eq!(counters.take()[0].1.rejections, 1);
        assert!(counters.take().is_empty());
    }
}
