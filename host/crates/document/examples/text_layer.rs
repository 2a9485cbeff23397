//! Prints the text layer of each page of a document as JSON, one page on each line, in the form of the example `structure` of
//! lector-vision: `text_layer <folder of libpdfium.so> <file>`. For measurements without a server; see `tests/bench/parse`.
//!
//! Requires the example `render_worker` beside it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

#[path = "shared/config.rs"]
mod config;

use std::path::PathBuf;
use std::sync::Arc;

use lector_core::fair::Account;
use lector_core::{Documents, Rect};
use lector_document::DocumentWorkers;
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let pdfium_dir = PathBuf::from(arguments.next().expect("the folder of libpdfium.so"));
    let bytes = std::fs::read(arguments.next().expect("a file")).expect("a file that can be read");
    let config = config::config(pdfium_dir);
    let workers = DocumentWorkers::start(config).await.unwrap();
    let account = Account::new("tenant".into(), 1);
    let document = workers.open(account, Arc::new(bytes), Default::default()).await.unwrap();
    for index in 0..document.page_count() {
        let page = document.page(index).await.unwrap();
        let layer = page.text_layer().await.unwrap();
        let words: Vec<Value> = layer
            .spans
            .iter()
            .map(|span| {
                let Rect { x, y, width, height } = span.area;
                json!([span.text, x, y, width, height, span.font_size, span.ends_line, span.source])
            })
            .collect();
        let rect = |r: &Rect| json!([r.x, r.y, r.width, r.height]);
        let line = |r: &Rect| {
            let (x, y) = (r.x + r.width / 2.0, r.y + r.height / 2.0);
            if r.width >= r.height {
                json!([r.x, y, r.x + r.width, y])
            } else {
                json!([x, r.y, x, r.y + r.height])
            }
        };
        let page = json!({
            "size": [page.info().width_pt, page.info().height_pt],
            "first": index == 0,
            "words": words,
            "pictures": layer.pictures.iter().map(rect).collect::<Vec<_>>(),
            "rules": layer.rules.iter().map(line).collect::<Vec<_>>(),
        });
        println!("{page}");
    }
    workers.shutdown().await;
}
