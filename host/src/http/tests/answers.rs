//! Options, negotiation, and the answer of one document.

use lector_serving::fakes::Behavior;
use serde_json::json;

use super::app::{TestApp, all_text};

#[tokio::test]
async fn invalid_options_are_named() {
    let app = TestApp::start().await;
    for (query, status, code) in [
        ("pages=7", 422, "page_out_of_range"),
        ("pages=0", 400, "option_invalid"),
        ("pages=3-1", 400, "option_invalid"),
        ("pages=1-x", 400, "option_invalid"),
        ("pages=1&pages=2", 400, "option_invalid"),
        ("dpi=0", 400, "option_invalid"),
        ("dpi=nan", 400, "option_invalid"),
        ("dpi=1e9", 400, "option_invalid"),
        ("timeout=0", 400, "option_invalid"),
        ("timeout=61", 400, "option_invalid"),
        ("format=docx", 400, "option_invalid"),
        ("text_layer=maybe", 400, "option_invalid"),
        ("order=page", 400, "unknown_option"),
        ("color=blue", 400, "unknown_option"),
    ] {
        app.ocr(query, 3).send().await.problem(status, code);
    }
    let problem = app.ocr("page=1", 3).send().await.problem(400, "unknown_option");
    assert!(problem["detail"].as_str().unwrap().contains("`pages`"), "{problem}");
    assert_eq!(app.script.begun().len(), 0, "no page was read");
    app.ocr("pages=1", 3).send().await.ok();
}

#[tokio::test]
async fn chosen_pages_are_read_and_numbered() {
    let app = TestApp::start().await;
    let json = app.ocr("pages=2-3,7", 9).send().await.ok();
    let numbers: Vec<u64> =
        json["pages"].as_array().unwrap().iter().map(|page| page["page"].as_u64().unwrap()).collect();
    assert_eq!((numbers, &json["page_count"]), (vec![2, 3, 7], &json!(9)));
    assert_eq!(all_text(&json), "page 1|page 2|page 6", "the fake counts from 0");
}

#[tokio::test]
async fn the_format_is_negotiated() {
    let app = TestApp::start().await;
    for (accept, content_type, part) in [
        ("*/*", "application/json", "\"pages\""),
        ("text/plain", "text/plain; charset=utf-8", "page 0"),
        ("text/markdown;q=0.5, text/plain;q=0.4", "text/markdown; charset=utf-8", "page 0"),
        ("image/png, text/html;q=0.9", "text/html; charset=utf-8", "<p>page 0</p>"),
        ("text/vnd.hocr+html", "text/html; charset=utf-8", "ocr_page"),
        ("application/json;q=0, text/plain;q=0.1", "text/plain; charset=utf-8", "page 0"),
    ] {
        let answer = app.ocr("", 1).header("accept", accept).send().await;
        assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{accept}");
        assert!(answer.text().contains(part), "{accept}: {}", answer.text());
    }
    app.ocr("", 1).header("accept", "image/png").send().await.problem(406, "not_acceptable");
    let chosen = app.ocr("format=text", 1).header("accept", "image/png").send().await;
    assert_eq!((chosen.status, chosen.text().trim()), (200, "page 0"), "`format` decides");
}

/// The document describes the answer in each format: that is compared for every answer of these tests.
#[tokio::test]
async fn every_format_is_answered_as_described() {
    let app = TestApp::start().await;
    let document = app.get("/openapi.json").send().await.ok();
    let described = document["components"]["parameters"]["format"]["schema"]["enum"].clone();
    let names: Vec<&str> = lector_export::all().iter().map(|format| format.info().name).collect();
    assert_eq!(described, json!(names), "the document names every format");
    for format in lector_export::all() {
        let info = format.info();
        let answer = app.ocr(&format!("format={}", info.name), 1).send().await;
        let content_type = answer.header("content-type");
        assert_eq!((answer.status, content_type), (200, info.content_type), "{}", info.name);
    }
}

