//! Authentication: from the text of a key to the right to act for a tenant, or to administer the server.
//!
//! Owns the proof values [`Principal`] and [`Admin`], which no other module can make, and the limit on failed attempts.
//! Independent of HTTP. Called by the gateway for every request, before any other work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lector_core::{Clock, Fault, Kind, RequestId, TenantName};

use crate::directory::Directory;
use crate::key::{self, KeyRecord, Scope};
use crate::tenant::{Limits, Tenant, tenant_not_found};

/// Failed attempts that each get their own reason and log line: burst, and refill per second. Further attempts get
/// `auth_throttled`. Failed attempts of others do not delay a valid key, because the key is checked first, which takes
/// microseconds.
const FAILURES_AT_ONCE: f64 = 20.0;
const FAILURES_PER_S: f64 = 1.0;

/// The actor of an audit event.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Id of the key; `open` on a server without keys, `config` for changes from the configuration, `rollback_policy`
    /// for automatic changes, `cli` for the command line of this machine.
    pub id: String,
    /// The request that caused the change.
    pub request: Option<RequestId>,
}

impl Actor {
    pub(crate) fn named(id: &str) -> Self {
        Self { id: id.to_owned(), request: None }
    }
}

/// The right to act for one tenant. Only [`ControlPlane`](crate::ControlPlane) makes one.
#[derive(Clone, Debug)]
pub struct Principal {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) actor: Actor,
    /// Whether it may do more than read documents: false for a remote client of a server without keys.
    pub(crate) manages: bool,
}

impl Principal {
    /// Returns the tenant's name.
    pub fn tenant(&self) -> &TenantName {
        self.tenant.name()
    }

    /// Returns the tenant with its limits and counters.
    pub fn account(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// Returns the tenant's limits.
    pub fn limits(&self) -> &Limits {
        self.tenant.limits()
    }

    /// Returns the principal with the request id that audit events show.
    pub fn of_request(mut self, request: &RequestId) -> Self {
        self.actor.request = Some(request.clone());
        self
    }

    /// Checks the right to change deployments and keys.
    pub(crate) fn may_manage(&self) -> Result<(), Fault> {
        if self.manages { Ok(()) } else { Err(needs_key()) }
    }
}

/// The right to administer the server. Only [`ControlPlane`](crate::ControlPlane) makes one.
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) actor: Actor,
}

impl Admin {
    /// Returns the right for the command line of this machine: a user with write access to the data folder needs no
    /// key.
    pub fn of_this_machine() -> Self {
        Self { actor: Actor::named("cli") }
    }

    /// Returns the right with the request id that audit events show.
    pub fn of_request(mut self, request: &RequestId) -> Self {
        self.actor.request = Some(request.clone());
        self
    }
}

/// The credentials of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// The key as received.
    pub key: Option<&'a str>,
    /// The tenant that an administrator acts for.
    pub tenant: Option<&'a str>,
    /// Whether the server listens on a loopback address only and the request is meant for it. On a server without keys,
    /// only such requests may change anything.
    pub local: bool,
}

/// The limit on failed attempts, and the clock that decides about it and about the expiry of keys.
#[derive(Debug)]
pub(crate) struct Failures {
    clock: Arc<dyn Clock>,
    /// Attempts left, and the time of the last refill.
    left: Mutex<(f64, Instant)>,
}

impl Failures {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let left = Mutex::new((FAILURES_AT_ONCE, clock.now()));
        Self { clock, left }
    }

    /// Counts a failed attempt; returns whether it is within the limit.
    fn one(&self) -> bool {
        let now = self.clock.now();
        let mut state = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = now.saturating_duration_since(state.1).as_secs_f64() * FAILURES_PER_S;
        let left = (state.0 + earned).min(FAILURES_AT_ONCE);
        let within_limit = left >= 1.0;
        *state = (if within_limit { left - 1.0 } else { left }, now);
        within_limit
    }

    fn refuse(&self, fault: Fault, why: &str) -> Fault {
        if !self.one() {
            let message = "There were too many requests with invalid keys: wait, then send a valid key.";
            return Fault::new(Kind::Busy, "auth_throttled", message).retry_after(Duration::from_secs(5));
        }
        tracing::warn!(why, "a request was rejected because of its key");
        fault
    }
}

/// Returns the record of a valid key, or the reason that the key is not valid.
fn active_key<'a>(
    directory: &'a Directory,
    now_ms: u64,
    text: &str,
) -> Result<&'a Arc<KeyRecord>, &'static str> {
    let (id, secret) = key::parts(text).ok_or("malformed")?;
    let record = directory.keys.get(&id).ok_or("unknown")?;
    if !record.has_secret(secret) {
        return Err("unknown");
    }
    if !record.is_active(now_ms) {
        return Err("revoked or expired");
    }
    Ok(record)
}

