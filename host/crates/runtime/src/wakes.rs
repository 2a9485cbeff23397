//! Wakes of a guest by itself during its poll.
//!
//! A guest that yields wakes itself. Passed to tokio, such a wake costs more than the guest's own computing: the task
//! is queued, another thread is woken to look for work, and no tenant is charged for the time of these threads. So a
//! poll is repeated in place until its slice is over; only then does the wake reach tokio. Called by `meter`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Wake, Waker};

use futures::task::AtomicWaker;

/// No poll is in progress.
const IDLE: u8 = 0;
/// A poll is in progress, and no wake has come since it began.
const POLLING: u8 = 1;
/// A wake has come; further wakes are not needed.
const WOKEN: u8 = 2;

/// The waker that a guest's future is polled with.
#[derive(Debug, Default)]
pub struct Wakes {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wakes {
    /// Begins a poll for a task with the waker `task`.
    pub fn begin(self: &Arc<Self>, task: &Waker) -> Waker {
        self.task.register(task);
        self.again();
        Waker::from(Arc::clone(self))
    }

    /// Begins the next poll in place.
    pub fn again(&self) {
        self.state.store(POLLING, Ordering::SeqCst);
    }

    /// Ends the poll. Returns whether a wake came meanwhile; the caller must then poll again or wake the task.
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
        let task_wakes = || count.0.load(Ordering::SeqCst);
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.begin(&Waker::from(count.clone()));
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert!(wakes.end(), "woken inside");
        assert_eq!(task_wakes(), 0, "the task is not woken");
        wakes.again();
        assert!(!wakes.end(), "nothing came");
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert_eq!(task_wakes(), 1, "one wake is enough");
    }
}
