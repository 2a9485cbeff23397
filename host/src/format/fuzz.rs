//! Answers in every format, whatever text a guest read and whatever a client calls its file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use lector_control::Held;
use lector_core::{Finding, Line, Origin, Point, Quad, Size, Summary, Timing, Transcript, Turn, Word};
use lector_fuzz::Feed;
use serde_json::Value;

use super::*;

fn quad(feed: &mut Feed<'_>) -> Quad {
    // What the runtime lets through: any finite number.
    let mut number = || Some(feed.float()).filter(|number| number.is_finite()).unwrap_or(1.0);
    let mut point = || Point { x: number(), y: number() };
    Quad([point(), point(), point(), point()])
}

fn transcript(feed: &mut Feed<'_>) -> Transcript {
    let confidence = |feed: &mut Feed<'_>| f32::from(feed.byte()) / 255.0;
    let lines: Vec<Line> = feed.list(6, |feed| Line {
        text: feed.text(80),
        confidence: confidence(feed),
        quad: quad(feed),
        words: feed.list(4, |feed| Word {
            text: feed.text(20),
            confidence: confidence(feed),
            quad: quad(feed),
        }),
        origin: Origin::Ocr,
        block: u32::from(feed.byte()),
    });
    let findings =
        feed.list(3, |feed| Finding { kind: feed.text(10), text: feed.text(10), line: 0, quad: quad(feed) });
    Transcript {
        size: Size { width: 100, height: u32::from_le_bytes(feed.bytes()) },
        dpi: 72.0,
        turn: Turn::None,
        findings: if lines.is_empty() { Vec::new() } else { findings },
        lines,
        warnings: feed.list(2, |feed| feed.text(20)),
    }
}

fn result(feed: &mut Feed<'_>) -> DocumentResult {
    let name = Some(feed.text(40));
    let pages: Vec<PageResult> = feed.list(4, |feed| {
        let outcome = if feed.byte() > 60 {
            Ok(Arc::new(Held::from(transcript(feed))))
        } else {
            Err(Fault::new(Kind::GuestFault, "guest_error_failed", feed.text(40)))
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
            .then(|| Arc::new(Held::from(Summary { text: feed.text(40), extra: Some(feed.text(40)) }))),
        summary_fault: None,
        pages_ok,
        pages_failed,
        total: Duration::ZERO,
    }
}

fn json_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// JSON and its lines read as JSON, hOCR as XML, with as many pages and lines as there are; piece by piece every format
/// is the same.
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
        let json = json_value(&document(Format::Json, &result));
        assert_eq!(json["pages"].as_array().unwrap().len(), result.pages.len());
        for line in document(Format::Ndjson, &result).lines() {
            serde_json::from_str::<Value>(line).unwrap();
        }
        let hocr = document(Format::Hocr, &result);
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let tree = roxmltree::Document::parse_with_options(&hocr, options).unwrap();
        let of_class =
            |class: &str| tree.descendants().filter(|node| node.attribute("class") == Some(class)).count();
        let lines: usize = result.transcripts().map(|(_, page)| page.lines.len()).sum();
        assert_eq!((of_class("ocr_page"), of_class("ocr_line")), (result.pages_ok as usize, lines));
        for format in Format::ALL {
            let pieces: String =
                pieces::Pieces::new(format, Box::new(result.clone())).map(|piece| piece.bytes).collect();
            let whole = document(format, &result);
            match format {
                Format::Json => {
                    assert_eq!(pieces, format!("{}\n", serde_json::to_string(&json_value(&whole)).unwrap()))
                }
                _ => assert_eq!(pieces, whole),
            }
        }
        let text = document(Format::Text, &result);
        let markdown = document(Format::Markdown, &result);
        (result.pages_ok, lines.min(8), text.is_empty(), markdown.lines().count().min(20))
    });
}
