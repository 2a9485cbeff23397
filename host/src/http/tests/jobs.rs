//! `/api/v1/jobs` and `/api/v1/webhooks`.

use axum::http::Method;
use lector_serving::fakes::{Behavior, found};
use serde_json::{Value, json};

use super::app::{Answer, TestApp, all_text};

fn form(documents: &[u8]) -> String {
    let part = |pages: &u8| {
        let pages = char::from(*pages);
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}.pdf\"\r\n\r\n{pages}\r\n",
            u32::from(pages)
        )
    };
    documents.iter().map(part).collect::<String>() + "--b--\r\n"
}

async fn submit(app: &TestApp, query: &str, documents: &[u8]) -> Answer {
    app.post(&format!("/api/v1/jobs?{query}")).form(form(documents)).send().await
}

/// Submits and waits for the end.
async fn finished(app: &TestApp, query: &str, documents: &[u8]) -> Value {
    let request = app.post(&format!("/api/v1/jobs?{query}")).header("prefer", "wait=100000");
    let answer = request.form(form(documents)).send().await;
    assert_eq!(answer.header("preference-applied"), "wait=300");
    answer.ok()
}

fn lines(answer: &Answer) -> Vec<Value> {
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_job_is_submitted_followed_and_read() {
    let app = TestApp::with_jobs().await;
    *app.script.otherwise.lock().unwrap() = Behavior::Wait;
    let answer = submit(&app, "formats=json,markdown&priority=3", &[3, 1]).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let job = answer.json();
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), path);
    assert_eq!((&job["state"], &job["formats"]), (&json!("queued"), &json!(["json", "markdown"])));
    assert_eq!(job["documents"][1]["name"], "1.pdf");
    app.get(&format!("{path}/result?document=0")).send().await.problem(409, "job_not_finished");

    app.script.go.add_permits(100);
    // The stream ends with the job.
    let events = lines(&app.get(&format!("{path}/events")).send().await);
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names.first().zip(names.last()), Some((&"queued", &"end")));
    assert_eq!(names.iter().filter(|name| **name == "page").count(), 4);
    let rest = lines(&app.get(&format!("{path}/events")).header("last-event-id", "3").send().await);
    assert_eq!(rest, events[3..]);
    let sse = app.get(&format!("{path}/events?after=3")).header("accept", "text/event-stream").send().await;
    assert_eq!(sse.header("content-type"), "text/event-stream");
    assert!(sse.text().contains("id: 4\n") && !sse.text().contains("id: 3\n"), "{}", sse.text());
    app.get(&format!("{path}/events?after=2"))
        .header("last-event-id", "3")
        .send()
        .await
        .problem(400, "option_invalid");

    let job = app.get(&path).send().await.ok();
    assert_eq!(
        (&job["state"], &job["pages"]),
        (&json!("succeeded"), &json!({"ok": 4, "failed": 0, "total": 4}))
    );
    let result = app.get(&format!("{path}/result?document=0")).send().await;
    assert_eq!(all_text(&result.ok()), "page 0|page 1|page 2");
    assert_eq!(result.json()["pages_ok"], 3);
    let text = app.get(&format!("{path}/result?document=1")).header("accept", "text/plain").send().await;
    assert_eq!((text.status, text.text().trim()), (200, "page 0"));
    let xlsx = app.get(&format!("{path}/result?document=1&format=xlsx")).send().await;
    assert!(xlsx.status == 200 && xlsx.body.starts_with(b"PK"));
    app.get(&format!("{path}/result")).send().await.problem(400, "option_invalid");
    app.get(&format!("{path}/result?document=2")).send().await.problem(404, "job_document_not_found");
    app.get(&format!("{path}/result?document=0&format=hocr")).send().await.problem(400, "option_invalid");
    let page = app.get(&format!("{path}/pages/2?document=0")).send().await.ok();
    assert_eq!((&page["page"], page["text"].as_str().unwrap().trim()), (&json!(2), "page 1"));
    app.get(&format!("{path}/pages/0?document=0")).send().await.problem(400, "option_invalid");
    app.get(&format!("{path}/pages/4?document=0")).send().await.problem(404, "job_page_not_found");

    let forgotten = app.request(Method::DELETE, &path).send().await.ok();
    assert_eq!(forgotten["outcome"], "forgotten");
    for gone in [path.clone(), format!("{path}/events"), format!("{path}/result"), format!("{path}/pages/1")]
    {
        app.get(&gone).send().await.problem(404, "job_not_found");
    }
    app.get("/api/v1/jobs/job_1").send().await.problem(400, "option_invalid");
}

#[tokio::test]
async fn a_job_with_prefer_wait_is_a_synchronous_call() {
    let app = TestApp::with_jobs().await;
    let job = finished(&app, "", &[2]).await;
    assert_eq!(job["state"], "succeeded");
    *app.script.otherwise.lock().unwrap() = Behavior::Wait;
    // The wait is over at once.
    let request = app.post("/api/v1/jobs").header("prefer", "respond-async, wait=0");
    let answer = request.form(form(&[1])).send().await;
    assert_eq!((answer.status, answer.header("preference-applied")), (202, "wait=0"));
    app.script.go.add_permits(10);
    let path = format!("/api/v1/jobs/{}", answer.json()["id"].as_str().unwrap());
    assert_eq!(app.get(&path).header("prefer", "wait=300").send().await.ok()["state"], "succeeded");
}

