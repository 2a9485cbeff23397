//! Clients that behave badly on the wire.

use std::time::{Duration, Instant};

use lector_tests::Gateway;
use lector_tests::pdf::{self, PageSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.base.trim_start_matches("http://")).await.expect("a connection")
}

async fn rest(stream: &mut TcpStream, within: Duration) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(within, stream.read_to_end(&mut bytes))
        .await
        .expect("the server ends the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn neighbour(gateway: &Gateway) {
    let bytes = pdf::document(&[PageSpec::a4(&["Still here"])]);
    gateway.ocr("application/pdf", bytes, "").await.ok();
}

#[tokio::test]
async fn headers_that_never_end_are_cut() {
    let gateway = Gateway::builder().set("http.header_timeout_s", 1).start().await;
    let mut stream = connect(&gateway).await;
    stream.write_all(b"POST /api/v1/ocr HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let began = Instant::now();
    rest(&mut stream, Duration::from_secs(10)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    neighbour(&gateway).await;
}

#[tokio::test]
async fn a_body_that_stalls_is_answered() {
    let gateway = Gateway::builder().set("http.body_idle_timeout_s", 1).start().await;
    let mut stream = connect(&gateway).await;
    stream
        .write_all(b"POST /api/v1/ocr HTTP/1.1\r\nHost: x\r\nContent-Type: application/pdf\r\nContent-Length: 1000\r\n\r\n%PDF-1.7")
        .await
        .unwrap();
    let answer = rest(&mut stream, Duration::from_secs(10)).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body_stalled"), "{answer}");
    neighbour(&gateway).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let gateway = Gateway::start().await;
    let mut stream = connect(&gateway).await;
    stream
        .write_all(b"POST /api/v1/ocr HTTP/1.1\r\nHost: x\r\nContent-Type: application/pdf\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut stream, Duration::from_secs(10)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("body_too_large"), "{answer}");
}

#[tokio::test]
async fn an_upload_that_breaks_off_costs_only_itself() {
    let gateway = Gateway::start().await;
    for _ in 0..20 {
        let mut stream = connect(&gateway).await;
        stream
            .write_all(b"POST /api/v1/ocr HTTP/1.1\r\nHost: x\r\nContent-Type: application/pdf\r\nContent-Length: 100000\r\n\r\n%PDF-1.7 half of")
            .await
            .unwrap();
        drop(stream);
    }
    neighbour(&gateway).await;
}

#[tokio::test]
async fn a_full_house_says_when_to_come_back() {
    let gateway = Gateway::builder().set("platform.documents_max", 1).start().await;
    let pages = vec![PageSpec::a4(&["A long document holds the only place"; 20]); 12];
    let long = gateway.ocr("application/pdf", pdf::document(&pages), "text_layer=never");
    let refused = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let answer = gateway.ocr("application/pdf", pdf::document(&pages[..1]), "").await;
        answer.problem(503, "house_full");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1, "{answer:?}");
        // Health looks at the house, not at the queue: full is not ill.
        assert_eq!(gateway.get("/healthz").await.status, 200);
    };
    let (answer, ()) = tokio::join!(long, refused);
    answer.ok();
}

#[tokio::test]
async fn a_deadline_that_passes_is_a_504_with_what_was_done() {
    let gateway = Gateway::start().await;
    let pages = vec![PageSpec::a4(&["This will take longer than a second or two to read"; 30]); 20];
    let answer = gateway.ocr("application/pdf", pdf::document(&pages), "text_layer=never&timeout=2").await;
    let problem = answer.problem(504, "deadline_exceeded");
    assert!(problem["pages"].as_array().is_some(), "{problem}");
    neighbour(&gateway).await;
}
