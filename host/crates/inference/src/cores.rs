//! The cores of the machine as permits, shared by all lanes.
//!
//! Each session brings its own threads; without this, two lanes with two threads each would fight for two cores and
//! all would be late. A run takes as many permits as its session has threads and gives them back. First come, first
//! served: a run that needs all cores is not overtaken for ever by runs that need one. The price: a core may idle
//! until the others are done.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A counting semaphore with a queue.
pub(crate) struct Cores {
    total: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    free: usize,
    /// The next number to be given out.
    next: u64,
    /// The number whose turn it is.
    turn: u64,
}

/// Permits; dropped, they are free again.
pub(crate) struct Permit<'a> {
    cores: &'a Cores,
    count: usize,
}

impl Cores {
    pub(crate) fn new(total: usize) -> Self {
        let state = State { free: total, next: 0, turn: 0 };
        Self { total, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits for `count` permits (all of them where it asks for more than there are).
    pub(crate) fn take(&self, count: usize) -> Permit<'_> {
        let count = count.min(self.total);
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        while state.turn != number || state.free < count {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.turn += 1;
        state.free -= count;
        drop(state);
        self.changed.notify_all();
        Permit { cores: self, count }
    }

    /// Nothing panics while it is held, so a poisoned lock holds a sound state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.cores.lock().free += self.count;
        self.cores.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn never_more_are_out_than_there_are() {
        let (cores, out) = (Cores::new(3), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for count in [1, 2, 3, 1, 2, 9] {
                let (cores, out) = (&cores, &out);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let permit = cores.take(count);
                        assert!(out.fetch_add(permit.count, Ordering::SeqCst) + permit.count <= 3);
                        std::thread::yield_now();
                        out.fetch_sub(permit.count, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(cores.lock().free, 3);
    }
}
