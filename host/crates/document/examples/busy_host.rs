//! A host with one worker for the tests: `busy_host <folder of libpdfium.so> <file>` renders the file's first page and
//! prints the worker's process id once the rendering has started.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lector_core::Documents;
use lector_core::fair::Account;
use lector_document::{DocumentConfig, DocumentWorkers};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let pdfium_dir = PathBuf::from(arguments.next().expect("the folder of libpdfium.so"));
    let file = arguments.next().expect("a file");
    let config = DocumentConfig {
        pdfium_dir,
        worker_command: vec![std::env::current_exe().unwrap().with_file_name("render_worker").into()],
        workers: 1,
        reserve_workers: 0,
        open_timeout: Duration::from_secs(60),
        text_timeout: Duration::from_secs(60),
        render_timeout: Duration::from_secs(600),
        open_cpu: Duration::from_secs(600),
        page_cpu: Duration::from_secs(600),
        sandbox: lector_sandbox::Policy::Warn,
        worker_memory_bytes: 1 << 30,
        image_pixels_max: 100_000_000,
        pages_max: 10_000,
        text_characters_max: 250_000,
        text_words_max: 60_000,
    };
    let workers = DocumentWorkers::start(config).await.unwrap();
    let document = workers
        .open(Account::new("tenant".into(), 1), Arc::new(std::fs::read(file).unwrap()), Default::default())
        .await
        .unwrap();
    let page = document.page(0).await.unwrap();
    let rendering = tokio::spawn(async move { page.render(72.0, 40_000_000).await });
    while !rendering.is_finished() {
        if let [pid] = workers.status().rendering()[..] {
            println!("{pid}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("{:?}", rendering.await.unwrap().map(|image| image.size()));
}
