//! Bodies of clients that would become many times their size in memory, at the doors of all dialects; and the memory of
//! answers that are made of stored results.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use axum::body::Body;
use axum::http::Method;
use axum::response::Response;
use futures::StreamExt;
use lector_serving::fakes::{Behavior, found};
use serde_json::{Value, json};

use super::super::app::{Answer, TestApp, TestRequest, until};
use super::{file, form};

const AZURE: &str = "/documentintelligence/documentModels/prebuilt-read:analyze?api-version=2024-11-30";

/// Returns the doors that take a document in JSON, each with a request for a document in base64.
fn json_doors(document: &str) -> Vec<(&'static str, Value)> {
    let source = json!({ "sources": [{ "kind": "file", "filename": "a.pdf", "base64_string": document }] });
    let url = format!("data:application/pdf;base64,{document}");
    let params = json!({ "name": "read_document", "arguments": { "content": document } });
    vec![
        ("/v1/ocr", json!({ "document": { "document_url": url } })),
        ("/v1/ocr", json!({ "document": { "image_url": { "url": url } } })),
        ("/v1/convert/source", source.clone()),
        ("/v1/convert/source", json!({ "http_sources": [{ "url": url }] })),
        ("/v1/convert/source/async", source),
        (AZURE, json!({ "base64Source": document })),
        (AZURE, json!({ "urlSource": url })),
        ("/ocr", json!({ "file": document })),
        ("/layout-parsing", json!({ "file": document })),
        ("/api/v2/ocr/jobs", json!({ "fileUrl": document, "model": "PP-OCRv5" })),
        ("/mcp", json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })),
    ]
}

fn send<'a>(app: &'a TestApp, path: &str, body: impl Into<Vec<u8>>) -> TestRequest<'a> {
    let request = app.post(path).header("accept", "application/json, text/event-stream");
    request.header("content-type", "application/json").body(body)
}

/// Returns a server with the largest document of these tests, and this limit of a tenant's memory.
async fn app(held_bytes_max: u64) -> TestApp {
    TestApp::with_jobs_and(|platform, http| {
        http.body_bytes_max = 4 << 20;
        platform.serving.tenant_held_bytes_max = held_bytes_max;
    })
    .await
}

#[track_caller]
fn assert_refused(what: &str, answer: &Answer, part: &str) {
    assert_eq!(answer.status, 413, "{what}: {}", answer.text());
    assert!(answer.text().contains(part), "{what}: {}", answer.text());
}

#[tokio::test]
async fn the_json_beside_a_document_is_limited_at_every_door() {
    let app = app(1 << 30).await;
    for (path, request) in json_doors(&STANDARD.encode(vec![1; 100_000])) {
        let mut wide = request;
        wide["more"] = json!(vec![0; 600_000]);
        let answer = send(&app, path, wide.to_string()).send().await;
        assert_refused(path, &answer, "JSON beside the document exceeds");
        let answer = send(&app, path, format!("{{\"a\":[{}{{}}]}}", "{},".repeat(400_000))).send().await;
        assert_refused(path, &answer, "JSON beside the document exceeds");
    }
    assert_eq!(app.service.status().held_bytes, 0);
    assert!(app.script.begun().is_empty(), "nothing was read");
}

#[tokio::test]
async fn the_memory_of_json_counts_before_it_is_parsed_at_every_door() {
    // A list of 100,000 bytes becomes many times as much.
    let app = app(2 << 20).await;
    for (path, request) in json_doors(&STANDARD.encode([1])) {
        let mut wide = request;
        wide["more"] = json!(vec![0; 50_000]);
        let answer = send(&app, path, wide.to_string()).send().await;
        assert_refused(path, &answer, "may hold at most 2097152 at once");
    }
    assert_eq!(app.service.status().held_bytes, 0);
    assert!(app.script.begun().is_empty(), "nothing was read");
}

#[tokio::test]
async fn a_large_document_passes_every_door_in_every_form() {
    let app = app(1 << 30).await;
    // Base64 of these bytes has slashes, which some clients escape.
    let bytes = [&[1][..], &[0xff; 300_000]].concat();
    let text = STANDARD.encode(bytes);
    let wrapped: String =
        text.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + "\n").collect();
    for document in [text.as_str(), &wrapped] {
        for (path, request) in json_doors(document) {
            for body in [request.to_string(), request.to_string().replace('/', "\\/")] {
                let answer = send(&app, path, body).send().await;
                assert!([200, 202].contains(&answer.status), "{path}: {}", answer.text());
                assert!(!answer.text().contains("\"isError\":true"), "{path}: {}", answer.text());
                forget_jobs(&app, 300_001).await;
            }
        }
    }
}

/// Deletes the jobs, whose documents have this size: the tenant may keep few.
async fn forget_jobs(app: &TestApp, bytes: u64) {
    let jobs = app.get("/api/v1/jobs").send().await.ok();
    for job in jobs["jobs"].as_array().unwrap() {
        assert_eq!(job["documents"][0]["bytes"], bytes, "{job}");
        let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
        while app.request(Method::DELETE, &path).send().await.status != 404 {}
    }
}

