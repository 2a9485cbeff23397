//! Capability URLs: addresses that a client fetches without its key.
//!
//! A token is 256 random bits, belongs to one tenant and one object, and expires. Tokens are kept in memory, so that none
//! survives the server.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lector_core::{Clock, Fault, TenantName};

use crate::http::problem;

/// Maximum number of valid tokens of a tenant; beyond it the oldest one ends.
const TENANT_LINKS_MAX: usize = 1024;

/// The tokens that are valid.
#[derive(Debug)]
pub(super) struct Links {
    clock: Arc<dyn Clock>,
    links: Mutex<HashMap<String, Link>>,
}

#[derive(Clone, Debug)]
struct Link {
    owner: TenantName,
    object: String,
    issued_ms: u64,
    expires_ms: u64,
}

impl Links {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, links: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Issues a token for an object of a tenant, or returns the one that was issued before if at least half of its time is
    /// left: a client that polls would end its own tokens.
    pub(super) fn issue(&self, owner: &TenantName, object: &str, ttl_ms: u64) -> Result<String, Fault> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(problem::internal)?;
        let token = random.iter().fold(String::with_capacity(64), |mut token, byte| {
            // Cannot fail: the output is a string.
            let _ = write!(token, "{byte:02x}");
            token
        });
        let now_ms = self.clock.now_ms();
        let expires_ms = now_ms.saturating_add(ttl_ms);
        let mut links = self.lock();
        links.retain(|_, link| link.expires_ms > now_ms);
        let is_fresh = |link: &Link| link.expires_ms.saturating_sub(now_ms) >= ttl_ms.div_ceil(2);
        let is_same = |link: &Link| link.owner == *owner && link.object == object;
        if let Some((known, _)) = links.iter().find(|(_, link)| is_same(link) && is_fresh(link)) {
            return Ok(known.clone());
        }
        let own = || links.iter().filter(|(_, link)| link.owner == *owner);
        if own().count() >= TENANT_LINKS_MAX {
            let oldest = own().min_by_key(|(_, link)| link.issued_ms).map(|(token, _)| token.clone());
            if let Some(token) = oldest {
                links.remove(&token);
            }
        }
        let link = Link { owner: owner.clone(), object: object.to_owned(), issued_ms: now_ms, expires_ms };
        links.insert(token.clone(), link);
        Ok(token)
    }

    /// Returns the tenant whose object the token opens.
    pub(super) fn owner(&self, token: &str, object: &str) -> Option<TenantName> {
        let links = self.lock();
        let link = links.get(token).filter(|link| link.object == object)?;
        (link.expires_ms > self.clock.now_ms()).then(|| link.owner.clone())
    }

    /// Ends the tokens of a tenant.
    pub(super) fn forget(&self, owner: &TenantName) {
        self.lock().retain(|_, link| link.owner != *owner);
    }

    /// Forgets expired tokens.
    pub(super) fn purge(&self) {
        let now_ms = self.clock.now_ms();
        self.lock().retain(|_, link| link.expires_ms > now_ms);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::Duration;

    use lector_core::clock::ManualClock;

    use super::*;

    #[test]
    fn a_token_opens_one_object_of_one_tenant_for_a_time() {
        let clock = ManualClock::default();
        let links = Links::new(Arc::new(clock.clone()));
        let acme = TenantName::from("acme");
        let token = links.issue(&acme, "a", 1000).unwrap();
        assert!(token.len() == 64 && token != links.issue(&acme, "c", 1000).unwrap());
        assert_eq!(links.owner(&token, "a"), Some(acme.clone()));
        assert_eq!(links.owner(&token, "b"), None);
        assert_eq!(links.owner(&token.replace(|c: char| c.is_ascii_digit(), "a"), "a"), None);
        clock.advance(Duration::from_millis(1000));
        assert_eq!(links.owner(&token, "a"), None);
        links.purge();
        assert!(links.is_empty());
    }

    #[test]
    fn polls_end_no_token() {
        let clock = ManualClock::default();
        let links = Links::new(Arc::new(clock.clone()));
        let (acme, other) = (TenantName::from("acme"), TenantName::from("other"));
        let token = links.issue(&acme, "a", 1000).unwrap();
        for _ in 0..2 * TENANT_LINKS_MAX {
            assert_eq!(links.issue(&acme, "a", 1000).unwrap(), token);
        }
        assert_ne!(links.issue(&acme, "b", 1000).unwrap(), token);
        assert_ne!(links.issue(&other, "a", 1000).unwrap(), token);
        clock.advance(Duration::from_millis(501));
        let next = links.issue(&acme, "a", 1000).unwrap();
        assert!(next != token && links.owner(&token, "a").is_some(), "it ends with its time");
        assert_eq!(links.issue(&acme, "a", 1000).unwrap(), next);
    }

    #[test]
    fn the_tokens_of_a_tenant_are_bounded() {
        let links = Links::new(Arc::new(ManualClock::default()));
        let other = links.issue(&"other".into(), "a", 1000).unwrap();
        for object in 0..=TENANT_LINKS_MAX {
            links.issue(&"acme".into(), &object.to_string(), 1000).unwrap();
        }
        assert_eq!(links.lock().len(), TENANT_LINKS_MAX + 1);
        links.forget(&"acme".into());
        assert_eq!(links.lock().len(), 1);
        assert!(links.owner(&other, "a").is_some());
    }
}