#[tokio::test]
async fn a_searchable_pdf_is_composed_from_the_document() {
    let app = TestApp::start().await;
    for (query, accept) in [("format=pdf", "*/*"), ("", "application/pdf")] {
        let answer = app.ocr(query, 2).header("accept", accept).send().await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/pdf"), "{accept}");
        assert_eq!(answer.text(), "%PDF of 2 pages\n0: page 0\n1: page 1\n");
        assert_eq!(answer.header("content-length"), answer.text().len().to_string());
        assert_eq!(answer.header("x-lector-pages-failed"), "0");
    }
    app.deploy("", "sealed", "refuse: ", json!({ "promote": true })).await;
    let refused = app.document("/api/v1/deployments/sealed/ocr?format=pdf", 1).send().await;
    refused.problem(422, "document_not_composable");
    app.script.on(1, Behavior::Fail);
    app.ocr("format=pdf", 2).send().await.problem(422, "pages_failed");
    let partial = app.ocr("format=pdf&partial=true", 2).send().await;
    assert_eq!((partial.status, partial.text()), (200, "%PDF of 2 pages\n0: page 0\n".to_owned()));
    let status = app.service.status();
    assert_eq!((status.documents_admitted, status.held_bytes), (0, 0), "nothing is left");
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_safe_headers() {
    let app = TestApp::start().await;
    for request in [app.ocr("", 1), app.ocr("color=blue", 1), app.get("/api/v1/nothing"), app.get("/healthz")]
    {
        let answer = request.header("x-request-id", "my-own-id-17").send().await;
        assert_eq!(answer.header("x-request-id"), "my-own-id-17");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let made = app.ocr("", 1).send().await.header("x-request-id").to_owned();
    assert!(made.len() >= 16, "{made}");
    for invalid in ["", "has space", &"x".repeat(129)] {
        let answer = app.ocr("", 1).header("x-request-id", invalid).send().await;
        assert!(answer.header("x-request-id").len() >= 16 && answer.header("x-request-id") != invalid);
    }
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist() {
    let app = TestApp::start().await;
    app.get("/api/v1/nothing").send().await.problem(404, "route_not_found");
    let answer = app.get("/api/v1/ocr").send().await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn bodies_are_limited() {
    let app = TestApp::with(|_, http| http.body_bytes_max = 1000).await;
    app.ocr("", 1).body(vec![1u8; 1001]).send().await.problem(413, "body_too_large");
    // The same without a declared length.
    let chunks = futures::stream::iter((0..11).map(|_| Ok::<_, std::io::Error>(vec![1u8; 100])));
    let answer = app.ocr("", 1).stream(axum::body::Body::from_stream(chunks)).send().await;
    answer.problem(413, "body_too_large");
    app.ocr("", 1).body(vec![1u8; 1000]).send().await.ok();
    app.ocr("", 1).body(Vec::<u8>::new()).send().await.problem(422, "document_empty");
    assert_eq!(app.service.status().documents_admitted, 0);
}

#[tokio::test]
async fn the_deployment_is_named_once() {
    let app = TestApp::start().await;
    app.deploy("", "mine", "mine: ", json!({ "promote": true })).await;
    let by = |text: &str| text.starts_with("mine: page 0");
    assert!(by(&all_text(&app.document("/api/v1/deployments/mine/ocr", 1).send().await.ok())));
    assert!(by(&all_text(&app.ocr("deployment=mine", 1).send().await.ok())));
    let named = app.ocr("", 1).header("x-lector-deployment", "mine").send().await.ok();
    assert!(by(&all_text(&named)), "{named}");
    assert_eq!(all_text(&app.ocr("", 1).send().await.ok()), "page 0", "the default deployment");
    let twice = app.ocr("deployment=standard", 1).header("x-lector-deployment", "mine").send().await;
    twice.problem(400, "option_invalid");
    app.ocr("deployment=nobodys", 1).send().await.problem(404, "deployment_not_found");
}

#[tokio::test]
async fn a_failed_page_is_the_failure_of_that_page() {
    let app = TestApp::start().await;
    app.script.on(1, Behavior::Fail);
    app.script.on(2, Behavior::Panic);
    let json = app.ocr("", 4).send().await.ok();
    let codes: Vec<_> =
        json["pages"].as_array().unwrap().iter().map(|page| page["error"]["code"].as_str()).collect();
    assert_eq!(codes, [None, Some("guest_trapped"), Some("internal"), None]);
    let problem = app.ocr("format=text", 4).send().await.problem(422, "pages_failed");
    assert_eq!(problem["pages_ok"], 2, "{problem}");
    assert_eq!(app.ocr("format=text&partial=true", 4).send().await.status, 200);
    let problem = app.ocr("pages=2", 4).send().await.problem(500, "guest_trapped");
    assert_eq!(problem["pages"][0]["page"], 2, "{problem}");
}

#[tokio::test]
async fn a_timeout_that_expires_is_a_504_with_the_pages_that_were_read() {
    let app = TestApp::start().await;
    app.script.on(1, Behavior::Hang);
    let problem = app.ocr("timeout=0.2", 2).send().await.problem(504, "deadline_exceeded");
    let pages = problem["pages"].as_array().unwrap();
    assert_eq!((pages.len(), &problem["pages_ok"]), (2, &json!(1)), "{problem}");
    let partial = app.ocr("timeout=0.2&partial=true", 2).send().await.ok();
    assert_eq!(partial["pages"][1]["error"]["code"], "deadline_exceeded", "{partial}");
    assert_eq!(app.service.status().documents_admitted, 0);
}

#[tokio::test]
async fn the_api_describes_itself() {
    let app = TestApp::start().await;
    let openapi = app.get("/openapi.json").send().await.ok();
    assert!(openapi["openapi"].as_str().unwrap().starts_with("3."));
    for path in ["/", "/docs"] {
        let page = app.get(path).send().await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        assert!(!page.text().contains("https://cdn"), "{path} fetches from elsewhere");
    }
    assert_eq!(app.get("/healthz").send().await.ok()["status"], "ok");
    assert_eq!(app.get("/readyz").send().await.ok()["status"], "ready");
    assert!(app.get("/metrics").send().await.text().contains("lector_guest_instances 0"));
}

#[tokio::test]
async fn readiness_follows_the_smoke_test_page() {
    let app = TestApp::start().await;
    *app.script.otherwise.lock().unwrap() = Behavior::Fail;
    let answer = app.get("/readyz").send().await;
    assert_eq!((answer.status, &answer.json()["status"]), (503, &json!("unready")), "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "guest_trapped", "{}", answer.text());
    *app.script.otherwise.lock().unwrap() = Behavior::Read;
    assert_eq!(app.get("/readyz").send().await.status, 503, "the answer is kept for two seconds");
    app.clock.advance(std::time::Duration::from_secs(3));
    assert_eq!(app.get("/readyz").send().await.status, 200);
}

#[tokio::test]
async fn readiness_of_one_deployment() {
    let app = TestApp::start().await;
    app.get("/readyz?deployment=standard").send().await.ok();
    app.get("/readyz?deployment=nobodys").send().await.problem(404, "deployment_not_found");
    *app.script.otherwise.lock().unwrap() = Behavior::Fail;
    app.clock.advance(std::time::Duration::from_secs(30));
    let answer = app.get("/readyz?deployment=standard").send().await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!("guest_trapped")));
}
