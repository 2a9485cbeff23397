//! A document with every kind of block, for the tests of the crate and for the check with independent readers.

use std::sync::Arc;
use std::time::Duration;

use lector_core::{
    Block, BlockKind, Cell, Direction, DocumentResult, Fault, Finding, Kind, Line, PageResult, Point, Quad,
    Size, Summary, Table, Timing, Transcript, Word,
};

/// Returns an upright box.
pub fn quad(x: f32, y: f32, width: f32, height: f32) -> Quad {
    let at = |x, y| Point { x, y };
    Quad([at(x, y), at(x + width, y), at(x + width, y + height), at(x, y + height)])
}

/// Builds a page from the top down.
struct Sheet {
    page: Transcript,
    y: f32,
}

impl Sheet {
    fn block(&mut self, kind: BlockKind, lines: &[&str]) -> &mut Block {
        let id = self.page.blocks.len() as u32;
        let top = self.y;
        for text in lines {
            let width = 9.0 * text.chars().count() as f32;
            let mut x = 100.0;
            let words = text.split_whitespace().map(|word| {
                let own = 9.0 * word.chars().count() as f32;
                let quad = quad(x, self.y, own, 20.0);
                x += own + 9.0;
                Word { text: word.to_owned(), confidence: 0.9, quad }
            });
            let words = words.collect();
            let line = Line::new(*text, 0.95, quad(100.0, self.y, width, 20.0));
            self.page.lines.push(Line { block_id: id, words, ..line });
            self.y += 24.0;
        }
        let height = (self.y - top).max(24.0);
        if lines.is_empty() {
            self.y += height;
        }
        self.y += 10.0;
        let (quad, confidence) = (quad(100.0, top, 700.0, height), 0.8);
        self.page.blocks.push(Block { id, kind, quad, confidence, table: None, properties: None });
        // The block was pushed above.
        let last = self.page.blocks.len() - 1;
        &mut self.page.blocks[last]
    }
}

/// Returns a cell of a table whose upper edge is at `top`.
fn cell(top: f32, place: (u32, u32), span: (u32, u32), header: bool, text: &str, lines: Vec<u32>) -> Cell {
    let quad = quad(100.0 + 100.0 * place.1 as f32, top + 24.0 * place.0 as f32, 100.0, 20.0);
    let (row, column, row_span, column_span) = (place.0, place.1, span.0, span.1);
    Cell { row, column, row_span, column_span, header, quad, text: text.to_owned(), lines }
}