#[tokio::test]
async fn failed_pages_and_documents_are_reported() {
    let app = TestApp::with_jobs().await;
    app.script.on(1, Behavior::Fail);
    let job = finished(&app, "", &[3]).await;
    assert_eq!((&job["state"], &job["pages"]["failed"]), (&json!("succeeded"), &json!(1)));
    let path = format!("/api/v1/jobs/{}/result", job["id"].as_str().unwrap());
    let json = app.get(&path).send().await.ok();
    assert!(json["pages"][1]["error"]["code"].is_string(), "{json}");
    app.get(&format!("{path}?format=text")).send().await.problem(422, "pages_failed");
    let partial = app.get(&format!("{path}?format=text&partial=true")).send().await;
    assert!(partial.status == 200 && partial.text().contains("page 2"));

    let request =
        app.post("/api/v1/jobs").header("prefer", "wait=60").header("content-type", "application/pdf");
    let job = request.body(Vec::new()).send().await.ok();
    assert_eq!((&job["state"], &job["error"]["code"]), (&json!("failed"), &json!("document_empty")));
    let path = format!("/api/v1/jobs/{}/result", job["id"].as_str().unwrap());
    app.get(&path).send().await.problem(422, "document_empty");
}

#[tokio::test]
async fn jobs_belong_to_their_tenant_and_are_listed_in_pages() {
    let app = TestApp::with_jobs().await;
    let made = app.post("/api/v1/admin/keys").json(json!({ "admin": true })).send().await;
    let admin = made.created()["key"].as_str().unwrap().to_owned();
    let (one, two) = (app.tenant(&admin, "one", json!({})).await, app.tenant(&admin, "two", json!({})).await);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let request = app.post("/api/v1/jobs").key(&one).header("prefer", "wait=60");
        ids.push(request.form(form(&[1])).send().await.ok()["id"].as_str().unwrap().to_owned());
    }
    let path = format!("/api/v1/jobs/{}", ids[0]);
    for method in [Method::GET, Method::DELETE] {
        app.request(method, &path).key(&two).send().await.problem(404, "job_not_found");
    }
    app.get(&format!("{path}/events")).key(&two).send().await.problem(404, "job_not_found");
    assert_eq!(app.get("/api/v1/jobs").key(&two).send().await.ok()["jobs"], json!([]));
    app.get("/api/v1/jobs").send().await.problem(401, "key_missing");
    let first = app.get("/api/v1/jobs?limit=2&state=succeeded").key(&one).send().await.ok();
    let listed = |page: &Value| -> Vec<String> {
        page["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&first), [ids[2].clone(), ids[1].clone()]);
    let next = format!("/api/v1/jobs?limit=2&cursor={}", first["next"].as_str().unwrap());
    let second = app.get(&next).key(&one).send().await.ok();
    assert_eq!((listed(&second), &second["next"]), (vec![ids[0].clone()], &Value::Null));
    app.get("/api/v1/jobs?state=done").key(&one).send().await.problem(400, "option_invalid");
}

#[tokio::test]
async fn an_idempotency_key_and_the_limits_of_a_tenant() {
    let app = TestApp::with_jobs().await;
    *app.script.otherwise.lock().unwrap() = Behavior::Wait;
    let submit_with = async |pages: u8| {
        let request = app.post("/api/v1/jobs").header("idempotency-key", "k");
        request.form(form(&[pages])).send().await
    };
    let first = submit_with(1).await.json();
    assert_eq!(submit_with(1).await.json()["id"], first["id"]);
    submit_with(2).await.problem(409, "idempotency_key_reused");
    for _ in 0..2 {
        assert_eq!(submit(&app, "", &[1]).await.status, 202);
    }
    submit(&app, "", &[1]).await.problem(429, "tenant_jobs_exceeded");
    submit(&app, "", &[]).await.problem(400, "file_missing");
    submit(&app, "webhook=ftp://x", &[1]).await.problem(400, "option_invalid");
    submit(&app, "retention=601", &[1]).await.problem(400, "option_invalid");
    submit(&app, "deployment=nowhere", &[1]).await.problem(404, "deployment_not_found");
    submit(&app, "order=page", &[1]).await.problem(400, "unknown_option");
    let metrics = app.get("/metrics").send().await.text();
    assert!(metrics.contains("lector_jobs{state=\"succeeded\"} 0\n"), "{metrics}");
    assert!(metrics.contains("lector_webhook_deliveries{state=\"dead\"} 0\n"), "{metrics}");
}

#[tokio::test]
async fn deliveries_and_the_secret_of_a_tenant() {
    let app = TestApp::with_jobs().await;
    let job = finished(&app, "webhook=https%3A%2F%2Freceiver.example%2Fhook", &[1]).await;
    let delivered = found("the delivery", async || {
        let list = app.get("/api/v1/webhooks/deliveries").send().await.ok();
        Some(list["deliveries"][0].clone()).filter(|row| row["state"] == "delivered")
    })
    .await;
    assert_eq!(delivered["job"], job["id"]);
    assert_eq!(app.get("/api/v1/webhooks/deliveries?dead=true").send().await.ok()["deliveries"], json!([]));
    let secret = app.get("/api/v1/webhooks/secret").send().await.ok();
    assert!(secret["secret"].as_str().unwrap().starts_with("whsec_"));
    let rotated = app.post("/api/v1/webhooks/secret").send().await.ok();
    assert_ne!(rotated, secret);
    assert_eq!(app.get("/api/v1/webhooks/secret").send().await.ok(), rotated);
    let foreign = app.get("/api/v1/webhooks/secret").header("host", "other.example").send().await;
    assert!(foreign.status >= 400, "{}", foreign.text());
}

#[tokio::test]
async fn a_server_without_jobs_says_so() {
    let app = TestApp::start().await;
    submit(&app, "", &[1]).await.problem(501, "jobs_disabled");
    app.get("/api/v1/jobs").send().await.problem(501, "jobs_disabled");
}
