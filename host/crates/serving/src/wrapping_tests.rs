//! Deployments that wrap other deployments, on a server of fakes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures::StreamExt;
use lector_control::store::{SqliteStore, Store};
use lector_control::{
    Admin, ComponentSource, DeployFault, DeployRequest, Destination, Digest, Grants, Principal, Settings,
    Stage, TenantPolicy,
};
use lector_core::DeploymentName;
use serde_json::json;

use crate::fakes::{Behavior, Script, config, platform_on, submission, until, word};
use crate::request::{Event, Order};
use crate::service::DocumentService;

struct TestServer {
    service: Arc<DocumentService>,
    script: Arc<Script>,
    principal: Principal,
}

async fn server_on(store: Arc<dyn Store>) -> TestServer {
    let script = Script::new(Behavior::Read);
    let service = platform_on(&script, config(2, 4, ("detection", "model")), store).await.unwrap();
    let principal = service.control().of_this_machine().unwrap();
    TestServer { service, script, principal }
}

async fn server() -> TestServer {
    server_on(Arc::new(SqliteStore::in_memory().unwrap())).await
}

fn request(name: &str, component: &str, wraps: Option<&str>) -> DeployRequest {
    DeployRequest {
        deployment: name.into(),
        component: ComponentSource::Bytes(component.as_bytes().to_vec()),
        settings: None,
        grants: Grants::Inherited,
        budget: None,
        wraps: wraps.map(DeploymentName::from),
        destination: Some(Destination::Promote(None)),
        precondition: Default::default(),
    }
}

fn n(number: u32) -> Option<Settings> {
    Some(Settings::of(&json!({ "n": number })).unwrap())
}

impl TestServer {
    async fn deploy(&self, request: DeployRequest) -> Result<u32, DeployFault> {
        let control = self.service.control();
        let permit = control.deploy_permit(&self.principal, Duration::from_secs(60)).await.unwrap();
        Ok(control.deploy(permit, &self.principal, request).await?.number)
    }

    /// Returns the text of a page read by a deployment, or its events.
    async fn read(&self, name: &str) -> String {
        let name = DeploymentName::from(name);
        let mut submission = submission(&self.service, "r", 1, Order::Page);
        submission.request.deployment = Some(name.clone());
        let permit = self.service.admit(&self.principal, 0, Duration::from_secs(60)).unwrap();
        let events: Vec<_> = self.service.submit(permit, submission, name).collect().await;
        let text = events.iter().find_map(|event| match event {
            Event::Page { transcript, .. } => Some(transcript.text().trim_end().to_owned()),
            Event::PageError { fault, .. } => Some(fault.message.clone()),
            _ => None,
        });
        text.unwrap_or_else(|| events.iter().map(word).collect())
    }
}

fn refused(answer: Result<u32, DeployFault>) -> (Stage, &'static str, String) {
    let DeployFault { stage, fault } = answer.unwrap_err();
    (stage, fault.code, fault.message)
}

#[tokio::test]
async fn a_wrapper_keeps_the_revision_that_it_was_deployed_with() {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().unwrap());
    let server = server_on(store.clone()).await;
    let inner = DeployRequest { settings: n(1), ..request("inner", "one ", None) };
    server.deploy(inner).await.unwrap();
    server.deploy(request("outer", "wraps ", Some("inner"))).await.unwrap();
    let first = r#"wraps {"n":1}one page 0"#;
    assert_eq!(server.read("outer").await, first);

    let changed = DeployRequest { settings: n(2), ..request("inner", "two ", None) };
    server.deploy(changed).await.unwrap();
    assert_eq!(server.read("inner").await, "two page 0");
    assert_eq!(server.read("outer").await, first);
    let view = |server: &TestServer| {
        let control = server.service.control();
        control.own_deployment(&server.principal, &"outer".into()).unwrap()
    };
    let wraps = view(&server).revisions[0].parts.clone().unwrap().wraps.unwrap();
    assert_eq!((wraps.deployment.as_str(), wraps.revision), ("inner", 1));

    // Other settings keep the pinned revision; the wrapped deployment may be deleted; both survive a restart.
    let newest = DeployRequest { component: ComponentSource::Newest, ..request("outer", "", None) };
    assert_eq!(server.deploy(newest).await.unwrap(), 2);
    assert_eq!(server.read("outer").await, first);
    let control = server.service.control();
    control.delete_deployment(&server.principal, &"inner".into()).await.unwrap();
    let server = server_on(store).await;
    assert_eq!(server.read("outer").await, first);
    assert_eq!(server.read("inner").await, "failed deployment_not_found");

    // `wraps` again pins the revision that is live then.
    server.deploy(request("inner", "three ", None)).await.unwrap();
    let newest = DeployRequest { component: ComponentSource::Newest, ..request("outer", "", Some("inner")) };
    server.deploy(newest).await.unwrap();
    assert_eq!(server.read("outer").await, "wraps {}three page 0");
    assert_eq!(view(&server).revisions[0].parts.clone().unwrap().wraps.unwrap().revision, 1);
}

