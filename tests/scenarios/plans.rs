//! A tenant's own batching policy in a real server: applied, reported, and disabled if it misbehaves, with every page
//! read.

use lector_tests::answer::all_text;
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Answer, Gateway, process};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{ask, component, deploy, metric, until};

/// Tiny models for the aliases of the standard steps.
const CONFIG: &str = r#"
[platform]
default_deployment = "plain"
[[deployments]]
name = "plain"
component = "guest/target/components/standard.wasm"
settings = { tier = "tiny", page_orientation = false, line_orientation = false }
[deployments.grants]
detection-tiny = "pp-ocrv6-tiny-det"
recognition-tiny = "pp-ocrv6-tiny-rec"
"#;

async fn plans(gateway: &Gateway, outcome: &str) -> f64 {
    metric(gateway, &format!("lector_batching_plans_total{{outcome=\"{outcome}\"}}")).await
}

async fn read(gateway: &Gateway, deployment: &str) -> Answer {
    let page =
        pdf::document(&[PageSpec::a4(&["Planned lines", "are read like others", "whoever plans them"])]);
    let request = gateway.pdf(&format!("/api/v1/deployments/{deployment}/ocr?text_layer=never"), page);
    Answer::read(request.send().await.expect("an answer")).await
}

async fn policy_status(gateway: &Gateway, deployment: &str) -> Value {
    let shown = ask(gateway, "", Method::GET, &format!("/api/v1/deployments/{deployment}"), None).await.ok();
    shown["revisions"][0]["batching_policy"].clone()
}

#[tokio::test]
async fn a_policy_is_applied_and_a_hostile_one_disabled() {
    let gateway = Gateway::builder().config(CONFIG).start().await;
    let expected = all_text(&read(&gateway, "plain").await.ok());
    assert!(expected.contains("Planned lines"), "{expected}");
    assert_eq!(plans(&gateway, "applied").await, 0.0, "no policy was called");

    // Each of the examples gives the same text as a pipeline without one.
    let reading = json!({ "tier": "tiny", "page_orientation": false, "line_orientation": false });
    for policy in ["latency-first", "fill-by-width"] {
        let options = json!({ "settings": { "policy": policy, "reading": reading }, "promote": true });
        let answer = deploy(&gateway, "", policy, component("planned"), options).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let before = plans(&gateway, "applied").await;
        assert_eq!(all_text(&read(&gateway, policy).await.ok()), expected, "{policy}");
        let (applied, status) =
            (plans(&gateway, "applied").await - before, policy_status(&gateway, policy).await);
        assert!(applied > 0.0, "{policy}: {status}");
        assert!(status["asked"].as_u64() > Some(0) && status["disabled"] == false, "{policy}: {status}");
        assert_eq!((&status["trapped"], &status["invalid"]), (&json!(0), &json!(0)), "{policy}: {status}");
    }
    let shown = gateway.get("/api/v1/deployments/plain").await.ok();
    assert!(shown["revisions"][0]["batching_policy"].is_null(), "{shown}");
    assert!(metric(&gateway, "lector_batching_plan_seconds_total").await > 0.0);

    // A policy that misbehaves at once fails its deploy, with the reason.
    let planner = |manner: &str, sound_first: u64| {
        let settings = json!({ "manner": manner, "sound_first": sound_first, "reading": reading });
        json!({ "settings": settings, "promote": true })
    };
    let answer = deploy(&gateway, "", "hostile", component("planner"), planner("panic", 0)).await;
    let problem = answer.problem(422, "batching_plan_failed");
    assert_eq!(problem["stage"], "smoke_test", "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("panicked at ") && detail.contains("panics as configured"), "{problem}");

    // A policy that misbehaves later is disabled under load, and no page is affected.
    for manner in ["spin", "stranger"] {
        let answer = deploy(&gateway, "", manner, component("planner"), planner(manner, 6)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let mut pages = 0;
        let status = loop {
            assert_eq!(all_text(&read(&gateway, manner).await.ok()), expected, "{manner}");
            pages += 1;
            let status = policy_status(&gateway, manner).await;
            if status["disabled"] == true {
                break status;
            }
            assert!(pages < 100, "{manner}: {status}");
        };
        // An invalid answer may also be late, on a processor with cold caches.
        let count = |name: &str| status[name].as_u64().unwrap();
        assert!(count(if manner == "spin" { "late" } else { "invalid" }) > 0, "{manner}: {status}");
        assert!(count("late") + count("invalid") >= 8, "{manner}: {status}");
        assert!(status["last_fault"].is_string(), "{manner}: {status}");
        let asked = status["asked"].clone();
        assert_eq!(all_text(&read(&gateway, manner).await.ok()), expected, "{manner}");
        assert_eq!(
            policy_status(&gateway, manner).await["asked"],
            asked,
            "{manner}: a disabled policy is not called"
        );
    }
    assert_eq!(metric(&gateway, "lector_batching_policies_disabled_total").await, 2.0);
    assert!(plans(&gateway, "late").await + plans(&gateway, "invalid").await >= 16.0);
}

/// A guest with a batching policy is freed with its deployment: its machine code is unmapped, however often it is
/// deployed.
#[tokio::test]
async fn a_deleted_guest_with_a_policy_leaves_no_code() {
    // Of the engines, ONNX Runtime makes no code while it runs; OpenVINO compiles each new shape, at any time.
    let gateway = Gateway::builder().config(CONFIG).set("engines.providers", r#"["cpu"]"#).start().await;
    let reading = json!({ "tier": "tiny", "page_orientation": false, "line_orientation": false });
    let options = json!({ "settings": { "policy": "latency-first", "reading": reading }, "promote": true });
    let mut before = None;
    for round in 0..16 {
        let answer = deploy(&gateway, "", "brief", component("planned"), options.clone()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let applied = plans(&gateway, "applied").await;
        read(&gateway, "brief").await.ok();
        assert!(plans(&gateway, "applied").await > applied, "its policy was asked");
        let answer = ask(&gateway, "", Method::DELETE, "/api/v1/deployments/brief", None).await;
        assert!(answer.status < 300, "{}", answer.text());
        // Freed with the last lease, in the background.
        until("the component is freed", async || metric(&gateway, "lector_components").await == 1.0).await;
        let mappings = process::code_mappings(gateway.pid());
        // The first rounds load what later ones use again.
        let base = *before.get_or_insert(mappings);
        if round < 4 {
            before = Some(mappings.max(base));
        } else {
            assert!(mappings <= base + 2, "round {round}: {mappings} executable mappings, {base} before");
        }
    }
}
