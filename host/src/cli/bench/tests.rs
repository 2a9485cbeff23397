#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::figures::{Latency, Level};
use super::load::{Document, Load, Measured, Outcome};
use super::*;
use crate::http::tests::app::TestApp;

fn load(url: String, documents: &[&[u8]], requests: u64) -> Load {
    let document = |bytes: &&[u8]| Document { name: "d".to_owned(), bytes: Bytes::copy_from_slice(bytes) };
    Load {
        client: reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls()).build().unwrap(),
        url,
        options: vec![("words".to_owned(), "true".to_owned())],
        documents: documents.iter().map(document).collect(),
        // The count ends each level.
        time: Duration::from_secs(600),
        requests,
        timeout: Duration::from_secs(600),
    }
}

fn tls() -> rustls::ClientConfig {
    crate::tls::http_client_config(&crate::config::ClientTls::default()).unwrap()
}

async fn listen(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// The gateway itself, with guests that read each page at once; a document of the test has as many pages as its byte.
#[tokio::test]
async fn documents_of_a_server_are_counted() {
    let app = TestApp::start().await;
    let url = listen(app.router()).await + "/api/v1/ocr";
    let load = load(url, &[&[2], &[3]], 10);
    assert_eq!(load.warm_up().await, None);
    let level = Level::of(4, load.level(4).await);
    assert_eq!((level.requests, level.documents, level.pages), (10, 10, 25), "{level:?}");
    assert!(level.refused.is_empty() && level.failed.is_empty(), "{level:?}");
    let latency = level.latency_ms.unwrap();
    assert!(latency.p50 <= latency.p99 && latency.p99 <= latency.max);
    assert!((level.pages_per_s * level.seconds - 25.0).abs() < 1e-6);
}

#[tokio::test]
async fn refusals_and_failures_are_told_apart() {
    let count = Arc::new(AtomicU64::new(0));
    let answer = |State(count): State<Arc<AtomicU64>>| async move {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "0".parse().unwrap());
        let (status, body) = match count.fetch_add(1, SeqCst) % 4 {
            0 => (StatusCode::OK, r#"{"pages":[{"text":"a"},{"error":{"code":"x"}}]}"#),
            1 => (StatusCode::SERVICE_UNAVAILABLE, r#"{"code":"server_overloaded","detail":"Full."}"#),
            2 => (StatusCode::UNPROCESSABLE_ENTITY, r#"{"code":"pdf_invalid","detail":"No PDF."}"#),
            _ => (StatusCode::TOO_MANY_REQUESTS, "no problem document"),
        };
        (status, headers, body)
    };
    let url = listen(Router::new().route("/", post(answer)).with_state(count)).await;
    let level = Level::of(2, load(url, &[b"x"], 8).level(2).await);
    assert_eq!((level.requests, level.documents, level.pages, level.pages_failed), (8, 2, 2, 2));
    let codes = |of: &[(&str, u64)]| of.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect();
    assert_eq!(level.refused, codes(&[("429", 2), ("server_overloaded", 2)]));
    assert_eq!(level.failed, codes(&[("pdf_invalid", 2)]));
    let row = level.row();
    assert!(row.contains("refused 2 times: server_overloaded") && row.contains("2 pages failed"), "{row}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_failure() {
    // Bound and closed: nothing listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let load = load(format!("http://{closed}/"), &[b"x"], 1);
    assert!(load.warm_up().await.is_some_and(|error| error.contains("no_answer")));
    let level = Level::of(1, load.level(1).await);
    assert_eq!((level.failed["no_answer"], level.latency_ms), (1, None));
    assert!(level.row().contains(" - "), "{}", level.row());
}

#[tokio::test]
async fn the_time_of_a_level_ends_it() {
    let url = listen(Router::new().route("/", post(|| async { r#"{"pages":[{}]}"# }))).await;
    let load = Load { time: Duration::from_millis(30), ..load(url, &[b"x"], u64::MAX) };
    let Measured { elapsed, ended } = load.level(3).await;
    assert!(elapsed >= Duration::from_millis(30) && !ended.is_empty());
    assert!(ended.iter().all(|ended| matches!(ended.outcome, Outcome::Read { pages: 1, .. })), "{ended:?}");
}

#[test]
fn quantiles_are_measured_values() {
    let sorted: Vec<f64> = (1..=101).map(f64::from).collect();
    let ended = sorted.iter().map(|ms| super::load::Ended {
        took: Duration::from_secs_f64(ms / 1e3),
        outcome: Outcome::Read { pages: 1, pages_failed: 0 },
    });
    let level = Level::of(1, Measured { elapsed: Duration::from_secs(1), ended: ended.collect() });
    assert_eq!(level.latency_ms, Some(Latency { p50: 51.0, p90: 91.0, p99: 100.0, max: 101.0 }));
}
