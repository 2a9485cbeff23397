//! Quotas, rates and bounds of tenants and of the server.

use std::time::Duration;

use axum::http::Method;
use lector_core::Clock;
use lector_serving::fakes::Behavior;
use serde_json::json;

use super::app::{TestApp, until};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_rate_admits_a_burst_and_then_the_rate() {
    let (app, admin) = TestApp::closed().await;
    let acme = app.tenant(&admin, "acme", json!({ "limits": { "requests_per_s": 0.1, "burst": 2 } })).await;
    let zeta = app.tenant(&admin, "zeta", json!({})).await;
    for _ in 0..2 {
        app.ocr("", 1).key(&acme).send().await.ok();
    }
    let problem = app.ocr("", 1).key(&acme).send().await.problem(429, "rate_limited");
    assert_eq!(problem["retry_after"], 10, "{problem}");
    app.ocr("", 1).key(&zeta).send().await.ok();
    app.clock.advance(Duration::from_secs(9));
    app.ocr("", 1).key(&acme).send().await.problem(429, "rate_limited");
    app.clock.advance(Duration::from_secs(1));
    app.ocr("", 1).key(&acme).send().await.ok();
}

#[tokio::test]
async fn a_daily_quota_counts_pages_that_began_and_ends_at_midnight() {
    let (app, admin) = TestApp::closed().await;
    let noon = app.clock.civil();
    let acme = app.tenant(&admin, "acme", json!({ "limits": { "pages_per_day": 5 } })).await;
    app.script.on(1, Behavior::Fail);
    app.ocr("", 3).key(&acme).send().await.ok();
    let problem = app.ocr("", 3).key(&acme).send().await.problem(429, "quota_exceeded");
    assert_eq!(problem["retry_after"], 43_200, "midnight: {problem}");
    app.ocr("pages=1", 3).key(&acme).send().await.ok();
    // A clock that is set back gives no second quota.
    app.clock.step_back(24 * HOUR);
    app.ocr("", 3).key(&acme).send().await.problem(429, "quota_exceeded");
    app.clock.set_civil(noon + 12 * HOUR);
    app.ocr("", 5).key(&acme).send().await.ok();
    app.ocr("", 1).key(&acme).send().await.problem(429, "quota_exceeded");
    let usage = app.get("/api/v1/usage").key(&acme).send().await.ok();
    let days: Vec<_> = usage["usage"].as_array().unwrap().iter().collect();
    let of = |day: &str| *days.iter().find(|row| row["day"] == day).unwrap();
    let counts = |day: &str| (of(day)["pages_ok"].clone(), of(day)["pages_failed"].clone());
    assert_eq!(counts("2026-01-01"), (json!(3), json!(1)), "{usage}");
    assert_eq!(counts("2026-01-02"), (json!(4), json!(1)), "{usage}");
}

#[tokio::test]
async fn pages_that_did_not_begin_are_not_charged() {
    let app = TestApp::with(|platform, _| platform.serving.pages_in_flight_max = 1).await;
    let made = app.post("/api/v1/admin/keys").json(json!({ "admin": true })).send().await.created();
    let admin = made["key"].as_str().unwrap();
    let acme = app.tenant(admin, "acme", json!({ "limits": { "pages_per_day": 10 } })).await;
    app.script.on(0, Behavior::Hang);
    app.ocr("timeout=0.1", 9).key(&acme).send().await.problem(504, "deadline_exceeded");
    let began = u64::try_from(app.script.begun().len()).unwrap();
    assert!(began < 9, "{began} pages began");
    let usage = app.get("/api/v1/usage").key(&acme).send().await.ok();
    assert_eq!(usage["usage"][0]["pages_failed"], began, "{usage}");
    app.script.on(0, Behavior::Read);
    let left = u8::try_from(10 - began).unwrap();
    app.ocr("", left + 1).key(&acme).send().await.problem(429, "quota_exceeded");
    app.ocr("", left).key(&acme).send().await.ok();
}

#[tokio::test]
async fn a_tenants_own_bounds_of_documents() {
    let (app, admin) = TestApp::closed().await;
    let limits = json!({ "body_bytes_max": 100, "pages_per_document_max": 4, "request_timeout_ms": 200 });
    let acme = app.tenant(&admin, "acme", json!({ "limits": limits })).await;
    app.ocr("", 1).key(&acme).body(vec![1u8; 101]).send().await.problem(413, "body_too_large");
    app.ocr("", 1).key(&acme).body(vec![1u8; 100]).send().await.ok();
    assert_eq!(app.ocr("", 5).key(&acme).send().await.status, 413);
    app.ocr("", 4).key(&acme).send().await.ok();
    app.script.on(0, Behavior::Hang);
    app.ocr("", 1).key(&acme).send().await.problem(504, "deadline_exceeded");
    for (limits, why) in [
        (json!({ "requests_per_s": 1.0, "burst": 0 }), "burst"),
        (json!({ "images_bytes_max": 1000 }), "images_bytes_max"),
        (json!({ "requests_per_s": -1.0 }), "requests_per_s"),
    ] {
        let put = app.request(Method::PUT, "/api/v1/admin/tenants/acme").key(&admin);
        let problem = put.json(json!({ "limits": limits })).send().await.problem(422, "limits_invalid");
        assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
    }
}

#[tokio::test]
async fn a_full_server_says_when_to_come_back() {
    let app = TestApp::with(|platform, _| platform.serving.documents_max = 1).await;
    *app.script.otherwise.lock().unwrap() = Behavior::Wait;
    let first = app.ocr("", 1);
    let (answer, ()) = tokio::join!(first.send(), async {
        until("the document is read", || app.script.begun().len() == 1).await;
        let refused = app.ocr("", 1).send().await;
        refused.problem(503, "server_overloaded");
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1, "{refused:?}");
        // Health does not depend on the load: an overloaded server is healthy.
        assert_eq!(app.get("/healthz").send().await.status, 200);
        app.script.go.add_permits(1);
    });
    answer.ok();
    app.script.go.add_permits(1);
    app.ocr("", 1).send().await.ok();
}

#[tokio::test]
async fn a_draining_server_refuses_documents_and_finishes_those_that_it_took() {
    let app = TestApp::start().await;
    *app.script.otherwise.lock().unwrap() = Behavior::Wait;
    let first = app.ocr("", 1);
    let (answer, report, ()) = tokio::join!(
        first.send(),
        async {
            until("the document is read", || app.script.begun().len() == 1).await;
            app.service.drain(Duration::from_secs(60)).await
        },
        async {
            until("the drain has begun", || app.service.is_draining()).await;
            app.ocr("", 1).send().await.problem(503, "shutting_down");
            assert_eq!(app.get("/readyz").send().await.status, 503);
            app.script.go.add_permits(1);
        }
    );
    answer.ok();
    assert!(report.clean, "{report:?}");
}
