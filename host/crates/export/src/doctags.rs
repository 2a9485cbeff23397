//! DocTags, the markup of docling and of the models that write it: an element for each block, with its place on a grid of
//! 500 by 500, and tables in OTSL.
//!
//! docling-core reads it (`DoclingDocument.load_from_doctags`). The markup has no escapes: a `<` that could begin a tag is
//! followed by a space. Lines of code keep their breaks. Headers, footers and page numbers are elements of their own; the text
//! of a figure follows it, because the element holds nothing but its place and its caption. A failed page is a page without
//! elements.

use std::fmt::Write as _;
use std::io::Write;

use lector_core::{BlockKind, BlockView, Cell, DocumentView, Line, PageView, Point, Size, Table, Transcript};

use crate::captions::Captions;
use crate::code::code_lines;
use crate::grid::{Grid, Slot};
use crate::joined::{joined, joined_or_rows, spaced};
use crate::layout::{corners, edges};
use crate::list::{Marker, split};
use crate::xml::one_line;
use crate::{ExportError, Format, Info, Several, Writer};

static INFO: Info = Info {
    name: "doctags",
    about: "DocTags, the markup of docling",
    content_type: "text/plain; charset=utf-8",
    accepts: &[],
    extension: "doctags.txt",
    needs_words: false,
    streams: true,
    has_preface: false,
    reports_failures: false,
    several: Several::Never,
    composed: None,
};

/// Steps of the grid for places, in each direction.
const GRID: f32 = 500.0;
/// Deepest level of a heading.
const LEVEL_MAX: u8 = 6;

/// DocTags.
#[derive(Debug)]
pub(crate) struct DocTags;

impl Format for DocTags {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(DocTagsWriter::default())
    }
}

#[derive(Debug, Default)]
struct DocTagsWriter {
    any_page: bool,
}

impl Writer for DocTagsWriter {
    fn head(&mut self, _document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(out.write_all(b"<doctag>")?)
    }

    fn page(
        &mut self,
        _document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        if std::mem::replace(&mut self.any_page, true) {
            out.write_all(b"<page_break>\n")?;
        }
        match page.outcome {
            Ok(transcript) => Ok(out.write_all(of_page(transcript).as_bytes())?),
            Err(_) => Ok(()),
        }
    }

    fn tail(&mut self, _document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(out.write_all(b"</doctag>\n")?)
    }
}

/// The elements of a page.
struct Page {
    out: String,
    size: Size,
    /// The list that is open: its element.
    list: Option<&'static str>,
}

fn of_page(transcript: &Transcript) -> String {
    let mut page = Page { out: String::new(), size: transcript.size, list: None };
    let views = transcript.block_views();
    let captions = Captions::of(&views);
    for (at, view) in views.iter().enumerate().filter(|(at, _)| !captions.has(*at)) {
        page.block(view, captions.of_object(at).and_then(|own| views.get(own)));
    }
    page.end_list();
    page.out
}

impl Page {
    fn block(&mut self, view: &BlockView<'_>, caption: Option<&BlockView<'_>>) {
        let kind = view.block.map_or(&BlockKind::Text, |block| &block.kind);
        let points = corners(view);
        if *kind == BlockKind::ListItem {
            return self.list_item(&points, &joined(view));
        }
        self.end_list();
        let caption = caption.map(|own| self.caption(own)).unwrap_or_default();
        let table = view.block.and_then(|block| block.table.as_ref());
        match kind {
            BlockKind::Table if table.is_some() => {
                if let Some(table) = table {
                    let rows = otsl(table);
                    self.element("otsl", &points, &format!("{caption}{rows}"));
                }
                self.rest(&view.lines_outside_cells());
            }
            BlockKind::Figure => {
                self.element("picture", &points, &caption);
                self.rest(&view.lines);
            }
            BlockKind::Code => {
                let lines: Vec<String> = code_lines(view).iter().map(|line| plain(line)).collect();
                let text = lines.join("\n");
                self.text(
                    "code",
                    &points,
                    &format!("<_unknown_>{}", text.trim_end()),
                    !text.trim().is_empty(),
                );
            }
            kind => {
                // Of a table without a grid.
                self.out.push_str(&caption);
                let text = plain(&joined_or_rows(view));
                self.text(&tag(kind), &points, &text, !text.is_empty());
            }
        }
    }

