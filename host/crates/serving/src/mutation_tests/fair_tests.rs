//! The order of deploys and mutations over tenants, their limits, and mutations beside a collection of components.

use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, poll};
use lector_control::store::{AuditQuery, Store};
use lector_control::{Admin, CreatedKey, Credentials, Digest, KeyId, Limits, Principal, Scope, TenantPolicy};
use lector_core::{Fault, RequestId};

use super::{SOON, TestServer, server};
use crate::fakes::until;

/// A mutation in progress.
type Creating<'a> = BoxFuture<'a, Result<CreatedKey, Fault>>;

impl TestServer {
    /// Creates the first key, an administrator's.
    async fn admin_key(&self) -> CreatedKey {
        self.platform.create_key_for(&Admin::of_this_machine(), Scope::Admin, "ops").await.unwrap()
    }

    /// Returns a principal of a new tenant as a request with its key has it, and the id of the key.
    async fn client(&self, name: &str) -> (Principal, KeyId) {
        let admin = Admin::of_this_machine();
        self.platform.put_tenant(&admin, name.into(), TenantPolicy::default()).await.unwrap();
        let scope = Scope::Tenant(name.into());
        let key = self.platform.create_key_for(&admin, scope, "ci").await.unwrap();
        (self.with(&key, name), key.view.id)
    }

    /// Returns the principal of a request with this key for a tenant.
    fn with(&self, key: &CreatedKey, tenant: &str) -> Principal {
        let shown =
            Credentials { key: Some(key.text.reveal()), tenant: Some(tenant), ..Credentials::default() };
        self.platform.principal(shown).unwrap().of_request(&RequestId::from("r"))
    }

    fn creating<'a>(&'a self, principal: &'a Principal) -> Creating<'a> {
        self.platform.create_key(principal, "one of many").boxed()
    }
}

/// One tenant holds every regular place; another one and the administrator deploy all the same.
#[tokio::test]
async fn deploys_of_one_tenant_do_not_stop_those_of_others() {
    let server = server().await;
    let flood = server.tenant("flood", Limits::default()).await;
    let victim = server.tenant("victim", Limits::default()).await;
    let permit = async |principal| server.platform.deploy_permit(principal, Duration::ZERO).await;
    let first = permit(&flood).await.unwrap();
    let second = permit(&flood).await.unwrap();
    assert_eq!(permit(&flood).await.err().unwrap().code, "deploys_busy");
    let of_victim = permit(&victim).await.unwrap();
    let of_admin = permit(&server.principal).await.unwrap();
    drop((first, second, of_victim, of_admin));
    assert!(permit(&flood).await.is_ok());
}

/// The commit of the first mutation is a task, which does not begin while the test polls the others.
#[tokio::test]
async fn mutations_of_one_tenant_do_not_stop_those_of_others() {
    let server = server().await;
    let key = server.admin_key().await;
    let (flood, _) = server.client("flood").await;
    let (victim, victim_key) = server.client("victim").await;
    let admin = Admin::of_this_machine().of_request(&RequestId::from("r"));
    let admin_for_flood = server.with(&key, "flood");

    let mut waiting: Vec<Creating<'_>> = (0..65).map(|_| server.creating(&flood)).collect();
    for mutation in &mut waiting {
        assert!(poll!(mutation).is_pending());
    }
    let refused = server.creating(&flood).await.unwrap_err();
    assert_eq!(refused.code, "too_many_changes");
    waiting.push(server.creating(&victim));
    waiting.push(server.creating(&admin_for_flood));
    waiting.push(server.platform.create_key_for(&admin, Scope::Admin, "more").boxed());
    let all = join_all(waiting).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");

    let query = AuditQuery { limit: 68, ..AuditQuery::default() };
    let mut entries = server.store.audit(query).await.unwrap().rows;
    entries.reverse();
    let place = |actor: &str, tenant: Option<&str>| {
        let is = |entry: &&lector_control::store::AuditEntry| {
            entry.actor == actor && entry.tenant.as_ref().map(|name| name.as_str()) == tenant
        };
        entries.iter().position(|entry| is(&entry)).unwrap()
    };
    let places = [
        place(victim_key.as_str(), Some("victim")),
        place("cli", None),
        place(key.view.id.as_str(), Some("flood")),
    ];
    // The mutation that had begun, these three, and one of the tenant in between at most.
    assert!(places.iter().all(|place| *place < 5), "{places:?}");
}

