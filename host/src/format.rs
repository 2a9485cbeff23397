//! Results as people and programs read them: JSON, NDJSON events, plain text, Markdown, hOCR.
//!
//! Owns the wire shapes of pages and documents, so that the HTTP and CLI faces cannot differ. Pure:
//! knows neither HTTP nor the terminal. Called by `http/` and `cli/ocr`.

pub mod hocr;
pub mod json;
pub mod markdown;
pub mod ndjson;
pub mod pieces;
pub mod text;

use lector_core::{Fault, Kind};
use lector_serving::{DocumentResult, PageResult};

/// How a document's result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The text alone.
    Text,
    /// One object with everything known.
    Json,
    /// Paragraphs.
    Markdown,
    /// hOCR 1.2: HTML with boxes.
    Hocr,
    /// One event a line, as they happen.
    Ndjson,
}

impl Format {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Text, Self::Json, Self::Markdown, Self::Hocr, Self::Ndjson];

    /// Parses a name; a fault `unknown_format` lists the known ones.
    pub fn parse(name: &str) -> Result<Self, Fault> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            let known = Self::ALL.map(Self::name).join(", ");
            Fault::new(
                Kind::Invalid,
                "unknown_format",
                format!("There is no format `{shown}`: ask for one of {known}."),
            )
        })
    }

    /// Its name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Markdown => "markdown",
            Self::Hocr => "hocr",
            Self::Ndjson => "ndjson",
        }
    }

    /// Its `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::Markdown => "text/markdown; charset=utf-8",
            // hOCR is XHTML in form, and `text/html` is what its readers expect.
            Self::Hocr => "text/html; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// Extension of a file of it, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Json => "json",
            Self::Markdown => "md",
            Self::Hocr => "hocr.html",
            Self::Ndjson => "ndjson",
        }
    }

    /// Whether it is of little use without words.
    pub fn wants_words(self) -> bool {
        self == Self::Hocr
    }
}

/// One document as text of `format`.
pub fn document(format: Format, result: &DocumentResult) -> String {
    match format {
        Format::Text => text::document(result),
        Format::Json => {
            // Keys are strings: it always serializes.
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
