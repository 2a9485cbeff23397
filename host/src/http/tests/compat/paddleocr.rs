//! PaddleOCR as Dify, RAGFlow, Cherry Studio, Open WebUI, LangChain, LightRAG and its SDK call it.

use axum::body::Body;
use lector_serving::fakes::Behavior;
use serde_json::{Value, json};

use super::super::app::TestApp;
use super::{base64, file, form, refused, two_tenants};

const JOBS: &str = "/api/v2/ocr/jobs";

#[tokio::test]
async fn lines_as_cherry_studio_and_the_mcp_server_read_them() {
    let app = TestApp::with_jobs().await;
    let request = json!({
        "file": base64(2), "fileType": 0, "visualize": false, "useDocOrientationClassify": false,
        "useDocUnwarping": false, "useTextlineOrientation": false,
    });
    let json = app.post("/ocr").header("authorization", "token any").json(request).send().await.ok();
    assert_eq!((&json["errorCode"], &json["errorMsg"]), (&json!(0), &json!("Success")));
    assert!(json["logId"].as_str().is_some_and(|id| !id.is_empty()));
    let results = json["result"]["ocrResults"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    let pruned = &results[1]["prunedResult"];
    assert_eq!(pruned["rec_texts"], json!(["page 1"]));
    for list in ["rec_scores", "rec_boxes", "rec_polys", "dt_polys"] {
        assert_eq!(pruned[list].as_array().unwrap().len(), 1, "{list}");
    }
    // One pixel at 72 dpi.
    let size = json!({ "width": 2, "height": 2 });
    assert_eq!(json["result"]["dataInfo"], json!({ "type": "pdf", "numPages": 2, "pages": [size, size] }));
}

#[tokio::test]
async fn blocks_as_open_webui_and_lightrag_read_them() {
    let app = TestApp::with_jobs().await;
    let request =
        json!({ "file": base64(1), "useLayoutDetection": true, "promptLabel": "ocr", "temperature": 0 });
    let json = app.post("/layout-parsing/").json(request).send().await.ok();
    let page = &json["result"]["layoutParsingResults"][0];
    let block = &page["prunedResult"]["parsing_res_list"][0];
    assert_eq!((&block["block_label"], &block["block_content"]), (&json!("text"), &json!("page 0")));
    assert_eq!(block["block_bbox"].as_array().unwrap().len(), 4);
    let markdown = json!({ "text": "page 0", "images": {}, "isStart": true, "isEnd": true });
    assert_eq!((&page["markdown"], &page["outputImages"]), (&markdown, &json!({})));
}

#[tokio::test]
async fn errors_have_a_code_that_is_not_0() {
    let app = TestApp::with_jobs().await;
    for (request, status) in [
        (json!({ "fileType": 1 }), 400),
        (json!({ "file": "https://example.org/a.png" }), 400),
        (json!({ "file": "!!" }), 400),
    ] {
        let error = refused(&app.post("/ocr").json(request).send().await, status);
        assert_eq!(error["errorCode"], status);
        assert!(error["errorMsg"].as_str().unwrap().len() > 20 && error["logId"].is_string(), "{error}");
    }
    let url = json!({ "fileUrl": "https://paddle-model-ecology.bj.bcebos.com/a.png", "model": "PP-OCRv5" });
    let error = refused(&app.post(JOBS).json(url).send().await, 400);
    assert_eq!(error["code"], 400);
    assert!(error["msg"].as_str().unwrap().contains("URLs"), "{error}");
}

/// Submits a job and polls it; returns its data.
async fn done(app: &TestApp, key: &str, form: String) -> Value {
    let made = app.post(JOBS).key(key).header("client-platform", "dify").form(form).send().await.ok();
    assert_eq!((&made["code"], &made["msg"]), (&json!(0), &json!("Success")));
    let path = format!("{JOBS}/{}", made["data"]["jobId"].as_str().unwrap());
    let status = app.get(&path).key(key).send().await.ok();
    // The submission has waited for the short document.
    assert_eq!((&status["code"], &status["data"]["state"]), (&json!(0), &json!("done")), "{status}");
    status["data"].clone()
}

#[tokio::test]
async fn dify_submits_polls_and_reads_without_a_key() {
    let (app, acme, other) = two_tenants().await;
    let fields = [("model", "PP-OCRv6"), ("optionalPayload", "{\"useDocUnwarping\":false}")];
    let form = form(&fields, &file("file", "a.pdf", "application/pdf"), 3);
    let job = done(&app, &acme, form).await;
    assert_eq!(job["extractProgress"]["totalPages"], 3);
    assert_eq!(job["extractProgress"]["extractedPages"], 3);
    assert_eq!(job["errorMsg"], "");
    let url = job["resultUrl"]["jsonUrl"].as_str().unwrap();
    let path = url.strip_prefix("http://localhost").unwrap();
    let answer = app.get(path).send().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson; charset=utf-8"));
    let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for (at, line) in lines.iter().enumerate() {
        let result = &line["result"]["ocrResults"][0];
        assert_eq!(result["prunedResult"]["rec_texts"], json!([format!("page {at}")]));
        assert_eq!(result["ocrImage"], "", "older SDKs index it");
        assert!(line["result"].get("layoutParsingResults").is_none(), "clients join both");
        assert_eq!(line["result"]["dataInfo"]["numPages"], 1);
    }
    // Without its token the URL opens nothing, and no other tenant sees the job.
    let (without, _) = path.split_once('?').unwrap();
    refused(&app.get(without).key(&acme).send().await, 404);
    refused(&app.get(&format!("{without}?token={}", "0".repeat(64))).send().await, 404);
    let status = without.trim_end_matches("/result");
    refused(&app.get(status).key(&other).send().await, 404);
    app.clock.advance(std::time::Duration::from_secs(3601));
    refused(&app.get(path).send().await, 404);
}

#[tokio::test]
async fn cherry_studio_names_no_model_and_reads_layout() {
    let app = TestApp::with_jobs().await;
    let job = done(&app, "any", form(&[], &file("file", "a.png", "image/png"), 1)).await;
    let path =
        job["resultUrl"]["jsonUrl"].as_str().unwrap().strip_prefix("http://localhost").unwrap().to_owned();
    let line = app.get(&path).send().await.ok();
    assert_eq!(line["result"]["layoutParsingResults"][0]["markdown"]["text"], "page 0");
    assert!(line["result"].get("ocrResults").is_none());
}

#[tokio::test]
async fn jobs_of_a_batch_are_listed() {
    let app = TestApp::with_jobs().await;
    for (name, pages) in [("a", 1), ("b", 2)] {
        let fields = [("batchId", "b1"), ("model", "PP-OCRv5"), ("pageRanges", "1")];
        done(&app, "", form(&fields, &file("file", name, "x/y"), pages)).await;
    }
    let batch = app.get(&format!("{JOBS}/batch/b1")).send().await.ok();
    assert_eq!(batch["data"]["batchId"], "b1");
    let jobs = batch["data"]["extractResult"].as_array().unwrap();
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| job["state"] == "done" && job["extractProgress"]["totalPages"] == 1));
    refused(&app.get(&format!("{JOBS}/batch/b2")).send().await, 404);
}

#[tokio::test]
async fn a_job_that_fails_says_why() {
    let app = TestApp::with_jobs().await;
    app.script.on(0, Behavior::Unreadable);
    let form = form(&[("model", "PP-OCRv5")], &file("file", "a", "x/y"), 1);
    let made = app.post(JOBS).form(form).send().await.ok();
    let status = app.get(&format!("{JOBS}/{}", made["data"]["jobId"].as_str().unwrap())).send().await.ok();
    assert_eq!((&status["code"], &status["data"]["state"]), (&json!(0), &json!("failed")));
    assert!(status["data"]["errorMsg"].as_str().unwrap().contains("It is a blur."), "{status}");
    assert!(status["data"].get("resultUrl").is_none() && status["data"].get("extractProgress").is_none());
}

#[tokio::test]
async fn a_form_without_a_declared_length() {
    let app = TestApp::with_jobs().await;
    let body = form(&[], &file("file", "a", "x/y"), 1);
    let chunks =
        body.into_bytes().chunks(7).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    let request = app.post(JOBS).header("content-type", "multipart/form-data; boundary=b");
    request.stream(Body::from_stream(futures::stream::iter(chunks))).send().await.ok();
}
