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

/// Places of a key, until they are dropped.
#[derive(Debug)]
pub struct KeyedPlace<K: Ord> {
    limit: KeyedLimit<K>,
    key: K,
    count: usize,
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
        if held.values().sum::<usize>() >= self.0.all_max {
            return None;
        }
        self.add(&mut held, key, 1, self.0.own_max).ok()
    }

    /// Takes `count` places, if the key then has at most `own_max`, whatever the limits. `Err`: the number that it would have.
    pub fn take_within(&self, key: &K, count: usize, own_max: usize) -> Result<KeyedPlace<K>, usize> {
        self.add(&mut self.held(), key, count, own_max)
    }

    fn add(
        &self,
        held: &mut BTreeMap<K, usize>,
        key: &K,
        count: usize,
        own_max: usize,
    ) -> Result<KeyedPlace<K>, usize> {
        let own = held.get(key).copied().unwrap_or(0).saturating_add(count);
        if own > own_max {
            return Err(own);
        }
        held.insert(key.clone(), own);
        Ok(KeyedPlace { limit: self.clone(), key: key.clone(), count })
    }
}

impl<K: Ord> Drop for KeyedPlace<K> {
    fn drop(&mut self) {
        let mut held = self.limit.held();
        if let Some(own) = held.get_mut(&self.key) {
            *own = own.saturating_sub(self.count);
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

    #[test]
    fn several_places_are_taken_and_returned_at_once() {
        let bytes = KeyedLimit::new(usize::MAX, usize::MAX);
        let most = bytes.take_within(&'a', 60, 100).ok();
        assert_eq!(bytes.take_within(&'a', 41, 100).err(), Some(101));
        let rest = bytes.take_within(&'a', 40, 100).ok();
        assert!(most.is_some() && rest.is_some() && bytes.take_within(&'b', 100, 100).is_ok());
        drop(most);
        assert_eq!(bytes.take_within(&'a', 61, 100).err(), Some(101));
        drop(rest);
        assert!(bytes.is_empty(), "a key without places is forgotten");
    }
}
