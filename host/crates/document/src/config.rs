//! What the composition root decides about documents, and why their workers could not start.
//!
//! Knows no file format. Read by `open` and `pool`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lector_core::{Fault, Kind};

/// How documents are read. Every limit is a hard bound.
#[derive(Clone, Debug)]
pub struct DocumentConfig {
    /// Folder that holds `libpdfium.so`.
    pub pdfium_dir: PathBuf,
    /// The program that becomes a worker, with its arguments: `[lector, "render-worker"]`. It must call
    /// [`crate::worker_main`] before it starts any thread. Its standard input is the host's socket.
    pub worker_command: Vec<OsString>,
    /// Worker processes; each renders one page at a time. At least 1 is started.
    pub workers: usize,
    /// Longest time that opening a document may take in a worker.
    pub open_timeout: Duration,
    /// Longest time that the text layer or the size of one page may take.
    pub text_timeout: Duration,
    /// Longest time that the pixels of one page may take.
    pub render_timeout: Duration,
    /// Private memory of one worker (`RLIMIT_DATA`), bytes.
    pub worker_memory_bytes: u64,
    /// Most pixels of one picture file; checked from its header.
    pub image_pixels_max: u64,
    /// Most pages of one document.
    pub pages_max: u32,
    /// Most characters of the text layer of one page.
    pub text_characters_max: u32,
    /// Most words of the text layer of one page.
    pub text_words_max: u32,
}

/// Why the workers could not start.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The library is not where the configuration says.
    #[error("pdfium is missing: no file {path}; run `cargo xtask setup`, which fetches it")]
    LibraryMissing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// The configuration names no program.
    #[error("no command for the render workers is configured")]
    NoCommand,
    /// A process could not be started.
    #[error("starting the render worker {command:?}")]
    Spawn {
        /// The program.
        command: OsString,
        /// What the system said.
        source: std::io::Error,
    },
    /// The process started, but did not become a worker.
    #[error("the render worker did not get ready: {reason}")]
    NotReady {
        /// What it said, or how it ended.
        reason: String,
    },
}

impl From<DocumentError> for Fault {
    fn from(error: DocumentError) -> Self {
        Fault::new(Kind::Unavailable, "documents_unavailable", "Documents cannot be read at the moment.")
            .with_detail(error)
    }
}
