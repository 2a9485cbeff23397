//! Fuzz test of every format with arbitrary text of a guest and arbitrary file names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use lector_core::{
    Block, BlockKind, Cell, Finding, Line, PageResult, Point, Quad, Size, Summary, Table, Timing, Transcript,
    Word,
};
use lector_fuzz::Feed;
use serde_json::Value;

use super::*;

fn quad(feed: &mut Feed<'_>) -> Quad {
    // The runtime accepts any finite number.
    let mut number = || Some(feed.float()).filter(|number| number.is_finite()).unwrap_or(1.0);
    let mut point = || Point { x: number(), y: number() };
    Quad([point(), point(), point(), point()])
}

fn transcript(feed: &mut Feed<'_>) -> Transcript {
    let confidence = |feed: &mut Feed<'_>| f32::from(feed.byte()) / 255.0;
    let lines: Vec<Line> = feed.list(6, |feed| Line {
        words: feed.list(4, |feed| Word {
            text: feed.text(20),
            confidence: confidence(feed),
            quad: quad(feed),
        }),
        block_id: u32::from(feed.byte()),
        ..Line::new(feed.text(80), confidence(feed), quad(feed))
    });
    let findings = feed.list(3, |feed| Finding {
        value: Some(feed.text(10)),
        ..Finding::new(feed.text(10), feed.text(10), 0, quad(feed))
    });
    Transcript {
        findings: if lines.is_empty() { Vec::new() } else { findings },
        lines,
        blocks: feed.list(2, block),
        warnings: feed.list(2, |feed| feed.text(20)),
        properties: Some(feed.text(20)),
        ..Transcript::blank(Size { width: 100, height: u32::from_le_bytes(feed.bytes()) }, 72.0)
    }
}

fn block(feed: &mut Feed<'_>) -> Block {
    let cell = Cell {
        row: 0,
        column: u32::from(feed.byte()) % 4,
        row_span: 1,
        column_span: 1,
        header: false,
        quad: quad(feed),
        text: feed.text(20),
        lines: Vec::new(),
    };
    Block {
        id: 0,
        kind: BlockKind::Other { name: feed.text(10) },
        quad: quad(feed),
        confidence: 0.5,
        table: Some(Table { rows: 1, columns: 4, cells: vec![cell] }),
        properties: Some(feed.text(20)),
    }
}

fn result(feed: &mut Feed<'_>) -> DocumentResult {
    let name = Some(feed.text(40));
    let pages: Vec<PageResult> = feed.list(4, |feed| {
        let outcome = if feed.byte() > 60 {
            Ok(Arc::new(transcript(feed)))
        } else {
            Err(Fault::new(Kind::GuestFault, "guest_trapped", feed.text(40)))
        };
        PageResult { index: u32::from(feed.byte()), outcome, timing: Timing::default() }
    });
    let (ok, failed): (Vec<_>, Vec<_>) = pages.iter().partition(|page| page.outcome.is_ok());
    let (pages_ok, pages_failed) = (ok.len() as u32, failed.len() as u32);
    DocumentResult {
        request: "r".into(),
        deployment: "d".into(),
        name,
        content_type: "application/pdf",
        page_count: 300,
        pages,
        summary: (feed.byte() > 60)
            .then(|| Arc::new(Summary { text: feed.text(40), properties: Some(feed.text(40)) })),
        summary_fault: None,
        pages_ok,
        pages_failed,
        total: Duration::ZERO,
    }
}

fn json_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// JSON and NDJSON parse as JSON, and hOCR and ALTO as XML, with the correct number of pages and lines. The pieces of
/// every format are equal to the whole.
#[test]
fn fuzz_formats() {
    let plain: Vec<u8> = (0..3)
        .flat_map(|_| {
            [&[3, 0, 200, 4, 0][..], b"text", &[5, 0, b'a', b'&', b'<', b'"', b'-', 9], &[200; 60]].concat()
        })
        .collect();
    let seeds = [plain.repeat(4), vec![2; 300], (0..=255).cycle().take(2000).collect()];
    let words: [&[u8]; 10] = [
        b"&",
        b"<",
        b"-->",
        b"]]>",
        b"\"",
        b"\0",
        b"\x1b",
        "\u{fffe}".as_bytes(),
        "\u{ffff}".as_bytes(),
        "\u{85}".as_bytes(),
    ];
    lector_fuzz::target("formats", &seeds, &words, |input| {
        let result = result(&mut Feed::new(input));
        let text_of =
            |name: &str| String::from_utf8(document(by_name(name).unwrap(), &result).unwrap()).unwrap();
        let json = json_value(&text_of("json"));
        assert_eq!(json["pages"].as_array().unwrap().len(), result.pages.len());
        for line in text_of("ndjson").lines() {
            serde_json::from_str::<Value>(line).unwrap();
        }
        let options = || roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let hocr = text_of("hocr");
        let tree = roxmltree::Document::parse_with_options(&hocr, options()).unwrap();
        let of_class =
            |class: &str| tree.descendants().filter(|node| node.attribute("class") == Some(class)).count();
        let lines: usize = result.transcripts().map(|(_, page)| page.lines.len()).sum();
        let cells = result.transcripts().flat_map(|(_, page)| &page.blocks).filter_map(|b| b.table.as_ref());
        let cells = cells.flat_map(|table| &table.cells).filter(|cell| !cell.text.trim().is_empty()).count();
        assert_eq!((of_class("ocr_page"), of_class("ocr_line")), (result.pages_ok as usize, lines + cells));
        let alto = text_of("alto");
        roxmltree::Document::parse_with_options(&alto, options()).unwrap();
        for page in page_texts(&result) {
            assert!(page.words.iter().all(|word| !word.text.trim().is_empty()));
        }
        // PAGE XML holds one page; a workbook has the time; a PDF is composed.
        for format in
            all().iter().filter(|format| !["page-xml", "xlsx", "pdf", "pdf-a"].contains(&format.info().name))
        {
            let pieces =
                Pieces::new(*format, Box::new(result.clone())).flat_map(|piece| piece.unwrap().bytes);
            let pieces = String::from_utf8(pieces.collect()).unwrap();
            let whole = text_of(format.info().name);
            match format.info().name {
                // Compared as values: one of them is indented.
                "json" => assert_eq!(json_value(&pieces), json_value(&whole)),
                _ => assert_eq!(pieces, whole),
            }
        }
        let text = text_of("text");
        (result.pages_ok, lines.min(8), text.is_empty(), text_of("markdown").lines().count().min(20))
    });
}
