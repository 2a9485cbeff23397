//! A page as Mistral's clients read it.

use lector_core::{BlockKind, BlockView, Line, Transcript, Word};
use lector_export::parts::{self, LinePlace};
use serde_json::{Map, Value, json};

use super::super::reading::{bounds, confidence};
use super::request::{Look, TableFormat};

/// Returns a page. `index` counts from 0.
pub(super) fn json(index: u32, page: &Transcript, look: Look) -> Value {
    let views = page.block_views();
    let part = |wanted: fn(&BlockKind) -> bool| {
        let own = views.iter().filter(|view| view.block.is_some_and(|block| wanted(&block.kind)));
        let texts: Vec<String> = own.clone().map(parts::block_text).filter(|text| !text.is_empty()).collect();
        let lines: Vec<&Line> = own.flat_map(|view| &view.lines).map(|(_, line)| *line).collect();
        (texts.join("\n\n"), lines)
    };
    let (header, header_lines) = part(|kind| *kind == BlockKind::Header);
    let (footer, footer_lines) = part(|kind| matches!(kind, BlockKind::Footer | BlockKind::PageNumber));
    // Nothing but the scores of words needs their places.
    let finds = look.page_scores && look.word_scores;
    let mut placed = Placed::default();
    // Headers and footers are a part of the text unless the client asks for them apart.
    if !look.extract_header {
        placed.push_text(&header, &header_lines, finds);
    }
    let (body, places) =
        if finds { parts::placed_markdown(page) } else { (parts::page_markdown(page), Vec::new()) };
    placed.push(body.trim_end(), &page.lines, &places);
    if !look.extract_footer {
        placed.push_text(&footer, &footer_lines, finds);
    }
    let mut members = Map::new();
    members.insert("index".into(), index.into());
    if look.page_scores {
        members.insert("confidence_scores".into(), scores(page, look.word_scores.then_some(&placed)));
    }
    if look.blocks {
        members.insert("blocks".into(), blocks(&views, look));
    }
    if look.tables.is_some() {
        members.insert("tables".into(), tables(&views, look.tables));
    }
    let given = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
    members.insert("header".into(), if look.extract_header { given(&header) } else { Value::Null });
    members.insert("footer".into(), if look.extract_footer { given(&footer) } else { Value::Null });
    members.insert("hyperlinks".into(), json!([]));
    members.insert("images".into(), json!([]));
    let dpi = page.dpi.round() as u32;
    members.insert(
        "dimensions".into(),
        json!({ "dpi": dpi, "height": page.size.height, "width": page.size.width }),
    );
    members.insert("markdown".into(), placed.markdown.into());
    Value::Object(members)
}

/// The Markdown of a page, and the words in it with their places in bytes.
#[derive(Default)]
struct Placed<'a> {
    markdown: String,
    words: Vec<(usize, &'a Word)>,
}

impl<'a> Placed<'a> {
    /// Adds a text without escapes with its lines; finds the places of the words if they are wanted.
    fn push_text(&mut self, text: &str, lines: &[&'a Line], finds: bool) {
        let lines = lines.iter().copied();
        let places = if finds { parts::places_in(text, lines.clone()) } else { Vec::new() };
        self.push(text, lines, &places);
    }

    /// Adds a part with its lines and the places of these, after an empty line. A word without a place is left out.
    fn push(&mut self, part: &str, lines: impl IntoIterator<Item = &'a Line>, places: &[LinePlace]) {
        if part.is_empty() {
            return;
        }
        if !self.markdown.is_empty() {
            self.markdown.push_str("\n\n");
        }
        let start = self.markdown.len();
        self.markdown.push_str(part);
        let words =
            lines.into_iter().zip(places).flat_map(|(line, place)| line.words.iter().zip(&place.words));
        let found = words.filter(|(_, place)| !place.is_empty());
        self.words.extend(found.map(|(word, place)| (start + place.start, word)));
    }

    /// Returns the words in the order of the text, with their offsets in characters.
    fn word_scores(&self) -> Vec<Value> {
        let mut words = self.words.clone();
        words.sort_by_key(|(at, _)| *at);
        let (mut at, mut characters) = (0, 0);
        let score = |(start, word): (usize, &Word)| {
            characters += self.markdown.get(at..start).unwrap_or_default().chars().count();
            at = start;
            json!({ "text": word.text, "confidence": confidence(word.confidence), "start_index": characters })
        };
        words.into_iter().map(score).collect()
    }
}

/// Returns the content of a table in the format that the client asks for.
fn table(view: &BlockView<'_>, format: Option<TableFormat>) -> String {
    let table = view.block.and_then(|block| block.table.as_ref());
    match (format, table) {
        (Some(TableFormat::Html), Some(table)) => parts::table_html(table).trim_end().to_owned(),
        _ => parts::block_markdown(view).trim_end().to_owned(),
    }
}

fn has_table(view: &BlockView<'_>) -> bool {
    view.block.is_some_and(|block| block.table.is_some())
}

fn format_name(format: Option<TableFormat>) -> &'static str {
    if format == Some(TableFormat::Html) { "html" } else { "markdown" }
}