    fn list_item(&mut self, points: &[Point], whole: &str) {
        if whole.is_empty() {
            return;
        }
        let (marker, text) = split(whole);
        let list = match marker {
            Marker::Bullet => "unordered_list",
            Marker::Number(_) => "ordered_list",
        };
        if self.list != Some(list) {
            self.end_list();
            let _ = write!(self.out, "<{list}>");
            self.list = Some(list);
        }
        self.element("list_item", points, &plain(text));
    }

    fn end_list(&mut self) {
        if let Some(list) = self.list.take() {
            let _ = writeln!(self.out, "</{list}>");
        }
    }

    /// Adds lines that belong to a table or figure and are in no cell.
    fn rest(&mut self, lines: &[(usize, &Line)]) {
        let points: Vec<Point> = lines.iter().flat_map(|(_, line)| line.quad.0).collect();
        let text = plain(&spaced(lines));
        self.text("text", &points, &text, !text.is_empty());
    }

    fn text(&mut self, tag: &str, points: &[Point], text: &str, any: bool) {
        if any {
            self.element(tag, points, text);
        }
    }

    /// Returns the caption of a table or a figure, for its element.
    fn caption(&self, view: &BlockView<'_>) -> String {
        match plain(&joined(view)) {
            text if text.is_empty() => String::new(),
            text => format!("<caption>{}{text}</caption>\n", self.place(&corners(view))),
        }
    }

    fn element(&mut self, tag: &str, points: &[Point], content: &str) {
        let place = self.place(points);
        let _ = writeln!(self.out, "<{tag}>{place}{content}</{tag}>");
    }

    /// Returns the left, top, right and bottom edge.
    fn place(&self, points: &[Point]) -> String {
        let step = |value: f32, extent: u32| {
            let at = (value / extent.max(1) as f32 * GRID).round();
            if at.is_finite() { at.clamp(0.0, GRID - 1.0) as u32 } else { 0 }
        };
        let Some([left, top, right, bottom]) = edges(points.iter().copied()) else { return String::new() };
        let Size { width, height } = self.size;
        format!(
            "<loc_{}><loc_{}><loc_{}><loc_{}>",
            step(left, width),
            step(top, height),
            step(right, width),
            step(bottom, height)
        )
    }
}

fn tag(kind: &BlockKind) -> String {
    let name = match kind {
        BlockKind::Title => "title",
        BlockKind::Heading { level } => {
            return format!("section_header_level_{}", (*level).clamp(1, LEVEL_MAX));
        }
        BlockKind::Caption => "caption",
        BlockKind::Formula => "formula",
        BlockKind::Footnote => "footnote",
        BlockKind::Header => "page_header",
        BlockKind::Footer | BlockKind::PageNumber => "page_footer",
        _ => "text",
    };
    name.to_owned()
}

/// Returns a table in OTSL: rows of tokens, each cell's text after its token; slots that a cell covers to the right, below or
/// both have tokens of their own.
fn otsl(table: &Table) -> String {
    let grid = Grid::of(table);
    let headers = grid.header_rows();
    let mut out = String::new();
    for row in 0..grid.rows {
        for column in 0..grid.columns {
            let _ = match grid.slot(row, column) {
                Slot::Cell(cell) => {
                    let token = match (cell.header, row < headers, cell.text.trim().is_empty()) {
                        (true, true, _) => "ched",
                        (true, false, _) => "rhed",
                        (false, _, false) => "fcel",
                        (false, _, true) => "ecel",
                    };
                    write!(out, "<{token}>{}", plain(&one_line(&cell.text)))
                }
                Slot::Covered(cell) => write!(out, "<{}>", covered(cell, row, column)),
                Slot::Empty => write!(out, "<ecel>"),
            };
        }
        out.push_str("<nl>");
    }
    out
}

