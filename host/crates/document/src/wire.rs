//! Messages between host and worker.
//!
//! Both ends are the same build of the same program, so messages have no version. The host trusts no answer: `channel`
//! limits sizes, `pool` checks values.

use lector_core::{PageText, PdfStandard, Size, TextLayer};
use lector_sandbox::SandboxReport;
use serde::{Deserialize, Serialize};

use crate::faults::Refusal;
use crate::kind::Kind;

/// Identifies an open document between the host and its workers.
pub(crate) type DocumentId = u64;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The first message: the files to load before the sandbox is entered. Answered by `Ready`.
    Setup(Setup),
    /// Sent with one descriptor: the document, a sealed memfd. Answered by `Opened`.
    Open { document: DocumentId, kind: Kind, password: Option<String>, limits: Limits },
    /// Answered by `Facts`.
    Facts { document: DocumentId, index: u32 },
    /// Answered by `Text`.
    Text { document: DocumentId, index: u32 },
    /// Sent with one descriptor: a memfd of exactly `size` RGB pixels. Answered by `Rendered`.
    Render { document: DocumentId, index: u32, size: Size },
    /// Begins the searchable PDF of a document. Answered by `Done`.
    ComposeBegin { document: DocumentId, password: Option<String>, standard: PdfStandard },
    /// Adds the text of a page, and for pictures the page; in page order. Answered by `Done`.
    ComposePage { document: DocumentId, text: PageText },
    /// Writes the file. Sent with one descriptor: a memfd of exactly `bytes_max` bytes. Answered by `Composed`.
    ComposeEnd { document: DocumentId, bytes_max: u64 },
    /// Not answered.
    Close { document: DocumentId },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub pdfium_library: std::path::PathBuf,
    pub memory_bytes: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub pages_max: u32,
    pub image_pixels_max: u64,
    pub text_characters_max: u32,
    pub text_words_max: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Ready(SandboxReport),
    Opened(Opened),
    Facts(PageFacts),
    Text(TextLayer),
    Rendered,
    Done,
    /// The size of the file.
    Composed {
        bytes: u64,
    },
    Refused(Refusal),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub pages: u32,
    /// Facts of the first pages, so that most documents need no further request. `None` for a page that cannot be
    /// loaded.
    pub facts: Vec<Option<PageFacts>>,
}

/// The size of a page, as displayed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum PageFacts {
    Pdf { width_pt: f32, height_pt: f32 },
    Raster { size: Size, dpi: f32 },
}
