//! The whole corpus through the running gateway: no crash, hang or leak.

use futures::StreamExt;
use lector_tests::{Gateway, paths, process};

#[tokio::test]
async fn every_file_gets_an_answer() {
    let Some(dir) = paths::corpus() else { return };
    // The fast models: this tests the documents, not the recognition.
    let gateway = Gateway::start().await;
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "pdf"));
    files.sort();
    assert!(files.len() >= 108, "{} files", files.len());
    let workers = process::descendants_named(gateway.pid(), "render-worker").len();
    assert!(workers > 0, "the server has no render workers");
    let answers: Vec<(String, u16, String)> = futures::stream::iter(files)
        .map(|file| {
            let gateway = &gateway;
            async move {
                let bytes = std::fs::read(&file).unwrap();
                // The first pages are enough; for documents with fewer pages the retry omits `pages`.
                let path = "/api/v1/deployments/standard-tiny/ocr";
                let mut answer = gateway
                    .post(&format!("{path}?pages=1-2&partial=true"), "application/pdf", bytes.clone())
                    .await;
                if answer.status == 422 && answer.json()["code"] == "page_out_of_range" {
                    answer = gateway.post(&format!("{path}?partial=true"), "application/pdf", bytes).await;
                }
                (file.file_name().unwrap().to_string_lossy().into_owned(), answer.status, answer.text())
            }
        })
        .buffer_unordered(4)
        .collect()
        .await;
    let mut read = 0;
    for (file, status, text) in &answers {
        match status {
            200 => read += 1,
            413 | 422 => assert!(text.contains("\"code\""), "{file}: {text}"),
            _ => panic!("{file}: {status} {text}"),
        }
    }
    assert!(read >= 95, "only {read} of {} files were read", answers.len());
    // Not the processes of engines: those of libtesseract, where it is installed, start with their first line and stay.
    let left = process::descendants_named(gateway.pid(), "render-worker").len();
    assert!(left <= workers, "{left} render workers where {workers} were: some were left behind");
    assert_eq!(gateway.get("/readyz").await.status, 200);
}
