//! A document that was read completely.

use std::time::Duration;

use lector_control::Reservation;
use lector_core::{Fault, Kind, Quad, Transcript};
use lector_serving::DocumentResult;

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
        Ok(Self { result, document_bytes })
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

    /// Waits for the memory of a copy of the whole document in another form, before there is any. Fault:
    /// `tenant_memory_exceeded`.
    pub(super) async fn room(&self, bytes: u64) -> Result<Reservation, Fault> {
        let Some(page) = self.result.pages.iter().find_map(|page| page.outcome.as_ref().ok()) else {
            return Ok(Reservation::default());
        };
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
