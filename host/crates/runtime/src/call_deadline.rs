//! The deadline of one call: the end of its request, or of its budget of wall-clock time, whichever is earlier.
//!
//! A run that waits for an engine which serves other calls does not spend the budget: the wait is credited, at most as much
//! as the budget itself, so that a call ends in any case. The last part of the time is reserved: no model run is begun in it,
//! so that the guest can answer with what it has.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The reserved time as a fraction of the call's time, and its largest value.
const RESERVE_PART: u32 = 10;
const RESERVE_MAX: Duration = Duration::from_secs(5);
/// Time between two looks at a run that may still be waiting when the budget is spent.
const TICK: Duration = Duration::from_millis(20);

/// The deadline of one call.
#[derive(Debug)]
pub struct CallDeadline {
    /// The end of the request.
    request: Instant,
    /// The end of the budget, without credits.
    budget: Instant,
    /// Largest sum of credits.
    credit_max: Duration,
    reserve: Duration,
    waits: Mutex<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    credit: Duration,
    /// The end of the last wait that was credited; waits of runs at the same time count once.
    until: Option<Instant>,
    /// Runs that were submitted and not answered.
    under_way: u32,
}

/// A run that was submitted. Dropping it ends it without a credit.
pub struct RunUnderWay {
    deadline: Arc<CallDeadline>,
    submitted: Instant,
}

impl CallDeadline {
    /// Creates the deadline of a call that begins now.
    pub fn new(request: Instant, now: Instant, wall: Duration) -> Arc<Self> {
        let budget = now.checked_add(wall).unwrap_or(request);
        let reserve = (request.min(budget).saturating_duration_since(now) / RESERVE_PART).min(RESERVE_MAX);
        Arc::new(Self { request, budget, credit_max: wall, reserve, waits: Mutex::default() })
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn after(&self, credit: Duration) -> Instant {
        self.budget.checked_add(credit).unwrap_or(self.request).min(self.request)
    }

    /// Returns the end of the call as known now. It moves when a wait is credited.
    pub fn end(&self) -> Instant {
        self.after(self.waits().credit)
    }

    /// Returns the last possible end of the call.
    fn latest(&self) -> Instant {
        self.after(self.credit_max)
    }

    /// Returns whether it is too late to begin a model run.
    pub fn is_last_part(&self, now: Instant) -> bool {
        now + self.reserve >= self.end()
    }

    /// Returns the time after which the answer of a run that waits for an engine comes too late.
    pub fn of_runs(&self) -> Instant {
        self.latest().checked_sub(self.reserve).unwrap_or(self.request)
    }

    /// Begins a run that is submitted now.
    pub fn submit(self: &Arc<Self>, now: Instant) -> RunUnderWay {
        self.waits().under_way += 1;
        RunUnderWay { deadline: Arc::clone(self), submitted: now }
    }

    /// Returns the time to look at the call again, or `None` where it has ended.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        let end = self.end();
        if now < end {
            return Some(end);
        }
        // A run may be waiting, which is known once it is answered.
        (self.waits().under_way > 0 && now < self.latest()).then(|| (now + TICK).min(self.latest()))
    }

    /// Waits until the call has ended.
    pub async fn passed(&self) {
        while let Some(next) = self.next_look(Instant::now()) {
            tokio::time::sleep_until(next.into()).await;
        }
    }
}

impl RunUnderWay {
    /// Ends the run, which waited for `waited` before it began.
    pub fn answered(self, waited: Duration) {
        let mut waits = self.deadline.waits();
        let end = self.submitted.checked_add(waited).unwrap_or(self.submitted);
        let from = waits.until.map_or(self.submitted, |until| until.max(self.submitted));
        let credit = waits.credit.saturating_add(end.saturating_duration_since(from));
        waits.credit = credit.min(self.deadline.credit_max);
        waits.until = Some(waits.until.map_or(end, |until| until.max(end)));
    }
}

impl Drop for RunUnderWay {
    fn drop(&mut self) {
        let mut waits = self.deadline.waits();
        waits.under_way = waits.under_way.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn waits_for_engines_do_not_spend_the_budget() {
        let now = Instant::now();
        let deadline = CallDeadline::new(now + s(1000), now, s(100));
        assert_eq!((deadline.end(), deadline.of_runs()), (now + s(100), now + s(195)));
        // Two runs wait at the same time: 30 s of waiting, not 50.
        let (a, b) = (deadline.submit(now + s(10)), deadline.submit(now + s(10)));
        a.answered(s(20));
        b.answered(s(30));
        assert_eq!(deadline.end(), now + s(130));
        // A dropped run is no wait.
        drop(deadline.submit(now + s(50)));
        assert_eq!(deadline.end(), now + s(130));
        deadline.submit(now + s(60)).answered(s(500));
        assert_eq!(deadline.end(), now + s(200), "at most as much as the budget");
    }

    #[test]
    fn the_request_ends_the_call_whatever_is_credited() {
        let now = Instant::now();
        let deadline = CallDeadline::new(now + s(110), now, s(100));
        deadline.submit(now).answered(s(50));
        assert_eq!(deadline.end(), now + s(110));
        assert_eq!(deadline.of_runs(), now + s(105));
    }

    #[test]
    fn a_run_under_way_holds_the_call_until_it_is_answered() {
        let now = Instant::now();
        let deadline = CallDeadline::new(now + s(1000), now, s(100));
        let late = now + s(101);
        assert_eq!(deadline.next_look(late), None);
        let run = deadline.submit(now + s(90));
        assert_eq!(deadline.next_look(late), Some(late + TICK));
        assert_eq!(deadline.next_look(now + s(200)), None, "not for ever");
        run.answered(s(0));
        assert_eq!(deadline.next_look(late), None, "its own time is the call's");
    }

    #[test]
    fn the_last_part_is_reserved_for_the_answer() {
        let now = Instant::now();
        let deadline = CallDeadline::new(now + s(1000), now, s(20));
        assert!(!deadline.is_last_part(now + s(17)));
        assert!(deadline.is_last_part(now + s(18)));
        deadline.submit(now).answered(s(5));
        assert!(!deadline.is_last_part(now + s(18)), "a credit moves it");
    }
}
