//! A gate that counts who is inside and can say who still is.
//!
//! Owns the list of holders of one thing (the house, a revision). Knows nothing of what is behind it.
//! Used by admission (the house) and by revisions (leases), and by draining of both. The idea is
//! neon's `libs/utils/src/sync/gate.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// Who is inside, and since when.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Request id, or what else names the holder.
    pub label: Arc<str>,
    /// When it came in.
    pub since: Instant,
}

/// Why nobody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many are inside as may be.
    Full,
    /// The gate is closed for good.
    Closed,
}

#[derive(Debug, Default)]
struct Inside {
    closed: bool,
    next: u64,
    holders: BTreeMap<u64, Holder>,
}

/// The gate.
#[derive(Debug, Default)]
pub struct DrainGate {
    inside: Mutex<Inside>,
    left: Notify,
}

impl DrainGate {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        // A holder list is whole at every await and at every panic: nothing is lost by a poisoned lock.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one in while fewer than `most` are inside.
    pub fn enter(self: &Arc<Self>, label: Arc<str>, most: usize) -> Result<DrainGuard, Refused> {
        let mut inside = self.lock();
        if inside.closed {
            return Err(Refused::Closed);
        }
        if inside.holders.len() >= most {
            return Err(Refused::Full);
        }
        let key = inside.next;
        inside.next += 1;
        inside.holders.insert(key, Holder { label, since: Instant::now() });
        Ok(DrainGuard { gate: self.clone(), key })
    }

    /// Nobody is let in any more.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How many are inside.
    pub fn count(&self) -> usize {
        self.lock().holders.len()
    }

    /// Who is inside, first come first.
    pub fn holders(&self) -> Vec<Holder> {
        self.lock().holders.values().cloned().collect()
    }

    /// Waits until nobody is inside.
    pub async fn empty(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // Listening begins before the look, so that a leave in between is not missed.
            left.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            left.await;
        }
    }
}

/// The right to be inside; dropping it is leaving.
#[derive(Debug)]
pub struct DrainGuard {
    gate: Arc<DrainGate>,
    key: u64,
}

impl DrainGuard {
    /// Gives the holder a better name than it had when it came in.
    pub fn relabel(&self, label: Arc<str>) {
        if let Some(holder) = self.gate.lock().holders.get_mut(&self.key) {
            holder.label = label;
        }
    }
}

impl Drop for DrainGuard {
    fn drop(&mut self) {
        self.gate.lock().holders.remove(&self.key);
        self.gate.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn says_who_is_inside_and_when_it_is_empty() {
        let gate = Arc::new(DrainGate::default());
        let first = gate.enter("a".into(), 2).unwrap();
        let second = gate.enter("b".into(), 2).unwrap();
        assert_eq!(gate.enter("c".into(), 2).unwrap_err(), Refused::Full);
        second.relabel("b2".into());
        let names: Vec<_> = gate.holders().iter().map(|h| h.label.to_string()).collect();
        assert_eq!(names, ["a", "b2"]);

        gate.close();
        assert_eq!(gate.enter("d".into(), 9).unwrap_err(), Refused::Closed);
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.empty().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }
}
