//! A host with one worker for the tests: `busy_host <folder of libpdfium.so> <file>` renders the file's first page and
//! prints the worker's process id once the rendering has started.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

#[path = "shared/config.rs"]
mod config;

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
    let config = DocumentConfig { render_timeout: Duration::from_secs(600), ..config::config(pdfium_dir) };
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
