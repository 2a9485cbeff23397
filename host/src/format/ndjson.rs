//! The events of a batch, one JSON object each: first `meta`; for each file `document` when it is open, `page` and
//! `page_error` for its pages, and `document_end`, or `document_error` if the whole file failed; last `end`.
//!
//! Every event between `meta` and `end` has the member `document`, the index of the file from 0. Called by the HTTP API
//! event by event, and by the CLI.

use std::time::Duration;

use lector_core::{DeploymentName, Fault, RequestId, Summary, Timing, Transcript};
use lector_serving::{DocumentResult, Event};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::json::{self, put};

/// A serialized event: its name, and its JSON without a line feed.
#[derive(Debug)]
pub struct Line {
    /// The member `event`.
    pub event: &'static str,
    /// The JSON object.
    pub json: String,
}

impl Line {
    fn of(event: &'static str, object: &impl Serialize) -> Self {
        // Cannot fail: all keys are strings and all floats are finite.
        Self { event, json: serde_json::to_string(object).unwrap_or_default() }
    }
}

/// Writes the JSON with a line feed.
impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.json)
    }
}

/// Returns the event `meta`, which begins a batch. `files` is the number of files, if known.
pub fn meta(request: &RequestId, deployment: &DeploymentName, files: Option<usize>) -> Line {
    let mut out = json!({
        "event": "meta",
        "request_id": request.as_str(),
        "deployment": deployment.as_str(),
        "lector": env!("CARGO_PKG_VERSION"),
    });
    if let Some(files) = files {
        put(&mut out, "files", files.into());
    }
    Line::of("meta", &out)
}

/// Returns the event `document` of an open document. `selected` are the indices, from 0, of the pages to read.
pub fn document(
    document: usize,
    name: Option<&str>,
    content_type: &str,
    page_count: u32,
    selected: &[u32],
) -> Line {
    let mut out = json!({ "event": "document", "document": document });
    if let Some(name) = name {
        put(&mut out, "name", name.into());
    }
    put(&mut out, "content_type", content_type.into());
    put(&mut out, "page_count", page_count.into());
    put(&mut out, "pages", selected.iter().map(|&index| u64::from(index) + 1).collect::<Vec<_>>().into());
    Line::of("document", &out)
}

/// Returns the event `page` or `page_error`.
pub fn page(document: usize, index: u32, outcome: Result<&Transcript, &Fault>, timing: &Timing) -> Line {
    let event = if outcome.is_ok() { "page" } else { "page_error" };
    Line::of(event, &PageEvent { event, document, index, outcome, timing })
}

struct PageEvent<'a> {
    event: &'static str,
    document: usize,
    index: u32,
    outcome: Result<&'a Transcript, &'a Fault>,
    timing: &'a Timing,
}

impl Serialize for PageEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", self.event)?;
        map.serialize_entry("document", &self.document)?;
        json::page_members(&mut map, self.index, self.outcome, self.timing)?;
        map.end()
    }
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

impl<'a> From<&'a DocumentResult> for DocumentEnd<'a> {
    fn from(result: &'a DocumentResult) -> Self {
        Self {
            pages_ok: result.pages_ok,
            pages_failed: result.pages_failed,
            total: result.total,
            summary: result.summary.as_ref().map(|summary| &***summary),
            summary_fault: result.summary_fault.as_ref(),
        }
    }
}

/// Returns the event `document_end`.
pub fn document_end(document: usize, done: DocumentEnd<'_>) -> Line {
    let mut out = json!({
        "event": "document_end",
        "document": document,
        "pages_ok": done.pages_ok,
        "pages_failed": done.pages_failed,
        "total_ms": json::ms(done.total),
    });
    if let Some(summary) = done.summary {
        let mut value = json!({ "text": summary.text });
        if let Some(properties) = &summary.properties {
            put(&mut value, "properties", json::properties(properties));
        }
        put(&mut out, "summary", value);
    }
    if let Some(fault) = done.summary_fault {
        put(&mut out, "summary_error", json::fault(fault));
    }
    Line::of("document_end", &out)
}

/// Returns the event `document_error` of a document that failed as a whole.
pub fn document_error(document: usize, name: Option<&str>, fault: &Fault) -> Line {
    let mut out = json!({ "event": "document_error", "document": document });
    extend(&mut out, json::document_error(name, fault));
    Line::of("document_error", &out)
}

/// The totals of a batch.
#[derive(Clone, Copy, Debug, Default)]
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
    let out = json!({
        "event": "end",
        "documents_ok": totals.documents_ok,
        "documents_failed": totals.documents_failed,
        "pages_ok": totals.pages_ok,
        "pages_failed": totals.pages_failed,
        "total_ms": json::ms(total),
    });
    Line::of("end", &out)
}

/// Converts an event of the document at index `document` to an event of the batch.
pub fn event(document: usize, name: Option<&str>, event: &Event) -> Line {
    match event {
        Event::Opened { content_type, page_count, selected } => {
            self::document(document, name, content_type, *page_count, selected)
        }
        Event::Page { index, transcript, timing } => page(document, *index, Ok(transcript), timing),
        Event::PageError { index, fault, timing } => page(document, *index, Err(fault), timing),
        Event::End { summary, summary_fault, pages_ok, pages_failed, total } => {
            let (summary, summary_fault) =
                (summary.as_ref().map(|summary| &***summary), summary_fault.as_ref());
            let done = DocumentEnd {
                pages_ok: *pages_ok,
                pages_failed: *pages_failed,
                total: *total,
                summary,
                summary_fault,
            };
            document_end(document, done)
        }
        Event::Failed(fault) => document_error(document, name, fault),
    }
}

/// Returns the events before the pages of a finished document, as a batch of one file.
pub(super) fn head(result: &DocumentResult) -> String {
    let selected: Vec<u32> = result.pages.iter().map(|page| page.index).collect();
    let (name, content_type) = (result.name.as_deref(), result.content_type);
    let meta = meta(&result.request, &result.deployment, Some(1));
    format!("{meta}{}", document(0, name, content_type, result.page_count, &selected))
}

/// Returns the events after the pages.
pub(super) fn tail(result: &DocumentResult) -> String {
    let (pages_ok, pages_failed) = (result.pages_ok.into(), result.pages_failed.into());
    let totals = Totals { documents_ok: 1, documents_failed: 0, pages_ok, pages_failed };
    format!("{}{}", document_end(0, result.into()), end(totals, result.total))
}

fn extend(object: &mut Value, more: Value) {
    if let (Value::Object(members), Value::Object(more)) = (object, more) {
        members.extend(more);
    }
}