/// Returns the id of a table of a page.
fn table_id(number: usize, format: Option<TableFormat>) -> String {
    format!("tbl-{number}.{}", if format == Some(TableFormat::Html) { "html" } else { "md" })
}

fn tables(views: &[BlockView<'_>], format: Option<TableFormat>) -> Value {
    let one = |(number, view): (usize, &BlockView<'_>)| json!({ "id": table_id(number, format), "content": table(view, format), "format": format_name(format) });
    views.iter().filter(|view| has_table(view)).enumerate().map(one).collect()
}

fn blocks(views: &[BlockView<'_>], look: Look) -> Value {
    let mut tables = 0;
    let one = |view: &BlockView<'_>| {
        let kind = view.block.map_or(&BlockKind::Text, |block| &block.kind);
        let content = match kind {
            BlockKind::Table => table(view, look.tables),
            _ => parts::block_text(view),
        };
        let number = tables;
        tables += usize::from(has_table(view));
        let [left, top, right, bottom] = area(view)?;
        let mut block = json!({
            "type": block_type(kind),
            "top_left_x": left,
            "top_left_y": top,
            "bottom_right_x": right,
            "bottom_right_y": bottom,
            "content": content,
        });
        match kind {
            // The SDKs refuse an image without this member; there are no images to name.
            BlockKind::Figure => block["image_id"] = "".into(),
            BlockKind::Table if look.tables.is_some() && has_table(view) => {
                block["table_id"] = table_id(number, look.tables).into();
            }
            _ => {}
        }
        if look.block_scores {
            let lines = view.lines.iter().map(|(_, line)| f64::from(line.confidence.clamp(0.0, 1.0)));
            let (average, least) = average_and_least(lines);
            block["confidence_scores"] = json!({
                "average_content_confidence_score": average,
                "minimum_content_confidence_score": least,
                "block_type_confidence_score": view.block.map(|block| confidence(block.confidence)),
            });
        }
        Some(block)
    };
    views.iter().filter_map(one).collect()
}

/// Returns the mean and the least of some confidences with four decimals; nothing of none.
fn average_and_least(confidences: impl Iterator<Item = f64>) -> (Option<f64>, Option<f64>) {
    let all: Vec<f64> = confidences.collect();
    let rounded = |value: f64| (value * 1e4).round() / 1e4;
    let least = all.iter().copied().reduce(f64::min);
    (least.map(|_| rounded(all.iter().sum::<f64>() / all.len() as f64)), least.map(rounded))
}

/// Returns the area of a block: its own, or that of its lines.
fn area(view: &BlockView<'_>) -> Option<[i64; 4]> {
    if let Some(block) = view.block {
        return Some(bounds(&block.quad, 1.0));
    }
    let lines = view.lines.iter().map(|(_, line)| bounds(&line.quad, 1.0));
    lines.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])])
}

