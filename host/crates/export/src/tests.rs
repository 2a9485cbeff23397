#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::sync::Arc;
use std::time::Duration;

use lector_core::{
    Block, BlockKind, Cell, Direction, Finding, Line, PageResult, Quad, Size, Table, Timing, Transcript, Word,
};
use proptest::prelude::*;
use pulldown_cmark::{Options, Parser};
use serde_json::{Value, json};

use super::*;
use crate::json::{FaultShape, Page};
use crate::sample::quad;

fn line(text: &str, block: u32) -> Line {
    Line { block_id: block, ..Line::new(text, 0.987_65, quad(10.06, 20.0, 100.0, 12.0)) }
}

fn result(lines: Vec<Line>) -> DocumentResult {
    of_page(Transcript { lines, ..Transcript::blank(Size { width: 200, height: 300 }, 150.0) })
}

/// Returns a document of three pages, of which the first was read, the second not selected and the third failed.
fn of_page(transcript: Transcript) -> DocumentResult {
    let fault = Fault::new(Kind::GuestFault, "guest_trapped", "It trapped -- twice.").with_detail("secret");
    let timing = Timing { total: Duration::from_micros(1_234_567), ..Timing::default() };
    let mut document = sample::document_of(vec![transcript]);
    document.pages[0].timing = timing.clone();
    document.pages.push(PageResult { index: 2, outcome: Err(fault), timing });
    DocumentResult { name: Some("a \"b\".pdf".to_owned()), page_count: 3, pages_failed: 1, ..document }
}

fn format(name: &str) -> &'static dyn Format {
    by_name(name).unwrap()
}

fn text_of<T: AsRef<Transcript>, S: AsRef<Summary>>(name: &str, result: &DocumentResult<T, S>) -> String {
    String::from_utf8(document(format(name), result).unwrap()).unwrap()
}

fn json_of(result: &DocumentResult) -> Value {
    serde_json::from_str(&text_of("json", result)).unwrap()
}

fn tree(xml: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    roxmltree::Document::parse_with_options(xml, options).unwrap_or_else(|error| panic!("{error}\n{xml}"))
}

/// Returns HTML as XML: what the format writes is both, but for void elements and the document type.
fn html_as_xml(html: &str) -> String {
    let head = html.replace("<!DOCTYPE html>", "").replace("<meta charset=\"utf-8\">", "");
    let at = head.find("<meta name=\"generator\"").unwrap();
    let end = at + head[at..].find('>').unwrap();
    format!("{}/{}", &head[..end], &head[end..])
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
    let value = json_of(&of_page(page));
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
    assert!(json!(FaultShape::from(&fault)).get("guest_code").is_none());
    fault.guest_code = Some("total_missing".into());
    assert_eq!(json!(FaultShape::from(&fault))["guest_code"], "total_missing");
}

