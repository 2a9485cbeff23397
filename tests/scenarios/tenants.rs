//! Tenants, keys, revisions, routes: real guests deployed over HTTP into a running house.

use std::time::Duration;

use lector_tests::answer::all_text;
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

    // Settings alone make a revision of the component that is there; nobody is routed to it.
    let answer =
        ask(&gateway, "", Method::PUT, path, Some(json!({ "settings": { "greeting": "two" } }))).await;
    assert_eq!((answer.status, &answer.json()["revision"]), (201, &json!(2)), "{}", answer.text());
    assert_eq!(greeting(&gateway, "greet").await, "one");
    ask(&gateway, "", Method::POST, &format!("{path}/promote"), Some(json!({ "revision": 2 }))).await.ok();
    assert_eq!(greeting(&gateway, "greet").await, "two");
    ask(&gateway, "", Method::POST, &format!("{path}/rollback"), None).await.ok();
    assert_eq!(greeting(&gateway, "greet").await, "one");

    // What fails changes nothing, and says where it failed.
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

    // All of it is on record.
    let audit = ask(&gateway, "", Method::GET, "/api/v1/audit", None).await.ok();
    let acts: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    for act in ["promote", "rollback"] {
        assert!(acts.iter().any(|seen| seen.contains(act)), "no {act} in {acts:?}");
    }
    let usage = ask(&gateway, "", Method::GET, "/api/v1/usage", None).await.ok();
    assert!(usage["usage"][0]["pages_ok"].as_u64().unwrap() >= 5, "{usage}");
    assert_eq!(ask(&gateway, "", Method::DELETE, path, None).await.status, 204);
    says(&gateway, "", "greet", "").await.problem(404, "deployment_not_found");
}

