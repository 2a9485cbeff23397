//! Mutations on a server of fakes: their effects, and the state after a failure of the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod fair_tests;
mod grants_tests;
mod route_tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use lector_control::store::{
    AuditEntry, AuditQuery, ChangeSet, Collected, FlushId, PinnedBlobs, Readable, Records, SqliteStore,
    Store, StoreError, Stored, UsageQuery, UsageRow,
};
use lector_control::{
    Admin, ComponentSource, ControlPlane, Credentials, DeployFault, DeployRequest, Destination, Digest,
    Grants, Limits, Principal, RevisionState, RollbackPolicy, RollbackRequest, Scope, Stage, TenantPolicy,
};
use lector_core::port::FailedEngine;
use lector_core::{DeploymentName, ModelName};

use crate::fakes::{Behavior, Script, config, platform_on, submission, until, word};
use crate::request::{Event, Order};
use crate::service::DocumentService;

/// The failure of a store.
#[derive(Clone, Copy, Debug, PartialEq)]
enum StoreFailure {
    Sound,
    /// Writes, and loses the answer.
    Mute,
    Full,
    ReadOnly,
}

/// A real store whose writes fail when the test says so.
struct FailingStore {
    inner: SqliteStore,
    failure: Mutex<StoreFailure>,
    /// Held by a collection.
    collecting: tokio::sync::Mutex<()>,
}

impl FailingStore {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: SqliteStore::in_memory().unwrap(),
            failure: Mutex::new(StoreFailure::Sound),
            collecting: tokio::sync::Mutex::default(),
        })
    }

    fn be(&self, failure: StoreFailure) {
        *self.failure.lock().unwrap() = failure;
    }

    /// Makes a write fail or loses its answer. `write` is called only if the write is to happen, because the store
    /// begins it at the call.
    fn write<'a, T: Send + 'a>(&'a self, write: impl FnOnce() -> Stored<'a, T> + Send + 'a) -> Stored<'a, T> {
        let failure = *self.failure.lock().unwrap();
        async move {
            match failure {
                StoreFailure::Sound => write().await,
                StoreFailure::Mute => {
                    write().await?;
                    Err(StoreError::write("something", std::io::Error::other("its answer was lost")))
                }
                StoreFailure::Full => Err(StoreError::Full { what: "something" }),
                StoreFailure::ReadOnly => Err(StoreError::ReadOnly { what: "something" }),
            }
        }
        .boxed()
    }
}

impl Store for FailingStore {
    fn load(&self) -> Stored<'_, Records> {
        self.inner.load()
    }
    fn commit(&self, action: ChangeSet) -> Stored<'_, u64> {
        self.write(|| self.inner.commit(action))
    }
    fn audit(&self, query: AuditQuery) -> Stored<'_, Readable<AuditEntry>> {
        self.inner.audit(query)
    }
    fn add_usage(&self, flush: FlushId, rows: Vec<UsageRow>) -> Stored<'_, ()> {
        self.write(|| self.inner.add_usage(flush, rows))
    }
    fn usage(&self, query: UsageQuery) -> Stored<'_, Readable<UsageRow>> {
        self.inner.usage(query)
    }
    fn put_blob(&self, bytes: Arc<Vec<u8>>) -> Stored<'_, Digest> {
        self.write(|| self.inner.put_blob(bytes))
    }
    fn blob(&self, digest: Digest) -> Stored<'_, Option<Vec<u8>>> {
        self.inner.blob(digest)
    }
    fn collect(&self, pinned: Option<Arc<PinnedBlobs>>) -> Stored<'_, Collected> {
        async move {
            let _collecting = self.collecting.lock().await;
            self.inner.collect(pinned).await
        }
        .boxed()
    }
}

struct TestServer {
    platform: Arc<ControlPlane>,
    service: Arc<DocumentService>,
    script: Arc<Script>,
    store: Arc<FailingStore>,
    principal: Principal,
}

/// Starts a server with the models `model` (of `standard`) and `spare`.
async fn server() -> TestServer {
    let (script, store) = (Script::new(Behavior::Read), FailingStore::new());
    let mut config = config(2, 4, ("detection", "model"));
    config.control.deployments[0].grants.insert("spare".to_owned(), "spare".into());
    let service = platform_on(&script, config, store.clone()).await.unwrap();
    let platform = service.control().clone();
    let principal = platform.of_this_machine().unwrap();
    TestServer { platform, service, script, store, principal }
}