/// Returns the token of a slot that a cell covers.
fn covered(cell: &Cell, row: u32, column: u32) -> &'static str {
    match (cell.row < row, cell.column < column) {
        (true, true) => "xcel",
        (true, false) => "ucel",
        (false, _) => "lcel",
    }
}

/// Returns a text in which no reader finds a tag.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        out.push(letter);
        let begins = |next: &char| next.is_ascii_alphabetic() || matches!(next, '/' | '_');
        if letter == '<' && letters.peek().is_some_and(begins) {
            out.push(' ');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::captions::tests::page;
    use crate::{by_name, document, sample};

    fn text(document_of: &lector_core::DocumentResult) -> String {
        String::from_utf8(document(by_name("doctags").unwrap(), document_of).unwrap()).unwrap()
    }

    #[test]
    fn every_page_has_its_elements_and_a_failed_one_none() {
        let tags = text(&sample::document());
        assert!(tags.starts_with("<doctag>") && tags.ends_with("</doctag>\n"), "{tags}");
        let pages: Vec<&str> = tags.split("<page_break>").collect();
        assert_eq!(pages.len(), sample::document().pages.len(), "{tags}");
        assert!(tags.contains("<title><loc_"), "{tags}");
        assert!(tags.contains("<section_header_level_"), "{tags}");
        assert!(tags.contains("<code><loc_") && tags.contains("<_unknown_>"), "{tags}");
        assert_eq!(tags.matches("<otsl>").count(), 2, "{tags}");
        let opened = tags.matches("ordered_list>").count();
        assert_eq!(opened % 2, 0, "each list is closed: {tags}");
    }

    #[test]
    fn spans_have_tokens_of_their_own() {
        let tags = text(&sample::document_of(vec![sample::every_kind()]));
        for token in ["<lcel>", "<ucel>", "<ched>", "<fcel>", "<nl>"] {
            assert!(tags.contains(token), "{token}: {tags}");
        }
    }

    #[test]
    fn no_text_is_a_tag() {
        assert_eq!(plain("a < b <text> </text> <_x_> 1<2"), "a < b < text> < /text> < _x_> 1<2");
        let tags = text(&sample::document_of(vec![sample::every_kind()]));
        assert!(tags.contains("Parts & < pieces>"), "{tags}");
    }

    #[test]
    fn a_caption_is_in_the_element_of_its_object() {
        let tags = of_page(&page(&["c1", "t", "c3", "t", "f", "c4"]));
        let parts: Vec<&str> = tags.split_inclusive("</otsl>\n").collect();
        for (part, at) in parts.iter().zip([0, 2]) {
            let caption = format!("text {at}</caption>\n<fcel>cell {}<nl></otsl>", at + 1);
            assert!(part.starts_with("<otsl>") && part.contains(&caption), "{tags}");
        }
        assert!(
            parts[2].starts_with("<picture>") && parts[2].ends_with("text 5</caption>\n</picture>\n"),
            "{tags}"
        );
    }

    /// With a look at all cells for each covered slot, this is 4e10 steps.
    #[test]
    fn a_table_of_many_wide_cells_takes_steps_by_its_slots() {
        let cell = |at: u32| Cell {
            row: 0,
            column: 2 * at,
            row_span: 1,
            column_span: 2,
            header: false,
            quad: lector_core::Quad::default(),
            text: String::new(),
            lines: Vec::new(),
        };
        let table = Table { rows: 1, columns: 600_000, cells: (0..300_000).map(cell).collect() };
        assert_eq!(otsl(&table).matches("<ecel><lcel>").count(), 300_000);
    }
}
