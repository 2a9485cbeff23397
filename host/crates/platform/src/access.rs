//! Who is asking: from the text of a key to the right to act for a tenant, or for the house.
//!
//! Owns the proof values [`Caller`] and [`Admin`], which nothing else can make, and the bound on failed attempts. Knows no
//! HTTP. Called by the gateway for every request, before anything else is looked at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lector_core::{Fault, Kind, RequestId, TenantName};

use crate::directory::Directory;
use crate::key::{self, KeyRecord, Scope};
use crate::meter::now_ms;
use crate::tenant::{Limits, Tenant};

/// Failed attempts that are each told and logged, at once and a second; the rest is told to wait. A good key is never
/// held up by others' bad ones: it is looked at first, which takes microseconds.
const FAILURES_AT_ONCE: f64 = 20.0;
const FAILURES_PER_S: f64 = 1.0;

/// Who does something, for the audit log.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Id of the key; `open` where the house has no keys, `config` for what the configuration says, `watch` for what
    /// the platform does by itself, `cli` for the command line of this machine.
    pub id: String,
    /// The request that asked for it.
    pub request: Option<RequestId>,
}

impl Actor {
    pub(crate) fn named(id: &str) -> Self {
        Self { id: id.to_owned(), request: None }
    }
}

/// The right to act for one tenant. Only [`crate::Platform`] makes one.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) actor: Actor,
    /// Whether it may do more than read documents: not those who came through an open door from elsewhere.
    pub(crate) manages: bool,
}

impl Caller {
    /// For whom.
    pub fn tenant(&self) -> &TenantName {
        self.tenant.name()
    }

    /// The tenant's bounds.
    pub fn limits(&self) -> &Limits {
        self.tenant.limits()
    }

    /// The same, as the doing of a request.
    pub fn of_request(mut self, request: &RequestId) -> Self {
        self.actor.request = Some(request.clone());
        self
    }

    /// Whether it may change deployments and keys; a fault where it may only read documents.
    pub(crate) fn may_manage(&self) -> Result<(), Fault> {
        if self.manages { Ok(()) } else { Err(needs_key()) }
    }
}

/// The right to act for the house. Only [`crate::Platform`] makes one.
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) actor: Actor,
}

impl Admin {
    /// The command line of the machine itself: who can write the data folder needs no key.
    pub fn of_this_machine() -> Self {
        Self { actor: Actor::named("cli") }
    }

    /// The same, as the doing of a request.
    pub fn of_request(mut self, request: &RequestId) -> Self {
        self.actor.request = Some(request.clone());
        self
    }
}

/// What a request shows of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// The key, as it was sent.
    pub key: Option<&'a str>,
    /// The tenant that an administrator acts for.
    pub tenant: Option<&'a str>,
    /// Whether it comes to an address of this machine alone and is meant for one: what an open house asks of those who
    /// want to change something.
    pub local: bool,
}

/// Bounds failed attempts.
#[derive(Debug)]
pub(crate) struct Failures(Mutex<(f64, Instant)>);

impl Default for Failures {
    fn default() -> Self {
        Self(Mutex::new((FAILURES_AT_ONCE, Instant::now())))
    }
}

impl Failures {
    /// Counts one; whether it is still worth telling apart.
    fn one(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = now.saturating_duration_since(state.1).as_secs_f64() * FAILURES_PER_S;
        let left = (state.0 + earned).min(FAILURES_AT_ONCE);
        let told = left >= 1.0;
        *state = (if told { left - 1.0 } else { left }, now);
        told
    }

    fn refuse(&self, fault: Fault, why: &str) -> Fault {
        if !self.one(Instant::now()) {
            let message = "Too many attempts with bad keys: wait, and send a good one.";
            return Fault::new(Kind::Busy, "auth_throttled", message).retry_after(Duration::from_secs(5));
        }
        tracing::warn!(why, "a request was refused for its key");
        fault
    }
}

