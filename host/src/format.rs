//! Output formats of results: JSON, NDJSON events, plain text, Markdown, hOCR.
//!
//! Owns the wire shapes of pages and documents, which the HTTP API and the CLI share. Pure: does not depend on HTTP or
//! the terminal. Called by `http/` and `cli/ocr`.

pub mod hocr;
pub mod json;
pub mod markdown;
pub mod ndjson;
pub mod pieces;
pub mod text;

use lector_core::{Fault, Kind};
use lector_serving::{DocumentResult, PageResult};

/// An output format of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The text only.
    Text,
    /// One JSON object with the whole result.
    Json,
    /// Paragraphs in Markdown.
    Markdown,
    /// hOCR 1.2: HTML with boxes.
    Hocr,
    /// One JSON event per line.
    Ndjson,
}

impl Format {
    /// All formats, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Text, Self::Json, Self::Markdown, Self::Hocr, Self::Ndjson];

    /// Parses a name. The fault `unknown_format` lists the known names.
    pub fn parse(name: &str) -> Result<Self, Fault> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            let known = Self::ALL.map(Self::name).join(", ");
            Fault::new(
                Kind::Invalid,
                "unknown_format",
                format!("The format `{shown}` does not exist: use one of {known}."),
            )
        })
    }

    /// Returns the name of the format in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Markdown => "markdown",
            Self::Hocr => "hocr",
            Self::Ndjson => "ndjson",
        }
    }

    /// Returns the `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::Markdown => "text/markdown; charset=utf-8",
            // hOCR is XHTML, and its readers expect `text/html`.
            Self::Hocr => "text/html; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// Returns the file extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Json => "json",
            Self::Markdown => "md",
            Self::Hocr => "hocr.html",
            Self::Ndjson => "ndjson",
        }
    }

    /// Returns whether the format needs words to be useful.
    pub fn wants_words(self) -> bool {
        self == Self::Hocr
    }
}

/// Returns a document as text in `format`.
pub fn document(format: Format, result: &DocumentResult) -> String {
    match format {
        Format::Text => text::document(result),
        Format::Json => {
            // Cannot fail: all keys are strings.
            let mut out = serde_json::to_string_pretty(&json::Document(result)).unwrap_or_default();
            out.push('\n');
            out
        }
        Format::Markdown => markdown::document(result),
        Format::Hocr => hocr::document(result),
        Format::Ndjson => {
            let page = |page: &PageResult| {
                let outcome = page.outcome.as_ref().map(|page| &***page);
                ndjson::page(0, page.index, outcome, &page.timing).to_string()
            };
            let pages: String = result.pages.iter().map(page).collect();
            format!("{}{pages}{}", ndjson::head(result), ndjson::tail(result))
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
