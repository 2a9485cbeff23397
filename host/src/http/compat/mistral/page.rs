//! A page as Mistral's clients read it.

use lector_core::{BlockKind, BlockView, Transcript};
use lector_export::parts;
use serde_json::{Map, Value, json};

use super::super::reading::{bounds, confidence};
use super::request::{Look, TableFormat};

/// Returns a page. `index` counts from 0.
pub(super) fn json(index: u32, page: &Transcript, look: Look) -> Value {
    let views = page.block_views();
    let text_of = |wanted: fn(&BlockKind) -> bool| {
        let parts = views.iter().filter(|view| view.block.is_some_and(|block| wanted(&block.kind)));
        let parts: Vec<String> = parts.map(parts::block_text).filter(|text| !text.is_empty()).collect();
        parts.join("\n\n")
    };
    let header = text_of(|kind| *kind == BlockKind::Header);
    let footer = text_of(|kind| matches!(kind, BlockKind::Footer | BlockKind::PageNumber));
    let body = parts::page_markdown(page);
    // Headers and footers are a part of the text unless the client asks for them apart.
    let markdown = [
        if look.extract_header { "" } else { &header },
        body.trim_end(),
        if look.extract_footer { "" } else { &footer },
    ];
    let markdown: Vec<&str> = markdown.into_iter().filter(|part| !part.is_empty()).collect();
    let markdown = markdown.join("\n\n");
    let mut members = Map::new();
    members.insert("index".into(), index.into());
    if look.page_scores {
        members.insert("confidence_scores".into(), scores(page, &markdown, look.word_scores));
    }
    if look.blocks {
        members.insert("blocks".into(), blocks(&views, look.tables));
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
    members.insert("markdown".into(), markdown.into());
    Value::Object(members)
}

/// Returns the content of a table in the format that the client asks for.
fn table(view: &BlockView<'_>, format: Option<TableFormat>) -> String {
    let table = view.block.and_then(|block| block.table.as_ref());
    match (format, table) {
        (Some(TableFormat::Html), Some(table)) => parts::table_html(table).trim_end().to_owned(),
        _ => parts::block_markdown(view).trim_end().to_owned(),
    }
}

fn table_views<'a, 'b>(views: &'a [BlockView<'b>]) -> impl Iterator<Item = &'a BlockView<'b>> {
    views.iter().filter(|view| view.block.is_some_and(|block| block.table.is_some()))
}

fn tables(views: &[BlockView<'_>], format: Option<TableFormat>) -> Value {
    let name = if format == Some(TableFormat::Html) { "html" } else { "markdown" };
    let one = |(number, view): (usize, &BlockView<'_>)| {
        let id = format!("tbl-{number}.{}", if name == "html" { "html" } else { "md" });
        json!({ "id": id, "content": table(view, format), "format": name })
    };
    table_views(views).enumerate().map(one).collect()
}

fn blocks(views: &[BlockView<'_>], tables: Option<TableFormat>) -> Value {
    let one = |view: &BlockView<'_>| {
        let kind = view.block.map_or(&BlockKind::Text, |block| &block.kind);
        let content = match kind {
            BlockKind::Table => table(view, tables),
            _ => parts::block_text(view),
        };
        let [left, top, right, bottom] = area(view)?;
        Some(json!({
            "type": block_type(kind),
            "top_left_x": left,
            "top_left_y": top,
            "bottom_right_x": right,
            "bottom_right_y": bottom,
            "content": content,
        }))
    };
    views.iter().filter_map(one).collect()
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

/// Returns the confidence of the lines of a page, and of its words with their offsets in the Markdown, in characters.
fn scores(page: &Transcript, markdown: &str, with_words: bool) -> Value {
    let lines: Vec<f64> = page.lines.iter().map(|line| f64::from(line.confidence.clamp(0.0, 1.0))).collect();
    let average = if lines.is_empty() { 1.0 } else { lines.iter().sum::<f64>() / lines.len() as f64 };
    let least = lines.iter().copied().fold(1.0, f64::min);
    let rounded = |value: f64| (value * 1e4).round() / 1e4;
    let mut scores = json!({
        "average_page_confidence_score": rounded(average),
        "minimum_page_confidence_score": rounded(least),
    });
    if with_words {
        let (mut at, mut characters) = (0, 0);
        let word = |word: &lector_core::Word| {
            // A word that Markdown escapes is not found, and has the place of the word before it.
            let rest = markdown.get(at..).unwrap_or_default();
            let mut start = characters;
            if let Some(found) = rest.find(word.text.as_str()) {
                start += rest.get(..found).unwrap_or_default().chars().count();
                characters = start + word.text.chars().count();
                at += found + word.text.len();
            }
            json!({ "text": word.text, "confidence": confidence(word.confidence), "start_index": start })
        };
        let words: Vec<Value> = page.lines.iter().flat_map(|line| &line.words).map(word).collect();
        scores["word_confidence_scores"] = words.into();
    }
    scores
}