/// The wrapped deployment is deleted while the engines of the wrapper load.
#[tokio::test]
async fn the_stages_of_a_deploy_in_progress_are_not_collected() {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().unwrap());
    let server = server_on(store.clone()).await;
    let control = server.service.control();
    server.deploy(request("inner", "one ", None)).await.unwrap();
    *server.script.slow_prepare.lock().unwrap() = Some("model".into());
    let deploying = server.deploy(request("outer", "wraps ", Some("inner")));
    let (deployed, ()) = tokio::join!(deploying, async {
        let preparing = || server.script.preparing.load(SeqCst) == 1;
        until("the load has begun", preparing).await;
        control.delete_deployment(&server.principal, &"inner".into()).await.unwrap();
        let collected = || {
            let tasks = control.background_task_status(&Admin::of_this_machine());
            let task = tasks.iter().find(|task| task.name == "component_collection").unwrap();
            task.runs >= 2 && task.running == 0
        };
        until("the components are collected", collected).await;
        server.script.go_prepare.add_permits(8);
    });
    assert_eq!(deployed.unwrap(), 1);
    assert!(store.blob(Digest::of(b"one ")).await.unwrap().is_some());
    assert_eq!(server_on(store).await.read("outer").await, "wraps {}one page 0");
}

#[tokio::test]
async fn wraps_must_fit_the_component_and_name_a_live_deployment() {
    let server = server().await;
    let (stage, code, message) = refused(server.deploy(request("d", "wraps", None)).await);
    assert_eq!((stage, code), (Stage::Validated, "wraps_invalid"));
    assert!(message.contains("set `wraps`"), "{message}");
    let (stage, code, message) = refused(server.deploy(request("d", "plain", Some("standard"))).await);
    assert_eq!((stage, code), (Stage::Validated, "wraps_invalid"));
    assert!(message.contains("cannot wrap deployment `standard`"), "{message}");
    let (stage, code, _) = refused(server.deploy(request("d", "wraps", Some("none"))).await);
    assert_eq!((stage, code), (Stage::Received, "deployment_not_found"));
    let (_, code, message) = refused(server.deploy(request("d", "wraps", Some("d"))).await);
    assert_eq!(code, "wraps_invalid");
    assert!(message.contains("cannot wrap itself"), "{message}");
}

