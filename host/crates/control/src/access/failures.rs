//! The limit on failed attempts to authenticate, for each client address.
//!
//! Owns a bounded table of addresses. A valid key is never delayed: it is checked first, which takes microseconds. The
//! limit bounds log lines and the answers that say why a key failed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lector_core::{Clock, Fault, Kind};

/// Failed attempts of one address that each get their own reason: burst, and refill per second. Further attempts get
/// `auth_throttled`.
const FAILURES_AT_ONCE: f64 = 20.0;
const FAILURES_PER_S: f64 = 1.0;
/// Most addresses with a limit of their own; while the table is full, further addresses share one limit.
const ADDRESSES_MAX: usize = 4096;

/// The attempts that are left, and when they were counted.
type Bucket = (f64, Instant);

#[derive(Debug)]
struct State {
    /// `None`: clients without a known address, and those beyond [`ADDRESSES_MAX`].
    by_address: HashMap<Option<IpAddr>, Bucket>,
    /// Log lines, for all addresses together.
    log: Bucket,
}

/// The limit on failed attempts, and the clock that decides about it and about the expiry of keys.
#[derive(Debug)]
pub(crate) struct Failures {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

fn left(bucket: Bucket, now: Instant) -> f64 {
    let earned = now.saturating_duration_since(bucket.1).as_secs_f64() * FAILURES_PER_S;
    (bucket.0 + earned).min(FAILURES_AT_ONCE)
}

/// Takes one attempt; returns whether there was one.
fn take(bucket: &mut Bucket, now: Instant) -> bool {
    let left = left(*bucket, now);
    let within_limit = left >= 1.0;
    *bucket = (if within_limit { left - 1.0 } else { left }, now);
    within_limit
}

impl State {
    fn attempt(&mut self, peer: Option<IpAddr>, now: Instant) -> bool {
        let known = self.by_address.contains_key(&peer);
        if !known && self.by_address.len() >= ADDRESSES_MAX {
            // An address whose attempts are all refilled is like an unknown one.
            self.by_address.retain(|_, bucket| left(*bucket, now) < FAILURES_AT_ONCE);
        }
        let has_room = known || self.by_address.len() < ADDRESSES_MAX;
        let bucket = self.by_address.entry(peer.filter(|_| has_room)).or_insert((FAILURES_AT_ONCE, now));
        take(bucket, now)
    }
}

impl Failures {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let log = (FAILURES_AT_ONCE, clock.now());
        Self { clock, state: Mutex::new(State { by_address: HashMap::new(), log }) }
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Counts a failed attempt of `peer`; returns the fault to answer with.
    pub(super) fn refuse(&self, peer: Option<IpAddr>, fault: Fault, why: &str) -> Fault {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let within_limit = state.attempt(peer, now);
        let logged = within_limit && take(&mut state.log, now);
        drop(state);
        if logged {
            let peer = peer.map(|peer| peer.to_string());
            tracing::warn!(why, peer, "a request was rejected because of its key");
        }
        if within_limit {
            return fault;
        }
        let message =
            "There were too many requests with invalid keys from your address: wait, then send a valid key.";
        Fault::new(Kind::Busy, "auth_throttled", message).retry_after(Duration::from_secs(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> Option<IpAddr> {
        Some(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn the_table_is_bounded_and_recovers() {
        let failures = Failures::new(Arc::new(crate::clock::SystemClock));
        let mut state = failures.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let many = u32::try_from(ADDRESSES_MAX).unwrap_or(u32::MAX);
        assert!((0..many).all(|number| state.attempt(address(number), now)));
        // Addresses beyond the table share one limit.
        let shared = (0..100).filter(|number| state.attempt(address(many + number), now)).count();
        assert_eq!(shared, FAILURES_AT_ONCE as usize);
        assert!(state.by_address.len() <= ADDRESSES_MAX + 1);
        assert!(state.attempt(address(7), now), "an address in the table is not affected");
        let later = now + Duration::from_secs(60);
        assert!(state.attempt(address(many + 500), later));
        assert!(state.by_address.len() < 10, "refilled addresses are forgotten");
    }
}
