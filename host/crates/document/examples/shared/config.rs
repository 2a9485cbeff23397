//! The configuration of the document workers in the examples.

use std::path::PathBuf;
use std::time::Duration;

use lector_document::DocumentConfig;

/// Returns the configuration of one worker, the example `render_worker` beside this program, with wide limits.
pub fn config(pdfium_dir: PathBuf) -> DocumentConfig {
    DocumentConfig {
        pdfium_dir,
        worker_command: vec![std::env::current_exe().unwrap().with_file_name("render_worker").into()],
        workers: 1,
        reserve_workers: 0,
        open_timeout: Duration::from_secs(60),
        text_timeout: Duration::from_secs(60),
        render_timeout: Duration::from_secs(60),
        open_cpu: Duration::from_secs(600),
        page_cpu: Duration::from_secs(600),
        sandbox: lector_sandbox::Policy::Warn,
        worker_memory_bytes: 1 << 30,
        image_pixels_max: 100_000_000,
        pages_max: 10_000,
        text_characters_max: 250_000,
        text_words_max: 60_000,
    }
}
