//! Batches: many documents in one request, with results streamed as they are read.

use futures::StreamExt;
use lector_tests::answer::{Answer, named};
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, paths};

use crate::server::in_flight;

fn page(text: &str) -> PageSpec {
    PageSpec::a4(&[text])
}

#[tokio::test]
async fn one_bad_file_costs_one_event() {
    let gateway = Gateway::start().await;
    let files = vec![
        ("good.pdf".to_owned(), pdf::document(&[page("First"), page("Second")])),
        ("bad.pdf".to_owned(), b"%PDF-1.7 this is no document".to_vec()),
        ("picture.png".to_owned(), paths::data("line.png")),
    ];
    let events = gateway.batch(files, "").await;
    assert_eq!(events.first().unwrap()["event"], "meta");
    assert_eq!(events.last().unwrap()["event"], "end");
    assert_eq!(named(&events, "document").len(), 2, "{events:?}");
    assert_eq!(named(&events, "page").len(), 3, "{events:?}");
    let errors = named(&events, "document_error");
    assert_eq!(errors.len(), 1, "{events:?}");
    assert_eq!(errors[0]["document"], 1);
    assert_eq!(errors[0]["error"]["code"], "pdf_invalid");
    let end = events.last().unwrap();
    assert_eq!(
        (&end["documents_ok"], &end["documents_failed"], &end["pages_ok"]),
        (&2.into(), &1.into(), &3.into()),
        "{end}"
    );
}

#[tokio::test]
async fn pages_stream_while_others_are_still_read() {
    let gateway = Gateway::start().await;
    let pages: Vec<PageSpec> = (0..8)
        .map(|i| {
            PageSpec::a4(
                &vec![format!("Page {i} has some words to read"); 20]
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    let request = gateway.pdf("/api/v1/ocr/batch?text_layer=never", pdf::document(&pages));
    let mut body = request.send().await.unwrap().bytes_stream();
    let (mut text, mut with_first) = (String::new(), None);
    while let Some(chunk) = body.next().await {
        text.push_str(&String::from_utf8_lossy(&chunk.unwrap()));
        let pages = text.matches("\"event\":\"page\"").count();
        if pages > 0 {
            with_first.get_or_insert(pages);
        }
    }
    let with_first = with_first.expect("a page");
    assert!(with_first < 8, "all {with_first} pages came at once");
    let events = lector_tests::answer::ndjson(text.as_bytes());
    let mut seen: Vec<u64> = named(&events, "page").iter().map(|e| e["page"].as_u64().unwrap()).collect();
    seen.sort();
    assert_eq!(seen, (1..=8).collect::<Vec<_>>());
}

#[tokio::test]
async fn pages_come_in_order_when_asked() {
    let gateway = Gateway::start().await;
    let pages: Vec<PageSpec> = (0..6).map(|i| page(&format!("Number {i}"))).collect();
    let events =
        gateway.batch(vec![("a.pdf".into(), pdf::document(&pages))], "order=page&text_layer=never").await;
    let seen: Vec<u64> = named(&events, "page").iter().map(|e| e["page"].as_u64().unwrap()).collect();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn server_sent_events_on_request() {
    let gateway = Gateway::start().await;
    let request = gateway
        .pdf("/api/v1/ocr/batch", pdf::document(&[page("An event")]))
        .header("accept", "text/event-stream");
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert!(answer.header("content-type").starts_with("text/event-stream"), "{answer:?}");
    let text = answer.text();
    for event in ["event: meta", "event: document", "event: page", "event: document_end", "event: end"] {
        assert!(text.contains(event), "no {event}: {text}");
    }
    assert!(
        text.lines()
            .filter_map(|l| l.strip_prefix("data: "))
            .all(|d| serde_json::from_str::<serde_json::Value>(d).is_ok())
    );
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_work() {
    let gateway = Gateway::start().await;
    let pages = vec![PageSpec::a4(&["Nobody will read this line of text"; 30]); 60];
    let request = gateway.pdf("/api/v1/ocr/batch?text_layer=never", pdf::document(&pages));
    let mut body = request.send().await.unwrap().bytes_stream();
    let first = body.next().await.unwrap().unwrap();
    assert!(!first.is_empty());
    drop(body);
    in_flight(&gateway, 0).await;
    let metrics = gateway.get("/metrics").await.text();
    let pages = metrics.lines().filter(|line| line.starts_with("lector_pages_total{"));
    let read: f64 = pages.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    assert!(read < 60.0, "{read} pages were read");
}