fn name() -> DeploymentName {
    "d".into()
}

/// Routes to a revision that was rolled back.
async fn route_withdrawn(server: &TestServer, revision: u32, destination: Destination) {
    let any = Default::default();
    let (platform, principal) = (&server.platform, &server.principal);
    platform.route_if(principal, &name(), revision, destination, &any, true).await.unwrap();
}

impl TestServer {
    async fn deploy(
        &self,
        component: &str,
        model: &str,
        destination: Option<Destination>,
    ) -> Result<u32, DeployFault> {
        let place = self.platform.deploy_permit(&self.principal, SOON).await.unwrap();
        let request = DeployRequest {
            deployment: name(),
            component: ComponentSource::Bytes(component.as_bytes().to_vec()),
            settings: None,
            grants: Grants::Named(BTreeMap::from([("detection".to_owned(), ModelName::from(model))])),
            budget: None,
            wraps: None,
            destination,
            precondition: Default::default(),
        };
        Ok(self.platform.deploy(place, &self.principal, request).await?.number)
    }

    async fn read(&self, request: &str) -> String {
        let mut submission = submission(&self.service, request, 1, Order::Page);
        submission.request.deployment = Some(name());
        let permit = self.service.admit(&self.principal, 0, SOON).unwrap();
        let events: Vec<_> = self.service.submit(permit, submission, name()).collect().await;
        let text = events.iter().find_map(|event| match event {
            Event::Page { transcript, .. } => Some(transcript.text()),
            _ => None,
        });
        text.unwrap_or_else(|| events.iter().map(word).collect())
    }

    /// Releases idle engines; returns the models that stay, if any engine was released.
    async fn release_idle(&self) -> Option<Vec<String>> {
        self.platform.release_engines().await;
        let stay = self.script.retained.lock().unwrap().pop()?;
        Some(stay.iter().map(ToString::to_string).collect())
    }
}

/// Longer than any deploy of these tests waits.
const SOON: Duration = Duration::from_secs(60);
const PROMOTE: Option<Destination> = Some(Destination::Promote(None));

#[tokio::test]
async fn engines_are_released_with_the_last_revision_that_needs_them() {
    let server = server().await;
    server.deploy("one", "spare", PROMOTE).await.unwrap();
    assert_eq!(server.release_idle().await, None, "both are live");
    let lease = server.platform.lease(&server.principal, Some(&name())).unwrap();
    server.deploy("two", "model", PROMOTE).await.unwrap();
    assert_eq!(server.release_idle().await, None, "a request still uses it");
    drop(lease);
    assert_eq!(server.release_idle().await, Some(vec!["model".to_owned()]));
    assert_eq!(server.release_idle().await, None, "once");

    // The target of a rollback is loaded before traffic is routed to it.
    server.script.prepared.lock().unwrap().clear();
    server.platform.rollback(&server.principal, &name(), RollbackRequest::default()).await.unwrap();
    assert!(server.script.prepared.lock().unwrap().contains(&"spare".into()));
    route_withdrawn(&server, 2, Destination::Promote(None)).await;
    assert_eq!(server.release_idle().await, Some(vec!["model".to_owned()]));

    // Ready and not routed to yet: it is likely to be next.
    server.deploy("three", "spare", None).await.unwrap();
    assert_eq!(server.release_idle().await, None);
    server.platform.route(&server.principal, &name(), 3, Destination::Canary(10, None)).await.unwrap();
    server.platform.rollback(&server.principal, &name(), RollbackRequest::default()).await.unwrap();
    assert_eq!(server.release_idle().await, Some(vec!["model".to_owned()]), "it is withdrawn");
    server.platform.delete_deployment(&server.principal, &name()).await.unwrap();
    assert_eq!(server.release_idle().await, None, "`standard` needs the other one");
}

