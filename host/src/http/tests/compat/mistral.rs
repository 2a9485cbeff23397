//! Mistral OCR as Open WebUI, LibreChat, RAGFlow, Cherry Studio, LiteLLM and the SDKs call it.

use axum::http::Method;
use serde_json::{Value, json};

use super::super::app::TestApp;
use super::{base64, file, form, refused, two_tenants};

/// Uploads as Open WebUI does; returns the id.
async fn upload(app: &TestApp, key: &str, pages: u8) -> String {
    let form = form(&[("purpose", "ocr")], &file("file", "my letter.pdf", "application/pdf"), pages);
    let made = app.post("/v1/files").key(key).form(form).send().await.ok();
    // The Python SDK fails if one of these is missing.
    for member in ["id", "object", "bytes", "created_at", "filename", "purpose", "sample_type", "source"] {
        assert!(!made[member].is_null(), "{member}: {made}");
    }
    assert_eq!(
        (&made["object"], &made["bytes"], &made["filename"]),
        (&json!("file"), &json!(1), &json!("my letter.pdf"))
    );
    let id = made["id"].as_str().unwrap();
    assert!(uuid::Uuid::parse_str(id).is_ok(), "{id}");
    id.to_owned()
}

/// Removes the server from an absolute address.
fn path_of(url: &str) -> &str {
    url.split_once("://localhost").unwrap().1
}

#[tokio::test]
async fn open_webui_uploads_signs_reads_and_deletes() {
    let app = TestApp::start().await;
    let id = upload(&app, "any", 3).await;
    let signed = app.get(&format!("/v1/files/{id}/url?expiry=1")).key("any").send().await.ok();
    let url = signed["url"].as_str().unwrap();
    let request = json!({
        "model": "mistral-ocr-latest",
        "document": { "type": "document_url", "document_url": url },
        "include_image_base64": false,
    });
    let json = app.post("/v1/ocr").key("any").json(request).send().await.ok();
    let pages = json["pages"].as_array().unwrap();
    assert_eq!(pages.len(), 3);
    assert_eq!((&pages[2]["index"], &pages[2]["markdown"]), (&json!(2), &json!("page 2")));
    assert_eq!(pages[0]["images"], json!([]));
    for member in ["dpi", "height", "width"] {
        assert!(pages[0]["dimensions"][member].is_u64(), "{json}");
    }
    assert_eq!(json["usage_info"], json!({ "pages_processed": 3, "doc_size_bytes": 1 }));
    assert_eq!(json["model"], "mistral-ocr-latest");
    let deleted = app.request(Method::DELETE, &format!("/v1/files/{id}")).key("any").send().await;
    assert_eq!(deleted.header("content-type"), "application/json");
    assert_eq!(deleted.ok(), json!({ "id": id, "object": "file", "deleted": true }));
    refused(&app.get(&format!("/v1/files/{id}")).send().await, 404);
    assert_eq!(app.service.status().held_bytes, 0);
}

#[tokio::test]
async fn librechat_passes_signed_urls_as_images_and_calls_below_ocr() {
    let app = TestApp::start().await;
    let made =
        app.post("/v1/ocr/files").form(form(&[], &file("file", "a.png", "image/png"), 1)).send().await.ok();
    let id = made["id"].as_str().unwrap();
    let signed = app.get(&format!("/v1/ocr/files/{id}/url")).send().await.ok();
    let url = signed["url"].as_str().unwrap();
    for image in [json!(url), json!({ "url": url })] {
        let request = json!({
            "model": "mistral-ocr-latest",
            "image_limit": 0,
            "include_image_base64": false,
            "document": { "type": "image_url", "image_url": image },
        });
        let json = app.post("/v1/ocr").json(request).send().await.ok();
        assert_eq!(json["pages"][0]["markdown"], "page 0");
    }
}

