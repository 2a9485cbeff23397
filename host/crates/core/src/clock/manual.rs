//! A clock that stands still until a test moves it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;

use super::Clock;

/// The civil time of a new manual clock, in seconds since 1970: 2026-01-01 12:00:00 UTC.
const START_S: u64 = 1_767_268_800;

/// A clock for tests. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    now: Instant,
    civil: SystemTime,
    made: u64,
    /// Wakers of the waits in progress, by their number.
    waits: BTreeMap<u64, (Instant, Option<Waker>)>,
}

impl Default for ManualClock {
    fn default() -> Self {
        let civil = SystemTime::UNIX_EPOCH + Duration::from_secs(START_S);
        Self(Arc::new(Mutex::new(State { now: Instant::now(), civil, made: 0, waits: BTreeMap::new() })))
    }
}

impl ManualClock {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `time` pass, and ends the waits that are due.
    pub fn advance(&self, time: Duration) {
        let mut state = self.lock();
        state.now += time;
        state.civil += time;
        let now = state.now;
        let due: Vec<Waker> = state
            .waits
            .values_mut()
            .filter(|(at, _)| *at <= now)
            .filter_map(|(_, waker)| waker.take())
            .collect();
        drop(state);
        due.into_iter().for_each(Waker::wake);
    }

    /// Sets the civil time. No monotonic time passes.
    pub fn set_civil(&self, civil: SystemTime) {
        self.lock().civil = civil;
    }

    /// Sets the civil time back by `time`. No monotonic time passes.
    pub fn step_back(&self, time: Duration) {
        let mut state = self.lock();
        state.civil -= time;
    }

    /// Returns the number of waits in progress that are not due.
    pub fn waits(&self) -> usize {
        let state = self.lock();
        state.waits.values().filter(|(at, waker)| *at > state.now && waker.is_some()).count()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.lock().now
    }

    fn civil(&self) -> SystemTime {
        self.lock().civil
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let mut state = self.lock();
        state.made += 1;
        let number = state.made;
        state.waits.insert(number, (at, None));
        drop(state);
        Box::pin(Wait { clock: self.clone(), number })
    }
}

struct Wait {
    clock: ManualClock,
    number: u64,
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.lock();
        let now = state.now;
        match state.waits.get_mut(&self.number) {
            Some((at, waker)) if *at > now => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.clock.lock().waits.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;

    use futures::FutureExt;

    use super::*;

    #[test]
    fn time_passes_only_when_the_test_says_so() {
        let clock = ManualClock::default();
        let (start, start_ms) = (clock.now(), clock.now_ms());
        let (mut soon, mut late) = (
            clock.sleep_until(start + Duration::from_secs(1)),
            clock.sleep_until(start + Duration::from_secs(3)),
        );
        assert!((&mut soon).now_or_never().is_none());
        assert!((&mut late).now_or_never().is_none());
        assert_eq!(clock.waits(), 2);
        clock.advance(Duration::from_secs(1));
        assert!((&mut soon).now_or_never().is_some());
        assert!((&mut late).now_or_never().is_none());
        assert_eq!(clock.now_ms(), start_ms + 1000);
        clock.step_back(Duration::from_secs(3600));
        assert_eq!(
            (clock.now(), clock.now_ms()),
            (start + Duration::from_secs(1), start_ms + 1000 - 3_600_000)
        );
        drop(late);
        assert_eq!(clock.waits(), 0, "a dropped wait leaves nothing behind");
    }

    /// Counts wake-ups.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_wait_that_is_due_wakes_its_task() {
        let (clock, woken) = (ManualClock::default(), Arc::new(Woken::default()));
        let mut wait = clock.sleep_until(clock.now() + Duration::from_secs(1));
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        assert!(wait.poll_unpin(&mut context).is_pending());
        clock.advance(Duration::from_millis(999));
        assert_eq!(woken.0.load(SeqCst), 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(woken.0.load(SeqCst), 1);
        assert!(wait.poll_unpin(&mut context).is_ready());
    }
}