#[tokio::test]
async fn a_failing_store_changes_nothing_and_stops_no_request() {
    let server = server().await;
    server.deploy("one ", "model", PROMOTE).await.unwrap();
    let before = server.platform.own_deployment(&server.principal, &name()).unwrap();
    for (failure, code) in
        [(StoreFailure::Full, "storage_full"), (StoreFailure::ReadOnly, "storage_read_only")]
    {
        server.store.be(failure);
        let refused = server.deploy("two ", "model", PROMOTE).await.unwrap_err();
        assert_eq!((refused.stage, refused.fault.code), (Stage::Ready, code));
        let canary = Destination::Canary(10, None);
        for refused in [
            server
                .platform
                .rollback(&server.principal, &name(), RollbackRequest::default())
                .await
                .unwrap_err()
                .code,
            server.platform.route(&server.principal, &name(), 1, canary).await.unwrap_err().code,
            server.platform.delete_deployment(&server.principal, &name()).await.unwrap_err().code,
        ] {
            assert!([code, "nothing_before", "already_live"].contains(&refused), "{refused}");
        }
        let make = server.platform.create_key_for(&Admin::of_this_machine(), Scope::Admin, "ops").await;
        assert_eq!(make.err().unwrap().code, code);
        assert!(server.platform.is_open(), "a key that is not in the store is not valid");
        server.platform.flush_usage().await.ok();
        assert!(server.read("r").await.starts_with("one "), "pages are read as before");
        server.store.be(StoreFailure::Sound);
        let mut after = server.platform.own_deployment(&server.principal, &name()).unwrap();
        after.revisions[0].statistics = before.revisions[0].statistics;
        assert_eq!(after, before);
    }
    assert_eq!(server.deploy("two ", "model", PROMOTE).await.unwrap(), 2, "no revision number was used");
    assert!(server.read("r").await.starts_with("two "));
}

#[tokio::test]
async fn a_mutation_with_a_lost_answer_has_happened() {
    let server = server().await;
    server.deploy("one ", "model", PROMOTE).await.unwrap();
    server.deploy("two ", "model", None).await.unwrap();
    server.store.be(StoreFailure::Mute);
    let route = async |revision| {
        server.platform.route(&server.principal, &name(), revision, Destination::Promote(None)).await.unwrap()
    };
    assert_eq!(route(2).await.weights[0].revision, 2);
    assert!(server.read("r").await.starts_with("two "));
    server.store.be(StoreFailure::Sound);
    assert_eq!(route(1).await.weights[0].revision, 1, "the snapshot and the store agree");
}

#[tokio::test]
async fn pages_count_once_even_if_the_answer_is_lost() {
    let server = server().await;
    server.deploy("one", "model", PROMOTE).await.unwrap();
    let pages = async || {
        let usage = server.platform.usage(&server.principal, 1).await.unwrap();
        usage.rows.iter().map(|row| row.counts.pages_ok).sum::<u64>()
    };
    server.read("a").await;
    for failure in [StoreFailure::Mute, StoreFailure::Full, StoreFailure::Mute] {
        server.store.be(failure);
        server.platform.flush_usage().await.ok();
        server.platform.flush_usage().await.ok();
    }
    server.read("b").await;
    server.store.be(StoreFailure::Sound);
    assert_eq!(pages().await, 2);
    server.platform.flush_usage().await.ok();
    assert_eq!(pages().await, 2);
}

#[tokio::test]
async fn a_shadow_is_compared() {
    let server = server().await;
    server.deploy("one", "model", PROMOTE).await.unwrap();
    server.deploy("two", "model", Some(Destination::Shadow(100))).await.unwrap();
    let compared = || {
        let view = server.platform.own_deployment(&server.principal, &name()).unwrap();
        view.revision(2).unwrap().comparison.unwrap()
    };
    assert!(server.read("r").await.starts_with("one"));
    until("the shadow has read", || compared().pages_compared == 1).await;
    assert_eq!((compared().same_text, compared().line_difference), (Some(0.0), Some(0.0)));
    server.platform.route(&server.principal, &name(), 2, Destination::Shadow(0)).await.unwrap();
    assert!(server.platform.own_deployment(&server.principal, &name()).unwrap().shadow.is_none());
}

#[tokio::test]
async fn every_deployment_is_found_among_many() {
    let server = server().await;
    for number in 0..200 {
        let place = server.platform.deploy_permit(&server.principal, SOON).await.unwrap();
        let request = DeployRequest {
            deployment: format!("d-{number}").into(),
            component: ComponentSource::Bytes(b"one".to_vec()),
            settings: None,
            grants: Grants::Inherited,
            budget: None,
            wraps: None,
            destination: None,
            precondition: Default::default(),
        };
        server.platform.deploy(place, &server.principal, request).await.unwrap();
    }
    for name in ["d-0", "d-99", "d-199", "standard"].map(DeploymentName::from) {
        let found = server.platform.lease(&server.principal, Some(&name)).unwrap();
        assert_eq!((found.number(), found.deployment()), (1, &name));
    }
}

