//! Documents of one reading as values of this command: from the JSON of a server, or from the data plane of this process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use lector_core::{DocumentResult, PageResult, RequestId, Summary, Timing, Transcript};
use serde_json::Value;

use super::super::api_page;

/// A document that was read completely.
pub(super) type Document = DocumentResult<Transcript, Summary>;

/// Returns the pages of the server's JSON. A page that failed is an error.
pub(super) fn of_json(answer: &[u8]) -> anyhow::Result<Vec<Transcript>> {
    let mut answer: Value =
        serde_json::from_slice(answer).context("the response of the server is not JSON")?;
    let pages = answer.get_mut("pages").and_then(Value::as_array_mut).map(std::mem::take);
    pages.context("the response of the server has no pages")?.into_iter().map(api_page::read).collect()
}

/// Returns a document of pages in order. The times and names that no output has are empty.
pub(super) fn document(name: Option<String>, pages: Vec<Transcript>) -> Document {
    let count = u32::try_from(pages.len()).unwrap_or(u32::MAX);
    let page = |(index, page): (u32, Transcript)| PageResult {
        index,
        outcome: Ok(Arc::new(page)),
        timing: Timing::default(),
    };
    DocumentResult {
        request: RequestId::from("tesseract".to_owned()),
        deployment: "".into(),
        name,
        content_type: "",
        page_count: count,
        pages: (0..count).zip(pages).map(page).collect(),
        summary: None,
        summary_fault: None,
        pages_ok: count,
        pages_failed: 0,
        total: Duration::ZERO,
    }
}

/// Returns the pages of a document as values that can be changed.
pub(super) fn pages_mut(document: &mut Document) -> impl Iterator<Item = &mut Transcript> {
    // No other owner exists: `document` has made the pages.
    document.pages.iter_mut().filter_map(|page| page.outcome.as_mut().ok().and_then(Arc::get_mut))
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::{Block, BlockKind, Direction, Line, LineSource, Point, Quad, Rotation, Size, Word};
    use serde_json::json;

    use super::*;

    pub(in crate::cli::tesseract) fn quad(x: f32, y: f32, width: f32, height: f32) -> Quad {
        let corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)];
        Quad(corners.map(|(x, y)| Point { x, y }))
    }

    pub(in crate::cli::tesseract) fn line(text: &str, quad: Quad, block_id: u32) -> Line {
        Line { block_id, ..Line::new(text, 0.9, quad) }
    }

    pub(in crate::cli::tesseract) fn blank() -> Transcript {
        Transcript::blank(Size { width: 200, height: 100 }, 72.0)
    }

    /// A page with what a page can have.
    fn full() -> Transcript {
        let mut read = line("ab cd", quad(1.5, 2.0, 40.0, 10.0), 3);
        read.words = ["ab", "cd"]
            .map(|text| Word { text: text.into(), confidence: 0.5, quad: quad(1.0, 2.0, 9.0, 9.0) })
            .into();
        read.direction = Direction::Rtl;
        read.source = LineSource::FormField;
        let block = Block {
            id: 3,
            kind: BlockKind::Heading { level: 2 },
            quad: quad(0.0, 0.0, 50.0, 20.0),
            confidence: 1.0,
            table: None,
            properties: Some("{\"a\":{\"quad\":1}}".into()),
        };
        Transcript {
            rotation: Rotation::ThreeQuarters,
            lines: vec![read],
            blocks: vec![block],
            warnings: vec!["w".into()],
            ..blank()
        }
    }

    #[test]
    fn the_json_of_a_server_gives_the_same_pages() {
        let read = document(Some("a.png".into()), vec![full(), blank()]);
        let json = lector_export::document(lector_export::by_name("json").unwrap(), &read).unwrap();
        assert_eq!(of_json(&json).unwrap(), [full(), blank()]);
    }

    #[test]
    fn pages_that_failed_are_errors() {
        let check = |answer: Value, part: &str| {
            let error = format!("{:#}", of_json(answer.to_string().as_bytes()).unwrap_err());
            assert!(error.contains(part), "{error}");
        };
        check(
            json!({"pages": [{"page": 2, "error": {"code": "c", "message": "m"}}]}),
            "page 2 was not read: m (c)",
        );
        check(json!({"pages": [{"page": 1}]}), "JSON of a page");
        check(json!({"pages": 1}), "no pages");
        assert!(of_json(b"<html>").is_err());
    }
}
