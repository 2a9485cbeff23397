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

/// Settings have up to 1 MiB, the schema of options up to 64 KiB, and a tenant up to a thousand revisions.
#[tokio::test]
async fn only_the_answer_with_one_revision_has_settings_and_schema() {
    let app = TestApp::start().await;
    let path = "/api/v1/deployments/greet";
    let schema = json!({ "type": "object", "description": "marked", "properties": {} });
    let settings = json!({ "name": "marked", "list": [0, 0, 0] });
    let component = format!("schema {schema}");
    let options = json!({ "settings": settings, "promote": true });
    let deployed = app.deploy("", "greet", &component, options.clone()).await;
    app.deploy("", "greet", &component, json!({})).await;
    let post = |step: &str, body: Value| app.post(&format!("{path}/{step}")).json(body);
    let mut answers = vec![deployed];
    for list in ["/api/v1/deployments", path, &format!("{path}/revisions")] {
        answers.push(app.get(list).send().await.ok());
    }
    for (step, body) in [
        ("canary", json!({ "revision": 2, "percent": 10 })),
        ("promote", json!({ "revision": 2 })),
        ("rollback", json!({})),
        ("shadow", json!({ "revision": 2, "percent": 0 })),
    ] {
        answers.push(post(step, body).send().await.ok());
    }
    for answer in answers {
        assert!(answer.to_string().contains("\"pipeline_info\""), "{answer}");
        assert!(!answer.to_string().contains("marked"), "{answer}");
    }
    for number in [1, 2] {
        let revision = app.get(&format!("{path}/revisions/{number}")).send().await.ok();
        assert_eq!((&revision["settings"], &revision["options_schema"]), (&settings, &schema), "{revision}");
    }
}

#[tokio::test]
async fn a_deploy_that_names_no_grants_inherits_them() {
    let app = TestApp::start().await;
    app.deploy("", "greet", "one ", json!({ "grants": { "detection": "model", "other": "model" } })).await;
    let second = app.deploy("", "greet", "two ", json!({})).await;
    let grants = &second["deployment"]["revisions"][0]["grants"];
    assert_eq!(*grants, json!({ "detection": "model", "other": "model" }));
    let form = "--b\r\nContent-Disposition: form-data; name=\"component\"\r\n\r\nopens spare\r\n--b--\r\n";
    let answer = app.request(Method::PUT, "/api/v1/deployments/greet").form(form.to_owned()).send().await;
    let problem = answer.problem(403, "grant_missing");
    assert!(problem["detail"].as_str().unwrap().contains("`--grant ALIAS=MODEL`"), "{problem}");
    let third = app.deploy("", "greet", "three ", json!({ "all_models": true })).await;
    assert_eq!(third["deployment"]["revisions"][0]["grants"], json!({ "detection": "model" }));
    let both = json!({ "all_models": true, "grants": {} });
    app.request(Method::PUT, "/api/v1/deployments/greet")
        .json(both)
        .send()
        .await
        .problem(400, "body_invalid");
}

#[tokio::test]
async fn a_page_of_deployments_ends_after_many_revisions() {
    let app = TestApp::start().await;
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        for _ in 0..45 {
            app.deploy("", name, "one ", json!({})).await;
        }
    }
    let (mut pages, mut path) = (Vec::new(), "/api/v1/deployments?limit=1000".to_owned());
    loop {
        let page = app.get(&path).send().await.ok();
        let of = |deployment: &Value| deployment["name"].as_str().unwrap().to_owned();
        pages.push(page["deployments"].as_array().unwrap().iter().map(of).collect::<Vec<_>>());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/deployments?limit=1000&cursor={next}");
    }
    assert_eq!(pages, [vec!["a", "b", "c", "d"], vec!["e", "standard"]]);
    let first = app.get("/api/v1/deployments?limit=1").send().await.ok();
    assert_eq!((first["deployments"].as_array().unwrap().len(), first["next"].is_string()), (1, true));
}
