//! The events of a batch, one JSON object each: first `meta`; for each file `document` when it is open, `page` and
//! `page_error` for its pages, and `document_end`, or `document_error` if the whole file failed; last `end`.
//!
//! Every event between `meta` and `end` has the member `document`, the index of the file from 0. The HTTP API and the
//! CLI write event by event; as a format, a finished document is a batch of one file.

use std::io::Write;
use std::time::Duration;

use lector_core::{DeploymentName, DocumentView, Fault, PageView, RequestId, Summary};
use serde::Serialize;

use crate::json::{self, DocumentError, FaultShape, Page, Properties, ms, properties};
use crate::{ExportError, Format, Info, Several, Writer};

static INFO: Info = Info {
    name: "ndjson",
    about: "One JSON event per line",
    content_type: "application/x-ndjson",
    accepts: &["application/x-ndjson", "application/jsonl"],
    extension: "ndjson",
    needs_words: false,
    streams: true,
    has_preface: false,
    reports_failures: true,
    several: Several::Events,
    composed: None,
};

/// One JSON event per line.
#[derive(Debug)]
pub(crate) struct Ndjson;

impl Format for Ndjson {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(Self)
    }
}

impl Writer for Ndjson {
    fn head(&mut self, view: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let meta = meta(view.request, view.deployment, Some(1));
        let opened = document(0, view.name, view.content_type, view.page_count, view.selected);
        Ok(write!(out, "{meta}{opened}")?)
    }

    fn page(
        &mut self,
        _view: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        Ok(write!(out, "{}", self::page(0, *page))?)
    }

    fn tail(&mut self, view: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let totals = Totals {
            documents_ok: 1,
            documents_failed: 0,
            pages_ok: view.pages_ok.into(),
            pages_failed: view.pages_failed.into(),
        };
        Ok(write!(out, "{}{}", document_end(0, view.into()), end(totals, view.total))?)
    }
}

/// A serialized event: its name, and its JSON without a line feed.
#[derive(Debug)]
pub struct Line {
    /// The member `event`.
    pub event: &'static str,
    /// The JSON object.
    pub json: String,
}

/// Writes the JSON with a line feed.
impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.json)
    }
}

/// An event; `members` follow its name.
#[derive(Serialize)]
struct EventShape<M> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<usize>,
    #[serde(flatten)]
    members: M,
}

fn line<M: Serialize>(event: &'static str, document: Option<usize>, members: M) -> Line {
    Line { event, json: json::compact(&EventShape { event, document, members }) }
}

/// Returns the event `meta`, which begins a batch. `files` is the number of files, if known.
pub fn meta(request: &RequestId, deployment: &DeploymentName, files: Option<usize>) -> Line {
    #[derive(Serialize)]
    struct Members<'a> {
        request_id: &'a str,
        deployment: &'a str,
        lector: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        files: Option<usize>,
    }
    let (request_id, deployment) = (request.as_str(), deployment.as_str());
    line("meta", None, Members { request_id, deployment, lector: env!("CARGO_PKG_VERSION"), files })
}

/// Returns the event `document` of an open document. `selected` are the indices, from 0, of the pages to read.
pub fn document(
    document: usize,
    name: Option<&str>,
    content_type: &str,
    page_count: u32,
    selected: &[u32],
) -> Line {
    #[derive(Serialize)]
    struct Members<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        content_type: &'a str,
        page_count: u32,
        pages: Vec<u64>,
    }
    let pages = selected.iter().map(|&index| u64::from(index) + 1).collect();
    line("document", Some(document), Members { name, content_type, page_count, pages })
}

/// Returns the event `page` or `page_error`.
pub fn page(document: usize, page: PageView<'_>) -> Line {
    let event = if page.outcome.is_ok() { "page" } else { "page_error" };
    line(event, Some(document), Page::from(page))
}

/// The outcome of a document that was processed to its end.
#[derive(Clone, Copy, Debug)]
pub struct DocumentEnd<'a> {
    /// Number of pages read.
    pub pages_ok: u32,
    /// Number of pages that failed.
    pub pages_failed: u32,
    /// Time from submission to end.
    pub total: Duration,
    /// The summary of the guest.
    pub summary: Option<&'a Summary>,
    /// The fault of the summary, if it failed.
    pub summary_fault: Option<&'a Fault>,
}

impl<'a> From<&DocumentView<'a>> for DocumentEnd<'a> {
    fn from(view: &DocumentView<'a>) -> Self {
        Self {
            pages_ok: view.pages_ok,
            pages_failed: view.pages_failed,
            total: view.total,
            summary: view.summary,
            summary_fault: view.summary_fault,
        }
    }
}

/// Returns the event `document_end`.
pub fn document_end(document: usize, done: DocumentEnd<'_>) -> Line {
    #[derive(Serialize)]
    struct SummaryShape<'a> {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        properties: Option<Properties<'a>>,
    }
    #[derive(Serialize)]
    struct Members<'a> {
        pages_ok: u32,
        pages_failed: u32,
        total_ms: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        summary: Option<SummaryShape<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        summary_error: Option<FaultShape<'a>>,
    }
    let summary = done.summary.map(|summary| SummaryShape {
        text: &summary.text,
        properties: summary.properties.as_deref().map(properties),
    });
    let members = Members {
        pages_ok: done.pages_ok,
        pages_failed: done.pages_failed,
        total_ms: ms(done.total),
        summary,
        summary_error: done.summary_fault.map(FaultShape::from),
    };
    line("document_end", Some(document), members)
}

/// Returns the event `document_error` of a document that failed as a whole.
pub fn document_error(document: usize, name: Option<&str>, fault: &Fault) -> Line {
    line("document_error", Some(document), DocumentError::new(name, fault))
}

/// The totals of a batch.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Totals {
    /// Number of documents processed to the end.
    pub documents_ok: usize,
    /// Number of documents that failed as a whole.
    pub documents_failed: usize,
    /// Number of pages read.
    pub pages_ok: u64,
    /// Number of pages that failed.
    pub pages_failed: u64,
}

/// Returns the event `end` of a batch.
pub fn end(totals: Totals, total: Duration) -> Line {
    #[derive(Serialize)]
    struct Members {
        #[serde(flatten)]
        totals: Totals,
        total_ms: f64,
    }
    line("end", None, Members { totals, total_ms: ms(total) })
}
