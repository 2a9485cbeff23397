//! Configuration of documents, and the errors of starting the workers.
//!
//! Independent of file formats. Used by `open` and `pool`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lector_core::{Fault, Kind};

/// Configuration of document reading. Every limit is a hard limit.
#[derive(Clone, Debug)]
pub struct DocumentConfig {
    /// Folder that holds `libpdfium.so`.
    pub pdfium_dir: PathBuf,
    /// Command of a worker, with its arguments: `[lector, "render-worker"]`. It must call [`crate::worker_main`] before
    /// it starts a thread. Its standard input is the host's socket.
    pub worker_command: Vec<OsString>,
    /// Number of worker processes that one tenant may use; each renders one page at a time. At least 1 is started.
    pub workers: usize,
    /// Number of further worker processes, so that a tenant with jobs on all of its workers leaves some to other tenants.
    pub reserve_workers: usize,
    /// Longest time that opening a document may take in a worker, and each step of the composition of a searchable PDF.
    pub open_timeout: Duration,
    /// Longest time that the text layer or the size of one page may take.
    pub text_timeout: Duration,
    /// Longest time that the pixels of one page may take.
    pub render_timeout: Duration,
    /// Most computing time of a worker for opening one document, and for each step of a composition: its start, each
    /// page, its end.
    pub open_cpu: Duration,
    /// Most computing time of a worker for one request on an open document: a page's pixels, text or size.
    pub page_cpu: Duration,
    /// The consequence of a sandbox that the kernel does not support completely.
    pub sandbox: lector_sandbox::Policy,
    /// Private memory of one worker (`RLIMIT_DATA`), bytes.
    pub worker_memory_bytes: u64,
    /// Largest number of pixels of one picture file; checked from its header.
    pub image_pixels_max: u64,
    /// Largest number of pages of one document.
    pub pages_max: u32,
    /// Largest number of characters in the text layer of one page.
    pub text_characters_max: u32,
    /// Largest number of words in the text layer of one page.
    pub text_words_max: u32,
}

/// Reason why the workers could not start.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The library is not in the configured folder.
    #[error("pdfium is missing: no file {path}; run `cargo xtask setup`, which fetches it")]
    LibraryMissing {
        /// The missing file.
        path: PathBuf,
    },
    /// The configuration names no program.
    #[error("no command for the render workers is configured")]
    NoCommand,
    /// A process could not be started.
    #[error("the render worker {command:?} cannot be started")]
    Spawn {
        /// The program.
        command: OsString,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The process started, but its sandbox is incomplete.
    #[error("the render workers may not start: {reason}")]
    Sandbox {
        /// The missing layers, and what to do.
        reason: String,
    },
    /// The process started, but did not become ready.
    #[error("the render worker did not become ready: {reason}")]
    NotReady {
        /// Message of the worker, or its exit status.
        reason: String,
    },
}

impl From<DocumentError> for Fault {
    fn from(error: DocumentError) -> Self {
        Fault::new(
            Kind::Unavailable,
            "documents_unavailable",
            "Documents cannot be read now; try again later.",
        )
        .with_detail(error)
    }
}
