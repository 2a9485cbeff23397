//! Start, readiness, drain, and kill.

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, HANG, process};

use crate::server::in_flight;

#[tokio::test]
async fn requests_in_flight_are_finished_on_sigterm() {
    let gateway = Gateway::builder().with_tiny().set("http.drain_timeout_s", HANG.as_secs()).start().await;
    let pages = vec![PageSpec::a4(&["Finish what you began"; 10]); 4];
    let request = gateway.pdf("/api/v1/ocr?text_layer=never", pdf::document(&pages));
    let answer = tokio::spawn(async move { lector_tests::Answer::read(request.send().await.unwrap()).await });
    in_flight(&gateway, 1).await;
    assert_eq!(gateway.stop().await, 0);
    let json = answer.await.unwrap().ok();
    assert_eq!(json["pages"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_killed_gateway_leaves_no_workers() {
    let gateway = Gateway::builder().with_echo().start().await;
    let children = gateway.kill();
    assert!(!children.is_empty(), "documents are opened in worker processes");
    process::until("workers die with the gateway", || !children.iter().any(|&pid| process::alive(pid))).await;
}

#[tokio::test]
async fn health_readiness_metrics() {
    let gateway = Gateway::builder().with_tiny().start().await;
    assert_eq!(gateway.get("/healthz").await.status, 200);
    let ready = gateway.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    gateway
        .ocr("application/pdf", pdf::document(&[PageSpec::a4(&["Count me"])]), "text_layer=never")
        .await
        .ok();
    let metrics = gateway.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    let text = metrics.text();
    for name in [
        "lector_http_requests_total",
        "lector_pages_total",
        "lector_lane_",
        "lector_render_workers",
        "lector_guest_",
        "process_resident_memory_bytes",
    ] {
        assert!(text.contains(name), "no {name} in\n{text}");
    }
    assert!(text.trim_end().ends_with("# EOF"), "not in OpenMetrics form");
}
