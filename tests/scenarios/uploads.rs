//! What tenants share on the way in and out: clients that announce bytes and do not send them, trickle, or do not read,
//! and a neighbor that is not affected.

use std::time::Duration;

use lector_tests::answer::Answer;
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, GatewayBuilder, HANG};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{ECHO_ONLY, ask, component, connect, deploy, rest, says, tenant, until};

/// A server with an administrator's key whose clients may trickle for longer than any wait of a test.
fn patient() -> (GatewayBuilder, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let builder = Gateway::builder()
        .config(ECHO_ONLY)
        .set("platform.admin_key_file", dir.path().join("admin.key").display())
        .set("http.body_idle_timeout_s", 2 * HANG.as_secs())
        .set("http.transfer_bytes_per_s_min", 0);
    (builder, dir)
}

fn admin(dir: &tempfile::TempDir) -> String {
    std::fs::read_to_string(dir.path().join("admin.key")).unwrap().trim().to_owned()
}

/// Begins a request that announces `declared` bytes and sends `sent`.
async fn begins(
    gateway: &Gateway,
    key: &str,
    line: &str,
    content: &str,
    declared: u64,
    sent: &[u8],
) -> TcpStream {
    let key = if key.is_empty() { String::new() } else { format!("Authorization: Bearer {key}\r\n") };
    // An open server of a machine answers its own names only.
    let host = gateway.base.trim_start_matches("http://");
    let head = format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\n{key}Content-Type: {content}\r\nContent-Length: {declared}\r\n\r\n"
    );
    let mut stream = connect(gateway).await;
    stream.write_all(&[head.as_bytes(), sent].concat()).await.unwrap();
    stream
}

async fn has_metric(gateway: &Gateway, line: &str) {
    let line = format!("{line}\n");
    until(&line, async || gateway.get("/metrics").await.text().contains(&line)).await;
}

/// Sends pages of a tenant one by one. None may fail: one that waited for the bodies of [`patient`] would be refused by
/// admission, or time out at the client.
async fn is_served(gateway: &Gateway, key: &str) {
    for _ in 0..20 {
        says(gateway, key, "echo", "").await.ok();
    }
}

#[tokio::test]
async fn announced_bytes_take_nothing_from_other_tenants() {
    let (builder, dir) = patient();
    let gateway = builder.set("platform.held_bytes_max", 300 << 20).start().await;
    let admin = admin(&dir);
    let victim = tenant(&gateway, &admin, "victim", json!({})).await;
    let mut held = Vec::new();
    for number in 0..3 {
        let attacker = tenant(&gateway, &admin, &format!("attacker-{number}"), json!({})).await;
        for _ in 0..10 {
            let line = "POST /api/v1/ocr";
            held.push(
                begins(&gateway, &attacker, line, "application/pdf", 100 << 20, b"%PDF-1.7 and no more")
                    .await,
            );
        }
    }
    has_metric(&gateway, "lector_uploads_in_flight 30").await;
    has_metric(&gateway, "lector_documents_held_bytes 600").await;
    has_metric(&gateway, "lector_documents_in_flight 0").await;
    is_served(&gateway, &victim).await;
    drop(held);
    has_metric(&gateway, "lector_documents_held_bytes 0").await;
}

#[tokio::test]
async fn trickled_deploys_and_batches_hold_no_places() {
    let (builder, dir) = patient();
    let gateway = builder.set("platform.documents_max", 4).start().await;
    let admin = admin(&dir);
    let attacker = tenant(&gateway, &admin, "attacker", json!({})).await;
    let victim = tenant(&gateway, &admin, "victim", json!({})).await;
    let mut held = Vec::new();
    for number in 0..4 {
        let line = format!("PUT /api/v1/deployments/d-{number}");
        held.push(begins(&gateway, &attacker, &line, "application/wasm", 42_000, &[0; 42]).await);
    }
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n%PDF";
    for _ in 0..8 {
        let (line, content) = ("POST /api/v1/ocr/batch", "multipart/form-data; boundary=b");
        held.push(begins(&gateway, &attacker, line, content, 42_000, form.as_bytes()).await);
    }
    has_metric(&gateway, "lector_uploads_in_flight 12").await;
    has_metric(&gateway, "lector_documents_in_flight 0").await;
    is_served(&gateway, &victim).await;
    for key in [&victim, &attacker] {
        let answer = deploy(&gateway, key, "mine", component("echo"), json!({})).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    // The administrator's deploy gets its place, and is refused because it names no tenant.
    let answer = deploy(&gateway, &admin, "mine", component("echo"), json!({})).await;
    answer.problem(422, "tenant_missing");
    drop(held);
    has_metric(&gateway, "lector_uploads_in_flight 0").await;
}

#[tokio::test]
async fn a_tenant_sends_a_bounded_number_of_bodies_at_once() {
    let (builder, dir) = patient();
    let gateway = builder.start().await;
    let admin = admin(&dir);
    let policy = json!({ "limits": { "uploads_concurrent": 2 } });
    let few = tenant(&gateway, &admin, "few", policy).await;
    let victim = tenant(&gateway, &admin, "victim", json!({})).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(begins(&gateway, &few, "POST /api/v1/ocr", "application/pdf", 1000, b"%PDF").await);
    }
    has_metric(&gateway, "lector_uploads_in_flight 2").await;
    let refused = says(&gateway, &few, "echo", "").await;
    refused.problem(429, "tenant_uploads_exceeded");
    assert!(!refused.header("retry-after").is_empty());
    is_served(&gateway, &victim).await;
    drop(held);
    until("there is room again", async || says(&gateway, &few, "echo", "").await.status == 200).await;
}