#[tokio::test]
async fn a_canary_is_sticky_by_key() {
    let gateway = Gateway::builder().config(ECHO_ONLY).start().await;
    let options = json!({ "settings": { "greeting": "old" }, "promote": true });
    assert_eq!(deploy(&gateway, "", "greet", component("echo"), options).await.status, 201);
    let answer = ask(
        &gateway,
        "",
        Method::PUT,
        "/api/v1/deployments/greet",
        Some(json!({ "settings": { "greeting": "new" }, "canary": 50 })),
    )
    .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let mut seen = std::collections::BTreeMap::new();
    for key in 0..24 {
        let first = all_text(&says(&gateway, "", "greet", &format!("client-{key}")).await.ok());
        let again = all_text(&says(&gateway, "", "greet", &format!("client-{key}")).await.ok());
        assert_eq!(first, again, "client-{key} came to two revisions");
        *seen.entry(first.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
    }
    // Of 24 keys at even chances all go one way once in eight million runs, and the keys are always these.
    assert!(seen.contains_key("old") && seen.contains_key("new"), "{seen:?}");
}

#[tokio::test]
async fn a_candidate_that_fails_is_taken_back() {
    let gateway = Gateway::builder().config(ECHO_ONLY).start().await;
    let options = json!({ "settings": { "greeting": "sound" }, "promote": true });
    assert_eq!(deploy(&gateway, "", "greet", component("echo"), options).await.status, 201);
    // The golden page is small; an A4 page at the resolution that it asks for is more than its budget allows. None of
    // the stages can see that.
    let body = json!({
        "settings": { "greeting": "over", "mood": "render" }, "budget": { "pixels_max": 2_000_000 },
        "canary": 50, "rollback_policy": { "error_rate_max": 0.5, "pages_min": 4 },
    });
    let answer = ask(&gateway, "", Method::PUT, "/api/v1/deployments/greet", Some(body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let mut failed = 0;
    for key in 0..40 {
        failed += u32::from(says(&gateway, "", "greet", &format!("k{key}")).await.status != 200);
    }
    assert!(failed >= 4, "only {failed} requests came to the candidate");
    let end = std::time::Instant::now() + HANG;
    loop {
        let deployment = ask(&gateway, "", Method::GET, "/api/v1/deployments/greet", None).await.ok();
        if deployment["weights"].as_array().unwrap().len() == 1 {
            assert_eq!(deployment["weights"][0]["revision"], 1, "{deployment}");
            break;
        }
        assert!(std::time::Instant::now() < end, "the candidate was not taken back: {deployment}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for key in 0..40 {
        says(&gateway, "", "greet", &format!("k{key}")).await.ok();
    }
}

/// A house that asks for keys, its administrator's, and the file that it wrote it into.
async fn closed() -> (Gateway, String, KeyFile) {
    let file = KeyFile(tempfile::tempdir().unwrap());
    let path = file.path();
    let gateway = Gateway::builder()
        .config(ECHO_ONLY)
        .set("platform.admin_key_file", path.display())
        // Patient with documents that stand still on their way.
        .set("http.body_idle_timeout_s", HANG.as_secs())
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

#[tokio::test]
async fn keys_close_the_server() {
    let (gateway, admin, file) = closed().await;
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file.path()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    says(&gateway, "", "echo", "").await.problem(401, "key_missing");
    says(&gateway, "lk_nonsense", "echo", "").await.problem(401, "key_invalid");
    let acme = &tenant(&gateway, &admin, "acme", json!({})).await;
    let zeta = &tenant(&gateway, &admin, "zeta", json!({})).await;
    // What the host lends is everybody's; what a tenant deploys is its own.
    says(&gateway, acme, "echo", "").await.ok();
    let options = json!({ "settings": { "greeting": "acme's" }, "promote": true });
    assert_eq!(deploy(&gateway, acme, "mine", component("echo"), options).await.status, 201);
    assert!(all_text(&says(&gateway, acme, "mine", "").await.ok()).starts_with("acme's"));
    says(&gateway, zeta, "mine", "").await.problem(404, "deployment_not_found");
    ask(&gateway, zeta, Method::GET, "/api/v1/deployments/mine", None)
        .await
        .problem(404, "deployment_not_found");
    ask(&gateway, acme, Method::GET, "/api/v1/admin/tenants", None).await.problem(403, "admin_only");

    // A limit of its own.
    let terms = json!({ "limits": { "requests_per_s": 0.01, "burst": 1 } });
    ask(&gateway, &admin, Method::PUT, "/api/v1/admin/tenants/zeta", Some(terms)).await.ok();
    let first = says(&gateway, zeta, "echo", "").await;
    let second = says(&gateway, zeta, "echo", "").await;
    assert!(first.status == 200 || first.status == 429, "{}", first.text());
    second.problem(429, "rate_limited");
    assert!(!second.header("retry-after").is_empty());
    says(&gateway, acme, "echo", "").await.ok();

    // A key that was revoked opens nothing; the other tenant does not notice.
    let list = ask(&gateway, zeta, Method::GET, "/api/v1/keys", None).await.ok();
    let id = list["keys"][0]["id"].as_str().unwrap().to_owned();
    ask(&gateway, &admin, Method::DELETE, &format!("/api/v1/admin/keys/{id}"), None).await.ok();
    says(&gateway, zeta, "echo", "").await.problem(401, "key_invalid");
    says(&gateway, acme, "echo", "").await.ok();
}

#[tokio::test]
async fn a_tenant_has_bytes_of_its_own_and_costs_others_none() {
    let (gateway, admin, _file) = closed().await;
    let terms = |limits| json!({ "limits": limits });
    let acme = tenant(&gateway, &admin, "acme", terms(json!({ "held_bytes_max": 50_000 }))).await;
    let zeta = tenant(&gateway, &admin, "zeta", terms(json!({ "images_bytes_max": 64 << 20 }))).await;
    let path = "/api/v1/admin/tenants/zeta";
    let refused = terms(json!({ "images_bytes_max": 1000 }));
    ask(&gateway, &admin, Method::PUT, path, Some(refused)).await.problem(422, "limits_invalid");

    // What can never fit is told so, before it is sent.
    let head = |bytes: u32| {
        format!(
            "POST /api/v1/ocr HTTP/1.1\r\nHost: x\r\nContent-Type: application/pdf\r\nAuthorization: Bearer {acme}\r\n\
             Content-Length: {bytes}\r\nConnection: close\r\n\r\n%PDF-1.7"
        )
    };
    let mut too_much = connect(&gateway).await;
    too_much.write_all(head(50_001).as_bytes()).await.unwrap();
    let answer = rest(&mut too_much).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("submission_too_large"), "{answer}");

    // A document that is still on its way has its bytes already.
    let mut slow = connect(&gateway).await;
    slow.write_all(head(49_990).as_bytes()).await.unwrap();
    let held = "lector_documents_held_bytes 49990";
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

    // A page may hold no more than all of them, and those for which there is no room now wait for it.
    let options = json!({ "settings": { "mood": "render" }, "promote": true });
    assert_eq!(deploy(&gateway, &zeta, "drawn", component("echo"), options).await.status, 201);
    let drawn = futures::future::join_all((0..12).map(|_| says(&gateway, &zeta, "drawn", ""))).await;
    drawn.iter().for_each(|answer| _ = answer.ok());
    let less = terms(json!({ "images_bytes_max": 8 << 20 }));
    ask(&gateway, &admin, Method::PUT, path, Some(less)).await.ok();
    says(&gateway, &zeta, "drawn", "").await.problem(500, "page_too_many_pixels");

    drop(slow);
    until("there is room again", async || says(&gateway, &acme, "echo", "").await.status == 200).await;
}
