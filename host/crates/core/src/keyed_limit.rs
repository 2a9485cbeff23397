//! A limit on what is held at once, for each key and in all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The limit, with what is held. Copies share both. A key that holds nothing takes no memory.
#[derive(Clone, Debug)]
pub struct KeyedLimit<K: Ord>(Arc<Shared<K>>);

#[derive(Debug)]
struct Shared<K> {
    own_max: usize,
    all_max: usize,
    held: Mutex<BTreeMap<K, usize>>,
}

/// One of the places of a key, until it is dropped.
#[derive(Debug)]
pub struct KeyedPlace<K: Ord> {
    limit: KeyedLimit<K>,
    key: K,
}

impl<K: Ord> KeyedLimit<K> {
    /// Makes a limit of `own_max` places for each key, and of `all_max` places of all keys.
    pub fn new(own_max: usize, all_max: usize) -> Self {
        Self(Arc::new(Shared { own_max, all_max, held: Mutex::default() }))
    }

    /// Returns whether no key holds a place.
    pub fn is_empty(&self) -> bool {
        self.held().is_empty()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<K, usize>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone> KeyedLimit<K> {
    /// Takes a place; `None`: the key has all of its own, or none is left.
    pub fn take(&self, key: &K) -> Option<KeyedPlace<K>> {
        let mut held = self.held();
        let own = held.get(key).copied().unwrap_or(0);
        if own >= self.0.own_max || held.values().sum::<usize>() >= self.0.all_max {
            return None;
        }
        held.insert(key.clone(), own + 1);
        Some(KeyedPlace { limit: self.clone(), key: key.clone() })
    }
}

impl<K: Ord> Drop for KeyedPlace<K> {
    fn drop(&mut self) {
        let mut held = self.limit.held();
        if let Some(own) = held.get_mut(&self.key) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_by_key_and_in_all() {
        let limit = KeyedLimit::new(2, 3);
        let own: Vec<_> = std::iter::from_fn(|| limit.take(&'a')).take(9).collect();
        assert_eq!(own.len(), 2);
        let other = limit.take(&'b');
        assert!(other.is_some() && limit.take(&'b').is_none() && limit.clone().take(&'c').is_none());
        drop(own);
        let again = limit.take(&'a');
        assert!(again.is_some());
        drop((other, again));
        assert!(limit.is_empty(), "a key without places is forgotten");
    }
}