#[tokio::test]
async fn a_batching_policy_is_tested_at_deploy_and_its_status_is_shown() {
    let server = server().await;
    server.deploy("it plans", "model", PROMOTE).await.unwrap();
    let failed = server.deploy("it plans badly", "model", PROMOTE).await.unwrap_err();
    assert_eq!((failed.stage, failed.fault.code), (Stage::SmokeTest, "batching_plan_failed"));
    for part in ["one waiting run", "does not wait"] {
        assert!(failed.fault.message.contains(part), "{}", failed.fault);
    }
    server.deploy("it has none", "model", None).await.unwrap();
    server.read("r").await;
    let shown = server.platform.own_deployment(&server.principal, &name()).unwrap();
    let batching_policy = shown.revision(1).unwrap().batching_policy.clone().unwrap();
    assert_eq!(
        (batching_policy.asked, batching_policy.disabled),
        (0, false),
        "the questions of the smoke test are not counted"
    );
    assert_eq!(shown.revisions.iter().filter(|revision| revision.batching_policy.is_some()).count(), 1);
}

#[tokio::test]
async fn engines_are_retried_after_the_audit_event_is_written() {
    let server = server().await;
    let one = |model: &str| FailedEngine {
        model: model.into(),
        variant: "openvino/bf16".into(),
        why: "no disk".into(),
    };
    *server.script.failed_engines.lock().unwrap() = vec![one("model"), one("spare")];
    let admin = Admin::of_this_machine();
    let model = ModelName::from("spare");
    server.store.be(StoreFailure::Full);
    let fault = server.platform.retry_engines(&admin, Some(&model)).await.unwrap_err();
    assert_eq!(fault.code, "storage_full");
    assert_eq!(server.script.failed_engines.lock().unwrap().len(), 2, "not written, not done");
    server.store.be(StoreFailure::Sound);
    assert_eq!(server.platform.retry_engines(&admin, Some(&model)).await.unwrap(), [one("spare")]);
    assert_eq!(*server.script.failed_engines.lock().unwrap(), [one("model")]);
    let entry =
        server.store.audit(AuditQuery { limit: 1, ..AuditQuery::default() }).await.unwrap().rows.remove(0);
    assert_eq!(
        (entry.action.as_str(), entry.target.as_str(), entry.actor.as_str()),
        ("engines_retry", "spare", "cli")
    );
    assert_eq!(entry.from[0]["last_error"], "no disk");
    assert_eq!(server.platform.retry_engines(&admin, None).await.unwrap(), [one("model")]);
    assert_eq!(server.platform.retry_engines(&admin, None).await.unwrap(), []);
}

/// Returns the weights of the deployment, as `revision:percent`.
fn weights(server: &TestServer) -> Vec<String> {
    let view = server.platform.own_deployment(&server.principal, &name()).unwrap();
    view.weights.iter().map(|weight| format!("{}:{}", weight.revision, weight.percent)).collect()
}

/// Reads documents until the canary is rolled back.
async fn rolled_back(server: &TestServer, component: &str, policy: RollbackPolicy) {
    server.deploy("one", "model", PROMOTE).await.unwrap();
    server.deploy(component, "model", Some(Destination::Canary(50, Some(policy)))).await.unwrap();
    assert_eq!(weights(server), ["1:50", "2:50"]);
    let mut statistics = None;
    for number in 0..40 {
        server.read(&format!("r{number}")).await;
        let view = server.platform.own_deployment(&server.principal, &name()).unwrap();
        statistics = statistics.max(
            view.revision(2).unwrap().statistics.map(|statistics| (statistics.pages, statistics.errors)),
        );
    }
    until("the canary is rolled back", || weights(server) == ["1:100"]).await;
    let (pages, errors) = statistics.unwrap();
    assert!(pages >= policy.pages_min && errors == pages, "{pages} pages, {errors} errors");
    let query = AuditQuery { limit: 1, ..AuditQuery::default() };
    assert_eq!(server.store.audit(query).await.unwrap().rows[0].action, "auto_rollback");
    let view = server.platform.own_deployment(&server.principal, &name()).unwrap();
    let rolled_back = view.revision(2).unwrap();
    assert_eq!(rolled_back.state, RevisionState::Withdrawn);
    assert!(
        rolled_back.reason.as_ref().unwrap().starts_with("rolled back automatically: "),
        "{rolled_back:?}"
    );
    let tasks = server.platform.background_task_status(&Admin::of_this_machine());
    let rollback = tasks.iter().find(|task| task.name == "canary_rollback").unwrap();
    assert!(rollback.runs >= 1 && rollback.panics == 0, "{rollback:?}");
}

