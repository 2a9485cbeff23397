//! Keys, scopes, and the separation of tenants, by every route.

use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};

use super::app::{TestApp, all_text};

/// Paths that need no key.
const OPEN: [&str; 9] = [
    "/",
    "/docs",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi.json",
    "/problems",
    "/problems/key_missing",
    "/readyz",
];

/// Returns every route of the API: method and path, with these values of its parameters.
pub(super) async fn routes(app: &TestApp, values: &[(&str, &str)]) -> Vec<(Method, String)> {
    let openapi = app.get("/openapi.json").send().await.ok();
    let mut routes = Vec::new();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        let filled = values.iter().fold(path.clone(), |path, (name, value)| path.replace(name, value));
        for method in ["get", "put", "post", "delete"].iter().filter(|method| item.get(**method).is_some()) {
            routes.push((method.to_uppercase().parse().unwrap(), filled.clone()));
        }
    }
    assert!(routes.len() >= 40, "{} routes", routes.len());
    routes
}

pub(super) const VALUES: [(&str, &str); 5] = [
    ("{name}", "mine"),
    ("{number}", "1"),
    ("{id}", "0123456789abcdef"),
    ("{tenant}", "acme"),
    ("{code}", "key_missing"),
];

#[tokio::test]
async fn every_route_needs_a_key_on_a_server_with_keys() {
    let (app, admin) = TestApp::closed().await;
    let acme = app.tenant(&admin, "acme", json!({})).await;
    let mut administrators = 0;
    for (method, path) in routes(&app, &VALUES).await {
        if OPEN.contains(&path.as_str()) {
            continue;
        }
        // The clock stands still, and the bursts of failed attempts are limited.
        app.clock.advance(Duration::from_secs(2));
        let request = || app.request(method.clone(), &path);
        request().send().await.problem(401, "key_missing");
        request().key("lk_nonsense").send().await.problem(401, "key_invalid");
        if path.starts_with("/api/v1/admin/") {
            administrators += 1;
            request().key(&acme).send().await.problem(403, "admin_only");
        }
    }
    assert!(administrators >= 10, "{administrators} routes of administrators");
}

#[tokio::test]
async fn a_refused_key_names_its_scheme() {
    let (app, admin) = TestApp::closed().await;
    let answer = app.ocr("", 1).send().await;
    answer.problem(401, "key_missing");
    assert!(answer.header("www-authenticate").starts_with("Bearer"));
    app.ocr("", 1).header("x-api-key", &admin).send().await.ok();
    let two = app.ocr("", 1).key(&admin).header("x-api-key", "lk_other").send().await;
    two.problem(400, "option_invalid");
}

#[tokio::test]
async fn a_tenants_deployment_does_not_exist_for_others_by_any_route() {
    let (app, admin) = TestApp::closed().await;
    let acme = app.tenant(&admin, "acme", json!({})).await;
    let zeta = app.tenant(&admin, "zeta", json!({})).await;
    app.deploy(&acme, "mine", "acme's ", json!({ "promote": true })).await;
    let read = |key: &str| app.document("/api/v1/deployments/mine/ocr", 1).key(key);
    assert_eq!(all_text(&read(&acme).send().await.ok()), "acme's page 0");

    let routes = routes(&app, &VALUES).await;
    let of_deployments = |path: &str| path.starts_with("/api/v1/deployments/mine");
    let mut tried = 0;
    for (method, path) in routes.into_iter().filter(|(_, path)| of_deployments(path)) {
        // A deploy creates the tenant's own deployment of that name.
        if method == Method::PUT {
            continue;
        }
        tried += 1;
        let request = app.request(method.clone(), &path).key(&zeta);
        let request = match path.contains("/ocr") {
            true => request.header("content-type", "application/pdf").body(vec![1u8]),
            false if path.ends_with("/canary") || path.ends_with("/shadow") => {
                request.json(json!({ "revision": 1, "percent": 50 }))
            }
            false if path.ends_with("/rollback") => request.json(json!({})),
            false if method == Method::POST => request.json(json!({ "revision": 1 })),
            false => request,
        };
        let problem = request.send().await.problem(404, "deployment_not_found");
        assert!(!problem.to_string().contains("acme"), "{method} {path}: {problem}");
    }
    assert!(tried >= 10, "{tried} routes of deployments");
    for named in [app.ocr("deployment=mine", 1), app.ocr("", 1).header("x-lector-deployment", "mine")] {
        named.key(&zeta).send().await.problem(404, "deployment_not_found");
    }
    // The tenants have separate deployments of one name.
    app.deploy(&zeta, "mine", "zeta's ", json!({ "promote": true })).await;
    assert_eq!(all_text(&read(&zeta).send().await.ok()), "zeta's page 0");
    assert_eq!(all_text(&read(&acme).send().await.ok()), "acme's page 0");
    // Every tenant may use shared deployments; a tenant's key acts for no other tenant.
    app.ocr("", 1).key(&zeta).send().await.ok();
    let other = app.ocr("", 1).key(&zeta).header("x-lector-tenant", "acme").send().await;
    other.problem(404, "tenant_not_found");
    let shown = app.get("/api/v1/deployments").key(&zeta).send().await.ok();
    assert!(!shown.to_string().contains("acme"), "{shown}");
}

