//! What all dialects share: keys, paths, switches, limits.

use axum::http::Method;
use lector_serving::fakes::Behavior;
use serde_json::{Value, json};

use super::super::app::TestApp;
use super::{base64, refused, two_tenants};
use crate::config::Dialect;

fn mistral(pages: u8) -> Value {
    let url = format!("data:application/pdf;base64,{}", base64(pages));
    json!({ "model": "mistral-ocr-latest", "document": { "document_url": url } })
}

#[tokio::test]
async fn keys_in_every_header_that_clients_use() {
    let (app, acme, _) = two_tenants().await;
    let basic = |text: String| {
        use ::base64::Engine as _;
        format!("Basic {}", ::base64::engine::general_purpose::STANDARD.encode(text))
    };
    for (header, value) in [
        ("authorization", format!("Bearer {acme}")),
        ("authorization", format!("bearer {acme}")),
        ("authorization", format!("token {acme}")),
        ("authorization", basic(format!("x:{acme}"))),
        ("authorization", basic(format!("{acme}:"))),
        ("x-api-key", acme.clone()),
        ("ocp-apim-subscription-key", acme.clone()),
    ] {
        let answer = app.post("/v1/ocr").header(header, &value).json(mistral(1)).send().await;
        assert_eq!(answer.status, 200, "{header}: {}", answer.text());
    }
    refused(&app.post("/v1/ocr").json(mistral(1)).send().await, 401);
    let wrong = app.post("/v1/ocr").header("x-api-key", "lk_nothing").json(mistral(1)).send().await;
    assert_eq!(refused(&wrong, 401)["message"].as_str().map(|text| text.contains("key")), Some(true));
    // Lector's own API does not take the others.
    app.ocr("", 1).header("authorization", &format!("token {acme}")).send().await.problem(401, "key_missing");
}

#[tokio::test]
async fn a_server_without_keys_ignores_the_key_that_a_client_must_have() {
    let app = TestApp::start().await;
    let answer = app.post("/v1/ocr").header("authorization", "Bearer any").json(mistral(1)).send().await;
    answer.ok();
    // A page of another site in a browser does not get in by a key that the server does not check.
    let request = app.post("/v1/ocr").header("authorization", "Bearer any").json(mistral(1));
    refused(&request.header("origin", "https://evil.example").send().await, 403);
}

#[tokio::test]
async fn double_and_trailing_slashes() {
    let app = TestApp::start().await;
    for path in ["//v1/ocr", "/v1//ocr", "/v1/ocr/", "//v1//ocr//"] {
        app.post(path).json(mistral(1)).send().await.ok();
    }
    app.get("/v1/nothing/").send().await.problem(404, "route_not_found");
    app.get("//v1/ocr").send().await.problem(405, "method_not_allowed");
    // Lector's own paths stay strict.
    app.post("/api/v1/ocr/").send().await.problem(404, "route_not_found");
}

#[tokio::test]
async fn each_dialect_can_be_switched_off() {
    let app = TestApp::with(|_, http| {
        http.compat.enabled.remove(&Dialect::Mistral);
    })
    .await;
    app.post("/v1/ocr").json(mistral(1)).send().await.problem(404, "route_not_found");
    app.request(Method::PUT, "/process").body(vec![1]).send().await.ok();
}

#[tokio::test]
async fn names_of_models_are_deployments() {
    let (app, acme, _) = two_tenants().await;
    app.deploy(&acme, "mine", "mine: ", json!({ "promote": true })).await;
    let read = async |model: Value| {
        let mut request = mistral(1);
        request["model"] = model;
        let json = app.post("/v1/ocr").key(&acme).json(request).send().await.ok();
        json["pages"][0]["markdown"].as_str().unwrap().to_owned()
    };
    assert_eq!(read(json!("mine")).await, "mine: page 0");
    assert_eq!(read(json!("mistral-ocr-2505")).await, "page 0", "an unknown name is the default");
    assert_eq!(read(json!(null)).await, "page 0");
}

#[tokio::test]
async fn configured_names_of_models() {
    let app = TestApp::with(|_, http| {
        http.compat.models.insert((Dialect::Mistral, "mistral-ocr-latest".into()), "missing".into());
    })
    .await;
    // The configured name is used: it does not exist here.
    let error = refused(&app.post("/v1/ocr").json(mistral(1)).send().await, 404);
    assert_eq!(error["code"], "deployment_not_found");
}

#[tokio::test]
async fn a_page_that_fails_fails_the_document() {
    let app = TestApp::start().await;
    app.script.on(1, Behavior::Fail);
    let error = refused(&app.post("/v1/ocr").json(mistral(3)).send().await, 500);
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("Page 2 was not read:"), "{error}");
}

#[tokio::test]
async fn documents_are_limited_and_urls_are_refused() {
    let app = TestApp::with(|_, http| http.body_bytes_max = 1000).await;
    let send = async |url: String| {
        let request = json!({ "document": { "document_url": url } });
        app.post("/v1/ocr").json(request).send().await
    };
    let bytes = |count: usize| {
        use ::base64::Engine as _;
        ::base64::engine::general_purpose::STANDARD.encode(vec![1; count])
    };
    send(bytes(1000)).await.ok();
    assert_eq!(refused(&send(bytes(1001)).await, 413)["code"], "body_too_large");
    for url in
        ["https://example.org/a.pdf", "http://169.254.169.254/latest", "http://127.0.0.1:8080/v1/models"]
    {
        let error = refused(&send(url.into()).await, 400);
        assert_eq!(error["code"], "compat_url_refused", "{url}");
    }
    assert_eq!(refused(&send("no base64!".into()).await, 400)["code"], "option_invalid");
    assert_eq!(app.service.status().documents_admitted, 0);
    assert_eq!(app.service.status().held_bytes, 0, "nothing is held after the errors");
}

#[tokio::test]
async fn a_full_server_says_when_to_retry() {
    let app = TestApp::with(|platform, _| platform.serving.tenant_uploads_max = 1).await;
    let pending = futures::stream::pending::<std::io::Result<Vec<u8>>>();
    let first = app.post("/v1/ocr").stream(axum::body::Body::from_stream(pending)).begin();
    let mut first = std::pin::pin!(first);
    assert!(futures::poll!(&mut first).is_pending());
    let answer = app.post("/v1/ocr").json(mistral(1)).send().await;
    assert_eq!(refused(&answer, 429)["code"], "tenant_uploads_exceeded");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
}