fn block_type(kind: &BlockKind) -> &'static str {
    match kind {
        BlockKind::Title | BlockKind::Heading { .. } => "title",
        BlockKind::ListItem => "list",
        BlockKind::Table => "table",
        BlockKind::Figure => "image",
        BlockKind::Caption => "caption",
        BlockKind::Formula => "equation",
        BlockKind::Header => "header",
        BlockKind::Footer | BlockKind::PageNumber => "footer",
        BlockKind::Footnote => "references",
        BlockKind::Code => "code",
        BlockKind::Text | BlockKind::FormField | BlockKind::Stamp | BlockKind::Other { .. } => "text",
    }
}

/// Returns the confidence of the lines of a page, and of the words of its text if they are wanted.
fn scores(page: &Transcript, words: Option<&Placed<'_>>) -> Value {
    let lines = page.lines.iter().map(|line| f64::from(line.confidence.clamp(0.0, 1.0)));
    let (average, least) = average_and_least(lines);
    let mut scores = json!({
        "average_page_confidence_score": average.unwrap_or(1.0),
        "minimum_page_confidence_score": least.unwrap_or(1.0),
    });
    if let Some(placed) = words {
        scores["word_confidence_scores"] = placed.word_scores().into();
    }
    scores
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::{Block, Point, Quad, Size};

    use super::super::super::reading::sample;
    use super::*;

    #[test]
    fn blocks_have_what_the_sdks_require_and_their_scores() {
        let corner = |x, y| Point { x, y };
        let quad = Quad([corner(2.0, 4.0), corner(12.0, 4.0), corner(12.0, 6.0), corner(2.0, 6.0)]);
        let figure =
            Block { id: 7, kind: BlockKind::Figure, quad, confidence: 0.5, table: None, properties: None };
        let page = Transcript {
            lines: vec![Line::new("one", 0.9, quad), Line::new("two", 0.7, quad)],
            blocks: vec![figure],
            ..Transcript::blank(Size { width: 20, height: 20 }, 72.0)
        };
        let look = Look { blocks: true, page_scores: true, block_scores: true, ..Look::default() };
        let page = json(0, &page, look);
        let blocks = page["blocks"].as_array().unwrap();
        let figure = blocks.iter().find(|block| block["type"] == "image").unwrap();
        assert_eq!(figure["image_id"], "", "{figure}");
        assert_eq!(figure["confidence_scores"]["block_type_confidence_score"], 0.5);
        let text = blocks.iter().find(|block| block["type"] == "text").unwrap();
        let scores = &text["confidence_scores"];
        assert_eq!(
            (&scores["average_content_confidence_score"], &scores["minimum_content_confidence_score"]),
            (&json!(0.8), &json!(0.7))
        );
        assert_eq!(page["confidence_scores"]["minimum_page_confidence_score"], 0.7);
    }

    /// The offsets of words are those of the Markdown, also where a number of the page occurs in its text.
    #[test]
    fn words_are_placed_in_the_markdown() {
        let page = sample::page([
            (BlockKind::PageNumber, "2"),
            (BlockKind::Header, "The *report"),
            (BlockKind::Text, "é The *report of 2024"),
        ]);
        for (extracted, expect) in [(true, 5), (false, 8)] {
            let look = Look {
                extract_header: extracted,
                extract_footer: extracted,
                page_scores: true,
                word_scores: true,
                ..Look::default()
            };
            let page = json(0, &page, look);
            let markdown: Vec<char> = page["markdown"].as_str().unwrap().chars().collect();
            let words = page["confidence_scores"]["word_confidence_scores"].as_array().unwrap();
            assert_eq!(words.len(), expect, "{page}");
            let mut last = None;
            for word in words {
                let at = word["start_index"].as_u64().unwrap() as usize;
                let text: String = markdown[at..].iter().filter(|c| **c != '\\').collect();
                assert!(text.starts_with(word["text"].as_str().unwrap()) && Some(at) > last, "{word} {page}");
                last = Some(at);
            }
        }
    }
}