/// The key's record, if the key is good.
fn good_key<'a>(directory: &'a Directory, text: &str) -> Result<&'a Arc<KeyRecord>, &'static str> {
    let (id, secret) = key::parts(text).ok_or("not of the form of a key")?;
    let record = directory.keys.get(&id).ok_or("no such key")?;
    if !record.is_opened_by(secret) {
        return Err("no such key");
    }
    if !record.is_good(now_ms()) {
        return Err("revoked or expired");
    }
    Ok(record)
}

/// The right that a request has to act for a tenant.
pub(crate) fn caller(directory: &Directory, failures: &Failures, shown: Shown<'_>) -> Result<Caller, Fault> {
    let tenant_of = |name: &TenantName| directory.tenant(name).cloned();
    let Some(text) = shown.key else {
        if !directory.is_open() {
            return Err(failures.refuse(key_missing(), "no key"));
        }
        let name = shown.tenant.map_or_else(|| directory.host.clone(), TenantName::from);
        let tenant = tenant_of(&name)?;
        return Ok(Caller { tenant, actor: Actor::named("open"), manages: shown.local });
    };
    let record = good_key(directory, text).map_err(|why| failures.refuse(key_invalid(), why))?;
    let actor = Actor::named(record.id.as_str());
    let name = match (&record.scope, shown.tenant) {
        (Scope::Tenant(own), None) => own.clone(),
        (Scope::Tenant(own), Some(asked)) if own.as_str() == asked => own.clone(),
        // The same answer whether the other one is there or not.
        (Scope::Tenant(_), Some(asked)) => return Err(tenant_not_found(asked)),
        (Scope::Admin, None) => directory.host.clone(),
        (Scope::Admin, Some(asked)) => TenantName::from(asked),
    };
    let tenant = tenant_of(&name)?;
    Ok(Caller { tenant, actor, manages: true })
}

/// The right that a request has to act for the house.
pub(crate) fn admin(directory: &Directory, failures: &Failures, shown: Shown<'_>) -> Result<Admin, Fault> {
    let Some(text) = shown.key else {
        return match (directory.is_open(), shown.local) {
            (true, true) => Ok(Admin { actor: Actor::named("open") }),
            (true, false) => Err(needs_key()),
            (false, _) => Err(failures.refuse(key_missing(), "no key")),
        };
    };
    let record = good_key(directory, text).map_err(|why| failures.refuse(key_invalid(), why))?;
    if record.scope != Scope::Admin {
        let message = "This takes an administrator's key: the one that was sent is a tenant's.";
        return Err(Fault::new(Kind::Denied, "admin_only", message));
    }
    Ok(Admin { actor: Actor::named(record.id.as_str()) })
}

fn key_missing() -> Fault {
    let message = "The request has no key: send one as `Authorization: Bearer …` or `X-Api-Key: …`.";
    Fault::new(Kind::Denied, "key_missing", message)
}

/// One sentence for every way in which a key can be no good: which one it is, is for the log.
fn key_invalid() -> Fault {
    let message = "The key is not good: it is unknown, revoked or expired. Send another one.";
    Fault::new(Kind::Denied, "key_invalid", message)
}

fn needs_key() -> Fault {
    let message = "Without keys, this can be done from the server's own machine only: make an administrator's key there \
                   (`lector keys make --admin`) and send it.";
    Fault::new(Kind::Denied, "local_only", message)
}

