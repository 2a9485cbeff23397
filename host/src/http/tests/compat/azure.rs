//! Azure Document Intelligence as paperless-ngx, paperless-gpt, Open WebUI and the SDKs call it.

use std::time::{Duration, Instant};

use axum::http::Method;
use lector_serving::fakes::Behavior;
use serde_json::{Value, json};

use super::super::app::{Answer, TestApp};
use super::{base64, refused, two_tenants};

const READ: &str = "/documentintelligence/documentModels/prebuilt-read:analyze?api-version=2024-11-30";

/// Asserts an accepted analysis; returns the path of its operation.
fn operation(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.body.len()), (202, 0), "{}", answer.text());
    assert!(uuid::Uuid::parse_str(answer.header("apim-request-id")).is_ok());
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("location"), "", "it would cause another request");
    let location = answer.header("operation-location");
    let (scheme, rest) = location.split_once("://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    assert_eq!((scheme, host), ("http", "localhost"));
    assert!(path.starts_with("documentintelligence/"), "{location}");
    format!("/{path}")
}

/// Polls as paperless-gpt does, which knows three states, until the operation has ended.
async fn finished(app: &TestApp, key: &str, path: &str) -> Value {
    let end = Instant::now() + Duration::from_secs(120);
    while Instant::now() < end {
        let json = app.get(path).header("ocp-apim-subscription-key", key).send().await.ok();
        for time in ["createdDateTime", "lastUpdatedDateTime"] {
            assert!(json[time].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{json}");
        }
        match json["status"].as_str().unwrap() {
            "running" => tokio::time::sleep(Duration::from_millis(2)).await,
            "succeeded" | "failed" => return json,
            other => panic!("{other}"),
        }
    }
    panic!("the operation does not end");
}

#[tokio::test]
async fn paperless_gpt_with_two_slashes_sends_base64() {
    let app = TestApp::with_jobs().await;
    let path = format!("/{READ}");
    assert!(path.starts_with("//documentintelligence/"));
    let answer = app.post(&path).json(json!({ "base64Source": base64(2) })).send().await;
    let json = finished(&app, "any", &operation(&answer)).await;
    assert_eq!(json["status"], "succeeded");
    let result = &json["analyzeResult"];
    assert_eq!((&result["content"], &result["contentFormat"]), (&json!("page 0\npage 1"), &json!("text")));
    assert_eq!((&result["modelId"], &result["apiVersion"]), (&json!("prebuilt-read"), &json!("2024-11-30")));
    for list in ["styles", "languages", "tables"] {
        assert_eq!(result[list], json!([]), "{list}");
    }
    let page = &result["pages"][1];
    assert_eq!((&page["pageNumber"], &page["unit"]), (&json!(2), &json!("inch")));
    for number in ["angle", "width", "height"] {
        assert!(page[number].is_number(), "{page}");
    }
    assert_eq!(page["spans"], json!([{ "offset": 7, "length": 6 }]));
    let line = &page["lines"][0];
    assert_eq!(
        (&line["content"], &line["spans"]),
        (&json!("page 1"), &json!([{ "offset": 7, "length": 6 }]))
    );
    assert_eq!(line["polygon"].as_array().unwrap().len(), 8);
    assert_eq!(result["paragraphs"][0]["boundingRegions"][0]["pageNumber"], 1);
}

#[tokio::test]
async fn sdks_send_bytes_and_ask_for_markdown() {
    let app = TestApp::with_jobs().await;
    for content_type in ["application/octet-stream", "application/pdf", "image/png"] {
        let path = "/documentintelligence/documentModels/prebuilt-layout:analyze?_overload=analyzeDocument\
                    &api-version=2024-11-30&outputContentFormat=markdown&stringIndexType=unicodeCodePoint&pages=1-2";
        let answer = app.post(path).header("content-type", content_type).body(vec![3]).send().await;
        let json = finished(&app, "", &operation(&answer)).await;
        let result = &json["analyzeResult"];
        assert_eq!(result["content"], "page 0\n\n<!-- PageBreak -->\n\npage 1\n");
        assert_eq!(
            (&result["contentFormat"], &result["stringIndexType"]),
            (&json!("markdown"), &json!("unicodeCodePoint"))
        );
        assert_eq!(result["pages"].as_array().unwrap().len(), 2);
        let span = &result["pages"][1]["lines"][0]["spans"][0];
        let (offset, length) =
            (span["offset"].as_u64().unwrap() as usize, span["length"].as_u64().unwrap() as usize);
        assert_eq!(&result["content"].as_str().unwrap()[offset..offset + length], "page 1");
    }
}

#[tokio::test]
async fn paperless_ngx_asks_for_the_pdf_after_the_text() {
    let app = TestApp::with_jobs().await;
    let path = format!("{READ}&output=pdf&outputContentFormat=text");
    let answer = app.post(&path).json(json!({ "base64Source": base64(2) })).send().await;
    let location = operation(&answer);
    assert_eq!(finished(&app, "any", &location).await["analyzeResult"]["content"], "page 0\npage 1");
    let pdf = location.replace("?api-version", "/pdf?api-version");
    for _ in 0..2 {
        let answer = app.get(&pdf).header("ocp-apim-subscription-key", "any").send().await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "application/pdf"),
            "{}",
            answer.text()
        );
        let text = answer.text();
        assert!(text.starts_with("%PDF of 2 pages\n") && text.contains("page"), "{text}");
        assert_eq!(answer.header("content-length"), text.len().to_string());
    }
    let without = operation(&app.post(READ).body(vec![1]).send().await);
    finished(&app, "", &without).await;
    let refusal = app.get(&without.replace("?api-version", "/pdf?api-version")).send().await;
    let message = refused(&refusal, 404)["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("output=pdf"), "{message}");
}