#[test]
fn json_has_the_documented_shape_and_no_detail() {
    let mut first = line("Hello world", 0);
    first.words = vec![Word { text: "Hello".into(), confidence: 1.0, quad: quad(10.0, 20.0, 40.0, 12.0) }];
    let value = json_of(&result(vec![first]));
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

/// The bytes of a page, as they were before the shapes were structs.
#[test]
fn json_keeps_its_bytes() {
    let document = result(vec![line("x", 3)]);
    assert_eq!(
        json::compact(&Page::from(document.pages[0].view())),
        concat!(
            r#"{"page":1,"size":{"width":200,"height":300},"dpi":150.0,"rotation":0,"text":"x\n","#,
            r#""lines":[{"text":"x","confidence":0.9876,"quad":[[10.1,20.0],[110.1,20.0],[110.1,32.0],[10.1,32.0]],"#,
            r#""source":"ocr","block_id":3}],"timing_ms":{"total":1234.567,"start":0.0,"guest":0.0,"render":0.0,"#,
            r#""text_layer":0.0,"image":0.0,"queue":0.0,"inference":{}}}"#
        )
    );
}

#[test]
fn text_and_markdown() {
    let result = result(vec![line("# one-", 0), line("two *three*", 0), line("1. four", 1)]);
    assert_eq!(text_of("text", &result), "# one-\ntwo *three*\n\n1. four\n");
    assert_eq!(
        text_of("markdown", &result),
        "\\# one- two \\*three\\*\n\n1\\. four\n\n---\n\n*Page 3 was not read: It trapped -- twice.*\n"
    );
}

#[test]
fn text_is_the_summary_if_there_is_one() {
    let mut result = result(vec![line("x", 0)]);
    result.summary = Some(Arc::new(sample::summary()));
    assert_eq!(text_of("text", &result), "In short.\n");
    assert_eq!(json_of(&result)["properties"], json!({ "total": 1.5 }));
}

/// A tree of values would take many times the memory, and write another text.
#[test]
fn properties_are_written_as_the_guest_wrote_them_on_one_line() {
    let check = |properties: &str, expected: &str| {
        let mut page = Transcript::blank(Size { width: 1, height: 1 }, 72.0);
        page.properties = Some(properties.to_owned());
        let mut document = sample::document_of(vec![page]);
        document.summary =
            Some(Arc::new(Summary { text: String::new(), properties: Some(properties.to_owned()) }));
        for (format, count) in [("json", 2), ("ndjson", 2)] {
            let text = text_of(format, &document);
            assert_eq!(text.matches(expected).count(), count, "{format}: {text}");
            let texts: Vec<&str> = if format == "json" { vec![&text] } else { text.lines().collect() };
            texts.iter().for_each(|text| _ = serde_json::from_str::<Value>(text).unwrap());
        }
    };
    check(r#"{"b": 1.50,"a":[0 ,0]}"#, r#"{"b": 1.50,"a":[0 ,0]}"#);
    check("{\r\n\"a\": \"\\n\"\n}", "{  \"a\": \"\\n\" }");
    // Older servers may have stored others.
    check("{\"a\":1e999}", r#""{\"a\":1e999}""#);
    check("no JSON", r#""no JSON""#);
}

#[test]
fn a_time_to_retry_is_a_whole_number_of_seconds() {
    for (ms, expected) in [(0, "0"), (1, "1"), (1000, "1"), (1001, "2"), (60_000, "60")] {
        let fault =
            Fault::new(Kind::Busy, "server_overloaded", "full").retry_after(Duration::from_millis(ms));
        let shape = serde_json::to_value(crate::json::FaultShape::from(&fault)).unwrap();
        assert_eq!(shape["retry_after_s"].to_string(), expected, "{ms} ms");
    }
}

#[test]
fn text_parts_keep_inner_white_space_and_drop_trailing() {
    for (texts, expect) in
        [(&["a", "b"][..], "a\n\nb\n"), (&["", " ", "b", "\u{c}", ""], "\n\n \n\nb\n"), (&[" ", ""], "")]
    {
        let one = |text: &&str| result(vec![line(text, 0)]).pages.swap_remove(0);
        let mut whole = result(vec![]);
        whole.pages = texts.iter().map(one).collect();
        assert_eq!(text_of("text", &whole), expect, "{texts:?}");
    }
}

#[test]
fn ndjson_has_one_event_per_line() {
    let lines = text_of("ndjson", &result(vec![line("x", 0)]));
    let events: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["meta", "document", "page", "page_error", "document_end", "end"]);
    assert_eq!(events[1]["document"], 0);
    assert_eq!(events[1]["pages"].as_array().unwrap().len(), 2);
    assert_eq!(events[4]["pages_failed"], 1);
}

#[test]
fn hocr_is_well_formed_and_escaped() {
    let mut first = line("a < b", 0);
    first.words = vec![
        Word { text: "a".into(), confidence: 0.5, quad: quad(-3.0, 20.0, 10.0, 12.0) },
        Word { text: "<".into(), confidence: 1.5, quad: quad(20.0, 20.2, 10.0, 12.0) },
    ];
    let hocr = text_of("hocr", &result(vec![first, line("c & d\u{1}", 1)]));
    for part in [
        "<div class=\"ocr_page\" id=\"page_1\" title=\"image &quot;a _b_.pdf&quot;; bbox 0 0 200 300; ppageno 0; scan_res 150 150\">",
        "title=\"bbox 0 20 7 32; x_wconf 50\">a</span> <span",
        "x_wconf 100\">&lt;</span>",
        "<p class=\"ocr_par\" id=\"par_1_1\" title=\"bbox 10 20 111 32\">",
        "<span class=\"ocr_line\" id=\"line_1_2\" title=\"bbox 10 20 111 32; baseline 0.000 0; x_wconf 99\">",
        // A line without words is one word.
        "<span class=\"ocrx_word\" id=\"word_1_2_1\" title=\"bbox 10 20 111 32; x_wconf 99\">c &amp; d</span>",
        "It trapped &#45;&#45; twice",
    ] {
        assert!(hocr.contains(part), "no {part}: {hocr}");
    }
}

/// The hierarchy of hOCR 1.2, which OCRmyPDF 17 demands.
#[test]
fn hocr_has_the_hierarchy_of_the_specification() {
    let hocr = text_of("hocr", &sample::document());
    let tree = tree(&hocr);
    let mut words = 0;
    for node in tree.descendants() {
        let parent = node.parent_element().and_then(|parent| parent.attribute("class"));
        match node.attribute("class") {
            Some("ocr_carea" | "ocr_photo") => assert_eq!(parent, Some("ocr_page")),
            Some("ocr_par") => assert_eq!(parent, Some("ocr_carea")),
            Some("ocr_line" | "ocr_header" | "ocr_footer" | "ocr_caption") => {
                assert_eq!(parent, Some("ocr_par"))
            }
            Some("ocrx_word") => {
                words += 1;
                assert!(parent.unwrap().starts_with("ocr_"));
                assert!(!node.text().unwrap().trim().is_empty());
            }
            _ => {}
        }
    }
    assert!(words > 40, "{words}");
    for part in ["; textangle 90.0;", "baseline 0.100 -10;", "dir=\"rtl\"", "ocr_photo", "ocr_header"] {
        assert!(hocr.contains(part), "no {part}: {hocr}");
    }
    let mut ids: Vec<&str> = tree.descendants().filter_map(|node| node.attribute("id")).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "every id is unique");
}

#[test]
fn xml_formats_are_well_formed_with_every_text() {
    let one = sample::document_of(vec![sample::every_kind()]);
    for (name, document, element) in [("alto", sample::document(), "String"), ("page-xml", one, "Word")] {
        let xml = text_of(name, &document);
        let tree = tree(&xml);
        let count = tree
            .descendants()
            .filter(|node| node.has_tag_name(element) || node.tag_name().name() == element)
            .count();
        assert!(count > 40, "{name}: {count} words");
        for text in ["stars", "=1+2", "-3.5", "outside", "&lt;pieces&gt;", "]]&gt;", "עולם", "d &amp; e"]
        {
            assert!(xml.contains(text), "{name} has no {text}");
        }
    }
}

#[test]
fn page_xml_holds_one_page() {
    let error = document(format("page-xml"), &sample::document()).unwrap_err();
    let fault = Fault::from(error);
    assert_eq!((fault.code, fault.kind), ("format_one_page", Kind::Invalid));
    assert!(fault.message.contains("4 pages"), "{}", fault.message);
}

#[test]
fn tsv_has_the_columns_of_tesseract() {
    let tsv = text_of("tsv", &result(vec![line("a\tb", 0), line(" ", 0)]));
    assert_eq!(
        tsv,
        "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n\
         1\t1\t0\t0\t0\t0\t0\t0\t200\t300\t-1\t\n\
         2\t1\t1\t0\t0\t0\t10\t20\t101\t12\t-1\t\n\
         3\t1\t1\t1\t0\t0\t10\t20\t101\t12\t-1\t\n\
         4\t1\t1\t1\t1\t0\t10\t20\t101\t12\t-1\t\n\
         5\t1\t1\t1\t1\t1\t10\t20\t101\t12\t98.76\ta b\n\
         4\t1\t1\t1\t2\t0\t10\t20\t101\t12\t-1\t\n"
    );
    for row in text_of("tsv", &sample::document()).lines() {
        assert_eq!(row.split('\t').count(), 12, "{row}");
    }
}

#[test]
fn csv_has_the_tables() {
    assert_eq!(
        text_of("csv", &sample::document()),
        "Name,Sum | total\r\nAda,'=1+2\r\n,-3.5\r\n\r\nSpans all,,\r\nRow,b,c\r\n,d & e,\r\n"
    );
}

#[test]
fn xlsx_is_a_workbook_with_a_sheet_for_each_table() {
    for document in [sample::document(), result(vec![])] {
        let bytes = super::document(format("xlsx"), &document).unwrap();
        assert!(bytes.starts_with(b"PK\x03\x04"));
    }
}

#[test]
fn html_is_semantic_and_well_formed() {
    let html = text_of("html", &sample::document());
    tree(&html_as_xml(&html));
    for part in [
        "<h1>The whole of it</h1>",
        "<h2>1. Parts &amp; &lt;pieces&gt;</h2>",
        "<ul>\n<li>one thing</li>\n<li>another thing</li>\n</ul>\n<ol>\n<li value=\"3\">numbered</li>\n</ol>",
        "<figure>\n<figcaption>Figure 1: a picture</figcaption>\n</figure>",
        "<th scope=\"col\">Sum | total</th>",
        "<th scope=\"col\" colspan=\"3\">Spans all</th>",
        "<th scope=\"row\" rowspan=\"2\">Row</th>",
        "<td colspan=\"2\">d &amp; e</td>",
        "<p>outside</p>",
        "<pre><code>fn main() {\n    let a = `b`;\n}</code></pre>",
        "<p data-kind=\"seal &quot;x&quot;\">Sealed</p>",
        "<p dir=\"rtl\">שלום abc עולם</p>",
        "<aside role=\"doc-footnote\">1 A note at the foot.</aside>",
        "<header>Running title</header>",
        "<section id=\"page-5\" aria-label=\"Page 5\">\n<p role=\"note\">Page 5 was not read: It trapped -- twice &lt;b&gt;.</p>",
    ] {
        assert!(html.contains(part), "no {part}: {html}");
    }
}

#[test]
fn markdown_has_the_structure() {
    let markdown = text_of("markdown", &sample::document_of(vec![sample::every_kind()]));
    for part in [
        "# The whole of it\n",
        "## 1. Parts \\& \\<pieces\\>\n",
        "- one thing\n- another thing\n",
        "3. numbered\n",
        "| Name | Sum \\| total |\n| --- | --- |\n| Ada | =1+2 |\n|  | -3.5 |\n\noutside\n",
        "<th scope=\"col\" colspan=\"3\">Spans all</th>",
        "```\nfn main() {\n    let a = `b`;\n}\n```\n",
    ] {
        assert!(markdown.contains(part), "no {part}: {markdown}");
    }
    // Nothing shows that the header and the footer of a single page are repeated.
    for (text, count) in [("Running title\n", 1), ("Confidential\n", 1), ("\n7\n", 0)] {
        assert_eq!(markdown.matches(text).count(), count, "{text}");
    }
    let html = rendered(&markdown);
    for part in [
        "<h1>The whole of it</h1>",
        "<h2>1. Parts &amp; &lt;pieces&gt;</h2>",
        "<li>one thing</li>",
        "<ol start=\"3\">",
        "<th>Sum | total</th>",
        "<td>=1+2</td>",
        "<pre><code>fn main() {\n    let a = `b`;\n}\n</code></pre>",
        "<p>A first line with *stars* and a second line_of_it ]]&gt; end.</p>",
    ] {
        assert!(html.contains(part), "no {part}: {html}");
    }
}

fn rendered(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES;
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, Parser::new_ext(markdown, options));
    html
}

#[test]
fn formats_by_name_and_by_accept() {
    for format in all() {
        let info = format.info();
        assert_eq!(by_name(info.name).unwrap().info().name, info.name);
        for accepted in info.accepts {
            assert_eq!(by_accept([*accepted]).unwrap().info().name, info.name, "{accepted}");
        }
    }
    let fault = by_name("docx").unwrap_err();
    assert_eq!(fault.code, "unknown_format");
    assert!(fault.message.contains("markdown"));
    let check = |accept: &[&str], expect: &str| {
        let found =
            by_accept(accept.iter().copied()).map(|format| format.info().name).map_err(|fault| fault.code);
        assert_eq!(found.unwrap_or_else(|code| code), expect, "{accept:?}");
    };
    check(&[], "json");
    check(&["*/*"], "json");
    check(&["text/*"], "text");
    check(&["text/*;q=0.5, text/html"], "html");
    check(&["text/plain;q=0.5, text/*"], "markdown");
    check(&["text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8"], "html");
    check(&["image/png", "Text/CSV ; header=present ; q=0.3"], "csv");
    check(&["application/json;q=0, */*;q=0.1"], "text");
    check(&["image/png"], "not_acceptable");
    check(&[""], "not_acceptable");
    check(&["text/plain;q=no"], "not_acceptable");
}

#[test]
fn pieces_are_equal_to_the_whole_and_give_the_pages_back() {
    for format in all() {
        let info = format.info();
        if info.composed.is_some() {
            let error = super::document(*format, &sample::document()).unwrap_err();
            assert_eq!(Fault::from(error).code, "export_failed", "{}", info.name);
            continue;
        }
        let document = match info.name {
            "page-xml" => sample::document_of(vec![sample::every_kind()]),
            _ => sample::document(),
        };
        let pages_ok = document.pages_ok as usize;
        let whole = super::document(*format, &document).unwrap();
        let pieces = Pieces::new(*format, Box::new(document)).collect::<Result<Vec<_>, _>>().unwrap();
        let with_page = pieces.iter().filter(|piece| piece.page.is_some()).count();
        assert_eq!(with_page, if info.streams { pages_ok } else { 1 }, "{}", info.name);
        let bytes = pieces.into_iter().flat_map(|piece| piece.bytes).collect::<Vec<u8>>();
        match info.name {
            "json" => {
                let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
                assert_eq!(value(&bytes), value(&whole));
            }
            // Two archives, and two documents with the time, are not equal byte by byte.
            "xlsx" | "page-xml" => assert!(bytes.len().abs_diff(whole.len()) < 64),
            _ => assert_eq!(bytes, whole, "{}", info.name),
        }
    }
}

/// Text that tries to leave its place in a format.
fn hostile() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        Just("</p></body><script>alert(1)</script>".to_owned()),
        Just("]]>".to_owned()),
        Just("<!--".to_owned()),
        Just("-->".to_owned()),
        Just("\"'&amp;&#0;&".to_owned()),
        Just("\\ud800".to_owned()),
        Just("\u{fffd}\u{fffe}\u{ffff}\u{feff}".to_owned()),
        Just("\0\u{1}\u{b}\u{1b}[31m\u{85}\u{9f}".to_owned()),
        Just("\r\n\r\n# x\n\n---\n".to_owned()),
        Just("| a | b |\n|---|---|\n".to_owned()),
        Just("```".to_owned()),
        Just("![a](javascript:x)[b]: y".to_owned()),
        Just("\u{2028}\u{202e}אב\u{202c}".to_owned()),
        Just("=cmd|'/c calc'!A0".to_owned()),
        Just("\t".to_owned()),
        "\\PC{0,12}",
        any::<String>(),
    ];
    prop::collection::vec(parts, 0..4).prop_map(|parts| parts.concat())
}

