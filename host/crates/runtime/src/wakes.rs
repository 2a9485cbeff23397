//! Wakes that a guest gives itself while it is being polled.
//!
//! A guest that yields wakes itself. Handed to tokio, such a wake costs the machine more than the guest's own computing:
//! the task goes into a queue, another thread is woken to look for work, and what these threads spend is on nobody's
//! account. So a poll is repeated in place until its slice is over; only then does the wake reach tokio. Called by
//! `meter`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Wake, Waker};

use futures::task::AtomicWaker;

/// Nobody polls.
const IDLE: u8 = 0;
/// A poll is in progress, and no wake has come since it began.
const POLLING: u8 = 1;
/// A wake has come; nobody needs another one.
const WOKEN: u8 = 2;

/// What a guest's future is polled with.
#[derive(Debug, Default)]
pub struct Wakes {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wakes {
    /// A poll begins for a task with this waker.
    pub fn begin(self: &Arc<Self>, task: &Waker) -> Waker {
        self.task.register(task);
        self.again();
        Waker::from(Arc::clone(self))
    }

    /// The next poll begins.
    pub fn again(&self) {
        self.state.store(POLLING, Ordering::SeqCst);
    }

    /// The poll has ended. Whether a wake came meanwhile: whoever asks must poll again, or wake the task.
    pub fn end(&self) -> bool {
        self.state.compare_exchange(POLLING, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_err()
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::SeqCst) == IDLE {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_wake_inside_a_poll_is_reported_once_and_one_outside_reaches_the_task() {
        struct Count(std::sync::atomic::AtomicU32);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let count = Arc::new(Count(0.into()));
        let recorded_fault = || count.0.load(Ordering::SeqCst);
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.begin(&Waker::from(count.clone()));
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert!(wakes.end(), "woken inside");
        assert_eq!(recorded_fault(), 0, "the task does not hear of it");
        wakes.again();
        assert!(!wakes.end(), "nothing came");
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert_eq!(recorded_fault(), 1, "one wake is enough");
    }
}
