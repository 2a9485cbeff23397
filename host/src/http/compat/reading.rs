//! A document that was read completely.

use std::time::Duration;

use lector_control::Reservation;
use lector_core::{Fault, Kind, Quad, Transcript};
use lector_serving::{AnswerMemory, DocumentResult};

/// Longest wait for the memory of an answer.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(30);

/// A document of which every selected page was read.
///
/// Clients of other software have no place for a page that failed: they would take its error for text of the document, or
/// lose the page. Therefore a failed page fails the document.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) result: Box<DocumentResult>,
    /// Size of the document.
    pub(super) document_bytes: u64,
    /// The memory of the answer, with its place among the answers of the tenant; `None`: the document was just read.
    answer: Option<AnswerMemory>,
}

/// Returns the fault of a document with a page that failed, and with this many others.
pub(super) fn page_failed(index: u32, fault: &Fault, others: usize) -> Fault {
    let number = u64::from(index) + 1;
    let more = if others > 0 { format!(", and {others} more failed") } else { String::new() };
    let message = format!("Page {number} was not read{more}: {}", fault.message);
    Fault { message, ..fault.clone() }
}

impl Reading {
    /// Checks that no page has failed.
    pub(super) fn new(result: Box<DocumentResult>, document_bytes: u64) -> Result<Self, Fault> {
        let mut failed =
            result.pages.iter().filter_map(|page| Some((page.index, page.outcome.as_ref().err()?)));
        if let Some((index, fault)) = failed.next() {
            return Err(page_failed(index, fault, failed.count()));
        }
        Ok(Self { result, document_bytes, answer: None })
    }

    /// Checks that no page of a stored document has failed. The answer keeps its place until this is dropped.
    pub(super) fn stored(
        result: Box<DocumentResult>,
        document_bytes: u64,
        answer: AnswerMemory,
    ) -> Result<Self, Fault> {
        Ok(Self { answer: Some(answer), ..Self::new(result, document_bytes)? })
    }

    /// Returns the memory of the answer, if the document comes from the store.
    pub(super) fn answer(&self) -> Option<&AnswerMemory> {
        self.answer.as_ref()
    }

    /// Returns the pages in order, with their positions from 0.
    pub(super) fn pages(&self) -> impl Iterator<Item = (u32, &Transcript)> {
        self.result.transcripts()
    }

    /// Returns the page at a position in the list of pages.
    pub(super) fn page(&self, at: usize) -> Option<(u32, &Transcript)> {
        let page = self.result.pages.get(at)?;
        Some((page.index, page.view().outcome.ok()?))
    }

    /// Returns whether the document is a PDF and not an image.
    pub(super) fn is_pdf(&self) -> bool {
        self.result.content_type == "application/pdf"
    }

    /// Returns the memory of the results.
    pub(super) fn held_bytes(&self) -> u64 {
        self.result.pages.iter().flat_map(|page| &page.outcome).map(|page| page.reservation().bytes()).sum()
    }

    /// Waits for the memory of a copy of the whole document in another form, before there is any. Faults:
    /// `tenant_memory_exceeded`, and `document_result_too_large` for more than may ever be held at once: it would keep
    /// everything else waiting.
    pub(super) async fn room(&self, bytes: u64) -> Result<Reservation, Fault> {
        let Some(page) = self.result.pages.iter().find_map(|page| page.outcome.as_ref().ok()) else {
            return Ok(Reservation::default());
        };
        let most = page.reservation().most();
        if bytes > most {
            let message = format!(
                "The answer takes about {bytes} bytes of memory while it is made, and the tenant and the server may hold \
                 {most} bytes at once: request fewer pages at a time, or a format that is written page by page."
            );
            return Err(Fault::new(Kind::TooLarge, "document_result_too_large", message));
        }
        let waited = tokio::time::timeout(ROOM_WAIT_MAX, page.reservation().more(bytes)).await;
        waited.map_err(|_| {
            let after_s = ROOM_WAIT_MAX.as_secs();
            let message = format!(
                "The result takes {bytes} bytes of memory, which the documents and results of the tenant and of the server \
                 leave no room for: read pending results, or try again in {after_s} s."
            );
            Fault::new(Kind::Busy, "tenant_memory_exceeded", message).retry_after(ROOM_WAIT_MAX)
        })
    }
}

/// Returns the rectangle around a quad in whole units, scaled: left, top, right, bottom.
pub(super) fn bounds(quad: &Quad, scale: f32) -> [i64; 4] {
    let rect = quad.bounds();
    let whole = |value: f32| if value.is_finite() { (value * scale).round() as i64 } else { 0 };
    [whole(rect.x), whole(rect.y), whole(rect.x + rect.width), whole(rect.y + rect.height)]
}

/// Returns a confidence with four decimals.
pub(super) fn confidence(value: f32) -> f64 {
    (f64::from(value.clamp(0.0, 1.0)) * 1e4).round() / 1e4
}

#[cfg(test)]
pub(super) mod sample {
    use lector_core::{Block, BlockKind, Line, Quad, Size, Transcript, Word};

    /// Returns a page with a block of one line for each kind and text.
    pub(in crate::http::compat) fn page<const N: usize>(blocks: [(BlockKind, &str); N]) -> Transcript {
        let mut page = Transcript::blank(Size { width: 20, height: 20 }, 72.0);
        for ((kind, text), id) in blocks.into_iter().zip(0..) {
            let quad = Quad::default();
            let word = |text: &str| Word { text: text.to_owned(), confidence: 0.5, quad };
            let words = text.split(' ').map(word).collect();
            page.lines.push(Line { block_id: id, words, ..Line::new(text, 0.9, quad) });
            page.blocks.push(Block { id, kind, quad, confidence: 1.0, table: None, properties: None });
        }
        page
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use lector_control::{DocumentMemory, Held};
    use lector_core::fair::Account;
    use lector_core::{Size, Timing};
    use lector_serving::PageResult;

    use super::*;

    #[tokio::test]
    async fn an_answer_that_never_fits_is_refused_and_exceeds_no_limit() {
        let (own, server) = (Arc::default(), Arc::default());
        let (own_max, server_max) = ((Arc::clone(&own), 1000), (Arc::clone(&server), 500));
        let memory = DocumentMemory::new(Account::new("a".into(), 1), own_max, server_max, Arc::default());
        let page = Transcript::blank(Size { width: 1, height: 1 }, 72.0);
        let page = PageResult {
            index: 0,
            outcome: Ok(Arc::new(Held::new(page, memory.reserve(10).await))),
            timing: Timing::default(),
        };
        let result = DocumentResult {
            request: "r".into(),
            deployment: "d".into(),
            name: None,
            content_type: "image/png",
            page_count: 1,
            pages: vec![page],
            summary: None,
            summary_fault: None,
            pages_ok: 1,
            pages_failed: 0,
            total: Duration::ZERO,
        };
        let reading = Reading::new(Box::new(result), 1).unwrap();
        assert_eq!(reading.room(501).await.unwrap_err().code, "document_result_too_large");
        assert_eq!((own.held(), server.held()), (10, 10));
        assert_eq!(reading.room(490).await.unwrap().bytes(), 490);
    }
}