#[tokio::test]
async fn a_server_without_jobs_says_so_before_it_reads_the_document() {
    let app = TestApp::start().await;
    let error = refused(&app.post(READ).body(vec![1]).send().await, 501)["error"].clone();
    assert_eq!(error["code"], "NotImplemented");
    assert!(error["message"].as_str().unwrap().contains("jobs.enabled"), "{error}");
}

#[tokio::test]
async fn old_sdks_use_the_path_before() {
    let app = TestApp::with_jobs().await;
    let path = "/formrecognizer/documentModels/prebuilt-read:analyze?api-version=2023-07-31&stringIndexType=unicodeCodePoint";
    let answer = app.post(path).body(vec![1]).send().await;
    let location = answer.header("operation-location").split_once("localhost").unwrap().1.to_owned();
    assert!(location.starts_with("/formrecognizer/") && location.ends_with("?api-version=2023-07-31"));
    assert_eq!(finished(&app, "", &location).await["analyzeResult"]["content"], "page 0");
}

#[tokio::test]
async fn failures_are_errors_of_the_operation() {
    let app = TestApp::with_jobs().await;
    app.script.on(0, Behavior::Unreadable);
    let answer = app.post(READ).body(vec![1]).send().await;
    let json = finished(&app, "", &operation(&answer)).await;
    assert_eq!(json["status"], "failed");
    assert_eq!(
        (&json["error"]["code"], &json["error"]["innererror"]["code"]),
        (&json!("InvalidRequest"), &json!("InvalidContent"))
    );
    assert!(json["error"]["message"].as_str().unwrap().contains("It is a blur."));
    assert!(json.get("analyzeResult").is_none());
}

#[tokio::test]
async fn what_is_not_offered_is_refused_at_once() {
    let app = TestApp::with_jobs().await;
    let error = |answer: &Answer, status| refused(answer, status)["error"].clone();
    for (path, status, code) in [
        ("prebuilt-invoice:analyze?api-version=2024-11-30", 404, "NotFound"),
        ("prebuilt-read:analyzeBatch?api-version=2024-11-30", 404, "NotFound"),
        ("prebuilt-layout:analyze?features=keyValuePairs", 400, "InvalidArgument"),
        ("prebuilt-layout:analyze?features=ocrHighResolution,barcodes", 400, "InvalidArgument"),
        ("prebuilt-layout:analyze?output=figures", 400, "InvalidArgument"),
        ("prebuilt-read:analyze?pages=x", 400, "InvalidArgument"),
    ] {
        let path = format!("/documentintelligence/documentModels/{path}");
        assert_eq!(error(&app.post(&path).body(vec![1]).send().await, status)["code"], code, "{path}");
    }
    let model = app.post("/documentintelligence/documentModels/other:analyze").body(vec![1]).send().await;
    assert_eq!(error(&model, 404)["innererror"]["code"], "ModelNotFound");
    let url = app.post(READ).json(json!({ "urlSource": "https://example.org/a.pdf" })).send().await;
    assert!(error(&url, 400)["message"].as_str().unwrap().contains("URLs"));
    let accepted =
        app.post(&format!("{READ}&features=ocrHighResolution&locale=en")).body(vec![1]).send().await;
    operation(&accepted);
}

#[tokio::test]
async fn results_belong_to_their_tenant_and_can_be_deleted() {
    let (app, acme, other) = two_tenants().await;
    let refused_without = app.post(READ).body(vec![1]).send().await;
    assert_eq!(refused(&refused_without, 401)["error"]["code"], "401");
    let answer = app.post(READ).header("ocp-apim-subscription-key", &acme).body(vec![1]).send().await;
    let path = operation(&answer);
    finished(&app, &acme, &path).await;
    refused(&app.get(&path).key(&other).send().await, 404);
    refused(&app.get(&path).send().await, 401);
    refused(&app.request(Method::DELETE, &path).key(&other).send().await, 404);
    assert_eq!(app.request(Method::DELETE, &path).key(&acme).send().await.status, 204);
    refused(&app.get(&path).key(&acme).send().await, 404);
    assert_eq!(app.service.status().held_bytes, 0);
}

#[tokio::test]
async fn the_address_of_the_operation_is_that_of_the_client() {
    let app = TestApp::with_jobs_and(|platform, http| {
        platform.control.tenant = "default".into();
        http.listen = ([0, 0, 0, 0], 0).into();
    })
    .await;
    let location = async |headers: &[(&'static str, &str)]| {
        let request = app.post(READ).body(vec![1]);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let answer = request.send().await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let location = answer.header("operation-location").to_owned();
        location.split("/documentintelligence").next().unwrap().to_owned()
    };
    assert_eq!(location(&[("host", "lector:8080")]).await, "http://lector:8080");
    let proxied = [("x-forwarded-host", "ocr.example.org"), ("x-forwarded-proto", "https")];
    assert_eq!(location(&proxied).await, "https://ocr.example.org");
    assert_eq!(location(&[("x-forwarded-host", "a b<>")]).await, "http://localhost");
    let app =
        TestApp::with_jobs_and(|_, http| http.compat.public_url = Some("https://ocr.example.org".into()))
            .await;
    let answer = app.post(READ).body(vec![1]).send().await;
    assert!(answer.header("operation-location").starts_with("https://ocr.example.org/documentintelligence/"));
    let info = app.get("/documentintelligence/info?api-version=2024-11-30").send().await.ok();
    assert_eq!(info["customDocumentModels"], json!({ "count": 0, "limit": 0 }));
}
