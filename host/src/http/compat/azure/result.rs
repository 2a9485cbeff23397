//! A document as Azure's clients read it.

use std::collections::BTreeMap;

use lector_core::{BlockKind, BlockView, Quad, Transcript};
use lector_export::parts::{self, LinePlace};
use serde_json::{Value, json};

use super::super::answer::{Array, with};
use super::super::reading::{Reading, confidence};
use super::spans::{Ruler, Span, Unit};
use crate::http::problem;

/// The text between two pages in Markdown.
const PAGE_BREAK: &str = "\n<!-- PageBreak -->\n\n";

/// Coordinates of a document: inches in a PDF, pixels in an image.
#[derive(Clone, Copy)]
struct Scale {
    in_inches: bool,
    dpi: f32,
}

impl Scale {
    fn length(self, pixels: f32) -> Value {
        let value = if self.in_inches { pixels / self.dpi.max(1.0) } else { pixels };
        let digits = if self.in_inches { 1e4 } else { 1.0 };
        let rounded = (f64::from(value) * digits).round() / digits;
        if self.in_inches { json!(rounded) } else { json!(rounded as i64) }
    }

    fn polygon(self, quad: &Quad) -> Value {
        quad.0.iter().flat_map(|point| [self.length(point.x), self.length(point.y)]).collect()
    }
}

/// Returns the JSON of the member `analyzeResult`. Its elements are written one by one: a value of a word takes ten times the
/// memory of its JSON.
pub(super) fn json(reading: &Reading, labels: &BTreeMap<String, String>) -> Vec<u8> {
    let label = |name: &str| labels.get(name).map(String::as_str).unwrap_or_default();
    let unit = Unit::parse(label("unit")).unwrap_or(Unit::TextElement);
    let (markdown, layout) = (label("format") == "markdown", label("model") != "prebuilt-read");
    let (mut content, mut units) = (String::new(), 0);
    let (mut pages, mut paragraphs, mut tables) = (Array::default(), Array::default(), Array::default());
    for (index, page) in reading.pages() {
        let separator = match (content.is_empty(), markdown) {
            (true, _) => "",
            (false, true) => PAGE_BREAK,
            (false, false) => "\n",
        };
        content.push_str(separator);
        units += unit.count(separator);
        let (text, places) = if markdown { parts::placed_markdown(page) } else { placed_text(page) };
        let scale = Scale { in_inches: reading.is_pdf(), dpi: page.dpi };
        let number = u64::from(index) + 1;
        let span = Span { offset: units, length: unit.count(&text) };
        let ruler = Ruler::new(&text, unit, units);
        let lines: Vec<Span> = places.iter().map(|place| ruler.span(&place.range)).collect();
        let words: Vec<Span> =
            places.iter().flat_map(|place| &place.words).map(|word| ruler.span(word)).collect();
        pages.push(&page_json(number, page, scale, span, &lines, &words));
        for view in page.block_views() {
            if let Some(paragraph) = paragraph(number, &view, scale, &lines) {
                paragraphs.push(&problem::bytes(&paragraph));
            }
            if let Some(table) = table(number, &view, scale, &lines).filter(|_| layout) {
                tables.push(&table);
            }
        }
        content.push_str(&text);
        units += span.length;
    }
    let about = json!({
        "apiVersion": label("api-version"),
        "modelId": label("model"),
        "stringIndexType": unit.name(),
        "contentFormat": if markdown { "markdown" } else { "text" },
        "content": content,
        "styles": [],
        "languages": [],
        "documents": [],
        "warnings": [],
    });
    with(&about, [("pages", pages.end()), ("paragraphs", paragraphs.end()), ("tables", tables.end())])
}

/// Returns the lines of a page, and their places.
fn placed_text(page: &Transcript) -> (String, Vec<LinePlace>) {
    let (mut text, mut places) = (String::new(), Vec::with_capacity(page.lines.len()));
    for line in &page.lines {
        if !places.is_empty() {
            text.push('\n');
        }
        let start = text.len();
        text.push_str(&line.text);
        let words = parts::places_in(&line.text, [line]).into_iter().flat_map(|place| place.words);
        let words = words.map(|word| start + word.start..start + word.end).collect();
        places.push(LinePlace { range: start..text.len(), words });
    }
    (text, places)
}

/// Returns a page; `lines` and `words` are the places of all its lines and words, in order.
fn page_json(
    number: u64,
    page: &Transcript,
    scale: Scale,
    span: Span,
    lines: &[Span],
    words: &[Span],
) -> Vec<u8> {
    let words = page.lines.iter().flat_map(|line| &line.words).zip(words).map(|(word, span)| {
        json!({
            "content": word.text,
            "polygon": scale.polygon(&word.quad),
            "confidence": confidence(word.confidence),
            "span": span.json(),
        })
    });
    let words: Array = words.collect();
    let lines = page.lines.iter().zip(lines).map(|(line, span)| {
        json!({ "content": line.text, "polygon": scale.polygon(&line.quad), "spans": [span.json()] })
    });
    let lines: Array = lines.collect();
    // Of the text, clockwise, in (-180, 180]; ours is the rotation that makes it upright.
    let angle = match page.rotation.degrees() {
        0 => 0,
        90 => -90,
        180 => 180,
        _ => 90,
    };
    let about = json!({
        "pageNumber": number,
        "angle": angle,
        "width": scale.length(page.size.width as f32),
        "height": scale.length(page.size.height as f32),
        "unit": if scale.in_inches { "inch" } else { "pixel" },
        "spans": [span.json()],
    });
    with(&about, [("words", words.end()), ("lines", lines.end())])
}

