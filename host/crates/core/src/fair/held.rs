//! Number of permits that each client of a queue holds, and the waiting client that holds the fewest.
//!
//! Kept by the queue, because a client's position changes with its rank. Read by the semaphore for its extra permits.

use std::collections::{BTreeMap, BTreeSet};

/// Holdings by client; a client that holds nothing has no entry. `R`: the rank of a waiting client.
#[derive(Debug)]
pub(super) struct Held<K, R> {
    by_client: BTreeMap<K, usize>,
    /// Number of clients by holding.
    counts: BTreeMap<usize, usize>,
    /// Waiting clients, by holding, then by rank.
    waiting: BTreeSet<(usize, R)>,
}

impl<K, R> Default for Held<K, R> {
    fn default() -> Self {
        Self { by_client: BTreeMap::new(), counts: BTreeMap::new(), waiting: BTreeSet::new() }
    }
}

impl<K: Ord + Clone, R: Ord> Held<K, R> {
    pub(super) fn of(&self, client: &K) -> usize {
        self.by_client.get(client).copied().unwrap_or_default()
    }

    pub(super) fn by_client(&self) -> &BTreeMap<K, usize> {
        &self.by_client
    }

    /// Adds the client to the waiting ones.
    pub(super) fn enter(&mut self, client: &K, rank: R) {
        self.waiting.insert((self.of(client), rank));
    }

    /// Removes the client from the waiting ones.
    pub(super) fn leave(&mut self, client: &K, rank: R) {
        self.waiting.remove(&(self.of(client), rank));
    }

    /// Sets the holding of the client to `held`; `rank` where it waits.
    pub(super) fn set(&mut self, client: &K, held: usize, rank: Option<R>) {
        let before = self.of(client);
        if let Some(rank) = rank
            && let Some((_, rank)) = self.waiting.take(&(before, rank))
        {
            self.waiting.insert((held, rank));
        }
        self.uncount(before);
        if held == 0 {
            self.by_client.remove(client);
        } else {
            self.by_client.insert(client.clone(), held);
            *self.counts.entry(held).or_default() += 1;
        }
    }

    fn uncount(&mut self, held: usize) {
        if let Some(count) = self.counts.get_mut(&held) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&held);
            }
        }
    }

    /// Returns the waiting client that holds the fewest, if it holds nothing, or with one more would still hold fewer
    /// than another client.
    pub(super) fn behind(&self) -> Option<&R> {
        let most = self.counts.last_key_value().map_or(0, |(held, _)| *held);
        let (held, rank) = self.waiting.first()?;
        (*held == 0 || held + 1 < most).then_some(rank)
    }
}
