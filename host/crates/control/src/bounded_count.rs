//! A count with a limit: of documents in flight, of uploads of a tenant.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A count that is given up when its guard is dropped. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct BoundedCount(Arc<AtomicU64>);

/// One counted holder.
#[derive(Debug)]
pub struct CountGuard(BoundedCount);

impl BoundedCount {
    /// Adds a holder if there are fewer than `most`.
    pub fn enter(&self, most: u64) -> Option<CountGuard> {
        let fits = |held: u64| (held < most).then_some(held + 1);
        self.0.try_update(Relaxed, Relaxed, fits).ok()?;
        Some(CountGuard(self.clone()))
    }

    /// Returns the number of holders.
    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn holders_are_bounded_and_counted_back() {
        let count = BoundedCount::default();
        let held = (count.enter(2).unwrap(), count.enter(2).unwrap());
        assert!(count.enter(2).is_none() && count.enter(0).is_none());
        drop(held);
        assert_eq!(count.count(), 0);
        assert!(count.enter(1).is_some());
    }
}
