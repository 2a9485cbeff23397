//! Open WebUI's external document loader.

use axum::http::Method;
use lector_serving::fakes::Behavior;
use serde_json::json;

use super::super::app::TestApp;
use super::refused;

#[tokio::test]
async fn a_document_is_one_item_a_page() {
    let app = TestApp::start().await;
    let request = app
        .request(Method::PUT, "/process")
        .header("authorization", "Bearer any")
        .header("content-type", "application/pdf")
        .header("x-filename", "0b1f_Ein%20Brief%20%C3%BC.pdf")
        .header("x-openwebui-user-name", "Ada");
    let items = request.body(vec![3]).send().await.ok();
    let items = items.as_array().unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!(items[1]["page_content"], "page 1");
    let metadata = json!({
        "page": 1, "page_label": 2, "total_pages": 3, "source": "0b1f_Ein Brief ü.pdf", "processing_engine": "lector",
    });
    assert_eq!(items[1]["metadata"], metadata);
}

#[tokio::test]
async fn text_is_returned_as_it_is() {
    let app = TestApp::start().await;
    for content_type in ["text/markdown", "", "application/pdf"] {
        let request = app.request(Method::PUT, "/process");
        let request =
            if content_type.is_empty() { request } else { request.header("content-type", content_type) };
        let items = request.body("# Title\n\nText").send().await.ok();
        assert_eq!(items[0]["page_content"], "# Title\n\nText");
        assert!(items[0]["metadata"].is_object());
    }
    assert_eq!(app.script.begun().len(), 0, "no page was read");
}

#[tokio::test]
async fn errors_are_short_texts() {
    let app = TestApp::start().await;
    app.script.on(0, Behavior::Unreadable);
    let answer = app.request(Method::PUT, "/process").body(vec![1]).send().await;
    let error = refused(&answer, 422);
    assert!(error["detail"].as_str().unwrap().contains("It is a blur."), "{error}");
}
