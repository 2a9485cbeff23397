//! Engines that could not be built: reported, retried at an operator's request, recorded in the audit log, and then
//! serving.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lector_tests::{Gateway, HANG, paths};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::ask;

const MODEL: &str = "textline-orientation";

/// Returns the state of the model's engines in the API.
async fn engine(gateway: &Gateway) -> Value {
    let all = gateway.get("/api/v1/engines").await.ok();
    let found = all["engines"].as_array().unwrap().iter().find(|engine| engine["model"] == MODEL);
    found.unwrap_or_else(|| panic!("{all}")).clone()
}

async fn until(gateway: &Gateway, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    let end = std::time::Instant::now() + HANG;
    loop {
        let engine = engine(gateway).await;
        if condition(&engine) {
            return engine;
        }
        assert!(std::time::Instant::now() < end, "it never came: {what}: {engine}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn engines(gateway: &Gateway, arguments: &[&str], folder: &Path) -> Value {
    let output = Command::new(paths::lector())
        .arg("engines")
        .args(arguments)
        .arg("--set")
        .arg(format!("client.server={}", gateway.base))
        .current_dir(folder)
        .output()
        .expect("lector runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn an_engine_that_failed_is_tried_again_at_will_and_serves() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("engines");
    std::fs::create_dir(&cache).unwrap();
    // Builds cannot write their files.
    std::fs::write(cache.join("tmp"), "in the way").unwrap();
    let config = format!(
        r#"
        [engines]
        providers = ["cpu"]
        cache_dir = "{}"
        [engines.model_providers]
        {MODEL} = ["openvino/f32", "cpu"]
        [platform]
        default_deployment = "small"
        [[deployments]]
        name = "small"
        component = "guest/target/components/standard.wasm"
        settings = {{ tier = "tiny" }}
        [deployments.grants]
        detection-tiny = "pp-ocrv6-tiny-det"
        recognition-tiny = "pp-ocrv6-tiny-rec"
        textline-orientation = "{MODEL}"
        page-orientation = "page-orientation"
    "#,
        cache.display()
    );
    let gateway = Gateway::builder().config(config).start().await;
    let failed = until(&gateway, "the failure", |engine| engine["variants"][0]["state"] == "failed").await;
    let variant = &failed["variants"][0];
    assert_eq!(
        (&failed["serving"]["variant"], &variant["attempts"], &variant["slow_retry"]),
        (&json!("cpu/f32"), &json!(1), &json!(false))
    );
    assert!(
        variant["last_error"].as_str().unwrap().contains("engine cache")
            && variant["retry_in_s"].as_f64().unwrap() > 0.0,
        "{variant}"
    );
    let series = format!("lector_engine_failed_attempts{{model=\"{MODEL}\",variant=\"openvino/f32\"}} 1");
    assert!(gateway.get("/metrics").await.text().contains(&series));

    let retry = "/api/v1/admin/engines/retry";
    ask(&gateway, "", Method::POST, retry, Some(json!({ "model": "no-such" })))
        .await
        .problem(404, "model_unknown");
    ask(&gateway, "", Method::POST, retry, Some(json!({ "modle": MODEL })))
        .await
        .problem(400, "body_invalid");

    std::fs::remove_file(cache.join("tmp")).unwrap();
    let answer = engines(&gateway, &["retry", "--model", MODEL], folder.path());
    let variants: Vec<&str> =
        answer["retried"].as_array().unwrap().iter().map(|one| one["variant"].as_str().unwrap()).collect();
    assert!(variants.contains(&"openvino/f32"), "{answer}");
    let served = |engine: &Value| engine["serving"]["variant"] == "openvino/f32";
    let engine = until(&gateway, "the engine", served).await;
    assert_eq!(engine["variants"][0]["attempts"], Value::Null);
    assert!(!gateway.get("/metrics").await.text().contains(&series));
    let status = engines(&gateway, &["status"], folder.path());
    assert!(
        status["engines"].as_array().unwrap().iter().any(|engine| engine["model"] == MODEL && served(engine))
    );

    let audit = ask(&gateway, "", Method::GET, "/api/v1/admin/audit?limit=10", None).await.ok();
    let entry = audit["entries"].as_array().unwrap().iter().find(|entry| entry["action"] == "engines_retry");
    let entry = entry.unwrap_or_else(|| panic!("{audit}"));
    assert_eq!((&entry["target"], &entry["actor"]), (&json!(MODEL), &json!("open")));
    assert_eq!(entry["from"][0]["model"], MODEL);

    // A key that is not an administrator's is rejected.
    let make = async |key: String, path: &str, body: Value| {
        let made = ask(&gateway, &key, Method::POST, path, Some(body)).await.json();
        made["key"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    };
    let admin = make(String::new(), "/api/v1/admin/keys", json!({ "admin": true })).await;
    let key = make(admin.clone(), "/api/v1/keys", json!({ "label": "reader" })).await;
    ask(&gateway, &key, Method::POST, retry, None).await.problem(403, "admin_only");
    ask(&gateway, "", Method::POST, retry, None).await.problem(401, "key_missing");
    // Without a name: every variant that failed, and none that serves. A lower variant of the model may be among them.
    let rest = ask(&gateway, &admin, Method::POST, retry, None).await.ok();
    let retried = |model: &str, variant: Option<&str>| {
        let mut all = rest["retried"].as_array().unwrap().iter();
        all.any(|one| one["model"] == model && variant.is_none_or(|variant| one["variant"] == variant))
    };
    assert!(retried("page-orientation", None) && !retried(MODEL, Some("openvino/f32")), "{rest}");
}
