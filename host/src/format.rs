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

use std::sync::Arc;
use std::time::Duration;

use lector_core::{DeploymentName, Fault, Kind, RequestId, Summary, Timing, Transcript};
use lector_platform::{Event, Held};

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

/// A page that was answered.
#[derive(Clone, Debug)]
pub struct PageResult {
    /// Position in the document, from 0.
    pub index: u32,
    /// What it says, or why it was not read.
    pub outcome: Result<Arc<Held<Transcript>>, Fault>,
    /// Where its time went.
    pub timing: Timing,
}

/// A document that was read to the end.
#[derive(Clone, Debug)]
pub struct DocumentResult {
    /// The request.
    pub request: RequestId,
    /// The pipeline that read it.
    pub deployment: DeploymentName,
    /// Its name as the client knows it.
    pub name: Option<String>,
    /// `application/pdf`, `image/png`, ...
    pub content_type: &'static str,
    /// Pages of the document; `pages` may be a selection.
    pub page_count: u32,
    /// The pages that were asked for, in page order.
    pub pages: Vec<PageResult>,
    /// The guest's summary.
    pub summary: Option<Arc<Held<Summary>>>,
    /// Why there is no summary though pages were read.
    pub summary_fault: Option<Fault>,
    /// Pages read.
    pub pages_ok: u32,
    /// Pages not read.
    pub pages_failed: u32,
    /// From submission to end.
    pub total: Duration,
}

impl DocumentResult {
    /// The first fault, where any part of the document was not read.
    pub fn first_fault(&self) -> Option<&Fault> {
        self.pages.iter().find_map(|page| page.outcome.as_ref().err()).or(self.summary_fault.as_ref())
    }

    /// Pages that were read, in order.
    pub fn transcripts(&self) -> impl Iterator<Item = (u32, &Transcript)> {
        self.pages.iter().filter_map(|page| Some((page.index, &***page.outcome.as_ref().ok()?)))
    }
}

/// Gathers the events of one document into a [`DocumentResult`].
#[derive(Debug)]
pub struct Collector {
    result: DocumentResult,
    bytes: u64,
    bytes_max: u64,
}

impl Collector {
    /// A collector for one submission.
    pub fn new(request: RequestId, deployment: DeploymentName, name: Option<String>) -> Self {
        Self {
            result: DocumentResult {
                request,
                deployment,
                name,
                content_type: "application/octet-stream",
                page_count: 0,
                pages: Vec::new(),
                summary: None,
                summary_fault: None,
                pages_ok: 0,
                pages_failed: 0,
                total: Duration::ZERO,
            },
            bytes: 0,
            bytes_max: u64::MAX,
        }
    }

    /// The same, for an answer of which so many bytes are kept in memory and no more.
    pub fn at_most(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    /// Takes one event; the last one turns the collector into its result.
    pub fn take(mut self, event: Event) -> Collected {
        let result = &mut self.result;
        match event {
            Event::Opened { content_type, page_count, selected } => {
                result.content_type = content_type;
                result.page_count = page_count;
                result.pages.reserve(selected.len());
            }
            Event::Page { index, transcript, timing } => {
                self.bytes = self.bytes.saturating_add(transcript.reservation().bytes());
                if self.bytes > self.bytes_max {
                    return Collected::Failed(result_too_large(self.bytes_max));
                }
                result.pages.push(PageResult { index, outcome: Ok(transcript), timing });
            }
            Event::PageError { index, fault, timing } => {
                result.pages.push(PageResult { index, outcome: Err(fault), timing });
            }
            Event::End { summary, summary_fault, pages_ok, pages_failed, total } => {
                result.summary = summary;
                result.summary_fault = summary_fault;
                result.pages_ok = pages_ok;
                result.pages_failed = pages_failed;
                result.total = total;
                result.pages.sort_by_key(|page| page.index);
                return Collected::Done(Box::new(self.result));
            }
            Event::Failed(fault) => return Collected::Failed(fault),
        }
        Collected::More(self)
    }

    /// What is known so far; for answers of which the rest was cut off.
    pub fn so_far(&self) -> &DocumentResult {
        &self.result
    }
}

/// What a [`Collector`] became.
#[derive(Debug)]
pub enum Collected {
    /// More events come.
    More(Collector),
    /// The document was read to the end.
    Done(Box<DocumentResult>),
    /// The document failed as a whole.
    Failed(Fault),
}

fn result_too_large(bytes_max: u64) -> Fault {
    let message = format!(
        "The pages of the document take more than {bytes_max} bytes of memory, which is the most that one answer may \
         hold: ask for fewer pages at a time, without words, or send the document to /api/v1/ocr/batch, which answers \
         page by page."
    );
    Fault::new(Kind::TooLarge, "document_result_too_large", message)
}

/// One document as text of `format`.
pub fn document(format: Format, result: &DocumentResult) -> String {
    match format {
        Format::Text => text::document(result),
        Format::Json => {
            // Keys are strings: it always serialises.
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