/// A holder of a key that is revoked must not keep the access by a new key that waited to be created.
#[tokio::test]
async fn mutations_that_wait_end_with_their_key() {
    let server = server().await;
    server.admin_key().await;
    let (tenant, key) = server.client("acme").await;
    let admin = Admin::of_this_machine();
    let mut waiting: Vec<Creating<'_>> = (0..3).map(|_| server.creating(&tenant)).collect();
    for mutation in &mut waiting {
        assert!(poll!(mutation).is_pending());
    }
    let (revoked, created) = tokio::join!(server.platform.revoke_any_key(&admin, &key), join_all(waiting));
    revoked.unwrap();
    let codes: Vec<_> =
        created.iter().map(|created| created.as_ref().err().map(|fault| fault.code)).collect();
    assert_eq!(codes, [None, Some("key_invalid"), Some("key_invalid")], "the first had begun");
}

#[tokio::test]
async fn rotated_keys_count_for_the_limit_while_they_are_valid() {
    let server = server().await;
    server.admin_key().await;
    let (tenant, _) = server.client("acme").await;
    let mut newest = server.platform.create_key(&tenant, "to rotate").await.unwrap().view.id;
    let hour = Duration::from_secs(3600);
    let refused = loop {
        match server.platform.rotate_key(&tenant, &newest, hour).await {
            Ok(created) => newest = created.view.id,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.code, "too_many_keys");
    let valid = || server.platform.keys(&tenant).unwrap().iter().filter(|key| key.active).count();
    assert_eq!(valid(), 100);
    server.platform.rotate_key(&tenant, &newest, Duration::ZERO).await.unwrap();
    assert_eq!(valid(), 100, "the new key takes the place of the old one");
}

/// A deploy that waits for a model while its tenant creates its last deployment.
#[tokio::test]
async fn the_number_of_deployments_is_checked_when_one_is_written() {
    let server = server().await;
    let tenant = server.tenant("acme", Limits::default()).await;
    for number in 0..499 {
        server.deploy_for(&tenant, &format!("d-{number}"), "one").await.unwrap();
    }
    *server.script.slow_prepare.lock().unwrap() = Some("model".into());
    let (slow, ()) = tokio::join!(server.deploy_for(&tenant, "slow", "one"), async {
        let preparing = || server.script.preparing.load(std::sync::atomic::Ordering::SeqCst) == 1;
        until("the load has begun", preparing).await;
        *server.script.slow_prepare.lock().unwrap() = None;
        server.deploy_for(&tenant, "last", "one").await.unwrap();
        server.script.go_prepare.add_permits(1);
    });
    assert_eq!(slow.unwrap_err().fault.code, "too_many_deployments");
}

#[tokio::test]
async fn a_collection_of_components_stops_no_mutation() {
    let server = server().await;
    let tenant = server.tenant("acme", Limits::default()).await;
    for (deployment, component) in [("a", "only here"), ("b", "stays")] {
        server.deploy_for(&tenant, deployment, component).await.unwrap();
    }
    let is_running = || {
        let tasks = server.platform.background_task_status(&Admin::of_this_machine());
        tasks.iter().any(|task| task.name == "component_collection" && task.running == 1)
    };
    let held = server.store.collecting.lock().await;
    server.platform.delete_deployment(&tenant, &"a".into()).await.unwrap();
    until("the collection has begun", is_running).await;
    let deployed = tokio::time::timeout(SOON, server.deploy_for(&tenant, "c", "during")).await;
    assert_eq!(deployed.expect("it waits for the collection").unwrap(), 1);
    drop(held);
    until("the collection has ended", || !is_running()).await;
    for (component, expect) in [("only here", false), ("stays", true), ("during", true)] {
        let stored = server.store.blob(Digest::of(component.as_bytes())).await.unwrap();
        assert_eq!(stored.is_some(), expect, "{component}");
    }
}
