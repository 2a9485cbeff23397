#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::sync::Arc;
use std::time::Duration;

use lector_control::Held;
use lector_core::{
    Block, BlockKind, Cell, Direction, Finding, Line, Point, Quad, Size, Table, Timing, Transcript, Word,
};
use lector_serving::{Collected, Collector, Event};
use serde_json::json;

use super::*;

fn quad(x: f32, y: f32, width: f32, height: f32) -> Quad {
    let at = |x, y| Point { x, y };
    Quad([at(x, y), at(x + width, y), at(x + width, y + height), at(x, y + height)])
}

fn line(text: &str, block: u32) -> Line {
    Line { block_id: block, ..Line::new(text, 0.987_65, quad(10.06, 20.0, 100.0, 12.0)) }
}

fn result(lines: Vec<Line>) -> DocumentResult {
    of_page(Transcript { lines, ..Transcript::blank(Size { width: 200, height: 300 }, 150.0) })
}

fn of_page(transcript: Transcript) -> DocumentResult {
    let fault = Fault::new(Kind::GuestFault, "guest_trapped", "It trapped -- twice.").with_detail("secret");
    let timing = Timing { total: Duration::from_micros(1_234_567), ..Timing::default() };
    let event = |event, collector: Collector| match collector.take(event) {
        Collected::More(collector) => collector,
        other => panic!("{other:?}"),
    };
    let collector = Collector::new("r1".into(), "standard".into(), Some("a \"b\".pdf".to_owned()));
    let opened = Event::Opened { content_type: "application/pdf", page_count: 3, selected: vec![0, 2] };
    let collector = event(opened, collector);
    // Events arrive in completion order; the result is in page order.
    let collector = event(Event::PageError { index: 2, fault, timing: timing.clone() }, collector);
    let collector =
        event(Event::Page { index: 0, transcript: Arc::new(Held::from(transcript)), timing }, collector);
    let end = Event::End {
        summary: None,
        summary_fault: None,
        pages_ok: 1,
        pages_failed: 1,
        total: Duration::from_secs(2),
    };
    match collector.take(end) {
        Collected::Done(result) => *result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn json_includes_blocks_findings_and_properties() {
    let area = quad(1.0, 2.0, 3.0, 4.0);
    let cell = Cell {
        row: 0,
        column: 1,
        row_span: 1,
        column_span: 2,
        header: true,
        quad: area,
        text: "head".into(),
        lines: vec![0],
    };
    let block = |id, kind, table| Block { id, kind, quad: area, confidence: 0.5, table, properties: None };
    let table = Table { rows: 2, columns: 3, cells: vec![cell] };
    let mut page = Transcript::blank(Size { width: 200, height: 300 }, 150.0);
    page.lines = vec![Line { direction: Direction::Rtl, ..line("head", 7) }];
    page.blocks = vec![
        block(0, BlockKind::Heading { level: 2 }, None),
        block(7, BlockKind::Table, Some(table)),
        Block {
            properties: Some(r#"{"stamped":true}"#.into()),
            ..block(8, BlockKind::Other { name: "seal".into() }, None)
        },
    ];
    page.findings = vec![Finding {
        value: Some("2026-11-29".into()),
        confidence: 0.25,
        ..Finding::new("date", "29 Nov", 0, area)
    }];
    page.properties = Some(r#"{"total":12.5}"#.into());
    let value = serde_json::to_value(json::Document(&of_page(page))).unwrap();
    let page = &value["pages"][0];
    assert_eq!(page["lines"][0]["direction"], "rtl");
    let corners = json!([[1.0, 2.0], [4.0, 2.0], [4.0, 6.0], [1.0, 6.0]]);
    let cell = json!({
        "row": 0, "column": 1, "row_span": 1, "column_span": 2, "header": true, "quad": corners, "text": "head",
        "lines": [0],
    });
    assert_eq!(
        page["blocks"],
        json!([
            { "id": 0, "kind": "heading", "level": 2, "quad": corners, "confidence": 0.5 },
            {
                "id": 7, "kind": "table", "quad": corners, "confidence": 0.5,
                "table": { "rows": 2, "columns": 3, "cells": [cell] },
            },
            {
                "id": 8, "kind": "other", "name": "seal", "quad": corners, "confidence": 0.5,
                "properties": { "stamped": true },
            },
        ])
    );
    let finding = json!({
        "kind": "date", "text": "29 Nov", "value": "2026-11-29", "confidence": 0.25, "lines": [0], "quad": corners,
    });
    assert_eq!(page["findings"], json!([finding]));
    assert_eq!(page["properties"], json!({ "total": 12.5 }));
}

#[test]
fn json_includes_the_guest_code() {
    let mut fault = Fault::new(Kind::GuestFault, "guest_error_failed", "No total.");
    assert!(json::fault(&fault).get("guest_code").is_none());
    fault.guest_code = Some("total_missing".into());
    assert_eq!(json::fault(&fault)["guest_code"], "total_missing");
}

#[test]
fn json_has_the_documented_shape_and_no_detail() {
    let mut first = line("Hello world", 0);
    first.words = vec![Word { text: "Hello".into(), confidence: 1.0, quad: quad(10.0, 20.0, 40.0, 12.0) }];
    let value = serde_json::to_value(json::Document(&result(vec![first]))).unwrap();
    let page = &value["pages"][0];
    assert_eq!(page["page"], 1);
    assert_eq!(page["size"], json!({ "width": 200, "height": 300 }));
    assert_eq!(page["lines"][0]["confidence"], json!(0.9876));
    assert_eq!(page["lines"][0]["quad"][0], json!([10.1, 20.0]));
    assert_eq!(page["lines"][0]["words"][0]["text"], "Hello");
    assert_eq!(page["lines"][0]["source"], "ocr");
    assert_eq!(page["lines"][0]["block_id"], 0);
    assert!(page["lines"][0].get("direction").is_none());
    assert_eq!(page["timing_ms"]["total"], json!(1234.567));
    assert!(page.get("findings").is_none());
    assert_eq!(value["pages"][1]["page"], 3);
    assert_eq!(value["pages"][1]["error"]["code"], "guest_trapped");
    assert!(!value.to_string().contains("secret"));
    assert_eq!(value["page_count"], 3);
}

#[test]
fn text_and_markdown() {
    let result = result(vec![line("# one-", 0), line("two *three*", 0), line("1. four", 1)]);
    assert_eq!(document(Format::Text, &result), "# one-\ntwo *three*\n\n1. four\n");
    let markdown = document(Format::Markdown, &result);
    assert_eq!(
        markdown,
        "\\# one- two \\*three\\*\n\n1\\. four\n\n---\n\n*Page 3 was not read: It trapped -- twice.*\n"
    );
}

#[test]
fn hocr_is_well_formed_and_escaped() {
    let mut first = line("a < b", 0);
    first.words = vec![
        Word { text: "a".into(), confidence: 0.5, quad: quad(-3.0, 20.0, 10.0, 12.0) },
        Word { text: "<".into(), confidence: 1.5, quad: quad(20.0, 20.2, 10.0, 12.0) },
    ];
    let hocr = document(Format::Hocr, &result(vec![first, line("c & d\u{1}", 1)]));
    assert!(hocr.contains("<div class=\"ocr_page\" id=\"page_1\" title=\"image &quot;a _b_.pdf&quot;; bbox 0 0 200 300; ppageno 0; scan_res 150 150\">"), "{hocr}");
    assert!(hocr.contains("title=\"bbox 0 20 7 32; x_wconf 50\">a</span> <span"), "{hocr}");
    assert!(hocr.contains("x_wconf 100\">&lt;</span>"), "{hocr}");
    assert!(hocr.contains(">c &amp; d </span>"), "{hocr}");
    assert!(hocr.contains("title=\"bbox 10 20 111 32\">"), "{hocr}");
    assert!(hocr.contains("It trapped &#45;&#45; twice"), "{hocr}");
    assert_eq!(hocr.matches("<div").count(), hocr.matches("</div>").count());
    assert_eq!(hocr.matches("<span").count(), hocr.matches("</span>").count());
}

#[test]
fn ndjson_has_one_event_per_line() {
    let lines = document(Format::Ndjson, &result(vec![line("x", 0)]));
    let events: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["meta", "document", "page", "page_error", "document_end", "end"]);
    assert_eq!(events[1]["document"], 0);
    assert_eq!(events[1]["pages"].as_array().unwrap().len(), 2);
    assert_eq!(events[4]["pages_failed"], 1);
}

#[test]
fn formats_by_name() {
    for format in Format::ALL {
        assert_eq!(Format::parse(format.name()).unwrap(), format);
    }
    let fault = Format::parse("docx").unwrap_err();
    assert_eq!(fault.code, "unknown_format");
    assert!(fault.message.contains("markdown"));
}

#[test]
fn text_parts_keep_inner_white_space_and_drop_trailing() {
    for (texts, expect) in
        [(&["a", "b"][..], "a\n\nb\n"), (&["", " ", "b", "\u{c}", ""], "\n\n \n\nb\n"), (&[" ", ""], "")]
    {
        let one = |text: &&str| result(vec![line(text, 0)]).pages.swap_remove(0);
        let mut whole = result(vec![]);
        whole.pages = texts.iter().map(one).collect();
        assert_eq!(document(Format::Text, &whole), expect, "{texts:?}");
    }
}

#[test]
fn a_result_over_the_memory_limit_is_rejected() {
    let collector = Collector::new("r1".into(), "standard".into(), None).at_most(100);
    let page = |bytes| {
        let transcript = result(vec![]).pages.swap_remove(0).outcome.unwrap();
        let transcript = Arc::new(Held::with_bytes(Transcript::clone(&transcript), bytes));
        Event::Page { index: 0, transcript, timing: Timing::default() }
    };
    let Collected::More(collector) = collector.take(page(60)) else { panic!() };
    match collector.take(page(41)) {
        Collected::Failed(fault) => {
            assert_eq!((fault.code, fault.kind), ("document_result_too_large", Kind::TooLarge));
        }
        other => panic!("{other:?}"),
    }
}
