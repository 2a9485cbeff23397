//! Hostile values at every place of every operation. Each answer is compared with the OpenAPI document, and none is a
//! server error.

use axum::http::Method;
use serde_json::json;

use super::access::{VALUES, routes};
use super::app::{Answer, TestApp, TestRequest};

/// Values of parameters in the path.
const NAMES: [&str; 10] =
    ["%00", "%ff", "a%2Fb", "%20", "-1", "+1", "1.0", "4294967296", "%F0%9F%93%84", "%2e%2e%2f"];

/// Queries; most have options that only some operations know.
const QUERIES: [&str; 20] = [
    "limit=1&limit=2",
    "limit=true",
    "limit=-1",
    "limit=99999999999999999999",
    "limit=",
    "cursor=%00",
    "cursor=W10",
    "cursor=%ff&limit=1",
    "days=0",
    "days=1e3",
    "revision=-1",
    "revision=4294967296",
    "follow=1",
    "deployment=%00",
    "pages=%00&dpi=nan",
    "timeout=1e999",
    "words=null",
    "format[]=json",
    "%00=%00",
    "&&=&",
];

/// Bodies that are no valid body of any operation.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let json = [
        "[]",
        "[null,null]",
        "null",
        "true",
        "0",
        "\"x\"",
        "{",
        "{}{}",
        "{\"unknown\":1}",
        "\u{0}",
        "{\"\u{0}\":1}",
        "\u{feff}{}",
        r#"{"label":true}"#,
        r#"{"label":null}"#,
        r#"{"grace_s":true}"#,
        r#"{"grace_s":-1}"#,
        r#"{"grace_s":1.0}"#,
        r#"{"grace_s":18446744073709551616}"#,
        r#"{"revision":true}"#,
        r#"{"revision":"1"}"#,
        r#"{"revision":4294967296}"#,
        r#"{"percent":256}"#,
        r#"{"percent":[50]}"#,
        r#"{"force":1}"#,
        r#"{"rollback_policy":[]}"#,
        r#"{"to":-1}"#,
        r#"{"reason":7}"#,
        r#"{"model":["x"]}"#,
        r#"{"weight":1e400}"#,
        r#"{"limits":[]}"#,
        r#"{"settings":"{}"}"#,
        r#"{"capabilities":{"image":true}}"#,
        r#"{"tenant":{"name":"x"}}"#,
        r#"{"admin":"true"}"#,
        r#"{"admin":1}"#,
    ];
    let mut bodies: Vec<_> = json.map(|text| ("application/json", text.as_bytes().to_vec())).into();
    bodies.push(("application/json", b"\xff\xfe{}".to_vec()));
    bodies.push(("application/json", [b"[".repeat(100_000), b"]".repeat(100_000)].concat()));
    bodies.push(("text/plain", b"{".to_vec()));
    bodies.push(("application/xml", b"<x/>".to_vec()));
    bodies.push(("multipart/form-data", b"--b--".to_vec()));
    bodies.push(("multipart/form-data; boundary=\"", b"--b--".to_vec()));
    bodies.push(("multipart/form-data; boundary=b", b"--b\r\n\r\n".to_vec()));
    bodies
}

/// Returns whether a sound request of the operation gets a response without end.
fn is_stream(path: &str) -> bool {
    path.ends_with("/events")
}

/// The path of a reload of the configuration.
const RELOAD: &str = "/api/v1/admin/config/reload";

#[track_caller]
fn assert_refused(what: &str, answer: &Answer) {
    assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
}

fn with_document<'a>(request: TestRequest<'a>, path: &str) -> TestRequest<'a> {
    if path.contains("/ocr") {
        request.header("content-type", "application/pdf").body(vec![1u8])
    } else {
        request
    }
}

#[tokio::test]
async fn names_in_the_path() {
    let app = TestApp::with_jobs().await;
    let mut names = NAMES.map(str::to_owned).to_vec();
    names.push("x".repeat(2000));
    for value in names.iter().map(String::as_str) {
        let values: Vec<(&str, &str)> = VALUES.iter().map(|(name, _)| (*name, value)).collect();
        for (method, path) in routes(&app, &values).await.into_iter().filter(|(_, path)| path.contains(value))
        {
            let answer = with_document(app.request(method.clone(), &path), &path).send().await;
            // Some of these names are allowed for a tenant, which is then created and deleted.
            let allowed = path.starts_with("/api/v1/admin/tenants/") && answer.status < 300;
            assert!(allowed || (400..500).contains(&answer.status), "{method} {path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn queries() {
    let app = TestApp::with_jobs().await;
    app.deploy("", "mine", "mine", json!({})).await;
    for (method, path) in routes(&app, &VALUES).await {
        if is_stream(&path) || !(method == Method::GET || path.contains("/ocr")) {
            continue;
        }
        for query in QUERIES {
            let uri = format!("{path}?{query}");
            let answer = with_document(app.request(method.clone(), &uri), &path).send().await;
            assert!(answer.status < 500, "{method} {uri}: {} {}", answer.status, answer.text());
            if path.contains("/ocr") {
                assert_refused(&uri, &answer);
            }
        }
    }
}

#[tokio::test]
async fn bodies_of_other_shapes() {
    let app = TestApp::with_jobs().await;
    app.deploy("", "mine", "mine", json!({})).await;
    for (method, path) in routes(&app, &VALUES).await {
        // The documents of these tests may have any bytes, and a reload has no body.
        let takes_any = path.contains("/ocr") || path == "/api/v1/files" || path == RELOAD;
        if method == Method::GET || method == Method::DELETE || takes_any {
            continue;
        }
        for (content_type, body) in bodies() {
            let shown: String = String::from_utf8_lossy(&body).chars().take(60).collect();
            let answer = app
                .request(method.clone(), &path)
                .header("content-type", content_type)
                .body(body)
                .send()
                .await;
            // A job takes any bytes as a document, and fails later.
            if !(path == "/api/v1/jobs" && answer.status == 202) {
                assert_refused(&format!("{method} {path} {content_type} {shown}"), &answer);
            }
        }
    }
    let keys = app.get("/api/v1/admin/keys").send().await.ok();
    assert_eq!(keys["keys"], json!([]), "a key was created");
    let mine = app.get("/api/v1/deployments/mine").send().await.ok();
    assert_eq!(mine["revisions"].as_array().unwrap().len(), 1, "a revision was created: {mine}");
}

#[tokio::test]
async fn headers() {
    let app = TestApp::with_jobs().await;
    for (method, path) in routes(&app, &VALUES).await {
        for (name, value) in [
            ("x-lector-tenant", "no such tenant"),
            ("x-lector-tenant", ""),
            ("if-match", "\""),
            ("if-none-match", "\"1\""),
            ("last-event-id", "1e3"),
            ("request-timeout", "-0"),
            ("x-request-id", "two words"),
            ("traceparent", "00-"),
            ("content-type", "/"),
            ("accept", ";q=2,,*/"),
            ("content-encoding", "gzip"),
            ("expect", "200-ok"),
        ] {
            if is_stream(&path) && name != "last-event-id" {
                continue;
            }
            let request = app.request(method.clone(), &path).header(name, value);
            let answer = request.send().await;
            // These tests have no configuration file to read again.
            let not_here = path == RELOAD && answer.status == 503;
            assert!(
                answer.status < 500 || not_here,
                "{method} {path} {name}: {value}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
}