/// Returns the id of a key's record.
async fn id(app: &TestApp, key: &str) -> String {
    let list = app.get("/api/v1/keys").key(key).send().await.ok();
    list["keys"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_revoked_key_is_refused_and_other_keys_are_not() {
    let (app, admin) = TestApp::closed().await;
    let acme = app.tenant(&admin, "acme", json!({})).await;
    let zeta = app.tenant(&admin, "zeta", json!({})).await;
    let path = format!("/api/v1/keys/{}", id(&app, &zeta).await);
    app.request(Method::DELETE, &path).key(&acme).send().await.problem(404, "key_not_found");
    app.request(Method::DELETE, &path).key(&zeta).send().await.ok();
    app.ocr("", 1).key(&zeta).send().await.problem(401, "key_invalid");
    app.ocr("", 1).key(&acme).send().await.ok();
}

#[tokio::test]
async fn a_rotated_key_is_valid_for_the_grace_period() {
    let (app, admin) = TestApp::closed().await;
    let old = app.tenant(&admin, "acme", json!({})).await;
    let path = format!("/api/v1/keys/{}/rotate", id(&app, &old).await);
    let new = app.post(&path).key(&old).json(json!({ "grace_s": 60 })).send().await.created();
    let new = new["key"].as_str().unwrap();
    app.clock.advance(Duration::from_secs(59));
    app.ocr("", 1).key(&old).send().await.ok();
    app.clock.advance(Duration::from_secs(1));
    app.ocr("", 1).key(&old).send().await.problem(401, "key_invalid");
    app.ocr("", 1).key(new).send().await.ok();
}

#[tokio::test]
async fn failed_keys_are_throttled_and_valid_keys_are_not() {
    let (app, admin) = TestApp::closed().await;
    let code = async |key: &str| app.ocr("", 1).key(key).send().await.json()["code"].clone();
    for attempt in 0..20 {
        assert_eq!(code("lk_nonsense").await, "key_invalid", "attempt {attempt}");
    }
    let throttled = app.ocr("", 1).key("lk_nonsense").send().await;
    throttled.problem(429, "auth_throttled");
    app.ocr("", 1).key(&admin).send().await.ok();
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(code("lk_nonsense").await, "key_invalid");
    assert_eq!(code("lk_nonsense").await, "auth_throttled");
}

#[tokio::test]
async fn a_server_without_keys_is_managed_from_its_own_machine_only() {
    let app = TestApp::start().await;
    let manage = |host: &str| {
        let request = app.post("/api/v1/admin/keys").header("host", host);
        request.json(json!({ "admin": true }))
    };
    for host in ["evil.example", "[::1]evil.example", "127.0.0.1.evil.example:80"] {
        manage(host).send().await.problem(403, "foreign_host");
        app.ocr("", 1).header("host", host).send().await.problem(403, "foreign_host");
    }
    let elsewhere = manage("localhost").header("origin", "https://evil.example");
    elsewhere.send().await.problem(403, "foreign_host");
    manage("localhost").header("origin", "http://localhost").send().await.created();
    app.ocr("", 1).send().await.problem(401, "key_missing");
}

#[tokio::test]
async fn the_audit_log_names_the_key_and_the_request() {
    let (app, admin) = TestApp::closed().await;
    let acme = app.tenant(&admin, "acme", json!({})).await;
    let path = format!("/api/v1/deployments/{}", "mine");
    let deploy = app.request(Method::PUT, &path).key(&acme).header("x-request-id", "deploy-1");
    deploy.header("content-type", "application/wasm").body("a component").send().await.created();
    let audit = app.get("/api/v1/audit").key(&acme).send().await.ok();
    let entry = &audit["entries"][0];
    assert_eq!((&entry["action"], &entry["request"]), (&json!("deploy"), &json!("deploy-1")), "{entry}");
    assert_eq!(entry["actor"], Value::from(id(&app, &acme).await), "{entry}");
    assert!(entry["at"].as_str().unwrap().starts_with("2026-01-01T12:00"), "{entry}");
}