#[tokio::test]
async fn a_slow_body_is_answered() {
    let gateway = Gateway::builder().config(ECHO_ONLY).set("http.transfer_window_s", 1).start().await;
    for (line, content) in [
        ("POST /api/v1/ocr", "application/pdf"),
        ("PUT /api/v1/deployments/d", "application/wasm"),
        ("POST /api/v1/keys", "application/json"),
    ] {
        let mut stream = begins(&gateway, "", line, content, 10_000, b"{").await;
        let trickle = async {
            // Until the server closes the connection.
            while stream.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(3), trickle).await;
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_too_slow"), "{line}: {answer}");
    }
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A client of HTTP/2 that never opens its window pins the responses of its requests for seconds, not for as long as it
/// likes.
#[tokio::test]
async fn responses_that_are_not_read_are_given_up() {
    let builder = Gateway::builder().config(ECHO_ONLY).set("http.transfer_window_s", 1);
    // Not by the deadline of the request.
    let gateway = builder.set("http.request_timeout_s", 2 * HANG.as_secs()).start().await;
    let mut stream = connect(&gateway).await;
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    sent.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    for request in 0..4 {
        // GET, http, and two literals: the path and the authority (RFC 7541, section 6.2.2).
        let path = b"/openapi.json";
        let head = [&[0x82, 0x86, 0x04, path.len() as u8], &path[..], &[0x01, 1, b'x']].concat();
        sent.extend(frame(1, 5, 2 * request + 1, &head));
    }
    stream.write_all(&sent).await.unwrap();
    // Each request of this test for metrics is one more.
    has_metric(&gateway, "lector_http_requests_in_flight 5").await;
    has_metric(&gateway, "lector_http_requests_in_flight 1").await;
    let mut bytes = vec![0; 1 << 16];
    let read = tokio::time::timeout(HANG, stream.read(&mut bytes)).await.unwrap().unwrap();
    assert!(read < 10_000, "{read} bytes were sent without a window");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_watchers() {
    // A drain that waited for a watcher would end after the deadline of `stop`.
    let builder = Gateway::builder().config(ECHO_ONLY).set("http.drain_timeout_s", 2 * HANG.as_secs());
    let gateway = builder.start().await;
    let mut watchers = Vec::new();
    for _ in 0..100 {
        let answer = gateway.client.get(gateway.url("/api/v1/events")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        watchers.push(tokio::spawn(answer.bytes()));
    }
    assert_eq!(gateway.stop().await, 0);
    for watcher in watchers {
        watcher.await.unwrap().expect("a stream that ends like a complete one");
    }
}

#[tokio::test]
async fn a_batch_counts_no_rejection_while_it_waits() {
    let (builder, dir) = patient();
    let gateway = builder.set("platform.documents_max", 1).start().await;
    let admin = admin(&dir);
    let key = tenant(&gateway, &admin, "acme", json!({})).await;
    let part = |name: &str| {
        let page = pdf::document(&[PageSpec::a4(&["One of many"])]);
        reqwest::multipart::Part::bytes(page).file_name(name.to_owned())
    };
    let form = (0..20).fold(reqwest::multipart::Form::new(), |form, number| {
        form.part("file", part(&format!("{number}.pdf")))
    });
    let request = gateway.client.post(gateway.url("/api/v1/ocr/batch")).bearer_auth(&key).multipart(form);
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.text().matches("\"document_end\"").count(), 20, "{}", answer.text());
    let rejections = async || {
        let usage = ask(&gateway, &key, reqwest::Method::GET, "/api/v1/usage", None).await.ok();
        let rows = usage["usage"].as_array().unwrap().clone();
        rows.iter().filter_map(|row| row["rejections"].as_u64()).sum::<u64>()
    };
    assert_eq!(rejections().await, 0);
}