fn region(number: u64, quad: &Quad, scale: Scale) -> Value {
    json!([{ "pageNumber": number, "polygon": scale.polygon(quad) }])
}

fn paragraph(number: u64, view: &BlockView<'_>, scale: Scale, lines: &[Span]) -> Option<Value> {
    let own = view.lines.iter().filter_map(|(at, _)| lines.get(*at).copied());
    let span = Span::around(own)?;
    let kind = view.block.map_or(&BlockKind::Text, |block| &block.kind);
    let quad = view.block.map(|block| block.quad).or_else(|| around(view))?;
    let mut paragraph = json!({
        "content": parts::block_text(view),
        "spans": [span.json()],
        "boundingRegions": region(number, &quad, scale),
    });
    let role = match kind {
        BlockKind::Title => "title",
        BlockKind::Heading { .. } => "sectionHeading",
        BlockKind::Header => "pageHeader",
        BlockKind::Footer => "pageFooter",
        BlockKind::PageNumber => "pageNumber",
        BlockKind::Footnote => "footnote",
        BlockKind::Formula => "formulaBlock",
        _ => return Some(paragraph),
    };
    paragraph["role"] = role.into();
    Some(paragraph)
}

/// Returns the area of the lines of a block.
fn around(view: &BlockView<'_>) -> Option<Quad> {
    let points = || view.lines.iter().flat_map(|(_, line)| line.quad.0);
    let (left, right) = (points().map(|p| p.x).reduce(f32::min)?, points().map(|p| p.x).reduce(f32::max)?);
    let (top, bottom) = (points().map(|p| p.y).reduce(f32::min)?, points().map(|p| p.y).reduce(f32::max)?);
    let corner = |x, y| lector_core::Point { x, y };
    Some(Quad([corner(left, top), corner(right, top), corner(right, bottom), corner(left, bottom)]))
}

/// Returns the JSON of the table of a block.
fn table(number: u64, view: &BlockView<'_>, scale: Scale, lines: &[Span]) -> Option<Vec<u8>> {
    let block = view.block?;
    let table = block.table.as_ref()?;
    let span_of = |positions: &[u32]| {
        let at = |position: &u32| lines.get(usize::try_from(*position).ok()?).copied();
        Span::around(positions.iter().filter_map(at))
    };
    let cells = table.cells.iter().map(|cell| {
        json!({
            "kind": if cell.header { "columnHeader" } else { "content" },
            "rowIndex": cell.row,
            "columnIndex": cell.column,
            "rowSpan": cell.row_span,
            "columnSpan": cell.column_span,
            "content": cell.text,
            "boundingRegions": region(number, &cell.quad, scale),
            "spans": span_of(&cell.lines).map(Span::json).into_iter().collect::<Vec<_>>(),
            "elements": [],
        })
    });
    let cells: Array = cells.collect();
    let own = view.lines.iter().filter_map(|(at, _)| lines.get(*at).copied());
    let about = json!({
        "rowCount": table.rows,
        "columnCount": table.columns,
        "boundingRegions": region(number, &block.quad, scale),
        "spans": Span::around(own).map(Span::json).into_iter().collect::<Vec<_>>(),
    });
    Some(with(&about, [("cells", cells.end())]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::super::reading::sample;
    use super::*;

    #[test]
    fn the_places_of_lines_and_words_are_their_own() {
        let page = sample::page([
            (BlockKind::PageNumber, "2"),
            (BlockKind::Text, "é *One line"),
            (BlockKind::Header, "One"),
            (BlockKind::Text, "of 2024"),
        ]);
        for (placed, furniture) in [(placed_text(&page), true), (parts::placed_markdown(&page), false)] {
            let (text, places) = placed;
            let ruler = Ruler::new(&text, Unit::CodePoint, 0);
            let letters: Vec<char> = text.chars().collect();
            let read = |span: Span| {
                letters[span.offset..span.offset + span.length]
                    .iter()
                    .filter(|c| **c != '\\')
                    .collect::<String>()
            };
            for (line, place) in page.lines.iter().zip(&places) {
                let is_read = furniture || [1, 3].contains(&line.block_id);
                let expect = |text: &str| if is_read { text.to_owned() } else { String::new() };
                assert_eq!(read(ruler.span(&place.range)), expect(&line.text), "{text}");
                for (word, place) in line.words.iter().zip(&place.words) {
                    assert_eq!(read(ruler.span(place)), expect(&word.text), "{text}");
                }
            }
            assert!(places.iter().map(|place| place.range.start).is_sorted());
        }
    }
}
