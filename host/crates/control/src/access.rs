//! Authentication: from the text of a key to the right to act for a tenant, or to administer the server.
//!
//! Owns the proof values [`Principal`] and [`Admin`], which no other module can make. The limit on failed attempts is
//! in `access/failures.rs`.
//! Independent of HTTP. Called by the gateway for every request, before any other work.

mod failures;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lector_core::fair::Account;
use lector_core::{Fault, Kind, RequestId, TenantName};

use crate::directory::Directory;
use crate::key::{self, KeyId, KeyRecord, Scope};
use crate::tenant::{Limits, Tenant, tenant_not_found};

pub(crate) use failures::Failures;

/// The actor of an audit event.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Id of the key; `open` on a server without keys, `config` for changes from the configuration, `rollback_policy`
    /// for automatic changes, `cli` for the command line of this machine.
    pub id: String,
    /// The request that caused the change.
    pub request: Option<RequestId>,
    /// The account that its mutations wait on; `None`: that of administrators and of the server itself.
    pub(crate) account: Option<Account>,
    /// The reason why it has its rights.
    pub(crate) grant: Grant,
}

impl Actor {
    /// Returns an actor of the host itself.
    pub(crate) fn named(id: &str) -> Self {
        Self { id: id.to_owned(), request: None, account: None, grant: Grant::Host }
    }

    /// Returns the actor of a client of a server without keys.
    fn open() -> Self {
        Self { grant: Grant::Open, ..Self::named("open") }
    }

    /// Returns the actor of a key.
    fn of_key(id: &KeyId) -> Self {
        Self { grant: Grant::Key(id.clone()), ..Self::named(id.as_str()) }
    }

    /// Returns the actor with the account of a tenant.
    pub(crate) fn on_account_of(self, tenant: &Tenant) -> Self {
        Self { account: Some(tenant.account()), ..self }
    }
}

/// The reason why a request has its rights. An event stream, and a mutation that has waited, check again whether it still
/// holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// A key.
    Key(KeyId),
    /// The server has no keys.
    Open,
    /// The host itself: configuration, background tasks, the command line of this machine.
    Host,
}

impl Grant {
    /// Returns the time for which the grant holds at most; `None` if it has ended.
    pub(crate) fn valid_for(&self, directory: &Directory, now_ms: u64) -> Option<Duration> {
        match self {
            Self::Key(id) => {
                let record = directory.keys.get(id).filter(|record| record.is_active(now_ms))?;
                let until = |at: u64| Duration::from_millis(at.saturating_sub(now_ms));
                Some(record.expires_at_ms.map_or(Duration::MAX, until))
            }
            Self::Open => directory.is_open().then_some(Duration::MAX),
            Self::Host => Some(Duration::MAX),
        }
    }

    /// Returns the fault of a request whose grant has ended: the one that its next request would get.
    pub(crate) fn ended(&self) -> Fault {
        match self {
            Self::Key(_) | Self::Host => key_invalid(),
            Self::Open => key_missing(),
        }
    }
}

/// The right to act for one tenant. Only [`ControlPlane`](crate::ControlPlane) makes one.
#[derive(Clone, Debug)]
pub struct Principal {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) actor: Actor,
    /// Whether it may do more than read documents: false for a remote client of a server without keys.
    pub(crate) manages: bool,
    /// Whether an administrator named no tenant, so that it acts for the host's own.
    pub(crate) tenant_not_named: bool,
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

    /// Checks the right to deploy. An administrator must name the tenant: a deploy into the host's own tenant by
    /// omission would create a deployment that its tenant does not find.
    pub(crate) fn may_deploy(&self) -> Result<(), Fault> {
        self.may_manage()?;
        if self.tenant_not_named {
            let message = format!(
                "The key is an administrator's, and the deploy names no tenant: send the header `X-Lector-Tenant` (command \
                 line: `--set client.tenant=NAME`), for example `{}` for the owner of the shared deployments.",
                self.tenant()
            );
            return Err(Fault::new(Kind::Invalid, "tenant_missing", message));
        }
        Ok(())
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
    /// Whether the request names another host than this server, or comes from a page of another site. A server without
    /// keys rejects it: a web page in a browser on this machine must not use the server (DNS rebinding).
    pub foreign: bool,
    /// The address of the client, for the limit on failed attempts.
    pub peer: Option<IpAddr>,
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
            return Err(failures.refuse(shown.peer, key_missing(), "no key"));
        }
        if shown.foreign {
            return Err(foreign_host());
        }
        let name = shown.tenant.map_or_else(|| directory.host.clone(), TenantName::from);
        let tenant = tenant_of(&name)?;
        return Ok(Principal {
            actor: Actor::open().on_account_of(&tenant),
            tenant,
            manages: shown.local,
            tenant_not_named: false,
        });
    };
    let record = active_key(directory, failures.clock().now_ms(), text)
        .map_err(|why| failures.refuse(shown.peer, key_invalid(), why))?;
    let name = match (&record.scope, shown.tenant) {
        (Scope::Tenant(own), None) => own.clone(),
        (Scope::Tenant(own), Some(asked)) if own.as_str() == asked => own.clone(),
        // The answer does not reveal whether the other tenant exists.
        (Scope::Tenant(_), Some(asked)) => return Err(tenant_not_found(asked)),
        (Scope::Admin, None) => directory.host.clone(),
        (Scope::Admin, Some(asked)) => TenantName::from(asked),
    };
    let tenant = tenant_of(&name)?;
    // An administrator that acts for a tenant does not wait for the mutations of the tenant.
    let actor = match record.scope {
        Scope::Admin => Actor::of_key(&record.id),
        Scope::Tenant(_) => Actor::of_key(&record.id).on_account_of(&tenant),
    };
    let tenant_not_named = record.scope == Scope::Admin && shown.tenant.is_none();
    Ok(Principal { tenant, actor, manages: true, tenant_not_named })
}

