//! JSON documents that nest too deep are rejected; damaged rows of the store are quarantined.

use std::path::Path;

use lector_tests::{Answer, Gateway};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::server::{ECHO_ONLY, ask, component, deploy, greeting, says};

/// Returns `{"greeting": "deep", "ignored": [[…]]}` as text, because client libraries refuse to build it.
fn nested(depth: usize) -> String {
    format!("{{\"greeting\":\"deep\",\"ignored\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
}

async fn server(data: &Path) -> Gateway {
    Gateway::builder().config(ECHO_ONLY).set("platform.data_dir", data.display()).start().await
}

async fn send(gateway: &Gateway, method: Method, path: &str, body: String) -> Answer {
    let request =
        gateway.client.request(method, gateway.url(path)).header("content-type", "application/json");
    Answer::read(request.body(body).send().await.unwrap()).await
}

async fn form(gateway: &Gateway, settings: Option<String>, options: String) -> Answer {
    let mut form = Form::new().text("options", options).part("component", Part::bytes(component("echo")));
    if let Some(settings) = settings {
        form = form.text("settings", settings);
    }
    let request = gateway.client.put(gateway.url("/api/v1/deployments/greet")).multipart(form);
    Answer::read(request.send().await.unwrap()).await
}

fn assert_detail(problem: &Value, what: &[&str]) {
    let detail = problem["detail"].as_str().unwrap();
    assert!(what.iter().all(|what| detail.contains(what)), "{problem}");
}

#[tokio::test]
async fn deep_nesting_is_refused_and_the_server_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = server(folder.path()).await;
    let options = json!({ "settings": { "greeting": "sound" }, "promote": true });
    assert_eq!(deploy(&gateway, "", "greet", component("echo"), options).await.status, 201);
    let tenant = "/api/v1/admin/tenants/acme";
    let deployment = "/api/v1/deployments/greet";
    let settings = |depth: usize| format!("{{\"settings\":{}}}", nested(depth - 1));
    // 127 is within the usual bound of JSON parsers, but could not be read back once it was wrapped in another
    // document.
    for depth in [33, 127, 128, 5000] {
        let limit = ["32".to_owned(), depth.to_string()];
        let limit: Vec<&str> = limit.iter().map(String::as_str).collect();
        let answer = form(&gateway, Some(nested(depth)), "{}".into()).await;
        assert_detail(&answer.problem(400, "json_too_deep"), &limit);
        let answer = form(&gateway, None, settings(depth)).await;
        assert_detail(&answer.problem(400, "json_too_deep"), &limit);
        for (method, path) in [
            (Method::PUT, deployment),
            (Method::PUT, tenant),
            (Method::POST, "/api/v1/keys"),
            (Method::POST, "/api/v1/deployments/greet/promote"),
            (Method::POST, "/api/v1/admin/engines/retry"),
        ] {
            let answer = send(&gateway, method, path, settings(depth)).await;
            assert_detail(&answer.problem(400, "json_too_deep"), &limit);
        }
    }
    // At the bound it is accepted, as a form and as JSON.
    let answer = form(&gateway, Some(nested(32)), "{\"promote\":true}".into()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let answer = send(&gateway, Method::PUT, tenant, settings(32)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(gateway.stop().await, 0);

    let gateway = server(folder.path()).await;
    assert_eq!(greeting(&gateway, "greet").await, "deep");
    let kept = ask(&gateway, "", Method::GET, tenant, None).await.ok();
    assert_eq!(kept["policy"]["settings"]["greeting"], "deep");
    let rows = ask(&gateway, "", Method::GET, "/api/v1/admin/quarantine", None).await.ok();
    assert_eq!(rows["rows"], json!([]));
}

#[tokio::test]
async fn large_or_invalid_documents_are_refused_and_change_nothing() {
    let gateway = Gateway::builder().config(ECHO_ONLY).start().await;
    let options = json!({ "settings": { "greeting": "sound" }, "promote": true });
    assert_eq!(deploy(&gateway, "", "greet", component("echo"), options).await.status, 201);
    let filler = |bytes: usize| format!("{{\"settings\":{{\"greeting\":\"{}\"}}}}", "x".repeat(bytes));
    let answer = form(&gateway, None, filler(51 << 20)).await;
    assert_detail(&answer.problem(413, "json_too_large"), &["`options`", "1310720"]);
    let answer = form(&gateway, Some(filler(1 << 20)), "{}".into()).await;
    assert_detail(&answer.problem(413, "json_too_large"), &["`settings`", "1048576"]);
    let tenant = "/api/v1/admin/tenants/acme";
    let answer = send(&gateway, Method::PUT, tenant, filler(300 << 10)).await;
    assert_detail(&answer.problem(413, "json_too_large"), &["262144"]);
    let answer = send(&gateway, Method::POST, "/api/v1/keys", filler(20 << 10)).await;
    assert_detail(&answer.problem(413, "json_too_large"), &["16384"]);

    let key = "/api/v1/admin/keys/0123456789abcdef/rotate";
    for body in ["[]", "[null,null]", "null", "[[],{}]", "7", "\"promote\""] {
        for (method, path) in [
            (Method::PUT, "/api/v1/deployments/greet"),
            (Method::POST, "/api/v1/deployments/greet/promote"),
            (Method::POST, "/api/v1/deployments/greet/canary"),
            (Method::PUT, tenant),
            (Method::POST, "/api/v1/keys"),
            (Method::POST, "/api/v1/admin/keys"),
            (Method::POST, key),
            (Method::POST, "/api/v1/admin/engines/retry"),
        ] {
            send(&gateway, method, path, body.to_owned()).await.problem(400, "body_invalid");
        }
        form(&gateway, None, body.to_owned()).await.problem(400, "body_invalid");
    }
    // A list in place of an object is rejected at every level.
    for (path, body) in [
        (tenant, r#"{"limits":[1.0,2]}"#),
        (tenant, r#"{"limits":{"budget":[1]}}"#),
        ("/api/v1/deployments/greet", r#"{"budget":[1,2,3,4,5,6,7,8,9]}"#),
        ("/api/v1/deployments/greet", r#"{"promote":true,"rollback_policy":[0.5,0,20]}"#),
    ] {
        send(&gateway, Method::PUT, path, body.to_owned()).await.problem(400, "body_invalid");
    }
    let shown = ask(&gateway, "", Method::GET, "/api/v1/deployments/greet", None).await.ok();
    assert_eq!((&shown["version"], shown["revisions"].as_array().unwrap().len()), (&json!(1), 1), "{shown}");
    assert_eq!(ask(&gateway, "", Method::GET, tenant, None).await.status, 404);
    says(&gateway, "", "greet", "").await.ok();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// `tests/data/data-folder-0.1.0/README.md` describes the folder.
#[tokio::test]
async fn a_data_folder_of_0_1_opens_with_its_tenants_keys_routes_and_audit_log() {
    const ADMIN: &str =
        "lka_7f0a1cb7514dc874_c5451676b3984cc3c8c45eacdfe57bbba1d7d7f99f2e08b7ebef1cdf544664ce";
    const ACME: &str = "lk_5421d3610a1d79f5_7d534059575c5ef4a86a9ec5af482bfd61b1a1c8b411cbe7b45802ec3bc63f6c";
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    copy(&lector_tests::paths::repo().join("tests/data/data-folder-0.1.0"), &data);
    let gateway = server(&data).await;
    let get =
        async |key: &'static str, path: &'static str| ask(&gateway, key, Method::GET, path, None).await.ok();
    let tenant = get(ADMIN, "/api/v1/admin/tenants/acme").await;
    assert_eq!(tenant["policy"]["weight"], 200, "{tenant}");
    assert_eq!(tenant["policy"]["limits"]["pages_per_day"], 1000, "{tenant}");
    assert_eq!(get(ADMIN, "/api/v1/admin/quarantine").await["rows"], json!([]));
    let letters = get(ACME, "/api/v1/deployments/letters").await;
    assert_eq!(letters["rollback_policy"]["pages_min"], 50, "{letters}");
    assert_eq!(letters["weights"].as_array().map(Vec::len), Some(2), "{letters}");
    assert_eq!(letters["revisions"].as_array().map(Vec::len), Some(2), "{letters}");
    let audit = get(ACME, "/api/v1/audit").await;
    let actions: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert!(actions.contains(&"deploy") && actions.contains(&"canary"), "{actions:?}");
    let usage = get(ADMIN, "/api/v1/admin/usage").await;
    assert!(usage.to_string().contains("\"pages_ok\":1"), "{usage}");

    // Its component speaks WIT 0.1: the answer says so, and a new one is deployed and serves.
    let page = std::fs::read(lector_tests::paths::repo().join("tests/data/line.png")).unwrap();
    let read = async || {
        let request = gateway.client.post(gateway.url("/api/v1/deployments/letters/ocr")).bearer_auth(ACME);
        Answer::read(request.header("content-type", "image/png").body(page.clone()).send().await.unwrap())
            .await
    };
    let refused = read().await;
    assert_detail(&refused.problem(503, "revision_unavailable"), &["0.1.0", "0.2.0", "rebuild"]);
    let options = json!({ "settings": { "greeting": "again" }, "promote": true });
    assert_eq!(deploy(&gateway, ACME, "letters", component("echo"), options).await.status, 201);
    assert!(read().await.ok().to_string().contains("again page 0"));
}
