//! Memory used by words: a document of a few kilobytes that decompresses to a hundred thousand words of embedded text.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures::StreamExt;
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, process};
use serde_json::json;

use crate::server::{ask, tenant};

/// Pages of the document below; its words as a tree of JSON values and their text would take some 160 MiB.
const PAGES: usize = 12;
const LINES: usize = 60;
const WORDS: usize = 150;
/// Limits of the results held by a tenant, and of the result of one document.
const TENANT_BYTES: u64 = 24 << 20;
const DOCUMENT_BYTES: u64 = 24 << 20;
/// Memory beyond both: the pages being read (text layers, guest memory, results), and freed memory that the allocator
/// has not returned.
const WORKING_BYTES: u64 = 150 << 20;
/// Memory that may remain resident after all results are delivered.
const REMAINING_BYTES: u64 = 100 << 20;
/// Maximum time of another tenant's small document meanwhile.
const NEIGHBOR_MAX: Duration = Duration::from_secs(10);

async fn server() -> (Gateway, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admin.key");
    let gateway = Gateway::builder()
        .with_tiny()
        .set("platform.admin_key_file", file.display())
        .set("platform.tenant_held_bytes_max", TENANT_BYTES)
        .set("platform.document_result_bytes_max", DOCUMENT_BYTES)
        .start()
        .await;
    let admin = std::fs::read_to_string(file).unwrap().trim().to_owned();
    (gateway, admin, folder)
}

/// Sends the document and discards the response; returns its status and length.
async fn send(gateway: &Gateway, key: &str, document: &[u8]) -> (u16, u64) {
    let path = "/api/v1/ocr?text_layer=only&words=true";
    let answer = gateway.pdf(path, document).bearer_auth(key).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let mut bytes = 0;
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        bytes += chunk.expect("the answer is whole").len() as u64;
    }
    (status, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn words_take_no_more_memory_than_their_tenant_may_hold() {
    let (gateway, admin, _folder) = server().await;
    let acme = tenant(&gateway, &admin, "acme", json!({})).await;
    let zeta = tenant(&gateway, &admin, "zeta", json!({})).await;
    let document = pdf::word_bomb(PAGES, LINES, WORDS);
    assert!(document.len() < 10_000, "{} bytes", document.len());
    let small = pdf::document(&[PageSpec::a4(&["a small document"])]);
    send(&gateway, &zeta, &small).await;
    let quiet = process::resident(gateway.pid());
    for requests in [1, 4, 24] {
        let (peak, over) = (AtomicU64::new(0), AtomicBool::new(false));
        let watching = async {
            while !over.load(Relaxed) {
                peak.fetch_max(process::resident(gateway.pid()), Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let neighbor = async {
            let mut slowest = Duration::ZERO;
            while !over.load(Relaxed) {
                let began = Instant::now();
                assert_eq!(send(&gateway, &zeta, &small).await.0, 200, "the neighbor is answered");
                slowest = slowest.max(began.elapsed());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            slowest
        };
        let flood = async {
            let sent = (0..requests).map(|_| send(&gateway, &acme, &document));
            let answers = futures::future::join_all(sent).await;
            over.store(true, Relaxed);
            answers
        };
        let (answers, slowest, ()) = tokio::join!(flood, neighbor, watching);
        let peak = peak.into_inner();
        eprintln!(
            "{requests} requests: {} MiB before, {} MiB at most; a neighbor waited {slowest:?} at most; {answers:?}",
            quiet >> 20,
            peak >> 20,
        );
        let most = quiet + TENANT_BYTES + DOCUMENT_BYTES + WORKING_BYTES;
        assert!(peak <= most, "{requests} requests: {} MiB, at most {} MiB", peak >> 20, most >> 20);
        assert!(slowest < NEIGHBOR_MAX, "the neighbor waited {slowest:?}");
        for (status, bytes) in &answers {
            match status {
                200 => {
                    assert!(*bytes > (PAGES * LINES * WORDS * 40) as u64, "{bytes} bytes are not all words")
                }
                // It arrived while its tenant held as much as it may.
                429 => {}
                other => panic!("{other}"),
            }
        }
        assert!(answers.iter().any(|(status, _)| *status == 200));
    }
    process::until("memory is given back", || process::resident(gateway.pid()) <= quiet + REMAINING_BYTES)
        .await;
    let metrics = ask(&gateway, &admin, reqwest::Method::GET, "/metrics", None).await.text();
    assert!(metrics.contains("lector_documents_held_bytes 0"), "everything is counted back");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_words_are_an_error_of_the_page_and_too_large_a_result_one_of_the_document() {
    let gateway = Gateway::builder()
        .with_tiny()
        .set("documents.text_words_max", 1000)
        .set("platform.document_result_bytes_max", 200_000)
        .start()
        .await;
    let query = "text_layer=only&words=true";
    let page = gateway.ocr("application/pdf", pdf::word_bomb(1, 11, 100), query).await;
    page.problem(413, "page_too_much_text");
    let document = pdf::word_bomb(20, 9, 100);
    gateway.ocr("application/pdf", document.clone(), query).await.problem(413, "document_result_too_large");
    // A batch is streamed page by page: only the summary is missing.
    let events = gateway.batch(vec![("words.pdf".to_owned(), document)], query).await;
    let pages = events.iter().filter(|event| event["event"] == "page").count();
    let end = events.iter().find(|event| event["event"] == "document_end").unwrap();
    assert_eq!((pages, &end["summary_error"]["code"]), (20, &json!("summary_too_large")));
}

/// A client that does not read stops its own document, and its results count until it disconnects.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_stops_its_own_pages() {
    let gateway = Gateway::builder().with_tiny().set("platform.tenant_held_bytes_max", 4 << 20).start().await;
    let path = "/api/v1/ocr/batch?text_layer=only&words=true";
    let document = pdf::word_bomb(60, LINES, WORDS);
    let unread = gateway.pdf(path, document).send().await.expect("an answer");
    let metric = async |name: &str| -> u64 {
        let metrics = gateway.get("/metrics").await.text();
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or_default()
    };
    let pages = async || metric("lector_documents_held_bytes").await;
    let mut held = 0;
    crate::server::until("it stands still", async || {
        let before = std::mem::replace(&mut held, pages().await);
        tokio::time::sleep(Duration::from_millis(500)).await;
        before == held && held > 1 << 20
    })
    .await;
    assert!(held < 64 << 20, "{} MiB of results without a reader", held >> 20);
    drop(unread);
    crate::server::until("everything is given back", async || pages().await == 0).await;
}
