//! Batches: many documents in one request, with results streamed as they are read.

use axum::http::Method;
use futures::StreamExt;
use lector_serving::fakes::Behavior;
use serde_json::{Value, json};

use super::app::{Answer, TestApp, until};

/// Returns a form with these documents of so many pages; one without pages is empty.
fn form(documents: &[(&str, u8)]) -> String {
    let part = |(name, pages): &(&str, u8)| {
        let bytes = if *pages == 0 { String::new() } else { char::from(*pages).to_string() };
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/pdf\r\n\r\n{bytes}\r\n"
        )
    };
    documents.iter().map(part).collect::<String>() + "--b--\r\n"
}

fn events(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

#[tokio::test]
async fn one_bad_file_costs_one_event() {
    let app = TestApp::start().await;
    let form = form(&[("good.pdf", 2), ("bad.pdf", 0), ("other.pdf", 1)]);
    let events = events(&app.post("/api/v1/ocr/batch").form(form).send().await);
    assert_eq!((&events[0]["event"], &events.last().unwrap()["event"]), (&json!("meta"), &json!("end")));
    assert_eq!((named(&events, "document").len(), named(&events, "page").len()), (2, 3), "{events:?}");
    let errors = named(&events, "document_error");
    assert_eq!(errors.len(), 1, "{events:?}");
    assert_eq!((&errors[0]["document"], &errors[0]["error"]["code"]), (&json!(1), &json!("document_empty")));
    let end = events.last().unwrap();
    assert_eq!(
        (&end["documents_ok"], &end["documents_failed"], &end["pages_ok"]),
        (&json!(2), &json!(1), &json!(3)),
        "{end}"
    );
}

/// Returns the numbers of the pages in the order of their events; the first page is the last to be read.
async fn order(query: &str) -> Vec<u64> {
    let app = TestApp::start().await;
    app.script.on(0, Behavior::Wait);
    let request = app.document(&format!("/api/v1/ocr/batch?{query}"), 4);
    let (answer, ()) = tokio::join!(request.send(), async {
        until("the other pages are read", || app.service.status().pages_ok == 3).await;
        app.script.go.add_permits(1);
    });
    let events = events(&answer);
    named(&events, "page").iter().map(|page| page["page"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn pages_come_in_page_order_when_asked() {
    assert_eq!(order("order=page").await, [1, 2, 3, 4]);
    let by_completion = order("").await;
    assert_eq!((by_completion.len(), by_completion.last()), (4, Some(&1)), "{by_completion:?}");
}

#[tokio::test]
async fn pages_are_sent_while_others_are_read() {
    let app = TestApp::start().await;
    app.script.on(1, Behavior::Wait);
    let mut body = app.document("/api/v1/ocr/batch", 2).begin().await.into_body().into_data_stream();
    let mut text = String::new();
    while !text.contains("\"event\":\"page\"") {
        text.push_str(&String::from_utf8_lossy(&body.next().await.unwrap().unwrap()));
    }
    assert_eq!(app.service.status().pages_ok, 1, "the second page is not read");
    app.script.go.add_permits(1);
    while let Some(bytes) = body.next().await {
        text.push_str(&String::from_utf8_lossy(&bytes.unwrap()));
    }
    assert_eq!(text.matches("\"event\":\"page\"").count(), 2, "{text}");
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_work() {
    let app = TestApp::start().await;
    *app.script.otherwise.lock().unwrap() = Behavior::Wait;
    let mut body = app.document("/api/v1/ocr/batch", 60).begin().await.into_body().into_data_stream();
    assert!(body.next().await.is_some());
    until("pages are read", || !app.script.begun().is_empty()).await;
    drop(body);
    until("nothing is in flight", || app.service.status().documents_admitted == 0).await;
    assert!(app.script.begun().len() < 60, "{} pages began", app.script.begun().len());
}

#[tokio::test]
async fn server_sent_events_on_request() {
    let app = TestApp::start().await;
    let request = app.document("/api/v1/ocr/batch", 1).header("accept", "text/event-stream");
    let answer = request.send().await;
    assert!(answer.header("content-type").starts_with("text/event-stream"), "{answer:?}");
    let text = answer.text();
    let named: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(named, ["meta", "document", "page", "document_end", "end"], "{text}");
    let data: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(data.len(), named.len(), "{text}");
}

#[tokio::test]
async fn a_batch_without_a_file_and_with_too_many() {
    let app = TestApp::start().await;
    app.post("/api/v1/ocr/batch").form("--b--\r\n".to_owned()).send().await.problem(400, "file_missing");
    let two = form(&[("a.pdf", 1), ("b.pdf", 1)]);
    app.post("/api/v1/ocr").form(two).send().await.problem(400, "too_many_files");
    let answer = app.document("/api/v1/ocr/batch?format=text", 1).send().await;
    answer.problem(400, "unknown_option");
}

#[tokio::test]
async fn a_batch_without_a_body_is_a_problem() {
    let app = TestApp::start().await;
    app.post("/api/v1/ocr/batch").send().await.problem(422, "document_empty");
    let form = app.post("/api/v1/ocr/batch").form(String::new());
    form.send().await.problem(422, "document_empty");
    app.post("/api/v1/ocr/batch").form("--b--\r\n".to_owned()).send().await.problem(400, "file_missing");
}

#[tokio::test]
async fn a_revoked_key_gets_no_further_file_of_a_batch() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let key = app.tenant(&admin, "acme", json!({})).await;
    let whole = form(&[("first.pdf", 2), ("second.pdf", 1), ("third.pdf", 1)]);
    // The head of the second file ends the first one.
    let (sent, rest) = whole.split_at(whole.find("second.pdf").unwrap());
    let (mut body, chunks) = futures::channel::mpsc::channel::<std::io::Result<String>>(2);
    body.try_send(Ok(sent.to_owned())).unwrap();
    let request = app.post("/api/v1/ocr/batch").key(&key);
    let request = request.header("content-type", "multipart/form-data; boundary=b");
    let (answer, ()) = tokio::join!(request.stream(axum::body::Body::from_stream(chunks)).send(), async {
        until("the first file is read", || app.service.status().pages_ok == 2).await;
        let id = key.split('_').nth(1).unwrap();
        app.request(Method::DELETE, &format!("/api/v1/admin/keys/{id}")).key(&admin).send().await.ok();
        body.try_send(Ok(rest.to_owned())).unwrap();
        drop(body);
    });
    let events = events(&answer);
    let errors = named(&events, "document_error");
    assert_eq!(errors.len(), 1, "{events:?}");
    assert_eq!((&errors[0]["document"], &errors[0]["error"]["code"]), (&json!(1), &json!("key_invalid")));
    let end = events.last().unwrap();
    assert_eq!(
        (&end["event"], &end["documents_ok"], &end["pages_ok"]),
        (&json!("end"), &json!(1), &json!(2))
    );
}
