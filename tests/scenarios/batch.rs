//! Batches: many documents in one request, with results streamed as they are read.

use futures::StreamExt;
use lector_tests::answer::named;
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, paths};

use crate::server::in_flight;

fn page(text: &str) -> PageSpec {
    PageSpec::a4(&[text])
}

#[tokio::test]
async fn one_bad_file_costs_one_event() {
    let gateway = Gateway::builder().with_tiny().start().await;
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
async fn a_client_that_leaves_stops_the_work() {
    let gateway = Gateway::builder().with_tiny().start().await;
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