/// Authenticates a request that acts for a tenant.
pub(crate) fn principal(
    directory: &Directory,
    failures: &Failures,
    shown: Credentials<'_>,
) -> Result<Principal, Fault> {
    let tenant_of = |name: &TenantName| directory.tenant(name).cloned();
    let Some(text) = shown.key else {
        if !directory.is_open() {
            return Err(failures.refuse(key_missing(), "no key"));
        }
        let name = shown.tenant.map_or_else(|| directory.host.clone(), TenantName::from);
        let tenant = tenant_of(&name)?;
        return Ok(Principal { tenant, actor: Actor::named("open"), manages: shown.local });
    };
    let record = active_key(directory, failures.clock.now_ms(), text)
        .map_err(|why| failures.refuse(key_invalid(), why))?;
    let actor = Actor::named(record.id.as_str());
    let name = match (&record.scope, shown.tenant) {
        (Scope::Tenant(own), None) => own.clone(),
        (Scope::Tenant(own), Some(asked)) if own.as_str() == asked => own.clone(),
        // The answer does not reveal whether the other tenant exists.
        (Scope::Tenant(_), Some(asked)) => return Err(tenant_not_found(asked)),
        (Scope::Admin, None) => directory.host.clone(),
        (Scope::Admin, Some(asked)) => TenantName::from(asked),
    };
    let tenant = tenant_of(&name)?;
    Ok(Principal { tenant, actor, manages: true })
}

/// Authenticates a request that administers the server.
pub(crate) fn admin(
    directory: &Directory,
    failures: &Failures,
    shown: Credentials<'_>,
) -> Result<Admin, Fault> {
    let Some(text) = shown.key else {
        return match (directory.is_open(), shown.local) {
            (true, true) => Ok(Admin { actor: Actor::named("open") }),
            (true, false) => Err(needs_key()),
            (false, _) => Err(failures.refuse(key_missing(), "no key")),
        };
    };
    let record = active_key(directory, failures.clock.now_ms(), text)
        .map_err(|why| failures.refuse(key_invalid(), why))?;
    if record.scope != Scope::Admin {
        let message = "This request needs an administrator key, and the key that was sent is a tenant key: send an \
                       administrator key.";
        return Err(Fault::new(Kind::Denied, "admin_only", message));
    }
    Ok(Admin { actor: Actor::named(record.id.as_str()) })
}

fn key_missing() -> Fault {
    let message = "The request has no key: send a key as `Authorization: Bearer …` or `X-Api-Key: …`.";
    Fault::new(Kind::Denied, "key_missing", message)
}

/// Returns the fault of an invalid key, the same for every reason; the log has the reason.
fn key_invalid() -> Fault {
    let message = "The key is not valid: it is unknown, revoked or expired. Send another key.";
    Fault::new(Kind::Denied, "key_invalid", message)
}