/// Authenticates a request that administers the server.
pub(crate) fn admin(
    directory: &Directory,
    failures: &Failures,
    shown: Credentials<'_>,
) -> Result<Admin, Fault> {
    let Some(text) = shown.key else {
        return match (directory.is_open(), shown.local) {
            (true, _) if shown.foreign => Err(foreign_host()),
            (true, true) => Ok(Admin { actor: Actor::open() }),
            (true, false) => Err(needs_key()),
            (false, _) => Err(failures.refuse(shown.peer, key_missing(), "no key")),
        };
    };
    let record = active_key(directory, failures.clock().now_ms(), text)
        .map_err(|why| failures.refuse(shown.peer, key_invalid(), why))?;
    if record.scope != Scope::Admin {
        let message = "This request needs an administrator key, and the key that was sent is a tenant key: send an \
                       administrator key.";
        return Err(Fault::new(Kind::Denied, "admin_only", message));
    }
    Ok(Admin { actor: Actor::of_key(&record.id) })
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

/// Returns the fault of a request to a server without keys that may come from a web page.
fn foreign_host() -> Fault {
    let message = "The server has no keys, and the request names another host or comes from a page of another site: address the \
                   server as `localhost` or by its loopback address, or create an administrator key there \
                   (`lector keys create --admin`) and send it.";
    Fault::new(Kind::Denied, "foreign_host", message)
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

    use lector_core::Clock;
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
        Credentials { key: Some(key), tenant, local: true, ..Credentials::default() }
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
        let deploys = |key: &str, tenant: Option<&str>| {
            let principal = principal(&directory, &failures, shown(key, tenant)).unwrap();
            principal.may_deploy().map_err(|fault| (fault.code, fault.message.contains("X-Lector-Tenant")))
        };
        assert_eq!(deploys(&acme, None), Ok(()));
        assert_eq!(deploys(&ops, Some("default")), Ok(()));
        assert_eq!(
            deploys(&ops, None),
            Err(("tenant_missing", true)),
            "it would land in the host's own tenant"
        );
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
        let foreign = Credentials { foreign: true, ..Credentials::default() };
        assert_eq!(principal(&directory, &failures, foreign).unwrap_err().code, "foreign_host");
        assert_eq!(admin(&directory, &failures, foreign).unwrap_err().code, "foreign_host");
    }

    #[test]
    fn a_grant_ends_with_its_key() {
        let TestServer { mut directory, acme, .. } = server();
        let shown = shown(&acme, None);
        let grant = principal(&directory, &Failures::new(Arc::new(ManualClock::default())), shown)
            .unwrap()
            .actor
            .grant;
        assert_eq!(grant.valid_for(&directory, 5), Some(Duration::MAX));
        let Grant::Key(id) = grant.clone() else { panic!("{grant:?}") };
        let change = |directory: &mut Directory, change: &dyn Fn(&mut KeyRecord)| {
            let mut record = (*directory.keys[&id]).clone();
            change(&mut record);
            directory.keys.insert(id.clone(), Arc::new(record));
        };
        change(&mut directory, &|record| record.expires_at_ms = Some(1005));
        assert_eq!(grant.valid_for(&directory, 5), Some(Duration::from_secs(1)));
        assert_eq!(grant.valid_for(&directory, 1005), None);
        change(&mut directory, &|record| (record.expires_at_ms, record.revoked_at_ms) = (None, Some(6)));
        assert_eq!(grant.valid_for(&directory, 7), None);
        assert_eq!(Grant::Open.valid_for(&directory, 7), None, "the server has keys");
        directory.keys.clear();
        assert_eq!(grant.valid_for(&directory, 7), None, "the key of a deleted tenant");
        assert_eq!(Grant::Open.valid_for(&directory, 7), Some(Duration::MAX));
    }

    #[test]
    fn failed_attempts_are_limited_and_valid_keys_are_not() {
        let TestServer { directory, acme, failures, clock, .. } = server();
        let bad = format!("lk_{}_{}", "0".repeat(16), "0".repeat(64));
        let from = |key, last: u8| Credentials { peer: Some([127, 0, 0, last].into()), ..shown(key, None) };
        let code = |last| principal(&directory, &failures, from(&bad, last)).unwrap_err().code;
        let codes: Vec<_> = (0..40).map(|_| code(2)).collect();
        assert_eq!((codes[19], codes[20], codes[39]), ("key_invalid", "auth_throttled", "auth_throttled"));
        assert!(principal(&directory, &failures, from(&acme, 2)).is_ok());
        assert_eq!(code(3), "key_invalid", "another address has a limit of its own");
        clock.advance(Duration::from_secs(1));
        assert_eq!((code(2), code(2)), ("key_invalid", "auth_throttled"), "one attempt a second");
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
