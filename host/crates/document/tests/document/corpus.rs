//! Opens, reads and renders every file of the corpus; checks for crashes, hangs and leftovers.

use std::time::Instant;

use crate::support::{PIXELS_MAX, TestServer, corpus};

const PAGES_MAX: u32 = 5;
/// Codes of real defects of corpus files.
const EXPECTED: [&str; 3] = ["pdf_invalid", "pdf_password_required", "pdf_no_pages"];
/// Files that open, but have an unreadable page.
const BROKEN_PAGE: [&str; 1] = ["pikepdf__378014596.pdf"];

#[tokio::test]
async fn all_files_are_read() {
    let Some(folder) = corpus() else { return };
    let mut server = TestServer::start(2).await;
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "pdf"));
    files.sort();
    assert!(files.len() >= 100, "only {} files", files.len());
    let (mut pages, mut words, mut pictures, mut unmapped, mut faults) = (0, 0, 0, 0, Vec::new());
    let mut slowest_text = (0.0_f64, String::new());
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let document = match server.open(&std::fs::read(file).unwrap()).await {
            Ok(document) => document,
            Err(fault) => {
                assert!(EXPECTED.contains(&fault.code), "{name}: {fault}");
                faults.push(format!("{name}: {}", fault.code));
                continue;
            }
        };
        for index in 0..document.page_count().min(PAGES_MAX) {
            let page = match document.page(index).await {
                Ok(page) => page,
                Err(fault) => {
                    assert!(
                        fault.code == "page_invalid" && BROKEN_PAGE.contains(&name.as_str()),
                        "{name}: {fault}"
                    );
                    faults.push(format!("{name}: {}", fault.code));
                    continue;
                }
            };
            let began = Instant::now();
            let layer = page.text_layer().await.unwrap();
            let ms = began.elapsed().as_secs_f64() * 1e3;
            if ms > slowest_text.0 {
                slowest_text = (ms, format!("{name} page {index}, {} words", layer.spans.len()));
            }
            let info = page.info();
            for span in &layer.spans {
                let a = span.area;
                assert!(a.x >= 0.0 && a.y >= 0.0, "{name}: {span:?}");
                assert!(a.x + a.width <= info.width_pt + 0.1 && a.y + a.height <= info.height_pt + 0.1);
                assert!(
                    !span.text.is_empty() && !span.text.contains(char::is_whitespace),
                    "{name}: {span:?}"
                );
                assert!(!span.text.contains(char::is_control), "{name}: {span:?}");
            }
            pages += 1;
            words += layer.spans.len();
            pictures += layer.pictures.len();
            unmapped += layer.unmapped;
            match page.render(100.0, PIXELS_MAX).await {
                Ok(image) => assert!(image.size().pixels() > 0),
                Err(fault) => {
                    assert_eq!(fault.code, "page_too_many_pixels", "{name}: {fault}");
                    faults.push(format!("{name}: {}", fault.code));
                }
            }
        }
    }
    server.settle().await;
    let status = server.workers.status();
    eprintln!(
        "{} files, {pages} pages, {words} words, {pictures} pictures, {unmapped} unmapped; slowest text layer \
         {:.1} ms ({}); faults: {faults:?}",
        files.len(),
        slowest_text.0,
        slowest_text.1
    );
    assert_eq!((status.crashes, status.timeouts, status.respawns), (0, 0, 0), "{status:?}");
    assert!(words > 5_000 && pictures > 20);
    server.end().await;
}