fn needs_key() -> Fault {
    let message = "This request is accepted from the server's own machine only, because the server has no keys: create an \
                   administrator key there (`lector keys create --admin`) and send it.";
    Fault::new(Kind::Denied, "local_only", message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::{BTreeMap, HashMap};

    use lector_core::clock::ManualClock;

    use super::*;
    use crate::tenant::{TenantPolicy, TenantRecord};
    use crate::usage_counters::UsageCounters;

    struct TestServer {
        directory: Directory,
        acme: String,
        admin: String,
        failures: Failures,
        clock: ManualClock,
    }

    fn server() -> TestServer {
        let mut keys = HashMap::new();
        let mut make = |scope| {
            let new = key::make(scope, String::new(), 0).unwrap();
            keys.insert(new.record.id.clone(), Arc::new(new.record));
            new.text.reveal().to_owned()
        };
        let (acme, admin) = (make(Scope::Tenant("acme".into())), make(Scope::Admin));
        let clock = ManualClock::default();
        let counted: Arc<dyn Clock> = Arc::new(clock.clone());
        let tenant = |name: &str| {
            let record =
                TenantRecord { name: name.into(), created_at_ms: 0, policy: TenantPolicy::default() };
            (TenantName::from(name), Tenant::new(record, Arc::new(UsageCounters::new(counted.clone())), 0))
        };
        let directory = Directory {
            host: "default".into(),
            default: "standard".into(),
            tenants: BTreeMap::from([tenant("default"), tenant("acme"), tenant("other")]),
            keys,
            deployments: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            damaged: Vec::new(),
        };
        TestServer { directory, acme, admin, failures: Failures::new(counted), clock }
    }

    fn shown<'a>(key: &'a str, tenant: Option<&'a str>) -> Credentials<'a> {
        Credentials { key: Some(key), tenant, local: true }
    }

    #[test]
    fn a_key_acts_for_its_tenant_only() {
        let TestServer { directory, acme, admin: ops, failures, .. } = server();
        let of = |key: &str, tenant: Option<&str>| {
            let principal = principal(&directory, &failures, shown(key, tenant));
            principal.map(|principal| principal.tenant().to_string()).map_err(|fault| fault.code)
        };
        assert_eq!(of(&acme, None), Ok("acme".into()));
        assert_eq!(of(&acme, Some("acme")), Ok("acme".into()));
        assert_eq!(of(&acme, Some("other")), Err("tenant_not_found"));
        assert_eq!(of(&acme, Some("nobody")), Err("tenant_not_found"));
        assert_eq!(of(&ops, None), Ok("default".into()));
        assert_eq!(of(&ops, Some("other")), Ok("other".into()));
        // Changes the last digit. A fixed digit would leave one key in sixteen unchanged.
        let (start, last) = acme.split_at(acme.len() - 1);
        let forged = format!("{start}{}", if last == "0" { "1" } else { "0" });
        assert_eq!(of(&forged, None).unwrap_err(), "key_invalid");
        let none = principal(&directory, &failures, Credentials { local: true, ..Credentials::default() });
        assert_eq!(none.unwrap_err().code, "key_missing");
        assert_eq!(admin(&directory, &failures, shown(&acme, None)).unwrap_err().code, "admin_only");
        assert!(admin(&directory, &failures, shown(&ops, None)).is_ok());
    }

    #[test]
    fn revoked_keys_are_reported_like_unknown_ones() {
        let TestServer { mut directory, acme, failures, .. } = server();
        let id = key::parts(&acme).unwrap().0;
        let mut record = (*directory.keys[&id]).clone();
        record.revoked_at_ms = Some(1);
        directory.keys.insert(id, Arc::new(record));
        let refused = principal(&directory, &failures, shown(&acme, None)).unwrap_err();
        let unknown = key::make(Scope::Admin, String::new(), 0).unwrap().text.reveal().to_owned();
        let other = principal(&directory, &failures, shown(&unknown, None)).unwrap_err();
        assert_eq!((refused.code, refused.message), (other.code, other.message));
    }

    #[test]
    fn a_server_without_keys_is_open_and_managed_from_its_own_machine() {
        let TestServer { mut directory, failures, .. } = server();
        directory.keys.clear();
        let near = Credentials { local: true, ..Credentials::default() };
        assert!(principal(&directory, &failures, near).unwrap().may_manage().is_ok());
        assert!(admin(&directory, &failures, near).is_ok());
        let far = Credentials::default();
        assert_eq!(
            principal(&directory, &failures, far).unwrap().may_manage().unwrap_err().code,
            "local_only"
        );
        assert_eq!(admin(&directory, &failures, far).unwrap_err().code, "local_only");
    }

    #[test]
    fn failed_attempts_are_limited_and_valid_keys_are_not() {
        let TestServer { directory, acme, failures, clock, .. } = server();
        let bad = format!("lk_{}_{}", "0".repeat(16), "0".repeat(64));
        let codes: Vec<_> =
            (0..40).map(|_| principal(&directory, &failures, shown(&bad, None)).unwrap_err().code).collect();
        assert_eq!((codes[19], codes[20], codes[39]), ("key_invalid", "auth_throttled", "auth_throttled"));
        assert!(principal(&directory, &failures, shown(&acme, None)).is_ok());
        clock.advance(Duration::from_secs(1));
        let code = || principal(&directory, &failures, shown(&bad, None)).unwrap_err().code;
        assert_eq!((code(), code()), ("key_invalid", "auth_throttled"), "one attempt a second");
    }

    #[test]
    fn a_key_expires() {
        let TestServer { mut directory, acme, failures, clock, .. } = server();
        let id = key::parts(&acme).unwrap().0;
        let mut record = (*directory.keys[&id]).clone();
        record.expires_at_ms = Some(clock.now_ms() + 60_000);
        directory.keys.insert(id, Arc::new(record));
        let code = || principal(&directory, &failures, shown(&acme, None)).err().map(|fault| fault.code);
        clock.advance(Duration::from_millis(59_999));
        assert_eq!(code(), None);
        clock.advance(Duration::from_millis(1));
        assert_eq!(code(), Some("key_invalid"));
    }
}