#[tokio::test]
async fn the_fields_of_a_form_are_limited() {
    let app = app(1 << 30).await;
    let head = file("files", "a.pdf", "application/pdf");
    let many = vec![("x", ""); 1001];
    let name = "x".repeat(2000);
    let long = vec![(name.as_str(), ""); 200];
    for path in ["/v1/convert/file", "/v1/convert/file/async", "/v1/files", "/api/v2/ocr/jobs"] {
        for fields in [&many, &long] {
            let answer = app.post(path).form(form(fields, &head, 1)).send().await;
            assert_refused(path, &answer, "The form has more than 1000 fields");
        }
        let answer = app.post(path).form(form(&many[..999], &head, 1)).send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let small = self::app(2 << 20).await;
    let list = format!("[{}0]", "0,".repeat(50_000));
    let answer = small.post("/v1/convert/file").form(form(&[("to_formats", &list)], &head, 1)).send().await;
    assert_refused("a list", &answer, "may hold at most 2097152 at once");
}

/// Submits a document to a dialect, waits for its end, and returns the id of the task.
async fn task(app: &TestApp) -> String {
    let form = form(&[("to_formats", "json")], &file("files", "a.pdf", "application/pdf"), 2);
    let task = app.post("/v1/convert/file/async").form(form).send().await.ok();
    let id = task["task_id"].as_str().unwrap().to_owned();
    app.get(&format!("/v1/status/poll/{id}?wait=60")).send().await.ok();
    id
}

/// Returns the paths of the answers that are made of the stored result of a task.
fn answers(id: &str) -> Vec<String> {
    let job = format!("/api/v1/jobs/job_{}", id.replace('-', ""));
    vec![
        format!("/v1/result/{id}"),
        format!("/documentintelligence/documentModels/prebuilt-read/analyzeResults/{id}"),
        format!("{job}/result"),
        format!("{job}/result?format=markdown"),
        format!("{job}/result?format=xlsx"),
        format!("{job}/pages/1"),
    ]
}

/// Reads the first bytes of an answer.
async fn begun(response: Response) -> (Vec<u8>, Body) {
    assert_eq!(response.status(), 200);
    let mut rest = response.into_body().into_data_stream();
    let first = rest.next().await.unwrap().unwrap().to_vec();
    (first, Body::from_stream(rest))
}

#[tokio::test]
async fn answers_of_stored_results_count_until_they_are_delivered() {
    let app = app(1 << 30).await;
    let id = task(&app).await;
    let free = async || until("nothing is held", || app.service.status().held_bytes == 0).await;
    for path in answers(&id) {
        free().await;
        let response = app.get(&path).begin().await;
        assert_eq!(response.status(), 200, "{path}");
        let held = app.service.status().held_bytes;
        assert!(held > 0, "{path}");
        let whole = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(whole.len() > 3, "{path}");
    }
    free().await;
    // Lines of a result by its URL are written one by one.
    let form = form(&[("model", "PP-OCRv5")], &file("file", "a.pdf", "application/pdf"), 2);
    let made = app.post("/api/v2/ocr/jobs").form(form).send().await.ok();
    let path = format!("/api/v2/ocr/jobs/{}", made["data"]["jobId"].as_str().unwrap());
    let job = found("the end of the job", async || {
        let job = app.get(&path).send().await.ok();
        (job["data"]["state"] == "done").then_some(job)
    });
    let url = job.await["data"]["resultUrl"]["jsonUrl"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("http://localhost").unwrap();
    let (first, rest) = begun(app.get(path).begin().await).await;
    assert!(first.ends_with(b"\n"));
    drop(rest);
    free().await;
}

#[tokio::test]
async fn the_answers_of_a_tenant_are_bounded_in_number() {
    let app = app(1 << 30).await;
    app.script.on(1, Behavior::Fail);
    let failed = task(&app).await;
    app.script.on(1, Behavior::Read);
    let id = task(&app).await;
    let principal = app.service.control().of_this_machine().unwrap();
    let mut places = Vec::new();
    while let Ok(place) = app.service.answer_memory(&principal) {
        places.push(place);
    }
    let mut paths = answers(&id);
    // Looks for the page that failed.
    paths.push(format!("/v1/status/poll/{failed}"));
    for path in &paths {
        let answer = app.get(path).send().await;
        assert_eq!(answer.status, 429, "{path}: {}", answer.text());
        assert_eq!(answer.header("retry-after"), "1", "{path}");
    }
    drop(places);
    for path in &paths {
        assert_eq!(app.get(path).send().await.status, 200, "{path}");
    }
    let poll = app.get(&format!("/v1/status/poll/{failed}")).send().await.ok();
    assert!(poll["error_message"].as_str().unwrap().starts_with("Page 2 was not read:"), "{poll}");
}