#[tokio::test]
async fn chains_are_bounded_and_the_message_names_them() {
    let server = server().await;
    let mut wraps = "standard".to_owned();
    for depth in 2..=5 {
        let name = format!("stage-{depth}");
        server.deploy(request(&name, &format!("wraps{depth} "), Some(&wraps))).await.unwrap();
        wraps = name;
    }
    // `standard` is a component without a prefix, with the settings `{}`.
    assert_eq!(server.read("stage-5").await, "wraps5 {}wraps4 {}wraps3 {}wraps2 {}page 0");
    let (stage, code, message) = refused(server.deploy(request("deep", "wraps", Some(&wraps))).await);
    assert_eq!((stage, code), (Stage::Received, "wraps_invalid"));
    for part in
        ["`deep` would wrap 5 pipelines", "`stage-5` wraps `stage-4`", "wraps `standard`", "at most 4"]
    {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_failing_stage_is_named_by_the_smoke_test_and_by_pages() {
    let server = server().await;
    server.deploy(request("inner", "fails", None)).await.unwrap();
    server.deploy(request("outer", "wraps", Some("inner"))).await.unwrap();
    assert_eq!(server.read("outer").await, "pipeline `inner`: It trapped.");
    *server.script.otherwise.lock().unwrap() = Behavior::Fail;
    let (stage, code, message) = refused(server.deploy(request("outer", "wraps2", Some("inner"))).await);
    assert_eq!((stage, code), (Stage::SmokeTest, "guest_trapped"));
    assert!(message.contains("pipeline `inner`"), "{message}");
}

#[tokio::test]
async fn the_models_and_imports_of_every_stage_must_be_granted() {
    let server = server().await;
    let admin = Admin::of_this_machine();
    let control = server.service.control();
    let policy = |json: serde_json::Value| serde_json::from_value::<TenantPolicy>(json).unwrap();
    let other = json!({ "models": { "detection": "other" } });
    control.put_tenant(&admin, "acme".into(), policy(other)).await.unwrap();
    control.create_key_for(&admin, lector_control::Scope::Admin, "").await.unwrap();
    let key = lector_control::Scope::Tenant("acme".into());
    let key = control.create_key_for(&admin, key, "").await.unwrap();
    let shown = lector_control::Credentials { key: Some(key.text.reveal()), ..Default::default() };
    let acme = TestServer { principal: control.principal(shown).unwrap(), ..server };
    let (_, code, message) = refused(acme.deploy(request("d", "wraps", Some("standard"))).await);
    assert_eq!(code, "grant_missing");
    assert!(message.contains("`standard` opens models that the tenant may not use: model"), "{message}");

    // The references of a wrapper include the models of the stage.
    let control = acme.service.control();
    let own = json!({ "models": { "detection": "other", "spare": "model" } });
    control.put_tenant(&admin, "acme".into(), policy(own)).await.unwrap();
    let acme = TestServer { principal: control.principal(shown).unwrap(), ..acme };
    acme.script.prepared.lock().unwrap().clear();
    acme.deploy(request("d", "wraps", Some("standard"))).await.unwrap();
    assert_eq!(*acme.script.prepared.lock().unwrap(), ["other".into(), "model".into()]);
}

/// A pinned component is stored as long as the revision that pins it, and counts for the tenant of that revision, also when
/// the wrapped deployment is deleted.
#[tokio::test]
async fn pinned_components_count_for_the_tenant_that_wraps_them() {
    let server = server().await;
    let control = server.service.control();
    let policy = json!({ "limits": { "stored_bytes_max": 60 } });
    let policy = serde_json::from_value::<TenantPolicy>(policy).unwrap();
    control.put_tenant(&Admin::of_this_machine(), "acme".into(), policy).await.unwrap();
    let shown = lector_control::Credentials { tenant: Some("acme"), local: true, ..Default::default() };
    let acme = TestServer { principal: control.principal(shown).unwrap(), ..server };
    let inner = "inner: a component of 30 bytes";
    assert_eq!(inner.len(), 30);
    acme.deploy(request("inner", inner, None)).await.unwrap();
    acme.deploy(request("outer", "wraps ", Some("inner"))).await.unwrap();
    let control = acme.service.control();
    control.delete_deployment(&acme.principal, &"inner".into()).await.unwrap();
    // 30 bytes pinned, 6 and 4 of the wrapper, and 32 of the new one.
    let other = "other: a component of 30 bytes";
    let (stage, code, _) = refused(acme.deploy(request("other", other, None)).await);
    assert_eq!((stage, code), (Stage::Received, "tenant_storage_exceeded"));
    // The same component is stored once.
    acme.deploy(request("other", inner, None)).await.unwrap();
    control.delete_deployment(&acme.principal, &"other".into()).await.unwrap();
    control.delete_deployment(&acme.principal, &"outer".into()).await.unwrap();
    acme.deploy(request("other", other, None)).await.unwrap();
}

#[tokio::test]
async fn a_configured_wrapper_is_pinned_again_at_each_start() {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().unwrap());
    let component = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(component.path(), "wraps ").unwrap();
    let start = async |settings: serde_json::Value| {
        let mut with = config(2, 4, ("detection", "model"));
        let mut first = with.control.deployments[0].clone();
        (first.name, first.wraps) = ("first".into(), Some("standard".into()));
        first.component = component.path().to_owned();
        with.control.deployments[0].settings = settings;
        with.control.deployments.insert(0, first);
        let script = Script::new(Behavior::Read);
        let service = platform_on(&script, with, store.clone()).await.unwrap();
        let principal = service.control().of_this_machine().unwrap();
        let server = TestServer { service, script, principal };
        let text = server.read("first").await;
        let number =
            server.service.control().lease(&server.principal, Some(&"first".into())).unwrap().number();
        (text, number)
    };
    assert_eq!(start(json!({})).await, ("wraps {}page 0".to_owned(), 1));
    assert_eq!(start(json!({})).await, ("wraps {}page 0".to_owned(), 1), "nothing has changed");
    assert_eq!(start(json!({ "n": 2 })).await, (r#"wraps {"n":2}page 0"#.to_owned(), 2));
}
