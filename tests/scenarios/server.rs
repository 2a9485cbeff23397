//! Shared by the scenarios of deploys: a server without engines, and requests to it.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use lector_tests::answer::{Answer, all_text};
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, HANG, paths};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server whose only configured deployment needs no engine.
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

/// Returns the response of a deployment for a page.
pub async fn says(gateway: &Gateway, key: &str, name: &str, routing_key: &str) -> Answer {
    let mut request =
        gateway.pdf(&format!("/api/v1/deployments/{name}/ocr"), pdf::document(&[PageSpec::a4(&["page"])]));
    if !key.is_empty() {
        request = request.bearer_auth(key);
    }
    if !routing_key.is_empty() {
        request = request.header("x-lector-routing-key", routing_key);
    }
    Answer::read(request.send().await.expect("an answer")).await
}

pub async fn greeting(gateway: &Gateway, name: &str) -> String {
    let text = all_text(&says(gateway, "", name, "").await.ok());
    text.split(" page ").next().unwrap_or_default().to_owned()
}

/// Returns the component with bytes that were never compiled before: a custom section with a unique name.
pub fn unseen(component: &str, name: &str) -> Vec<u8> {
    let mut wasm = self::component(component);
    let length = name.len() as u8;
    wasm.extend([0, length + 1, length]);
    wasm.extend_from_slice(name.as_bytes());
    wasm
}

/// Returns the value of a metric's series; 0 if it is missing.
pub async fn metric(gateway: &Gateway, series: &str) -> f64 {
    let text = gateway.get("/metrics").await.text();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    value.unwrap_or(0.0)
}

/// Opens a connection for requests that no client library would send.
pub async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.base.trim_start_matches("http://")).await.expect("a connection")
}

/// Reads until the server closes the connection.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(HANG, stream.read_to_end(&mut bytes))
        .await
        .expect("the server ends the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until this number of documents is in flight.
pub async fn in_flight(gateway: &Gateway, documents: usize) {
    let line = format!("lector_documents_in_flight {documents}\n");
    until(&line, async || gateway.get("/metrics").await.text().contains(&line)).await;
}

/// A document that has arrived and is read for seconds.
pub struct HeldPlace {
    stream: TcpStream,
}

impl HeldPlace {
    /// Sends a document of many pages to a server with no other document in flight.
    pub async fn take(gateway: &Gateway) -> Self {
        let pages = vec![PageSpec::a4(&["It holds the only place, and takes its time"; 30]); 24];
        let body = pdf::document(&pages);
        let head = format!(
            "POST /api/v1/ocr?text_layer=never HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pdf\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = connect(gateway).await;
        stream.write_all(&[head.as_bytes(), &body].concat()).await.expect("the server takes the document");
        in_flight(gateway, 1).await;
        Self { stream }
    }

    /// Returns the raw response.
    pub async fn finish(mut self) -> String {
        rest(&mut self.stream).await
    }
}

/// Creates a tenant with this policy; returns its key.
pub async fn tenant(gateway: &Gateway, admin: &str, name: &str, policy: Value) -> String {
    let path = format!("/api/v1/admin/tenants/{name}");
    assert_eq!(ask(gateway, admin, Method::PUT, &path, Some(policy)).await.status, 201);
    let whose = serde_json::json!({ "tenant": name });
    let made = ask(gateway, admin, Method::POST, "/api/v1/admin/keys", Some(whose)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["key"].as_str().expect("a key").to_owned()
}

/// Runs the command line against the server.
pub fn lector(gateway: &Gateway, args: &[&str]) -> Output {
    let server = format!("client.server={}", gateway.base);
    let mut command = Command::new(paths::lector());
    command.current_dir(paths::repo()).args(["--set", &server]).args(args).output().unwrap()
}

/// Waits until `holds` returns true.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + HANG;
    while !holds().await {
        assert!(Instant::now() < end, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
