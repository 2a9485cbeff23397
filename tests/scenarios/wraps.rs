//! Deployments that wrap another deployment: the pinned revision, refusals, the command line, a restart.

use lector_tests::answer::all_text;
use lector_tests::{Gateway, paths};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{ECHO_ONLY, ask, component, deploy, lector, says};

async fn text(gateway: &Gateway, name: &str) -> String {
    all_text(&says(gateway, "", name, "").await.ok())
}

async fn revision(gateway: &Gateway, name: &str, number: u32) -> Value {
    let path = format!("/api/v1/deployments/{name}/revisions/{number}");
    ask(gateway, "", Method::GET, &path, None).await.ok()
}

#[tokio::test]
async fn a_wrapper_is_deployed_and_keeps_its_inner_revision() {
    let data = tempfile::tempdir().unwrap();
    let builder = || Gateway::builder().config(ECHO_ONLY).set("platform.data_dir", data.path().display());
    let gateway = builder().start().await;
    let options = json!({ "settings": { "greeting": "first" }, "promote": true });
    assert_eq!(deploy(&gateway, "", "inner", component("echo"), options).await.status, 201);

    // Without `wraps`, and with it for a guest that wraps nothing.
    let refused = deploy(&gateway, "", "shout", component("wrapper"), json!({})).await;
    let problem = refused.problem(422, "wraps_invalid");
    assert_eq!(problem["stage"], "validated");
    assert!(problem["detail"].as_str().unwrap().contains("--wraps NAME"), "{problem}");
    let options = json!({ "wraps": "inner" });
    deploy(&gateway, "", "shout", component("echo"), options.clone()).await.problem(422, "wraps_invalid");
    let unknown = json!({ "wraps": "nothing" });
    deploy(&gateway, "", "shout", component("wrapper"), unknown).await.problem(404, "deployment_not_found");

    let answer = deploy(&gateway, "", "shout", component("wrapper"), options).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let before = text(&gateway, "shout").await;
    assert!(before.contains("FIRST"), "{before}");
    let inner = revision(&gateway, "inner", 1).await;
    let wraps = revision(&gateway, "shout", 1).await["wraps"].clone();
    assert_eq!(wraps, json!({ "deployment": "inner", "revision": 1, "digest": inner["component"] }));

    // The wrapped deployment changes, and is deleted.
    let options = json!({ "settings": { "greeting": "second" }, "promote": true });
    assert_eq!(deploy(&gateway, "", "inner", component("echo"), options).await.status, 201);
    assert!(text(&gateway, "inner").await.contains("second"));
    assert_eq!(text(&gateway, "shout").await, before);

    // The command line pins the revision that is live now.
    let file = paths::repo().join("guest/target/components/wrapper.wasm");
    let file = file.to_str().unwrap();
    let out = lector(&gateway, &["deploy", file, "-d", "shout", "--wraps", "inner", "--promote"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(answer["deployment"]["revisions"][0]["wraps"]["revision"], 2, "{answer}");
    assert!(text(&gateway, "shout").await.contains("SECOND"));
    let out = lector(&gateway, &["deploy", file, "-d", "shout"]);
    assert!(!out.status.success() && String::from_utf8_lossy(&out.stderr).contains("--wraps NAME"));

    let deleted = ask(&gateway, "", Method::DELETE, "/api/v1/deployments/inner", None).await;
    assert_eq!(deleted.status, 204);
    gateway.stop().await;
    let gateway = builder().start().await;
    assert!(text(&gateway, "shout").await.contains("SECOND"), "the pinned component is still in the store");
    ask(&gateway, "", Method::POST, "/api/v1/deployments/shout/rollback", None).await.ok();
    assert_eq!(text(&gateway, "shout").await, before);
    gateway.stop().await;
}

#[tokio::test]
async fn a_failing_inner_pipeline_is_named() {
    // A deployment of the configuration reads no smoke-test page when it is deployed.
    let config = format!(
        "{ECHO_ONLY}[[deployments]]\nname = \"inner\"\ncomponent = \"guest/target/components/echo.wasm\"\n\
         settings = {{ mood = \"refuse\" }}\n"
    );
    let gateway = Gateway::builder().config(&config).start().await;
    let options = json!({ "wraps": "inner" });
    let problem = deploy(&gateway, "", "shout", component("wrapper"), options).await.json();
    assert_eq!(
        (&problem["stage"], &problem["code"]),
        (&json!("smoke_test"), &json!("guest_error_unreadable"))
    );
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("pipeline `inner`") && detail.contains("told to refuse"), "{problem}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_configured_deployment_wraps_another_one() {
    let config = format!(
        "{ECHO_ONLY}[[deployments]]\nname = \"shout\"\ncomponent = \"guest/target/components/wrapper.wasm\"\n\
         wraps = \"echo\"\n"
    );
    let gateway = Gateway::builder().config(&config).start().await;
    let read = text(&gateway, "shout").await;
    assert!(read.contains("CONFIGURED"), "{read}");
    assert_eq!(gateway.get("/readyz").await.status, 200);
    gateway.stop().await;
}