#[tokio::test]
async fn cherry_studio_sends_no_type_and_no_model() {
    let app = TestApp::start().await;
    let id = upload(&app, "", 2).await;
    for document in [
        json!({ "file_id": id }),
        json!({ "document_url": format!("data:application/pdf;base64,{}", base64(2)) }),
        json!({ "type": "image_url", "image_url": format!("data:image/jpeg;base64,{}", base64(2)) }),
        json!({ "type": "document_url", "document_url": base64(2), "document_name": "x.pdf", "more": 1 }),
    ] {
        let request = json!({ "model": null, "document": document, "unknown": { "a": [1] } });
        let json = app.post("/v1/ocr").json(request).send().await.ok();
        assert_eq!(json["pages"].as_array().unwrap().len(), 2, "{document}");
    }
}

#[tokio::test]
async fn ragflow_reads_models_then_blocks() {
    let app = TestApp::start().await;
    let models = app.get("/v1/models").send().await.ok();
    assert_eq!(models["data"][0]["id"], "mistral-ocr-latest");
    let request = json!({
        "document": { "type": "document_url", "document_url": base64(1) },
        "include_blocks": true, "table_format": "html", "extract_header": true, "extract_footer": true,
        "confidence_scores_granularity": "word",
    });
    let json = app.post("/v1/ocr").json(request).send().await.ok();
    let page = &json["pages"][0];
    let block = &page["blocks"][0];
    assert_eq!((&block["type"], &block["content"]), (&json!("text"), &json!("page 0")));
    for member in ["top_left_x", "top_left_y", "bottom_right_x", "bottom_right_y"] {
        assert!(block[member].is_i64() || block[member].is_u64(), "{block}");
    }
    assert_eq!((&page["tables"], &page["header"]), (&json!([]), &Value::Null));
    assert_eq!(page["confidence_scores"]["minimum_page_confidence_score"], 1.0);
    // Without being asked for, there are none.
    let plain = json!({ "document": { "document_url": base64(1) } });
    let plain = app.post("/v1/ocr").json(plain).send().await.ok();
    assert!(
        plain["pages"][0].get("blocks").is_none() && plain["pages"][0].get("confidence_scores").is_none()
    );
}

#[tokio::test]
async fn pages_count_from_0() {
    let app = TestApp::start().await;
    for pages in [json!([0, 2]), json!("0,2")] {
        let request = json!({ "document": { "document_url": base64(4) }, "pages": pages });
        let json = app.post("/v1/ocr").json(request).send().await.ok();
        let read: Vec<&Value> = json["pages"].as_array().unwrap().iter().map(|page| &page["index"]).collect();
        assert_eq!(read, [&json!(0), &json!(2)]);
    }
    let request = json!({ "document": { "document_url": base64(2) }, "pages": [7] });
    let error = refused(&app.post("/v1/ocr").json(request).send().await, 422);
    // The SDK parses 422 as FastAPI's error.
    let detail = &error["detail"][0];
    assert!(detail["loc"].is_array() && detail["msg"].is_string() && detail["type"].is_string(), "{error}");
}

#[tokio::test]
async fn annotations_are_refused_and_not_ignored() {
    let app = TestApp::start().await;
    for name in ["bbox_annotation_format", "document_annotation_format"] {
        let mut request = json!({ "document": { "document_url": base64(1) } });
        request[name] = json!({ "type": "json_schema" });
        let error = refused(&app.post("/v1/ocr").json(request.clone()).send().await, 400);
        assert_eq!((&error["object"], &error["code"]), (&json!("error"), &json!("compat_unsupported")));
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
        // The SDK sends null for what its caller does not set.
        request[name] = Value::Null;
        app.post("/v1/ocr").json(request).send().await.ok();
    }
}

