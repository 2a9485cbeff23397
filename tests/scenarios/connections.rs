//! Clients that misbehave at the connection level.

use std::time::Instant;

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, GatewayBuilder, HANG};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{HeldPlace, connect, rest};

async fn neighbor(gateway: &Gateway) {
    let bytes = pdf::document(&[PageSpec::a4(&["Still here"])]);
    gateway.ocr("application/pdf", bytes, "").await.ok();
}

#[tokio::test]
async fn headers_that_never_end_are_cut() {
    let gateway = Gateway::builder().with_echo().set("http.header_timeout_s", 1).start().await;
    let mut stream = connect(&gateway).await;
    stream.write_all(b"POST /api/v1/ocr HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
    rest(&mut stream).await;
    neighbor(&gateway).await;
}

#[tokio::test]
async fn a_body_that_stalls_is_answered() {
    let gateway = Gateway::builder().with_echo().set("http.body_idle_timeout_s", 1).start().await;
    let mut stream = connect(&gateway).await;
    stream
        .write_all(b"POST /api/v1/ocr HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pdf\r\nContent-Length: 1000\r\n\r\n%PDF-1.7")
        .await
        .unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body_stalled"), "{answer}");
    neighbor(&gateway).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let gateway = Gateway::builder().with_echo().start().await;
    let mut stream = connect(&gateway).await;
    stream
        .write_all(b"POST /api/v1/ocr HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pdf\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("body_too_large"), "{answer}");
}

#[tokio::test]
async fn an_upload_that_breaks_off_costs_only_itself() {
    let gateway = Gateway::builder().with_echo().start().await;
    for _ in 0..20 {
        let mut stream = connect(&gateway).await;
        stream
            .write_all(b"POST /api/v1/ocr HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pdf\r\nContent-Length: 100000\r\n\r\n%PDF-1.7 half of")
            .await
            .unwrap();
        drop(stream);
    }
    neighbor(&gateway).await;
}

/// Returns a server that closes no stalled connection, however long the test takes.
fn patient() -> GatewayBuilder {
    ["http.header_timeout_s", "http.body_idle_timeout_s", "http.request_timeout_s"]
        .into_iter()
        .fold(Gateway::builder().with_tiny(), |builder, key| builder.set(key, HANG.as_secs()))
        .set("http.transfer_bytes_per_s_min", 0)
}

/// Returns the same with a limit of one document in flight.
async fn with_one_place() -> Gateway {
    patient().set("platform.documents_max", 1).start().await
}

/// Opens a connection with a document in progress on it, which is never closed to make room for another one.
async fn busy(gateway: &Gateway) -> TcpStream {
    let mut stream = taken(gateway).await;
    stream
        .write_all(b"POST /api/v1/ocr HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pdf\r\nContent-Length: 1000\r\n\r\n%PDF")
        .await
        .unwrap();
    stream
}

async fn refuses_the_next(gateway: &Gateway, held: Vec<TcpStream>) {
    // The server may not have read the last of these requests yet.
    let end = Instant::now() + HANG;
    let answer = loop {
        let mut stream = connect(gateway).await;
        stream
            .write_all(b"GET /api/v1/usage HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let answer = rest(&mut stream).await;
        if answer.starts_with("HTTP/1.1 503") {
            break answer;
        }
        assert!(Instant::now() < end, "{answer}");
    };
    assert!(answer.contains("connections_full") && answer.contains("retry-after: 1"), "{answer}");
    // Probes are answered.
    for path in ["/healthz", "/readyz"] {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
    }
    drop(held);
    drop(taken(gateway).await);
    neighbor(gateway).await;
}

#[tokio::test]
async fn one_connection_too_many_is_reported_so() {
    let gateway =
        patient().set("http.connections_max", 8).set("http.connections_per_address_max", 8).start().await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(busy(&gateway).await);
    }
    refuses_the_next(&gateway, held).await;
}

/// Connections that send nothing make room for others.
#[tokio::test]
async fn idle_connections_do_not_fill_the_server() {
    let gateway = patient().set("http.connections_max", 8).start().await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(connect(&gateway).await);
    }
    drop(taken(&gateway).await);
    neighbor(&gateway).await;
}

/// Opens a connection that the server accepts, retrying while earlier connections are still being closed.
async fn taken(gateway: &Gateway) -> TcpStream {
    let end = Instant::now() + HANG;
    loop {
        let mut stream = connect(gateway).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut bytes = vec![0u8; 4096];
        let n = stream.read(&mut bytes).await.unwrap_or(0);
        if bytes[..n].starts_with(b"HTTP/1.1 200") {
            return stream;
        }
        assert!(Instant::now() < end, "no connection is taken: {}", String::from_utf8_lossy(&bytes[..n]));
    }
}

#[tokio::test]
async fn file_descriptors_never_run_out() {
    // 128 descriptors, and 4 for each document, are reserved; 16 connections are left.
    let gateway = patient()
        .open_files_max(128 + 4 * 16 + 16)
        .set("platform.documents_max", 16)
        .set("http.connections_per_address_max", 1024)
        .start()
        .await;
    assert!(gateway.log().contains("fewer connections than http.connections_max"), "{}", gateway.log());
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(busy(&gateway).await);
    }
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(taken(&gateway).await);
    }
    // With every connection in use, descriptors remain for the documents being read.
    let body = pdf::document(&[PageSpec::a4(&["Still here"])]);
    let head = format!(
        "POST /api/v1/ocr HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pdf\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut last = idle.pop().unwrap();
    last.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    let answer = rest(&mut last).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!gateway.log().contains("no connection can be taken"), "{}", gateway.log());
}