/// Returns a page with every kind of block.
pub fn every_kind() -> Transcript {
    let page = Transcript::blank(Size { width: 900, height: 1400 }, 150.0);
    let mut sheet = Sheet { page, y: 40.0 };
    sheet.block(BlockKind::Header, &["Running title"]);
    sheet.block(BlockKind::Title, &["The whole of it"]);
    sheet.block(BlockKind::Heading { level: 2 }, &["1. Parts & <pieces>"]);
    sheet.block(BlockKind::Text, &["A first line with *stars* and", "a second line_of_it ]]> end."]);
    sheet.block(BlockKind::ListItem, &["• one thing"]);
    sheet.block(BlockKind::ListItem, &["• another thing"]);
    sheet.block(BlockKind::ListItem, &["3. numbered"]);
    sheet.block(BlockKind::Figure, &[]);
    sheet.block(BlockKind::Caption, &["Figure 1: a picture"]);
    let first = sheet.page.lines.len() as u32;
    let table = sheet.block(BlockKind::Table, &["Name Sum", "Ada =1+2", "outside"]);
    let top = table.quad.0[0].y;
    table.table = Some(Table {
        rows: 3,
        columns: 2,
        cells: vec![
            cell(top, (0, 0), (1, 1), true, "Name", vec![first]),
            cell(top, (0, 1), (1, 1), true, "Sum | total", vec![]),
            cell(top, (1, 0), (1, 1), false, "Ada", vec![first + 1]),
            cell(top, (1, 1), (1, 1), false, "=1+2", vec![]),
            cell(top, (2, 1), (1, 1), false, "-3.5", vec![]),
        ],
    });
    let table = sheet.block(BlockKind::Table, &[]);
    let top = table.quad.0[0].y;
    table.table = Some(Table {
        rows: 3,
        columns: 3,
        cells: vec![
            cell(top, (0, 0), (1, 3), true, "Spans all", vec![]),
            cell(top, (1, 0), (2, 1), true, "Row", vec![]),
            cell(top, (1, 1), (1, 1), false, "b", vec![]),
            cell(top, (1, 2), (1, 1), false, "c", vec![]),
            cell(top, (2, 1), (1, 2), false, "d & e", vec![]),
        ],
    });
    // The rows below the first one.
    sheet.y += 48.0;
    sheet.block(BlockKind::Formula, &["E = mc²"]);
    sheet.block(BlockKind::Code, &["fn main() {", "    let a = `b`;", "}"]);
    sheet.block(BlockKind::FormField, &["Surname: Lovelace"]);
    sheet.block(BlockKind::Stamp, &["PAID"]).properties = Some(r#"{"ink":"red"}"#.into());
    sheet.block(BlockKind::Other { name: "seal \"x\"".into() }, &["Sealed"]);
    sheet.block(BlockKind::Text, &["שלום abc עולם"]);
    if let Some(line) = sheet.page.lines.last_mut() {
        line.direction = Direction::Rtl;
    }
    sheet.block(BlockKind::Footnote, &["1 A note at the foot."]);
    sheet.block(BlockKind::Footer, &["Confidential"]);
    sheet.block(BlockKind::PageNumber, &["7"]);
    let mut page = sheet.page;
    page.findings = vec![Finding::new("total", "12.50", 0, quad(1.0, 2.0, 3.0, 4.0))];
    page.warnings = vec!["The resolution was lowered.".into()];
    page.properties = Some(r#"{"language":"en"}"#.into());
    page
}

/// Returns a page with lines only: without blocks, without words, tilted, upright on its side, with control characters.
pub fn lines_only() -> Transcript {
    let mut page = Transcript::blank(Size { width: 400, height: 300 }, 72.0);
    let at = |x, y| Point { x, y };
    let tilted = Quad([at(10.0, 20.0), at(110.0, 30.0), at(109.0, 42.0), at(9.0, 32.0)]);
    let on_its_side = Quad([at(300.0, 200.0), at(300.0, 100.0), at(320.0, 100.0), at(320.0, 200.0)]);
    page.lines = vec![
        Line::new("# a tilted line\u{1}\u{b}\u{fffe} & more", 0.5, tilted),
        Line { block_id: 1, ..Line::new("on its side", 1.5, on_its_side) },
        Line { block_id: 1, ..Line::new("  ", 0.1, quad(-5.0, 5.0, 20.0, 10.0)) },
    ];
    page
}

/// Returns a document of `transcripts`.
pub fn document_of(transcripts: Vec<Transcript>) -> DocumentResult {
    let pages = transcripts.into_iter().zip(0..).map(|(page, index)| PageResult {
        index,
        outcome: Ok(Arc::new(page)),
        timing: Timing { total: Duration::from_millis(120), ..Timing::default() },
    });
    let pages: Vec<PageResult> = pages.collect();
    let pages_ok = pages.len() as u32;
    DocumentResult {
        request: "r1".into(),
        deployment: "standard".into(),
        name: Some("a <\"sample\">; 1.pdf".to_owned()),
        content_type: "application/pdf",
        page_count: pages_ok,
        pages,
        summary: None,
        summary_fault: None,
        pages_ok,
        pages_failed: 0,
        total: Duration::from_secs(1),
    }
}

/// Returns a document with every kind of block, a page with lines only, an empty page and a failed page.
pub fn document() -> DocumentResult {
    let empty = Transcript::blank(Size { width: 100, height: 100 }, 100.0);
    let mut document = document_of(vec![every_kind(), lines_only(), empty]);
    let fault = Fault::new(Kind::GuestFault, "guest_trapped", "It trapped -- twice <b>.");
    document.pages.push(PageResult { index: 4, outcome: Err(fault), timing: Timing::default() });
    document.page_count = 5;
    document.pages_failed = 1;
    document.summary_fault = Some(Fault::new(Kind::GuestFault, "guest_error_failed", "No summary."));
    document
}

/// Returns the summary of a guest.
#[allow(dead_code, reason = "the example does not use it")]
pub fn summary() -> Summary {
    Summary { text: "In short.".into(), properties: Some(r#"{"total":1.5}"#.into()) }
}
