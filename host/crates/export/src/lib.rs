//! Output formats of documents, as pure functions of the document model of `lector-core`.
//!
//! Owns the wire shapes of pages and documents, the registry of formats and the choice of a format by name or by
//! `Accept`. Depends on neither HTTP nor the terminal nor the data plane. Called by the HTTP API and the CLI.
//!
//! A format is a module with a type that implements [`Format`], and a line in `registry.rs`. It writes what the
//! model states and nothing else: a format that needs words declares it ([`Info::needs_words`]), so that the caller asks
//! the guest for them.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod accept;
mod alto;
mod captions;
mod chunks;
mod code;
mod csv;
mod docling;
mod doctags;
mod grid;
mod hocr;
mod html;
mod joined;
pub mod json;
mod layout;
mod list;
mod markdown;
pub mod ndjson;
mod page_xml;
pub mod parts;
mod pdf;
mod pieces;
mod registry;
mod text;
mod tsv;
mod xlsx;
mod xml;

use std::fmt::Debug;
use std::io::{self, Write};

use lector_core::{DocumentResult, DocumentView, Fault, Kind, PageView, PdfStandard, Summary, Transcript};

pub use accept::ranges;
pub use pdf::page_texts;
pub use pieces::{Piece, Pieces, json_pages};
pub use registry::{DEFAULT, TEXT, all, by_accept, by_name};

/// The facts about a format.
#[derive(Debug)]
pub struct Info {
    /// The name in requests and on the command line.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// Media types of `Accept` that select the format; empty: only its name selects it.
    pub accepts: &'static [&'static str],
    /// The file extension, without the dot.
    pub extension: &'static str,
    /// Whether it needs the words of lines, with their boxes.
    pub needs_words: bool,
    /// Whether it is written page by page; otherwise the pages stay in memory until the end.
    pub streams: bool,
    /// Whether its output begins with something that depends on all pages ([`Writer::preface`]).
    pub has_preface: bool,
    /// Whether it reports failed pages in a form that programs read.
    pub reports_failures: bool,
    /// The form of several documents in one output.
    pub several: Several,
    /// The standard of an output that is composed from the bytes of the document and [`page_texts`], and so not by a
    /// [`Writer`].
    pub composed: Option<PdfStandard>,
}

/// The form of several documents in one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Several {
    /// Not possible.
    Never,
    /// One after the other, each after a line with its name.
    Named {
        /// The text before the name.
        before: &'static str,
        /// The text after the name.
        after: &'static str,
    },
    /// The elements of a JSON array.
    JsonArray,
    /// Events, one per line.
    Events,
}

/// An output format.
pub trait Format: Debug + Send + Sync {
    /// Returns the facts about the format.
    fn info(&self) -> &'static Info;

    /// Creates a writer for one document.
    fn writer(&self) -> Box<dyn Writer>;

    /// Returns a whole document, in the form for a terminal or a file: where the format knows white space, indented.
    fn document(&self, document: &DocumentView<'_>, pages: &[PageView<'_>]) -> Result<Vec<u8>, ExportError> {
        let (mut writer, mut out) = (self.writer(), Vec::new());
        writer.head(document, &mut out)?;
        if self.info().has_preface {
            pages.iter().try_for_each(|page| writer.preface(document, page, &mut out))?;
            writer.preface_end(document, &mut out)?;
        }
        pages.iter().try_for_each(|page| writer.page(document, page, &mut out))?;
        writer.tail(document, &mut out)?;
        Ok(out)
    }
}

/// The writer of one document: its methods are called in the order of the trait, with the pages in page order.
pub trait Writer: Debug + Send {
    /// Writes the output before the first page.
    fn head(&mut self, _document: &DocumentView<'_>, _out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(())
    }

    /// Writes what precedes the pages and depends on this page. Called only if [`Info::has_preface`].
    fn preface(
        &mut self,
        _document: &DocumentView<'_>,
        _page: &PageView<'_>,
        _out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        Ok(())
    }

    /// Writes the output between the preface and the pages. Called only if [`Info::has_preface`].
    fn preface_end(&mut self, _document: &DocumentView<'_>, _out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(())
    }

    /// Writes a page, read or failed.
    fn page(
        &mut self,
        document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError>;

    /// Writes the output after the last page.
    fn tail(&mut self, _document: &DocumentView<'_>, _out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(())
    }
}

/// The reason that a document cannot be written in a format.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The output does not accept bytes.
    #[error("writing the output failed")]
    Io(#[from] io::Error),
    /// A value cannot be serialized.
    #[error("serializing the result failed")]
    Json(#[from] serde_json::Error),
    /// The document has more pages than the format can hold.
    #[error(
        "The format `{format}` holds one page, and {pages} pages were selected: select one with `pages`, or use another format."
    )]
    OnePage {
        /// Name of the format.
        format: &'static str,
        /// Number of selected pages.
        pages: usize,
    },
    /// The format is composed from the bytes of the document, which no writer has.
    #[error("the format `{format}` is composed from the document, not written from its result")]
    Composed {
        /// Name of the format.
        format: &'static str,
    },
    /// A table does not fit into a worksheet.
    #[error(
        "A table on page {page} cannot be written as a worksheet ({reason}): use the format `csv` or `json`."
    )]
    Worksheet {
        /// Number of the page, from 1.
        page: u64,
        /// The limit, as the library states it.
        reason: String,
    },
    /// The workbook cannot be written.
    #[error("writing the workbook failed")]
    Workbook(#[from] rust_xlsxwriter::XlsxError),
}

impl From<ExportError> for Fault {
    fn from(error: ExportError) -> Self {
        let message = error.to_string();
        match error {
            ExportError::OnePage { .. } => Fault::new(Kind::Invalid, "format_one_page", message),
            ExportError::Worksheet { .. } => Fault::new(Kind::TooLarge, "table_too_large", message),
            ExportError::Io(_)
            | ExportError::Json(_)
            | ExportError::Workbook(_)
            | ExportError::Composed { .. } => Fault::new(
                Kind::Bug,
                "export_failed",
                "The result could not be written in the requested format.",
            )
            .with_detail(message),
        }
    }
}

/// Returns a whole document in `format`, for a terminal or a file.
pub fn document<T: AsRef<Transcript>, S: AsRef<Summary>>(
    format: &dyn Format,
    result: &DocumentResult<T, S>,
) -> Result<Vec<u8>, ExportError> {
    let selected = result.selected();
    let pages: Vec<PageView<'_>> = result.pages.iter().map(|page| page.view()).collect();
    format.document(&result.view(&selected), &pages)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
#[path = "../examples/formats/sample.rs"]
mod sample;
#[cfg(test)]
mod tests;