pub(crate) fn tenant_not_found(name: &str) -> Fault {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    Fault::new(
        Kind::NotFound,
        "tenant_not_found",
        format!("There is no tenant `{shown}` that the key could act for."),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::{BTreeMap, HashMap};

    use super::*;
    use crate::meter::Meter;
    use crate::tenant::{TenantRecord, TenantTerms};

    struct House {
        directory: Directory,
        acme: String,
        admin: String,
    }

    fn house() -> House {
        let mut keys = HashMap::new();
        let mut make = |scope| {
            let new = key::make(scope, String::new(), 0).unwrap();
            keys.insert(new.record.id.clone(), Arc::new(new.record));
            new.text.reveal().to_owned()
        };
        let (acme, admin) = (make(Scope::Tenant("acme".into())), make(Scope::Admin));
        let tenant = |name: &str| {
            let record = TenantRecord { name: name.into(), created_at_ms: 0, terms: TenantTerms::default() };
            (TenantName::from(name), Tenant::new(record, Arc::new(Meter::default()), 0))
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
        House { directory, acme, admin }
    }

    fn shown<'a>(key: &'a str, tenant: Option<&'a str>) -> Shown<'a> {
        Shown { key: Some(key), tenant, local: true }
    }

    #[test]
    fn a_key_acts_for_its_tenant_and_for_nobody_else() {
        let House { directory, acme, admin: ops } = house();
        let failures = Failures::default();
        let of = |key: &str, tenant: Option<&str>| {
            let caller = caller(&directory, &failures, shown(key, tenant));
            caller.map(|caller| caller.tenant().to_string()).map_err(|fault| fault.code)
        };
        assert_eq!(of(&acme, None), Ok("acme".into()));
        assert_eq!(of(&acme, Some("acme")), Ok("acme".into()));
        assert_eq!(of(&acme, Some("other")), Err("tenant_not_found"));
        assert_eq!(of(&acme, Some("nobody")), Err("tenant_not_found"));
        assert_eq!(of(&ops, None), Ok("default".into()));
        assert_eq!(of(&ops, Some("other")), Ok("other".into()));
        // Its last digit changed: a digit set whatever it was would leave one key in sixteen as it is.
        let (start, last) = acme.split_at(acme.len() - 1);
        let forged = format!("{start}{}", if last == "0" { "1" } else { "0" });
        assert_eq!(of(&forged, None).unwrap_err(), "key_invalid");
        let none = caller(&directory, &failures, Shown { local: true, ..Shown::default() });
        assert_eq!(none.unwrap_err().code, "key_missing");
        assert_eq!(admin(&directory, &failures, shown(&acme, None)).unwrap_err().code, "admin_only");
        assert!(admin(&directory, &failures, shown(&ops, None)).is_ok());
    }

    #[test]
    fn revoked_keys_are_told_like_unknown_ones() {
        let House { mut directory, acme, .. } = house();
        let id = key::parts(&acme).unwrap().0;
        let mut record = (*directory.keys[&id]).clone();
        record.revoked_at_ms = Some(1);
        directory.keys.insert(id, Arc::new(record));
        let refused = caller(&directory, &Failures::default(), shown(&acme, None)).unwrap_err();
        let unknown = key::make(Scope::Admin, String::new(), 0).unwrap().text.reveal().to_owned();
        let other = caller(&directory, &Failures::default(), shown(&unknown, None)).unwrap_err();
        assert_eq!((refused.code, refused.message), (other.code, other.message));
    }

    #[test]
    fn a_house_without_keys_is_open_and_managed_from_its_own_machine() {
        let House { mut directory, .. } = house();
        directory.keys.clear();
        let failures = Failures::default();
        let near = Shown { local: true, ..Shown::default() };
        assert!(caller(&directory, &failures, near).unwrap().may_manage().is_ok());
        assert!(admin(&directory, &failures, near).is_ok());
        let far = Shown::default();
        assert_eq!(caller(&directory, &failures, far).unwrap().may_manage().unwrap_err().code, "local_only");
        assert_eq!(admin(&directory, &failures, far).unwrap_err().code, "local_only");
    }

    #[test]
    fn guessing_is_slowed_down_and_good_keys_are_not() {
        let House { directory, acme, .. } = house();
        let failures = Failures::default();
        let bad = format!("lk_{}_{}", "0".repeat(16), "0".repeat(64));
        let codes: Vec<_> =
            (0..40).map(|_| caller(&directory, &failures, shown(&bad, None)).unwrap_err().code).collect();
        assert_eq!((codes[0], codes[39]), ("key_invalid", "auth_throttled"));
        assert!(caller(&directory, &failures, shown(&acme, None)).is_ok());
    }
}