#[tokio::test]
async fn files_belong_to_their_tenant() {
    let (app, acme, other) = two_tenants().await;
    let id = upload(&app, &acme, 1).await;
    let file = format!("/v1/files/{id}");
    for path in [file.clone(), format!("{file}/url"), format!("{file}/content")] {
        assert_eq!(app.get(&path).key(&acme).send().await.status, 200, "{path}");
        refused(&app.get(&path).key(&other).send().await, 404);
        refused(&app.get(&path).send().await, 401);
    }
    refused(&app.request(Method::DELETE, &file).key(&other).send().await, 404);
    let list = |key: String| {
        let app = &app;
        async move { app.get("/v1/files").key(&key).send().await.ok()["total"].clone() }
    };
    assert_eq!((list(acme.clone()).await, list(other.clone()).await), (json!(1), json!(0)));
    // A signed URL opens the file without a key, but only its own tenant reads it.
    let signed = app.get(&format!("{file}/url")).key(&acme).send().await.ok();
    let url = signed["url"].as_str().unwrap();
    let content = app.get(path_of(url)).send().await;
    assert_eq!((content.status, content.body), (200, vec![1]));
    let request = json!({ "document": { "document_url": url } });
    refused(&app.post("/v1/ocr").key(&other).json(request.clone()).send().await, 404);
    app.post("/v1/ocr").key(&acme).json(request).send().await.ok();
    let forged = format!("{}0", &path_of(url)[..path_of(url).len() - 1]);
    let again = app.get(&forged).send().await;
    assert!(again.status == 404 || forged == path_of(url), "{}", again.text());
}

/// The time is paused, because a document waits for memory.
#[tokio::test(start_paused = true)]
async fn the_copy_of_a_stored_document_is_counted() {
    let (app, admin) = TestApp::closed().await;
    // Larger than the upload of the file with its form.
    let request = |id: &str| json!({ "document": { "file_id": id }, "unknown": "x".repeat(4000) });
    let sent = request(&uuid::Uuid::nil().to_string()).to_string().len();
    // The file, the request, its values, and what a document in it could have: the copy has no room.
    let texts = "document".len() + "file_id".len() + 36 + "unknown".len() + 4000;
    let limit = 1 + sent + 2 * texts + 128 * (sent - texts) + texts.div_ceil(4) * 3;
    let key = app.tenant(&admin, "acme", json!({ "limits": { "held_bytes_max": limit } })).await;
    let id = upload(&app, &key, 1).await;
    let answer = app.post("/v1/ocr").key(&key).json(request(&id)).send().await;
    assert_eq!(refused(&answer, 429)["code"], "tenant_memory_exceeded");
    let more = json!({ "limits": { "held_bytes_max": limit + 1 } });
    app.request(Method::PUT, "/api/v1/admin/tenants/acme").key(&admin).json(more).send().await.ok();
    app.post("/v1/ocr").key(&key).json(request(&id)).send().await.ok();
}

#[tokio::test]
async fn files_and_urls_expire_and_are_bounded() {
    let app = TestApp::with(|_, http| http.compat.tenant_files_bytes_max = 2).await;
    let id = upload(&app, "", 1).await;
    let signed = app.get(&format!("/v1/files/{id}/url?expiry=1")).send().await.ok();
    upload(&app, "", 1).await;
    let full = app.post("/v1/files").form(form(&[], &file("file", "c", "x/y"), 1)).send().await;
    assert_eq!(refused(&full, 429)["code"], "tenant_files_exceeded");
    assert!(!full.header("retry-after").is_empty());
    assert_eq!(app.service.status().held_bytes, 2, "the two files");
    app.clock.advance(std::time::Duration::from_secs(3600));
    refused(&app.get(&format!("/v1/files/{id}")).send().await, 404);
    refused(&app.get(path_of(signed["url"].as_str().unwrap())).send().await, 404);
    assert_eq!(app.service.status().held_bytes, 0);
    for expiry in ["0", "169", "x"] {
        let id = upload(&app, "", 1).await;
        refused(&app.get(&format!("/v1/files/{id}/url?expiry={expiry}")).send().await, 400);
        app.request(Method::DELETE, &format!("/v1/files/{id}")).send().await.ok();
    }
}