const POLICY: RollbackPolicy = RollbackPolicy {
    error_rate_max: 0.2,
    p99_ms_max: 0,
    pages_min: 4,
    error_rate_increase_max: None,
    p99_ratio_max: None,
};

#[tokio::test]
async fn a_canary_whose_guest_calls_every_page_unreadable_is_rolled_back() {
    rolled_back(&server().await, "unreadable", POLICY).await;
}

#[tokio::test]
async fn a_canary_that_cannot_assemble_is_rolled_back() {
    rolled_back(&server().await, "cannot assemble", POLICY).await;
}

#[tokio::test]
async fn a_canary_is_compared_with_the_stable_revision_if_the_policy_requires_it() {
    let policy = RollbackPolicy { error_rate_max: 1.0, error_rate_increase_max: Some(0.3), ..POLICY };
    rolled_back(&server().await, "unreadable", policy).await;

    // Both revisions find every page unreadable: the documents are the cause, and the canary stays.
    let server = server().await;
    server.deploy("unreadable", "model", PROMOTE).await.unwrap();
    server.deploy("unreadable too", "model", Some(Destination::Canary(50, Some(policy)))).await.unwrap();
    for number in 0..40 {
        server.read(&format!("r{number}")).await;
    }
    let evaluated = || {
        let tasks = server.platform.background_task_status(&Admin::of_this_machine());
        tasks.iter().find(|task| task.name == "canary_evaluation").unwrap().runs
    };
    let before = evaluated();
    until("it was evaluated since", || evaluated() >= before + 2).await;
    assert_eq!(weights(&server), ["1:50", "2:50"]);
}

#[tokio::test]
async fn a_slow_load_delays_no_other_mutation_and_no_other_rollback() {
    let server = server().await;
    server.deploy("one", "model", PROMOTE).await.unwrap();
    server.deploy("slow", "spare", None).await.unwrap();
    // The engine of the second revision is released, and its next load waits.
    *server.script.slow_prepare.lock().unwrap() = Some("spare".into());
    let promoting = {
        let (platform, principal) = (server.platform.clone(), server.principal.clone());
        tokio::spawn(async move { platform.route(&principal, &name(), 2, Destination::Promote(None)).await })
    };
    until("the load has begun", || server.script.preparing.load(std::sync::atomic::Ordering::SeqCst) == 1)
        .await;
    // The write lock is free meanwhile, and the waiting mutation sees a change of the same deployment.
    let shadow = Destination::Shadow(0);
    server.platform.route(&server.principal, &name(), 1, shadow).await.unwrap();
    let version = server.platform.own_deployment(&server.principal, &name()).unwrap().version;
    server.script.go_prepare.add_permits(8);
    let view = promoting.await.unwrap().unwrap();
    assert_eq!((view.weights[0].revision, view.version), (2, version + 1));
}

#[tokio::test]
async fn event_streams_end_when_the_server_drains() {
    let server = server().await;
    let mut own = server.platform.subscribe(&server.principal, None).unwrap();
    let mut all = server.platform.subscribe_all(&Admin::of_this_machine(), None).unwrap();
    let report = server.service.drain(std::time::Duration::from_secs(20)).await;
    assert!(report.clean && own.next().await.is_none() && all.next().await.is_none());
    assert!(report.took < std::time::Duration::from_secs(10), "{report:?}");
}

impl TestServer {
    /// Creates a tenant with these limits; returns a principal of it.
    async fn tenant(&self, name: &str, limits: Limits) -> Principal {
        let policy = TenantPolicy { limits, ..TenantPolicy::default() };
        self.platform.put_tenant(&Admin::of_this_machine(), name.into(), policy).await.unwrap();
        let asked = Credentials { tenant: Some(name), local: true, ..Credentials::default() };
        self.platform.principal(asked).unwrap()
    }

    async fn deploy_for(
        &self,
        principal: &Principal,
        deployment: &str,
        component: &str,
    ) -> Result<u32, DeployFault> {
        let place = self.platform.deploy_permit(principal, SOON).await.unwrap();
        let request = DeployRequest {
            deployment: deployment.into(),
            component: ComponentSource::Bytes(component.as_bytes().to_vec()),
            settings: None,
            grants: Grants::Inherited,
            budget: None,
            wraps: None,
            destination: None,
            precondition: Default::default(),
        };
        Ok(self.platform.deploy(place, principal, request).await?.number)
    }
}

