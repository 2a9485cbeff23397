//! Tenants, keys, revisions, routes: real guests deployed over HTTP to a running server.

use lector_tests::{Gateway, HANG};
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::server::{ECHO_ONLY, ask, component, connect, deploy, greeting, rest, says, tenant, until};

#[tokio::test]
async fn a_deploy_a_promotion_a_rollback() {
    let gateway = Gateway::builder().config(ECHO_ONLY).start().await;
    let wasm = component("echo");
    let path = "/api/v1/deployments/greet";

    let answer = deploy(
        &gateway,
        "",
        "greet",
        wasm.clone(),
        json!({ "settings": { "greeting": "one" }, "promote": true }),
    )
    .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let stages: Vec<String> = answer.json()["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["stage"].as_str().unwrap().to_owned())
        .collect();
    assert!(stages.iter().any(|stage| stage == "smoke_test"), "{stages:?}");
    assert_eq!(greeting(&gateway, "greet").await, "one");

    // Settings alone create a revision of the existing component; no request is routed to it.
    let answer =
        ask(&gateway, "", Method::PUT, path, Some(json!({ "settings": { "greeting": "two" } }))).await;
    assert_eq!((answer.status, &answer.json()["revision"]), (201, &json!(2)), "{}", answer.text());
    assert_eq!(greeting(&gateway, "greet").await, "one");
    ask(&gateway, "", Method::POST, &format!("{path}/promote"), Some(json!({ "revision": 2 }))).await.ok();
    assert_eq!(greeting(&gateway, "greet").await, "two");
    let reason = json!({ "reason": "greets wrongly" });
    ask(&gateway, "", Method::POST, &format!("{path}/rollback"), Some(reason)).await.ok();
    assert_eq!(greeting(&gateway, "greet").await, "one");
    // The revision that was rolled back is not promoted again by accident.
    let view = ask(&gateway, "", Method::GET, path, None).await.ok();
    let two = &view["revisions"][0];
    assert_eq!((&two["state"], &two["reason"]), (&json!("withdrawn"), &json!("greets wrongly")), "{view}");
    for body in [None, Some(json!({ "revision": 2 }))] {
        let refused = ask(&gateway, "", Method::POST, &format!("{path}/promote"), body).await;
        refused.problem(409, "revision_withdrawn");
    }
    let forced = json!({ "revision": 2, "force": true });
    ask(&gateway, "", Method::POST, &format!("{path}/promote"), Some(forced)).await.ok();
    ask(&gateway, "", Method::POST, &format!("{path}/rollback"), Some(json!({ "to": 1 }))).await.ok();
    assert_eq!(greeting(&gateway, "greet").await, "one");

    // A failure changes nothing, and names its stage.
    let refused = ask(
        &gateway,
        "",
        Method::PUT,
        path,
        Some(json!({ "settings": { "greeting": "" }, "promote": true })),
    )
    .await;
    let problem = refused.problem(422, "settings_refused");
    assert_eq!(problem["stage"], "configured", "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("/greeting"), "{problem}");
    let core_module = b"\0asm\x01\0\0\0".to_vec();
    let problem = deploy(&gateway, "", "greet", core_module, json!({ "promote": true }))
        .await
        .problem(422, "component_is_core_module");
    assert_eq!(problem["stage"], "validated", "{problem}");
    let mut torn = wasm.clone();
    torn.truncate(torn.len() / 2);
    assert_eq!(deploy(&gateway, "", "greet", torn, json!({ "promote": true })).await.status, 422);
    let problem = deploy(
        &gateway,
        "",
        "greet",
        component("standard"),
        json!({ "grants": {}, "settings": {}, "promote": true }),
    )
    .await
    .problem(403, "grant_missing");
    assert!(problem["detail"].as_str().unwrap().contains("detection"), "{problem}");
    ask(&gateway, "", Method::POST, &format!("{path}/promote"), Some(json!({ "revision": 99 })))
        .await
        .problem(404, "revision_not_found");
    assert_eq!(greeting(&gateway, "greet").await, "one");

    // The audit log has all of it.
    let audit = ask(&gateway, "", Method::GET, "/api/v1/audit", None).await.ok();
    let events: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    for event in ["promote", "rollback"] {
        assert!(events.iter().any(|seen| seen.contains(event)), "no {event} in {events:?}");
    }
    let usage = ask(&gateway, "", Method::GET, "/api/v1/usage", None).await.ok();
    assert!(usage["usage"][0]["pages_ok"].as_u64().unwrap() >= 5, "{usage}");
    assert_eq!(ask(&gateway, "", Method::DELETE, path, None).await.status, 204);
    says(&gateway, "", "greet", "").await.problem(404, "deployment_not_found");
}

/// Starts a server that requires keys; returns its administrator's key and the file of it.
async fn closed() -> (Gateway, String, KeyFile) {
    let file = KeyFile(tempfile::tempdir().unwrap());
    let path = file.path();
    let gateway = Gateway::builder()
        .config(ECHO_ONLY)
        .set("platform.admin_key_file", path.display())
        // Allows bodies that stall.
        .set("http.body_idle_timeout_s", HANG.as_secs())
        .set("http.transfer_bytes_per_s_min", 0)
        .start()
        .await;
    let admin = std::fs::read_to_string(path).unwrap().trim().to_owned();
    (gateway, admin, file)
}

struct KeyFile(tempfile::TempDir);

impl KeyFile {
    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("admin.key")
    }
}

/// What keys may do is tested without processes (`host/src/http/tests/access.rs`).
#[tokio::test]
async fn the_admin_key_file_closes_the_server_and_is_private() {
    let (gateway, admin, file) = closed().await;
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file.path()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    says(&gateway, "", "echo", "").await.problem(401, "key_missing");
    says(&gateway, &admin, "echo", "").await.ok();
    let acme = &tenant(&gateway, &admin, "acme", json!({})).await;
    says(&gateway, acme, "echo", "").await.ok();
    // An administrator names the tenant of a deploy.
    let unnamed = ask(&gateway, &admin, Method::PUT, "/api/v1/deployments/mine", Some(json!({}))).await;
    let problem = unnamed.problem(422, "tenant_missing");
    assert!(problem["detail"].as_str().unwrap().contains("X-Lector-Tenant"), "{problem}");
    ask(&gateway, acme, Method::GET, "/api/v1/admin/tenants", None).await.problem(403, "admin_only");
}

#[tokio::test]
async fn a_tenant_has_bytes_of_its_own_and_costs_others_none() {
    let (gateway, admin, _file) = closed().await;
    let policy = |limits| json!({ "limits": limits });
    let acme = tenant(&gateway, &admin, "acme", policy(json!({ "held_bytes_max": 50_000 }))).await;
    let zeta = tenant(&gateway, &admin, "zeta", policy(json!({ "images_bytes_max": 64 << 20 }))).await;
    let path = "/api/v1/admin/tenants/zeta";
    let refused = policy(json!({ "images_bytes_max": 1000 }));
    ask(&gateway, &admin, Method::PUT, path, Some(refused)).await.problem(422, "limits_invalid");

    // A document that can never fit is rejected before it is sent.
    let head = |bytes: u32| {
        format!(
            "POST /api/v1/ocr HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pdf\r\nAuthorization: Bearer {acme}\r\n\
             Content-Length: {bytes}\r\nConnection: close\r\n\r\n%PDF-1.7"
        )
    };
    let mut too_much = connect(&gateway).await;
    too_much.write_all(head(50_001).as_bytes()).await.unwrap();
    let answer = rest(&mut too_much).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("submission_too_large"), "{answer}");

    // A document that is being received holds the bytes that have arrived, and not those that it announced.
    let mut slow = connect(&gateway).await;
    slow.write_all(head(49_990).as_bytes()).await.unwrap();
    let begun = "lector_documents_held_bytes 8\n";
    until("the first bytes are held", async || gateway.get("/metrics").await.text().contains(begun)).await;
    says(&gateway, &acme, "echo", "").await.ok();
    slow.write_all(&[b' '; 49_972]).await.unwrap();
    let held = "lector_documents_held_bytes 49980\n";
    until("the bytes are held", async || gateway.get("/metrics").await.text().contains(held)).await;
    let full = says(&gateway, &acme, "echo", "").await;
    full.problem(429, "tenant_memory_exceeded");
    assert!(!full.header("retry-after").is_empty());
    says(&gateway, &zeta, "echo", "").await.ok();
    let metrics = gateway.get("/metrics").await.text();
    assert!(
        metrics.contains("lector_admission_decisions_total{decision=\"tenant_memory_exceeded\"} 1"),
        "{metrics}"
    );

    // A page that needs more than the limit fails; pages that do not fit now wait.
    let options = json!({ "settings": { "mood": "render" }, "promote": true });
    assert_eq!(deploy(&gateway, &zeta, "drawn", component("echo"), options).await.status, 201);
    let drawn = futures::future::join_all((0..12).map(|_| says(&gateway, &zeta, "drawn", ""))).await;
    drawn.iter().for_each(|answer| _ = answer.ok());
    let less = policy(json!({ "images_bytes_max": 8 << 20 }));
    ask(&gateway, &admin, Method::PUT, path, Some(less)).await.ok();
    says(&gateway, &zeta, "drawn", "").await.problem(413, "page_too_many_pixels");

    drop(slow);
    until("there is room again", async || says(&gateway, &acme, "echo", "").await.status == 200).await;
}
