//! What the scenarios of deploys share: a house without engines, and the requests to it.

use lector_tests::answer::{Answer, all_text};
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, paths};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

/// A house whose only configured deployment needs no engine.
pub const ECHO_ONLY: &str = r#"
[platform]
default_deployment = "echo"
[[deployments]]
name = "echo"
component = "guest/target/components/echo.wasm"
settings = { greeting = "configured" }
"#;

pub fn component(name: &str) -> Vec<u8> {
    let path = paths::repo().join("guest/target/components").join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub async fn ask(gateway: &Gateway, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
    let mut request = gateway.client.request(method, gateway.url(path));
    if !key.is_empty() {
        request = request.bearer_auth(key);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    Answer::read(request.send().await.expect("an answer")).await
}

pub async fn deploy(gateway: &Gateway, key: &str, name: &str, wasm: Vec<u8>, options: Value) -> Answer {
    let form = Form::new().text("options", options.to_string()).part("component", Part::bytes(wasm));
    let mut request = gateway.client.put(gateway.url(&format!("/api/v1/deployments/{name}"))).multipart(form);
    if !key.is_empty() {
        request = request.bearer_auth(key);
    }
    Answer::read(request.send().await.expect("an answer")).await
}

/// What a deployment says of a page.
pub async fn says(gateway: &Gateway, key: &str, name: &str, request_key: &str) -> Answer {
    let mut request = gateway
        .client
        .post(gateway.url(&format!("/api/v1/deployments/{name}/ocr")))
        .header("content-type", "application/pdf")
        .body(pdf::document(&[PageSpec::a4(&["page"])]));
    if !key.is_empty() {
        request = request.bearer_auth(key);
    }
    if !request_key.is_empty() {
        request = request.header("x-lector-request-key", request_key);
    }
    Answer::read(request.send().await.expect("an answer")).await
}

pub async fn greeting(gateway: &Gateway, name: &str) -> String {
    let text = all_text(&says(gateway, "", name, "").await.ok());
    text.split(" page ").next().unwrap_or_default().to_owned()
}

/// The component with bytes that nobody has compiled before: a custom section with a name of its own.
pub fn unseen(component: &str, name: &str) -> Vec<u8> {
    let mut wasm = self::component(component);
    let length = name.len() as u8;
    wasm.extend([0, length + 1, length]);
    wasm.extend_from_slice(name.as_bytes());
    wasm
}
