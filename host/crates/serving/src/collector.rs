//! Collection of a document's events into one result.

use std::time::Duration;

use lector_control::Held;
use lector_core::{DeploymentName, Fault, Kind, RequestId, Summary, Transcript};

use crate::request::Event;

/// The result of a page, with the reservation of its memory.
pub type PageResult = lector_core::PageResult<Held<Transcript>>;

/// The result of a document that was read to the end, with the reservations of its memory.
pub type DocumentResult = lector_core::DocumentResult<Held<Transcript>, Held<Summary>>;

/// Collects the events of one document into a [`DocumentResult`].
#[derive(Clone, Debug)]
pub struct Collector {
    result: DocumentResult,
    bytes: u64,
    bytes_max: u64,
}

impl Collector {
    /// Makes a collector for one submission.
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

    /// Sets the most bytes of results that the collector keeps in memory.
    pub fn at_most(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    /// Adds one event; the last event turns the collector into its result.
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
}

/// The state of a collection after an event.
#[derive(Debug)]
pub enum Collected {
    /// More events follow.
    More(Collector),
    /// The document was read to the end.
    Done(Box<DocumentResult>),
    /// The document failed as a whole.
    Failed(Fault),
}

fn result_too_large(bytes_max: u64) -> Fault {
    let message = format!(
        "The pages of the document take more than {bytes_max} bytes of memory, which is the most that one answer may \
         hold: request fewer pages at a time, omit words, or send the document to /api/v1/ocr/batch, which answers \
         page by page."
    );
    Fault::new(Kind::TooLarge, "document_result_too_large", message)
}