#[tokio::test]
async fn connections_are_used_again_by_both_protocols() {
    let gateway = patient().start().await;
    let mut stream = connect(&gateway).await;
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut bytes = vec![0u8; 4096];
        let n = stream.read(&mut bytes).await.unwrap();
        assert!(bytes[..n].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes[..n]));
    }
    let client = lector_tests::http_client().no_proxy().http2_prior_knowledge().build().unwrap();
    // The first request opens the connection; the others then share it.
    client.get(gateway.url("/healthz")).send().await.unwrap();
    let asked = (0..20).map(|_| client.get(gateway.url("/healthz")).send());
    for answer in futures::future::join_all(asked).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    }
    // The connection above, the HTTP/2 connection with all its requests, and that of this request.
    let end = Instant::now() + HANG;
    while !gateway.get("/metrics").await.text().contains("lector_http_connections 3\n") {
        assert!(Instant::now() < end, "other connections are open: {}", gateway.get("/metrics").await.text());
    }
    // Neither delays a shutdown: idle connections are asked to close, and then closed.
    assert_eq!(gateway.stop().await, 0);
}

#[tokio::test]
async fn a_deadline_may_come_in_a_header() {
    let gateway = Gateway::builder().with_tiny().start().await;
    let pages = vec![PageSpec::a4(&["This will take longer than half a second to read"; 30]); 20];
    let request =
        gateway.pdf("/api/v1/ocr?text_layer=never", pdf::document(&pages)).header("request-timeout", "0.5");
    let answer = lector_tests::answer::Answer::read(request.send().await.unwrap()).await;
    answer.problem(504, "deadline_exceeded");
    neighbor(&gateway).await;
    // Runs that could not finish in time were not started, or withdrawn: the lanes are empty.
    let end = Instant::now() + HANG;
    loop {
        let metrics = gateway.get("/metrics").await.text();
        let mut depths =
            metrics.lines().filter(|line| line.starts_with("lector_lane_queue_depth{")).peekable();
        assert!(depths.peek().is_some(), "{metrics}");
        if depths.all(|line| line.ends_with(" 0.0") || line.ends_with(" 0")) {
            break;
        }
        assert!(Instant::now() < end, "something still waits: {metrics}");
    }
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_an_upload_arrives() {
    let gateway = with_one_place().await;
    let held = HeldPlace::take(&gateway).await;
    // Eight megabytes exceed the socket buffers: the client is still sending when the response arrives.
    for _ in 0..5 {
        let answer = gateway.ocr("application/pdf", vec![b'x'; 8 << 20], "").await;
        answer.problem(503, "server_overloaded");
    }
    let answer = held.finish().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
