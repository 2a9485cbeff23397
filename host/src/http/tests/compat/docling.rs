//! docling-serve as Open WebUI, RAGFlow, paperless-gpt, Haystack and docling-client call it.

use axum::http::Method;
use lector_serving::fakes::Behavior;
use serde_json::{Value, json};

use super::super::app::TestApp;
use super::{base64, file, form, refused, two_tenants};

#[tokio::test]
async fn open_webui_sends_a_form_and_reads_markdown() {
    let app = TestApp::with_jobs().await;
    let fields = [
        ("image_export_mode", "placeholder"),
        ("do_ocr", "true"),
        ("force_ocr", "false"),
        ("ocr_engine", "tesseract"),
        ("ocr_lang", "eng"),
        ("pdf_backend", "dlparse_v4"),
        ("table_mode", "accurate"),
        ("pipeline", "standard"),
        ("md_page_break_placeholder", "---"),
    ];
    let form = form(&fields, &file("files", "uuid_my letter.pdf", "application/pdf"), 2);
    let json = app.post("/v1/convert/file").header("x-api-key", "any").form(form).send().await.ok();
    assert_eq!(json["status"], "success");
    assert_eq!(json["errors"], json!([]));
    let document = &json["document"];
    assert_eq!(document["filename"], "uuid_my letter.pdf");
    assert!(document["md_content"].as_str().unwrap().contains("page 1"), "{json}");
    assert_eq!((&document["text_content"], &document["json_content"]), (&Value::Null, &Value::Null));
    assert!(json["processing_time"].is_number() && json["timings"].is_object());
}

#[tokio::test]
async fn paperless_gpt_sends_pictures_as_pdf() {
    let app = TestApp::with_jobs().await;
    let fields = [("to_formats", "text"), ("to_formats", "md")];
    // The bytes are those of a picture.
    let head = file("files", "document.pdf", "application/octet-stream");
    let form = form(&fields, &head, 1);
    for path in ["/v1/convert/file", "/v1alpha/convert/file"] {
        let json = app.post(path).form(form.clone()).send().await.ok();
        assert_eq!(json["document"]["text_content"].as_str().unwrap().trim(), "page 0");
    }
}

#[tokio::test]
async fn ragflow_looks_for_the_server_and_asks_for_chunks() {
    let app = TestApp::with_jobs().await;
    for (method, path) in
        [(Method::HEAD, "/openapi.json"), (Method::GET, "/docs"), (Method::GET, "/v1/convert/source")]
    {
        assert_eq!(app.request(method, path).send().await.status, 200, "{path}");
    }
    let options = json!({
        "from_formats": ["pdf"],
        "to_formats": ["json", "md", "text"],
        "do_chunking": true,
        "chunking_options": { "max_tokens": 512, "overlap": 50, "tokenizer": "sentencepiece" },
    });
    let source = json!({ "kind": "file", "filename": "a.pdf", "base64_string": base64(2) });
    let json =
        app.post("/v1/convert/source").json(json!({ "options": options, "sources": [source] })).send().await;
    let json = json.ok();
    // It takes a reply with these for chunks.
    assert!(json.get("results").is_none() && json.get("chunks").is_none());
    assert!(json["document"]["md_content"].as_str().unwrap().contains("page 0"));
    assert_eq!(json["document"]["json_content"]["schema_name"], "DoclingDocument");
    let old = json!({ "options": {}, "file_sources": [{ "filename": "a.pdf", "base64_string": base64(1) }] });
    app.post("/v1alpha/convert/source").json(old).send().await.ok();
}