fn block_kind() -> impl Strategy<Value = BlockKind> {
    prop_oneof![
        Just(BlockKind::Title),
        (0u8..9).prop_map(|level| BlockKind::Heading { level }),
        Just(BlockKind::Text),
        Just(BlockKind::ListItem),
        Just(BlockKind::Table),
        Just(BlockKind::Figure),
        Just(BlockKind::Caption),
        Just(BlockKind::Code),
        Just(BlockKind::Footnote),
        hostile().prop_map(|name| BlockKind::Other { name }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// No text breaks out of its place: the parsers find the structure of the model and nothing else.
    #[test]
    fn no_text_leaves_its_place(
        blocks in prop::collection::vec((block_kind(), hostile()), 1..6),
        cell in hostile(),
        name in hostile(),
    ) {
        let mut page = Transcript::blank(Size { width: 100, height: 100 }, 72.0);
        for ((kind, text), id) in blocks.into_iter().zip(0..) {
            page.lines.push(line(&text, id));
            let at = Cell {
                row: 0, column: 0, row_span: 1, column_span: 1, header: false, quad: Quad::default(),
                text: cell.clone(), lines: vec![],
            };
            let table = (kind == BlockKind::Table).then(|| Table { rows: 1, columns: 2, cells: vec![at] });
            page.blocks.push(Block { id, kind, quad: Quad::default(), confidence: 1.0, table, properties: None });
        }
        let document = DocumentResult { name: Some(name), ..sample::document_of(vec![page]) };
        for name in ["hocr", "alto", "page-xml"] {
            let xml = text_of(name, &document);
            let tree = tree(&xml);
            prop_assert!(!tree.descendants().any(|node| node.is_comment() || node.tag_name().name() == "script"));
        }
        let html = html_as_xml(&text_of("html", &document));
        let tree = tree(&html);
        prop_assert!(!tree.descendants().any(|node| node.tag_name().name() == "script"));
        let sections = tree.descendants().filter(|node| node.has_tag_name("section")).count();
        prop_assert_eq!(sections, 1);
        let tables = document.pages[0].view().outcome.unwrap().blocks.iter().filter(|b| b.table.is_some()).count();
        // Markdown: no image, no link, no rule, no HTML.
        let markdown = text_of("markdown", &document);
        let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES;
        let mut found = 0;
        for event in Parser::new_ext(&markdown, options) {
            use pulldown_cmark::{Event, Tag};
            match event {
                Event::Start(Tag::Image { .. } | Tag::Link { .. } | Tag::Emphasis | Tag::Strong | Tag::Strikethrough)
                | Event::Rule
                | Event::Html(_)
                | Event::InlineHtml(_)
                | Event::FootnoteReference(_) => {
                    return Err(TestCaseError::fail(format!("{event:?} in {markdown}")));
                }
                Event::Start(Tag::Table(_)) => found += 1,
                _ => {}
            }
        }
        prop_assert_eq!(found, tables, "{}", markdown);
        let json: Value = serde_json::from_str(&text_of("json", &document)).unwrap();
        prop_assert_eq!(json["pages"].as_array().unwrap().len(), 1);
        prop_assert_eq!(text_of("ndjson", &document).lines().count(), 5);
        for row in text_of("tsv", &document).split_terminator('\n') {
            prop_assert_eq!(row.split('\t').count(), 12);
            prop_assert!(!row.chars().any(|c| c.is_control() && c != '\t'));
        }
        // The first cell is no formula: what it begins with, without the quotation mark of CSV.
        let csv = text_of("csv", &document);
        let first = csv.strip_prefix('"').unwrap_or(&csv).chars().next();
        let is_number = cell.starts_with(['+', '-']) && cell.contains(|c: char| c.is_ascii_digit());
        let is_nil = !cell.contains(|c: char| c.is_alphanumeric() || "=+@\t\r(|".contains(c));
        prop_assert!(is_number || is_nil || !first.is_some_and(|c| "=+-@\t".contains(c)), "{csv:?}");
        super::document(format("xlsx"), &document).unwrap();
    }
}

#[test]
fn lines_are_joined_as_the_guest_states_it() {
    let lines = ["A docu-", "ment of two lines"];
    let mut page = Transcript::blank(Size { width: 200, height: 300 }, 150.0);
    for text in lines {
        page.lines.push(line(text, 0));
    }
    let block = |properties: Option<&str>| Block {
        id: 0,
        kind: BlockKind::Text,
        quad: Quad::default(),
        confidence: 1.0,
        table: None,
        properties: properties.map(str::to_owned),
    };
    for (properties, expected) in [
        (None, "A docu- ment of two lines"),
        (Some(r#"{"text":"A document of two lines"}"#), "A document of two lines"),
        // Another guest's own member of that name.
        (Some(r#"{"text":7}"#), "A docu- ment of two lines"),
    ] {
        page.blocks = vec![block(properties)];
        for view in page.block_views() {
            assert_eq!(crate::joined::joined(&view), expected, "{properties:?}");
            assert!(crate::markdown::of_block(&view).contains(expected), "{properties:?}");
        }
    }
}
