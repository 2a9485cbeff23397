//! Openings of lanes: of different models side by side, of one model one at a time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use lector_core::ModelName;

/// Most lanes that one request opens side by side. Each holds the weights of its model twice while its engines are made.
pub(super) const SIDE_BY_SIDE_MAX: usize = 4;

/// The models whose lanes are being opened.
#[derive(Default)]
pub(super) struct Openings {
    models: Mutex<BTreeSet<ModelName>>,
    ended: Condvar,
}

/// The opening of one model; dropping it lets the next opening of the model begin.
pub(super) struct Opening<'a> {
    openings: &'a Openings,
    model: &'a ModelName,
}

impl Openings {
    /// Waits until no other opening of the model runs.
    pub(super) fn begin<'a>(&'a self, model: &'a ModelName) -> Opening<'a> {
        let mut models = self.lock();
        while !models.insert(model.clone()) {
            models = self.ended.wait(models).unwrap_or_else(PoisonError::into_inner);
        }
        Opening { openings: self, model }
    }

    /// No code panics while it holds the lock, so the state of a poisoned lock is consistent.
    fn lock(&self) -> MutexGuard<'_, BTreeSet<ModelName>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.openings.lock().remove(self.model);
        self.openings.ended.notify_all();
    }
}

/// Calls `open` for each item, in order, for up to `at_once` of them at the same time, one of them on the calling thread.
/// Begins none after an error, waits for those that run, and returns the error of the first item that has one.
pub(super) fn side_by_side<T: Sync, E: Send>(
    items: &[T],
    at_once: usize,
    open: impl Fn(&T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<(usize, E)>> = Mutex::new(None);
    let lock = || failed.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        while lock().is_none() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            if let Err(error) = open(item) {
                let mut failed = lock();
                if failed.as_ref().is_none_or(|(earlier, _)| index < *earlier) {
                    *failed = Some((index, error));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..at_once.min(items.len()) {
            let thread = std::thread::Builder::new().name("engine-opening".to_owned());
            // Without it, the other threads open its items.
            if let Err(error) = thread.spawn_scoped(scope, work) {
                tracing::warn!(%error, "a thread that opens lanes cannot be started");
            }
        }
        work();
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::{Duration, Instant};

    use super::*;

    /// Waits for a condition; one that does not hold by the timeout never holds, however busy the machine.
    fn wait_for(condition: impl Fn() -> bool) {
        let give_up = Instant::now() + Duration::from_secs(600);
        while !condition() {
            assert!(Instant::now() < give_up, "the condition never held");
            std::thread::yield_now();
        }
    }

    #[test]
    fn items_are_opened_side_by_side_and_no_more_than_asked() {
        for (items, at_once, expect) in [(9, 3, 3), (2, 4, 2), (3, 1, 1), (0, 4, 0)] {
            let (begun, running) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let items: Vec<usize> = (0..items).collect();
            let opened = side_by_side(&items, at_once, |_| {
                begun.fetch_add(1, Ordering::SeqCst);
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                assert!(now <= expect, "{now} at once");
                // Ends only when as many have begun as may run.
                wait_for(|| begun.load(Ordering::SeqCst) >= expect);
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<(), ()>(())
            });
            assert_eq!((opened, begun.into_inner()), (Ok(()), items.len()));
        }
    }

    #[test]
    fn the_first_error_in_order_is_returned_and_no_more_are_begun() {
        let (begun, second_failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items: Vec<usize> = (0..100).collect();
        let opened = side_by_side(&items, 2, |item| {
            begun.fetch_add(1, Ordering::SeqCst);
            if *item == 0 {
                // Fails after the second one has.
                wait_for(|| second_failed.load(Ordering::SeqCst) == 1);
            } else {
                second_failed.fetch_add(1, Ordering::SeqCst);
            }
            Err(*item)
        });
        assert_eq!(opened, Err(0));
        assert_eq!(begun.into_inner(), 2, "none is begun after an error is known");
    }

    #[test]
    fn a_model_is_opened_by_one_caller_at_a_time_and_others_do_not_wait() {
        let (openings, running) = (Openings::default(), AtomicUsize::new(0));
        let (model, other) = ("a".into(), "b".into());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _opening = openings.begin(&model);
                    assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        let _opening = openings.begin(&model);
        drop(openings.begin(&other));
    }
}
