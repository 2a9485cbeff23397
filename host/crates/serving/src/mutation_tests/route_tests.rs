//! Rollbacks, promotions and shadows, and what a tenant sees of its guests.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use lector_control::{Admin, Destination, Limits, RevisionState, RollbackRequest, Stage, TenantPolicy};
use lector_core::TenantName;

use super::{PROMOTE, SOON, StoreFailure, name, route_withdrawn, server, weights};
use crate::fakes::{Behavior, until};

#[tokio::test]
async fn a_revision_that_was_rolled_back_is_withdrawn() {
    let server = server().await;
    let view = || server.platform.own_deployment(&server.principal, &name()).unwrap();
    for (component, destination) in [("one", PROMOTE), ("two", Some(Destination::Canary(10, None)))] {
        server.deploy(component, "model", destination).await.unwrap();
    }
    server.platform.route(&server.principal, &name(), 2, Destination::Promote(None)).await.unwrap();
    assert_eq!(view().previous.unwrap()[0].revision, 1);
    let request =
        RollbackRequest { reason: Some("it reads\nnothing".to_owned()), to: None, ..Default::default() };
    let back = server.platform.rollback(&server.principal, &name(), request).await.unwrap();
    assert_eq!(weights(&server), ["1:100"], "not the canary");
    let two = back.revision(2).unwrap();
    assert_eq!((two.state, two.reason.as_deref()), (RevisionState::Withdrawn, Some("it reads nothing")));
    assert_eq!(view().newest().unwrap_err().code, "revision_withdrawn");
    let promote = Destination::Promote(None);
    let fault = server.platform.route(&server.principal, &name(), 2, promote).await.unwrap_err();
    assert_eq!(fault.code, "revision_withdrawn");
    // A shadow answers no request.
    server.platform.route(&server.principal, &name(), 2, Destination::Shadow(10)).await.unwrap();
    let fault = server.platform.route(&server.principal, &name(), 1, Destination::Shadow(10)).await;
    assert_eq!(fault.unwrap_err().code, "already_live");
    server.deploy("three", "model", None).await.unwrap();
    assert_eq!(view().newest().unwrap(), 3);
    server.platform.route(&server.principal, &name(), 3, promote).await.unwrap();
    let request = RollbackRequest { to: Some(1), ..Default::default() };
    server.platform.rollback(&server.principal, &name(), request).await.unwrap();
    assert_eq!(view().revision(3).unwrap().reason.as_deref(), Some("rolled back by cli"));
    route_withdrawn(&server, 3, promote).await;
    assert_eq!(
        (weights(&server), view().revision(3).unwrap().state),
        (vec!["3:100".to_owned()], RevisionState::Live)
    );
}

#[tokio::test]
async fn a_tenant_sees_what_its_guests_log_also_in_a_deploy_that_fails() {
    let server = server().await;
    let lines = |revision| {
        let lines = server.platform.guest_log(&server.principal, &name(), revision).unwrap();
        lines.iter().map(|line| (line.revision, line.request.clone())).collect::<Vec<_>>()
    };
    let unknown = server.platform.guest_log(&server.principal, &name(), None);
    assert_eq!(unknown.unwrap_err().code, "deployment_not_found");
    *server.script.otherwise.lock().unwrap() = Behavior::Fail;
    assert_eq!(server.deploy("logs", "model", PROMOTE).await.unwrap_err().stage, Stage::SmokeTest);
    assert_eq!(lines(None), [(None, "smoke_test".to_owned())]);
    *server.script.otherwise.lock().unwrap() = Behavior::Read;
    server.deploy("logs", "model", PROMOTE).await.unwrap();
    server.read("r1").await;
    assert_eq!(lines(Some(1)), [(Some(1), "r1".to_owned())]);
    server.deploy("two", "model", PROMOTE).await.unwrap();
    assert_eq!(lines(Some(1)).len(), 1, "the lines of a revision without traffic stay");
    let (kept, mut stream) = server.platform.follow_guest_log(&server.principal, &name(), None).unwrap();
    assert_eq!(kept.len(), 3);
    server.service.drain(Duration::from_secs(20)).await;
    assert!(stream.next().await.is_none(), "a follower does not delay a drain");
}

#[tokio::test]
async fn creating_a_tenant_again_keeps_its_limits() {
    let server = server().await;
    let admin = Admin::of_this_machine();
    let policy = TenantPolicy { weight: 7, ..TenantPolicy::default() };
    server.platform.create_tenant(&admin, "acme".into(), policy).await.unwrap();
    let again = server.platform.create_tenant(&admin, "acme".into(), TenantPolicy::default()).await;
    assert_eq!(again.unwrap_err().code, "tenant_exists");
    assert_eq!(server.platform.tenant(&admin, &"acme".into()).unwrap().policy.weight, 7);
}

#[tokio::test]
async fn the_first_revision_is_promoted_unless_the_deploy_says_no() {
    let server = server().await;
    server.deploy("one", "model", Some(Destination::NoTraffic)).await.unwrap();
    assert!(weights(&server).is_empty());
    server.deploy("two", "model", None).await.unwrap();
    assert!(weights(&server).is_empty(), "it is not the first");
    server.platform.delete_deployment(&server.principal, &name()).await.unwrap();
    server.deploy("one", "model", None).await.unwrap();
    assert_eq!(weights(&server), ["1:100"]);
}

#[tokio::test]
async fn a_shadow_ends_with_the_service() {
    let server = server().await;
    server.deploy("one", "model", PROMOTE).await.unwrap();
    server.deploy("two", "model", Some(Destination::Shadow(100))).await.unwrap();
    *server.script.otherwise.lock().unwrap() = Behavior::Wait;
    let before = server.script.begun().len();
    server.script.go.add_permits(1);
    assert!(server.read("r").await.starts_with("one"));
    until("the shadow reads", || server.script.begun().len() == before + 2).await;
    assert_eq!(server.script.running.load(SeqCst), 1);
    assert!(server.service.drain(SOON).await.clean, "no document is in flight");
    assert_eq!(server.script.running.load(SeqCst), 0);
    let view = server.platform.own_deployment(&server.principal, &name()).unwrap();
    assert_eq!(view.revision(2).unwrap().comparison.unwrap().skipped, 1);
}

#[tokio::test]
async fn a_deletion_of_a_tenant_that_the_store_refuses_keeps_what_its_guests_logged() {
    let mut server = server().await;
    let (admin, acme) = (Admin::of_this_machine(), TenantName::from("acme"));
    server.principal = server.tenant("acme", Limits::default()).await;
    server.deploy_for(&server.principal, "d", "one ").await.unwrap();
    *server.script.otherwise.lock().unwrap() = Behavior::Fail;
    server.deploy_for(&server.principal, "d", "logs").await.unwrap_err();
    let lines = || server.platform.guest_log(&server.principal, &name(), None).map(|lines| lines.len());
    assert_eq!(lines().unwrap(), 1);
    server.store.be(StoreFailure::Full);
    let refused = server.platform.delete_tenant(&admin, &acme).await.unwrap_err();
    assert_eq!((refused.code, lines().unwrap()), ("storage_full", 1));
    server.store.be(StoreFailure::Sound);
    server.platform.delete_tenant(&admin, &acme).await.unwrap();
    assert!(lines().is_err());
}
