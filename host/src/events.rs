//! The events of the data plane as events of a batch (NDJSON). Called by `http/batch` and `cli/ocr`.

use lector_core::PageView;
use lector_export::ndjson::{self, DocumentEnd, Line};
use lector_serving::Event;

/// Converts an event of the document at index `document` to an event of the batch.
pub(crate) fn line(document: usize, name: Option<&str>, event: &Event) -> Line {
    match event {
        Event::Opened { content_type, page_count, selected } => {
            ndjson::document(document, name, content_type, *page_count, selected)
        }
        Event::Page { index, transcript, timing } => {
            ndjson::page(document, PageView { index: *index, outcome: Ok(transcript), timing })
        }
        Event::PageError { index, fault, timing } => {
            ndjson::page(document, PageView { index: *index, outcome: Err(fault), timing })
        }
        Event::End { summary, summary_fault, pages_ok, pages_failed, total } => {
            let done = DocumentEnd {
                pages_ok: *pages_ok,
                pages_failed: *pages_failed,
                total: *total,
                summary: summary.as_ref().map(|summary| &***summary),
                summary_fault: summary_fault.as_ref(),
            };
            ndjson::document_end(document, done)
        }
        Event::Failed(fault) => ndjson::document_error(document, name, fault),
    }
}
