//! Deploys, routes and rollbacks over HTTP.

use std::time::Duration;

use axum::http::Method;
use lector_serving::fakes::Behavior;
use serde_json::{Value, json};

use super::app::{TestApp, all_text, until};

async fn says(app: &TestApp, key: &str) -> String {
    let request = app.document("/api/v1/deployments/greet/ocr", 1).header("x-lector-routing-key", key);
    let text = all_text(&request.send().await.ok());
    text.split(' ').next().unwrap().to_owned()
}

async fn shown(app: &TestApp) -> Value {
    app.get("/api/v1/deployments/greet").send().await.ok()
}

#[tokio::test]
async fn a_deploy_a_promotion_a_rollback() {
    let app = TestApp::start().await;
    let path = "/api/v1/deployments/greet";
    let first = app.deploy("", "greet", "one ", json!({ "promote": true })).await;
    let stages: Vec<_> =
        first["stages"].as_array().unwrap().iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert!(stages.contains(&"smoke_test"), "{stages:?}");
    let second = app.deploy("", "greet", "two ", json!({})).await;
    assert_eq!(second["revision"], 2);
    assert_eq!(says(&app, "k").await, "one", "no request is routed to a revision that is not promoted");
    let post = |step: &str, body: Value| app.post(&format!("{path}/{step}")).json(body);
    post("promote", json!({ "revision": 2 })).send().await.ok();
    assert_eq!(says(&app, "k").await, "two");
    post("rollback", json!({})).send().await.ok();
    assert_eq!(says(&app, "k").await, "one");
    post("promote", json!({ "revision": 7 })).send().await.problem(404, "revision_not_found");
    app.get(&format!("{path}/revisions/7")).send().await.problem(404, "revision_not_found");
    assert_eq!(app.request(Method::DELETE, path).send().await.status, 204);
    app.get(path).send().await.problem(404, "deployment_not_found");
}

#[tokio::test]
async fn a_refused_deploy_names_its_stage_and_leaves_no_trace() {
    let app = TestApp::start().await;
    app.deploy("", "greet", "one ", json!({ "promote": true })).await;
    let put = |options: Value, component: &str| {
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"options\"\r\n\r\n{options}\r\n\
             --b\r\nContent-Disposition: form-data; name=\"component\"\r\n\r\n{component}\r\n--b--\r\n"
        );
        app.request(Method::PUT, "/api/v1/deployments/greet").form(form)
    };
    for (options, component, code, stage) in [
        (json!({}), "no component", "component_invalid", Some("validated")),
        (json!({ "settings": { "bad": 1 } }), "two", "settings_refused", Some("configured")),
        (json!({ "promote": true, "canary": 5 }), "two", "body_invalid", None),
        (json!({ "nonsense": true }), "two", "body_invalid", None),
    ] {
        let answer = put(options, component).send().await;
        let problem = answer.json();
        assert!((400..500).contains(&answer.status), "{problem}");
        assert_eq!((problem["code"].as_str(), problem["stage"].as_str()), (Some(code), stage), "{problem}");
    }
    assert_eq!(shown(&app).await["revisions"].as_array().unwrap().len(), 1);
    assert_eq!(says(&app, "k").await, "one");
}

#[tokio::test]
async fn a_routing_key_stays_with_its_revision() {
    let app = TestApp::start().await;
    app.deploy("", "greet", "old ", json!({ "promote": true })).await;
    app.deploy("", "greet", "new ", json!({ "canary": 50 })).await;
    let mut seen = std::collections::BTreeMap::new();
    for key in 0..24 {
        let key = format!("key-{key}");
        let revision = says(&app, &key).await;
        assert_eq!(says(&app, &key).await, revision, "{key}");
        *seen.entry(revision).or_insert(0) += 1;
    }
    // The keys are always the same, so this is no matter of chance.
    assert!(seen.contains_key("old") && seen.contains_key("new"), "{seen:?}");
}

#[tokio::test]
async fn a_promotion_does_not_wait_for_requests_and_mixes_no_document() {
    let app = TestApp::start().await;
    app.deploy("", "greet", "old ", json!({ "promote": true })).await;
    app.deploy("", "greet", "new ", json!({})).await;
    app.script.on(1, Behavior::Wait);
    let before = app.document("/api/v1/deployments/greet/ocr", 3).send();
    let (before, ()) = tokio::join!(before, async {
        until("its other pages are read", || app.service.status().pages_ok == 2).await;
        let promote = app.post("/api/v1/deployments/greet/promote").json(json!({ "revision": 2 }));
        promote.send().await.ok();
        assert_eq!(says(&app, "k").await, "new", "the first request after the promotion");
        app.script.go.add_permits(1);
    });
    assert_eq!(all_text(&before.ok()), "old page 0|old page 1|old page 2");
}

#[tokio::test]
async fn a_canary_that_fails_is_rolled_back() {
    let app = TestApp::start().await;
    app.deploy("", "greet", "sound ", json!({ "promote": true })).await;
    let policy = json!({ "error_rate_max": 0.5, "pages_min": 4 });
    app.deploy("", "greet", "fails ", json!({ "canary": 50, "rollback_policy": policy })).await;
    let mut failed = 0;
    for key in 0..40 {
        let request = app.document("/api/v1/deployments/greet/ocr", 1);
        let answer = request.header("x-lector-routing-key", &format!("k{key}")).send().await;
        failed += u32::from(answer.status != 200);
    }
    assert!(failed >= 4, "only {failed} requests came to the candidate");
    assert_eq!(shown(&app).await["weights"].as_array().unwrap().len(), 2, "no time has passed");
    app.clock.advance(Duration::from_millis(200));
    let control = app.service.control();
    let principal = control.of_this_machine().unwrap();
    let weights = || control.own_deployment(&principal, &"greet".into()).unwrap().weights.len();
    until("the candidate is rolled back", || weights() == 1).await;
    let deployment = shown(&app).await;
    assert_eq!(deployment["weights"][0]["revision"], 1, "{deployment}");
    for key in 0..40 {
        assert_eq!(says(&app, &format!("k{key}")).await, "sound");
    }
    let audit = app.get("/api/v1/audit").send().await.ok();
    assert_eq!(audit["entries"][0]["action"], "auto_rollback", "{audit}");
}