#[tokio::test]
async fn what_cannot_be_done_is_422_with_a_text() {
    let app = TestApp::with_jobs().await;
    let source = json!({ "kind": "file", "filename": "a.pdf", "base64_string": base64(1) });
    for request in [
        json!({ "sources": [source], "target": { "kind": "zip" } }),
        json!({ "sources": [source, source] }),
        json!({ "sources": [source], "options": { "to_formats": ["doctags"] } }),
        json!({ "sources": [{ "kind": "http", "url": "https://example.org/a.pdf" }] }),
        json!({ "http_sources": [{ "url": "http://10.0.0.1/a.pdf" }] }),
        json!({ "sources": [{ "kind": "s3", "bucket": "b" }] }),
    ] {
        let error = refused(&app.post("/v1/convert/source").json(request.clone()).send().await, 422);
        assert!(error["detail"].as_str().unwrap().len() > 20, "{request}: {error}");
    }
    let zip = form(&[("target_type", "zip")], &file("files", "a", "x/y"), 1);
    refused(&app.post("/v1/convert/file").form(zip).send().await, 422);
    refused(&app.post("/v1/convert/source").json(json!({})).send().await, 400);
    assert_eq!(app.service.status().held_bytes, 0);
}

#[tokio::test]
async fn docling_client_asks_for_presigned_urls_and_falls_back() {
    let app = TestApp::with_jobs().await;
    let submit = async |target: &str| {
        let fields = [
            ("to_formats", "md"),
            ("to_formats", "json"),
            ("page_range", "1"),
            ("page_range", "9223372036854775807"),
            ("target_type", target),
        ];
        let form = form(&fields, &file("files", "a.pdf", "application/pdf"), 2);
        app.post("/v1/convert/file/async").form(form).send().await
    };
    let error = refused(&submit("presigned_url").await, 422);
    let detail = error["detail"].as_str().unwrap();
    // The words by which it decides.
    assert!(detail.contains("presigned_url") && detail.contains("input should be"), "{detail}");
    let task = submit("inbody").await.ok();
    let id = task["task_id"].as_str().unwrap();
    app.get(&format!("/v1/status/poll/{id}?wait=30.0")).send().await.ok();
    let json = app.get(&format!("/v1/result/{id}")).send().await.ok();
    assert_eq!(json["document"]["json_content"]["texts"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_task_is_polled_until_it_has_a_result() {
    let app = TestApp::with_jobs().await;
    app.script.on(0, Behavior::Wait);
    let form = form(&[("to_formats", "md")], &file("files", "a.pdf", "application/pdf"), 1);
    let task = app.post("/v1/convert/file/async").form(form).send().await.ok();
    assert_eq!((&task["task_type"], &task["task_status"]), (&json!("convert"), &json!("pending")));
    let id = task["task_id"].as_str().unwrap();
    let status = app.get(&format!("/v1/status/poll/{id}")).send().await.ok();
    assert!(["pending", "started"].contains(&status["task_status"].as_str().unwrap()), "{status}");
    let early = refused(&app.get(&format!("/v1/result/{id}")).send().await, 404);
    assert!(early["detail"].as_str().unwrap().starts_with("Task result not found."));
    app.script.go.add_permits(1);
    let status = app.get(&format!("/v1/status/poll/{id}?wait=30")).send().await.ok();
    assert_eq!((&status["task_status"], &status["task_id"]), (&json!("success"), &json!(id)));
    for _ in 0..2 {
        let json = app.get(&format!("/v1/result/{id}")).send().await.ok();
        assert_eq!(json["document"]["md_content"], "page 0\n");
        assert_eq!(json["document"]["filename"], "a.pdf");
    }
    refused(&app.get("/v1/result/unknown").send().await, 404);
    app.clock.advance(std::time::Duration::from_secs(3601));
    refused(&app.get(&format!("/v1/status/poll/{id}")).send().await, 404);
    assert_eq!(app.service.status().held_bytes, 0, "the result is forgotten");
}

#[tokio::test]
async fn a_task_that_fails_says_why() {
    let app = TestApp::with_jobs().await;
    app.script.on(0, Behavior::Unreadable);
    let request = json!({ "sources": [{ "kind": "file", "filename": "a.pdf", "base64_string": base64(1) }] });
    let task = app.post("/v1/convert/source/async").json(request).send().await.ok();
    let id = task["task_id"].as_str().unwrap();
    let status = app.get(&format!("/v1/status/poll/{id}?wait=30")).send().await.ok();
    assert_eq!(status["task_status"], "failure");
    assert!(status["error_message"].as_str().unwrap().contains("It is a blur."), "{status}");
    let error = refused(&app.get(&format!("/v1/result/{id}")).send().await, 422);
    assert!(error["detail"].as_str().unwrap().contains("It is a blur."));
}

#[tokio::test]
async fn tasks_belong_to_their_tenant_and_are_bounded() {
    let (app, acme, other) = two_tenants().await;
    app.script.on(0, Behavior::Wait);
    let submit = || {
        let form = form(&[], &file("files", "a.pdf", "application/pdf"), 1);
        app.post("/v1/convert/file/async").header("x-api-key", &acme).form(form)
    };
    let task = submit().send().await.ok();
    let path = format!("/v1/status/poll/{}", task["task_id"].as_str().unwrap());
    app.get(&path).key(&acme).send().await.ok();
    refused(&app.get(&path).key(&other).send().await, 404);
    refused(&app.get(&path).send().await, 401);
    app.script.go.add_permits(1);

    // They are jobs, of which a tenant has three unfinished ones at most.
    let app = TestApp::with_jobs().await;
    app.script.on(0, Behavior::Wait);
    let submit = || {
        let form = form(&[], &file("files", "a.pdf", "application/pdf"), 1);
        app.post("/v1/convert/file/async").form(form)
    };
    let first = submit().send().await.ok();
    for _ in 0..2 {
        submit().send().await.ok();
    }
    assert_eq!(refused(&submit().send().await, 429)["code"], "tenant_jobs_exceeded");
    app.script.go.add_permits(3);
    let first = format!("/v1/status/poll/{}?wait=30", first["task_id"].as_str().unwrap());
    assert_eq!(app.get(&first).send().await.ok()["task_status"], "success");
    submit().send().await.ok();
}

#[tokio::test]
async fn health_and_version() {
    let app = TestApp::with_jobs().await;
    assert_eq!(app.get("/health").send().await.ok(), json!({ "status": "ok" }));
    assert!(app.get("/version").send().await.ok().is_object());
    assert_eq!(app.get("/ready").send().await.ok(), json!({ "status": "ok" }));
}

#[tokio::test]
async fn readiness_is_that_of_the_server() {
    let app = TestApp::start().await;
    *app.script.otherwise.lock().unwrap() = Behavior::Fail;
    let unready = refused(&app.get("/ready").send().await, 503);
    assert!(unready["detail"].as_str().unwrap().contains("standard"), "{unready}");
    assert_eq!(app.get("/v2/health/ready").send().await.status, 503);
    assert_eq!(app.get("/health").send().await.ok(), json!({ "status": "ok" }), "it is alive");
    assert_eq!(app.get("/v2/health/live").send().await.status, 200);
    *app.script.otherwise.lock().unwrap() = Behavior::Read;
    app.clock.advance(std::time::Duration::from_secs(3));
    assert_eq!(app.get("/ready").send().await.ok(), json!({ "status": "ok" }));
    assert_eq!(app.get("/v2/health/ready").send().await.status, 200);
}

#[tokio::test]
async fn readiness_is_private_where_operations_are() {
    let app = TestApp::with(|_, http| http.private_operations = true).await;
    let closed = [("/readyz", 404), ("/ready", 404), ("/v2/health/ready", 400)];
    for (path, status) in closed {
        assert_eq!(app.get(path).begin().await.status().as_u16(), status, "{path}");
        assert_eq!(app.private(path).await, 200, "{path}");
    }
    for path in ["/livez", "/health", "/v2/health/live"] {
        assert_eq!(app.get(path).send().await.status, 200, "{path}");
    }
}
