//! `guest_options`: options that a guest describes with a schema, on a server of fakes. A component of a fake whose text has a
//! schema says the options that it got.

use axum::http::Method;
use serde_json::{Value, json};

use super::app::{TestApp, all_text, until};

/// `guest_options` of one string, and of one number.
const USD: &str = "guest_options=%7B%22currency%22:%22USD%22%7D";
const DIGITS: &str = "guest_options=%7B%22digits%22:2%7D";

fn currency() -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": {
        "currency": { "type": "string", "enum": ["EUR", "USD"], "default": "EUR" }
    } })
}

fn digits() -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": {
        "digits": { "type": "integer", "minimum": 1, "default": 1 }
    } })
}

/// Deploys a guest with this schema as `bills`.
async fn deploy(app: &TestApp, schema: &Value, options: Value) -> Value {
    app.deploy("", "bills", &format!("schema {schema}"), options).await
}

const OCR: &str = "/api/v1/deployments/bills/ocr";

#[tokio::test]
async fn options_are_checked_and_handed_to_the_guest() {
    let app = TestApp::start().await;
    deploy(&app, &currency(), json!({ "promote": true })).await;
    let revision = app.get("/api/v1/deployments/bills/revisions/1").send().await.ok();
    assert_eq!(revision["options_schema"], currency());

    let read = async |query: &str| all_text(&app.document(&format!("{OCR}?{query}"), 1).send().await.ok());
    assert_eq!(read("").await, r#"{"currency":"EUR"} page 0"#);
    assert_eq!(read(USD).await, r#"{"currency":"USD"} page 0"#);
    assert_eq!(read("guest_options=%7B%7D").await, r#"{"currency":"EUR"} page 0"#);

    let refused = async |query: &str, parts: &[&str]| {
        for path in [OCR, "/api/v1/deployments/bills/ocr/batch"] {
            let problem = app.document(&format!("{path}?{query}"), 1).send().await;
            let problem = problem.problem(400, "guest_option_invalid");
            let detail = problem["detail"].as_str().unwrap();
            assert!(parts.iter().all(|part| detail.contains(part)), "{detail}");
        }
    };
    let xxx = "guest_options=%7B%22currency%22:%22XXX%22%7D";
    refused(xxx, &["`bills`", "`/currency`", r#""XXX" is not allowed: use one of "EUR", "USD""#]).await;
    refused(DIGITS, &["`/digits`", r#"use "currency""#]).await;
    app.document(&format!("{OCR}?guest_options=USD"), 1).send().await.problem(400, "option_invalid");

    // A deployment without options.
    let problem = app.ocr(USD, 1).send().await;
    let problem = problem.problem(400, "guest_option_invalid");
    assert!(problem["detail"].as_str().unwrap().contains("has no options of its own"), "{problem}");
    assert_eq!(app.ocr("guest_options=%7B%7D", 1).send().await.status, 200);
}

#[tokio::test]
async fn a_schema_that_is_not_supported_fails_the_deploy() {
    let app = TestApp::start().await;
    for (schema, parts) in [
        (
            json!({ "type": "object", "properties": { "a": { "pattern": "x" } } }),
            ["`/properties/a/pattern`", "the keyword \"pattern\" is not supported"],
        ),
        (json!({ "type": "object", "required": ["a"] }), ["`/a`", "give each required option a `default`"]),
    ] {
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"component\"\r\n\r\nschema {schema}\r\n--b--\r\n"
        );
        let answer = app.request(Method::PUT, "/api/v1/deployments/bills").form(form).send().await;
        let problem = answer.problem(422, "guest_answer_invalid");
        assert_eq!(problem["stage"], "configured", "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(parts.iter().all(|part| detail.contains(part)), "{detail}");
    }
}

#[tokio::test]
async fn the_revision_that_serves_decides() {
    let app = TestApp::start().await;
    deploy(&app, &currency(), json!({ "promote": true })).await;
    deploy(&app, &digits(), json!({ "canary": 50 })).await;
    let mut served = [0, 0];
    for number in 0..24 {
        let key = format!("key {number}");
        let ask =
            |query: &str| app.document(&format!("{OCR}?{query}"), 1).header("x-lector-routing-key", &key);
        let is_canary = all_text(&ask("").send().await.ok()).starts_with(r#"{"digits":1}"#);
        served[usize::from(is_canary)] += 1;
        let (accepted, refused) = if is_canary { (DIGITS, USD) } else { (USD, DIGITS) };
        ask(accepted).send().await.ok();
        ask(refused).send().await.problem(400, "guest_option_invalid");
    }
    assert!(served.iter().all(|count| *count > 0), "{served:?}");
}

#[tokio::test]
async fn a_shadow_that_refuses_the_options_counts_an_error() {
    let app = TestApp::start().await;
    deploy(&app, &currency(), json!({ "promote": true })).await;
    deploy(&app, &digits(), json!({ "shadow": 100 })).await;
    app.document(&format!("{OCR}?{USD}"), 1).send().await.ok();
    let comparison = async || {
        let revision = app.get("/api/v1/deployments/bills/revisions/2").send().await.ok();
        revision["comparison"].clone()
    };
    assert_eq!(comparison().await["errors"], 1);
    app.document(OCR, 1).send().await.ok();
    let pages = || {
        let principal = app.service.control().of_this_machine().unwrap();
        let view = app.service.control().own_deployment(&principal, &"bills".into());
        view.unwrap().revision(2).unwrap().comparison.unwrap().pages_compared
    };
    until("the shadow reads with its own defaults", || pages() == 1).await;
}

#[tokio::test]
async fn a_job_is_refused_before_it_is_stored_and_its_options_are_kept() {
    let app = TestApp::with_jobs().await;
    deploy(&app, &currency(), json!({ "promote": true })).await;
    let submit = |query: &str, key: &str| {
        let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n\u{1}\r\n--b--\r\n";
        let request = app.post(&format!("/api/v1/jobs?deployment=bills&{query}"));
        request.header("prefer", "wait=100").header("idempotency-key", key).form(form.to_owned())
    };
    submit(DIGITS, "a").send().await.problem(400, "guest_option_invalid");
    assert_eq!(app.get("/api/v1/jobs").send().await.ok()["jobs"], json!([]));
    let job = submit(USD, "b").send().await.ok();
    let result = app.get(&format!("/api/v1/jobs/{}/result", job["id"].as_str().unwrap())).send().await.ok();
    assert_eq!(all_text(&result), r#"{"currency":"USD"} page 0"#);
    // Other options are another request.
    submit("", "b").send().await.problem(409, "idempotency_key_reused");
    assert_eq!(submit(USD, "b").send().await.ok()["id"], job["id"]);
}
