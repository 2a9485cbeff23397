//! The drain gate: counts and lists the holders of one object, and waits for the last.
//!
//! Owns the list of holders. Independent of the guarded object. Used by admission (all documents of the server) and by
//! revisions (leases), and when either drains. The idea is from neon's `libs/utils/src/sync/gate.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// A holder, and the time since which it holds the gate.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Request id, or another label of the holder.
    pub label: Arc<str>,
    /// Time of entry.
    pub since: Instant,
}

/// The reason that a caller was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The number of holders is at the maximum.
    Full,
    /// The gate is closed permanently.
    Closed,
}

#[derive(Debug, Default)]
struct Inside {
    closed: bool,
    next: u64,
    holders: BTreeMap<u64, Holder>,
}

/// The drain gate.
#[derive(Debug, Default)]
pub struct DrainGate {
    inside: Mutex<Inside>,
    left: Notify,
}

impl DrainGate {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        // The list is consistent at every panic, so a poisoned lock loses nothing.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters the gate if it has fewer than `most` holders.
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

    /// Closes the gate: later calls of [`enter`](Self::enter) fail.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// Returns whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Returns the number of holders.
    pub fn count(&self) -> usize {
        self.lock().holders.len()
    }

    /// Returns the holders, first come first.
    pub fn holders(&self) -> Vec<Holder> {
        self.lock().holders.values().cloned().collect()
    }

    /// Waits until there are no holders.
    pub async fn empty(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // Enabled before the check, so that a holder that leaves in between is not missed.
            left.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            left.await;
        }
    }
}

/// A hold on the gate, released on drop.
#[derive(Debug)]
pub struct DrainGuard {
    gate: Arc<DrainGate>,
    key: u64,
}

impl DrainGuard {
    /// Enters the gate once more, even if it is closed: for work that began before.
    pub fn again(&self) -> Self {
        let mut inside = self.gate.lock();
        let label = inside.holders.get(&self.key).map_or_else(|| "".into(), |holder| holder.label.clone());
        let key = inside.next;
        inside.next += 1;
        inside.holders.insert(key, Holder { label, since: Instant::now() });
        drop(inside);
        Self { gate: self.gate.clone(), key }
    }

    /// Changes the label of the holder.
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
    async fn lists_holders_and_waits_until_empty() {
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