#[tokio::test]
async fn a_tenant_keeps_a_bounded_number_of_revisions_and_bytes() {
    let server = server().await;
    let code = |failed: DeployFault| (failed.stage, failed.fault.code);
    let exceeded = Err((Stage::Received, "tenant_storage_exceeded"));
    let few = server.tenant("few", Limits { revisions_max: 2, ..Limits::default() }).await;
    server.deploy_for(&few, "a", "few one").await.unwrap();
    server.deploy_for(&few, "b", "few two").await.unwrap();
    assert_eq!(server.deploy_for(&few, "b", "few three").await.map_err(code), exceeded);
    let small = server.tenant("small", Limits { stored_bytes_max: 20, ..Limits::default() }).await;
    // The same component counts once; each revision has settings of two bytes.
    for deployment in ["a", "b", "c"] {
        server.deploy_for(&small, deployment, "small 8b").await.unwrap();
    }
    assert_eq!(server.deploy_for(&small, "d", "other 8b").await.map_err(code), exceeded);
    server.platform.delete_deployment(&small, &"c".into()).await.unwrap();
    server.platform.delete_deployment(&small, &"b".into()).await.unwrap();
    server.deploy_for(&small, "d", "other 8").await.unwrap();
    assert!(server.deploy_for(&server.principal, "d", "few three").await.is_ok(), "others have their own");
}

#[tokio::test]
async fn components_of_deleted_deployments_are_deleted_at_run_time() {
    let server = server().await;
    let tenant = server.tenant("acme", Limits::default()).await;
    for (deployment, component) in [("a", "only here"), ("b", "in both"), ("c", "in both")] {
        server.deploy_for(&tenant, deployment, component).await.unwrap();
    }
    let stored =
        async |component: &str| server.store.blob(Digest::of(component.as_bytes())).await.unwrap().is_some();
    server.platform.delete_deployment(&tenant, &"b".into()).await.unwrap();
    server.platform.delete_deployment(&tenant, &"a".into()).await.unwrap();
    let gone = async |component: &str| {
        while stored(component).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone("only here")).await.unwrap();
    assert!(stored("in both").await, "another revision names it");
    server.platform.delete_tenant(&Admin::of_this_machine(), &"acme".into()).await.unwrap();
    tokio::time::timeout(SOON, gone("in both")).await.unwrap();
}

#[tokio::test]
async fn usage_of_a_deleted_tenants_last_documents_is_written() {
    let server = server().await;
    let in_flight = server.tenant("gone", Limits::default()).await;
    server.platform.delete_tenant(&Admin::of_this_machine(), &"gone".into()).await.unwrap();
    server.platform.flush_usage().await.unwrap();
    in_flight.account().usage.rejected();
    drop(in_flight);
    server.platform.flush_usage().await.unwrap();
    let query = UsageQuery { tenant: Some("gone".into()), days: (0, 1_000_000) };
    let usage = server.store.usage(query).await.unwrap().rows;
    assert_eq!(usage.iter().map(|row| row.counts.rejections).sum::<u64>(), 1, "{usage:?}");
}

/// A deploy that waits for a model while its tenant is deleted, and, in the second case, created again.
#[tokio::test]
async fn a_deploy_in_progress_ends_with_its_tenant() {
    for created_again in [false, true] {
        let server = Arc::new(server().await);
        let tenant = server.tenant("acme", Limits::default()).await;
        *server.script.slow_prepare.lock().unwrap() = Some("model".into());
        let deploying = {
            let (server, tenant) = (server.clone(), tenant.clone());
            tokio::spawn(async move { server.deploy_for(&tenant, "d", "model").await })
        };
        let preparing = || server.script.preparing.load(std::sync::atomic::Ordering::SeqCst) == 1;
        until("the load has begun", preparing).await;
        server.platform.delete_tenant(&Admin::of_this_machine(), &"acme".into()).await.unwrap();
        if created_again {
            server.tenant("acme", Limits::default()).await;
        }
        server.script.go_prepare.add_permits(8);
        let failed = deploying.await.unwrap().unwrap_err();
        assert_eq!((failed.stage, failed.fault.code), (Stage::Ready, "tenant_not_found"));
        let again = server.tenant("acme", Limits::default()).await;
        assert!(server.platform.own_deployment(&again, &name()).is_err());
    }
}
