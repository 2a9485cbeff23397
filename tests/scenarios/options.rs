//! Options of a guest's own: the schema in the API, requests, batches, jobs and the command line, and a wrapper with options.

use lector_tests::Gateway;
use lector_tests::answer::{Answer, all_text, named};
use lector_tests::pdf::{self, PageSpec};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{ECHO_ONLY, ask, component, deploy, lector};

const DEFAULTS: &str = r#"{"currency":"EUR"}"#;

fn page() -> Vec<u8> {
    pdf::document(&[PageSpec::a4(&["page"])])
}

/// Sends a page to a deployment with these options for its guest.
async fn read(gateway: &Gateway, name: &str, options: &Value) -> Answer {
    let path = format!("/api/v1/deployments/{name}/ocr");
    let request = gateway.pdf(&path, page()).query(&[("guest_options", options.to_string())]);
    Answer::read(request.send().await.expect("an answer")).await
}

#[tokio::test]
async fn a_guest_describes_its_options_and_gets_those_of_each_request() {
    let data = tempfile::tempdir().unwrap();
    let builder = || Gateway::builder().config(ECHO_ONLY).set("platform.data_dir", data.path().display());
    let gateway = builder().start().await;
    let answer = deploy(&gateway, "", "choosy", component("choosy"), json!({ "promote": true })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let path = "/api/v1/deployments/choosy/revisions/1";
    let revision = ask(&gateway, "", Method::GET, path, None).await.ok();
    let schema = &revision["options_schema"];
    assert_eq!(schema["properties"]["currency"]["enum"], json!(["EUR", "USD"]), "{revision}");

    let text = async |options: Value| {
        let json = read(&gateway, "choosy", &options).await.ok();
        all_text(&json).trim().to_owned()
    };
    assert_eq!(text(json!({})).await, DEFAULTS);
    assert_eq!(text(json!({ "currency": "USD", "digits": 2 })).await, r#"{"currency":"USD","digits":2}"#);
    let problem = read(&gateway, "choosy", &json!({ "digits": 9 })).await;
    let problem = problem.problem(400, "guest_option_invalid");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("`/digits`") && detail.contains("at least 0 and at most 4"), "{problem}");
    let problem = read(&gateway, "echo", &json!({ "digits": 2 })).await;
    let problem = problem.problem(400, "guest_option_invalid");
    assert!(problem["detail"].as_str().unwrap().contains("`echo`"), "{problem}");

    let files = vec![("a.pdf".to_owned(), page())];
    let query = "deployment=choosy&guest_options=%7B%22currency%22:%22USD%22%7D";
    let events = gateway.batch(files, query).await;
    let pages = named(&events, "page");
    assert!(pages[0].to_string().contains("USD"), "{events:?}");

    // The schema is stored with the revision.
    gateway.stop().await;
    let gateway = builder().start().await;
    assert_eq!(ask(&gateway, "", Method::GET, path, None).await.ok()["options_schema"], *schema);
    read(&gateway, "choosy", &json!({ "curency": "EUR" })).await.problem(400, "guest_option_invalid");
    gateway.stop().await;
}

#[tokio::test]
async fn the_command_line_sends_options() {
    let data = tempfile::tempdir().unwrap();
    let gateway =
        Gateway::builder().config(ECHO_ONLY).set("platform.data_dir", data.path().display()).start().await;
    deploy(&gateway, "", "choosy", component("choosy"), json!({ "promote": true })).await.json();
    let file = data.path().join("page.pdf");
    std::fs::write(&file, page()).unwrap();
    let file = file.to_str().unwrap();
    let usd = ["--guest-option", "currency=USD", "--guest-option", "digits=2"];

    let ocr = ["ocr", "--server", &gateway.base, "--deployment", "choosy"];
    let out = lector(&gateway, &[&ocr[..], &usd, &[file]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), r#"{"currency":"USD","digits":2}"#);
    let out = lector(&gateway, &[&ocr[..], &["--guest-option", "currency=XXX", file]].concat());
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && error.contains("use one of \"EUR\", \"USD\""), "{error}");

    let submit = ["jobs", "submit", "--deployment", "choosy", "--wait"];
    let out = lector(&gateway, &[&submit[..], &usd, &[file]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let job: Value = serde_json::from_slice(&out.stdout).unwrap();
    let out = lector(&gateway, &["jobs", "result", job["id"].as_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), r#"{"currency":"USD","digits":2}"#);
    let out = lector(&gateway, &[&submit[..], &["--guest-option", "digits=9", file]].concat());
    assert!(!out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    gateway.stop().await;
}

#[tokio::test]
async fn a_wrapper_takes_options_and_passes_others() {
    let gateway = Gateway::builder().config(ECHO_ONLY).start().await;
    let bill = json!({ "settings": { "greeting": "Total due: 1,234.50 EUR" }, "promote": true });
    deploy(&gateway, "", "bill", component("echo"), bill).await.json();
    let wraps = json!({ "wraps": "bill", "promote": true });
    let answer = deploy(&gateway, "", "invoice", component("invoice"), wraps).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let total = async |options: Value| {
        let json = read(&gateway, "invoice", &options).await.ok();
        json["pages"][0]["properties"]["invoice"]["total"].clone()
    };
    assert_eq!(total(json!({})).await, "1234.50 EUR");
    assert_eq!(total(json!({ "currency": "EUR" })).await, "1234.50 EUR");
    assert_eq!(total(json!({ "currency": "USD" })).await, Value::Null);
    read(&gateway, "invoice", &json!({ "currency": "eur" })).await.problem(400, "guest_option_invalid");

    deploy(&gateway, "", "choosy", component("choosy"), json!({ "promote": true })).await.json();
    let settings = json!({ "manner": "pass", "pass": { "currency": "USD" } });
    let passes = json!({ "wraps": "choosy", "settings": settings, "promote": true });
    let answer = deploy(&gateway, "", "shout", component("wrapper"), passes).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let json = read(&gateway, "shout", &json!({})).await.ok();
    assert!(all_text(&json).contains(r#"{"CURRENCY":"USD"}"#), "{json}");
    // The wrapper has no options: those of the wrapped guest are not the client's.
    read(&gateway, "shout", &json!({ "currency": "EUR" })).await.problem(400, "guest_option_invalid");
    let settings = json!({ "manner": "pass", "pass": { "currency": "XXX" } });
    let options = json!({ "wraps": "choosy", "settings": settings });
    let problem = deploy(&gateway, "", "shout", component("wrapper"), options).await.json();
    assert_eq!(problem["stage"], "smoke_test", "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("use one of \"EUR\", \"USD\""), "{problem}");
    gateway.stop().await;
}
