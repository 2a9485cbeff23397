//! What spans the pages of a document: the outline, headers and footers by repetition, paragraphs and tables that go on over a
//! page. Called once per document; holds one page at a time, and of each page the headings and the blocks at its ends.
//!
//! The contract returns a text and properties for a document, and its pages are finished by then: what is found refers to the
//! blocks of the pages, and does not change them.

use std::collections::BTreeMap;

use lector_sdk::{Block, BlockKind, Error, Pages, Summary, Table, Transcript};
use lector_vision::structure::{self, HeadingSize, SizeRanks, Vocabulary};
use serde_json::{Value, json};

/// Blocks at each end of a page that are compared with other pages.
const ENDS: usize = 3;
/// Characters of a block that are kept.
const KEPT_CHARACTERS: usize = 200;
/// Pages on which a text is repeated to be furniture, and the same as a fraction of all pages.
const REPEATED_MIN: usize = 3;
const REPEATED_SHARE: f32 = 0.2;
/// Distance of the place of a repeated text, as a fraction of the page's height.
const SAME_PLACE: f32 = 0.03;
/// Distance of columns that agree, as a fraction of the page's width.
const SAME_COLUMN: f32 = 0.03;
/// Ratio of sizes from which two headings differ in level.
const SIZE_STEP: f32 = 1.08;
/// Most headings of an outline; a document of 5,000 pages has fewer. The summary says how many more there were.
const OUTLINE_MAX: usize = 20_000;

/// A heading of the document.
struct Heading {
    page: usize,
    block: u32,
    text: String,
    level: u8,
    size: f32,
    depth: Option<u8>,
    top: f32,
}

/// A block at the end of a page.
struct End {
    block: u32,
    kind: BlockKind,
    /// Its text without numbers, by which pages are compared.
    pattern: String,
    first: String,
    last: String,
    /// Its middle, as a fraction of the page's height.
    place: f32,
    /// One line that may be furniture.
    short: bool,
    table: Option<Columns>,
}

/// The columns of a table: their left edges as fractions of the page's width, and the texts of the header.
struct Columns {
    edges: Vec<f32>,
    header: Vec<String>,
}

/// The ends of one page.
#[derive(Default)]
struct Ends {
    top: Vec<End>,
    bottom: Vec<End>,
}

/// Joins the pages of a document: their texts with a form feed between them, and as properties `outline`, `outline_omitted`
/// (headings beyond the most that an outline has), `furniture` and `continued`, where there are any. Pages are counted from 0
/// over the pages that were read.
///
/// # Errors
///
/// The error of the host.
pub async fn read_document(mut pages: Pages) -> Result<Summary, Error> {
    let mut text = String::new();
    let mut headings: Vec<Heading> = Vec::new();
    let mut omitted = 0;
    let mut ends: Vec<Ends> = Vec::new();
    while let Some(page) = pages.next().await? {
        if !ends.is_empty() {
            text.push_str("\u{c}\n");
        }
        text.push_str(&page.text());
        let (found, own) = survey(&page, ends.len());
        let room = OUTLINE_MAX.saturating_sub(headings.len());
        omitted += found.len().saturating_sub(room);
        headings.extend(found.into_iter().take(room));
        ends.push(own);
    }
    let repeated = repeated(&ends);
    let mut summary = Summary::of(text);
    let outline = outline(headings, &repeated);
    if !outline.is_empty() {
        summary = summary.with_property("outline", outline);
    }
    if omitted > 0 {
        summary = summary.with_property("outline_omitted", omitted);
    }
    let furniture = furniture(&ends, &repeated);
    if !furniture.is_empty() {
        summary = summary.with_property("furniture", furniture);
    }
    let continued = continued(&ends, &repeated);
    if !continued.is_empty() {
        summary = summary.with_property("continued", continued);
    }
    Ok(summary)
}

/// Returns the headings and the ends of a page.
fn survey(page: &Transcript, index: usize) -> (Vec<Heading>, Ends) {
    let mut rows: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for line in &page.lines {
        rows.entry(line.block_id).or_default().push(&line.text);
    }
    let none = Vec::new();
    let texts = |block: &Block| rows.get(&block.id).unwrap_or(&none);
    let height = page.size.height.max(1) as f32;
    let mut headings = Vec::new();
    for block in &page.blocks {
        let level = match block.kind {
            BlockKind::Title => 0,
            BlockKind::Heading(level) => level,
            _ => continue,
        };
        let text = structure::join(texts(block).iter().copied(), &Vocabulary::default());
        headings.push(Heading {
            page: index,
            block: block.id,
            depth: structure::numbering(&text),
            text: text.chars().take(KEPT_CHARACTERS).collect(),
            level,
            size: size_pt(block),
            top: middle(block) / height,
        });
    }
    let with_text: Vec<&Block> =
        page.blocks.iter().filter(|block| !texts(block).is_empty() && !is_aside(&block.kind)).collect();
    let end = |block: &&Block| end(block, texts(block), page);
    let bottom = with_text.iter().rev().take(ENDS).map(end).collect();
    (headings, Ends { top: with_text.iter().take(ENDS).map(end).collect(), bottom })
}

/// Returns whether a block interrupts the text of the page without being a part of it.
fn is_aside(kind: &BlockKind) -> bool {
    matches!(kind, BlockKind::Figure | BlockKind::Caption | BlockKind::Footnote | BlockKind::Stamp)
}

fn is_furniture(kind: &BlockKind) -> bool {
    matches!(kind, BlockKind::Header | BlockKind::Footer | BlockKind::PageNumber)
}

fn middle(block: &Block) -> f32 {
    let bounds = block.quad.bounds();
    bounds.y + bounds.height / 2.0
}

fn size_pt(block: &Block) -> f32 {
    block.property("size_pt").and_then(|size| size.as_f64()).unwrap_or(0.0) as f32
}

fn end(block: &Block, texts: &[&str], page: &Transcript) -> End {
    let first = texts.first().copied().unwrap_or_default();
    let last = texts.last().copied().unwrap_or_default();
    End {
        block: block.id,
        kind: block.kind.clone(),
        pattern: structure::without_numbers(first).chars().take(KEPT_CHARACTERS).collect(),
        first: first.chars().take(KEPT_CHARACTERS).collect(),
        last: last.chars().rev().take(KEPT_CHARACTERS).collect::<String>().chars().rev().collect(),
        place: middle(block) / page.size.height.max(1) as f32,
        short: texts.len() <= 2 && block.table.is_none(),
        table: block.table.as_ref().map(|table| columns(table, page.size.width.max(1) as f32)),
    }
}

fn columns(table: &Table, width: f32) -> Columns {
    let mut edges: Vec<f32> = vec![f32::INFINITY; table.columns as usize];
    for cell in table.cells.iter().filter(|cell| cell.column_span == 1 && !cell.text.is_empty()) {
        if let Some(edge) = edges.get_mut(cell.column as usize) {
            *edge = edge.min(cell.quad.bounds().x / width);
        }
    }
    let header = table.cells.iter().filter(|cell| cell.header).map(|cell| cell.text.clone()).collect();
    Columns { edges, header }
}

/// Returns the patterns that are repeated at one place of many pages, with that place.
fn repeated(ends: &[Ends]) -> Vec<(String, f32)> {
    let mut places: BTreeMap<&str, Vec<(usize, f32)>> = BTreeMap::new();
    for (page, own) in ends.iter().enumerate() {
        for end in own.top.iter().chain(&own.bottom).filter(|end| end.short) {
            let all = places.entry(&end.pattern).or_default();
            // A page with few blocks has them at both of its ends.
            if all.last().is_none_or(|last| *last != (page, end.place)) {
                all.push((page, end.place));
            }
        }
    }
    let least = REPEATED_MIN.max((REPEATED_SHARE * ends.len() as f32).ceil() as usize);
    let mut found = Vec::new();
    for (pattern, mut all) in places {
        all.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
        let mut from = 0;
        // The pages between `from` and `to`, and the number of their places there.
        let mut pages: BTreeMap<usize, usize> = BTreeMap::new();
        let mut best: Option<(usize, f32)> = None;
        for (to, (page, at)) in all.iter().enumerate() {
            *pages.entry(*page).or_default() += 1;
            while let Some((left, _)) = all.get(from).filter(|(_, place)| at - place > SAME_PLACE) {
                if let Some(count) = pages.get_mut(left) {
                    *count -= 1;
                    if *count == 0 {
                        pages.remove(left);
                    }
                }
                from += 1;
            }
            let middle = all.get((from + to) / 2).map_or(*at, |place| place.1);
            if pages.len() >= least && best.is_none_or(|(count, _)| pages.len() > count) {
                best = Some((pages.len(), middle));
            }
        }
        found.extend(best.map(|(_, place)| (pattern.to_owned(), place)));
    }
    found
}

fn is_repeated(pattern: &str, place: f32, repeated: &[(String, f32)]) -> bool {
    let at = repeated.binary_search_by(|known| known.0.as_str().cmp(pattern));
    at.ok().and_then(|at| repeated.get(at)).is_some_and(|known| (known.1 - place).abs() <= SAME_PLACE)
}

/// Returns the headers and footers found by repetition: their pattern, their kind, and their blocks.
fn furniture(ends: &[Ends], repeated: &[(String, f32)]) -> Vec<Value> {
    let mut found: BTreeMap<(&str, &str), Vec<(usize, u32)>> = BTreeMap::new();
    for (page, own) in ends.iter().enumerate() {
        for end in own.top.iter().chain(&own.bottom) {
            if end.short && is_repeated(&end.pattern, end.place, repeated) {
                let kind = match (&end.kind, structure::is_page_number(&end.first), end.place < 0.5) {
                    (BlockKind::PageNumber, ..) | (_, true, _) => "page-number",
                    (_, false, true) => "header",
                    (_, false, false) => "footer",
                };
                let blocks = found.entry((kind, &end.pattern)).or_default();
                // A page with few blocks has them at both of its ends; its blocks are the last ones.
                let mut of_page = blocks.iter().rev().take_while(|(own, _)| *own == page);
                if !of_page.any(|(_, block)| *block == end.block) {
                    blocks.push((page, end.block));
                }
            }
        }
    }
    let place = |(page, block): &(usize, u32)| json!({ "page": page, "block": block });
    found
        .into_iter()
        .map(|((kind, pattern), blocks)| {
            let blocks: Vec<Value> = blocks.iter().map(place).collect();
            json!({ "kind": kind, "pattern": pattern, "blocks": blocks })
        })
        .collect()
}

/// Returns the headings with levels that hold for the whole document: the depth of the own number, else that of the numbers of
/// its size, else the rank of the size.
fn outline(headings: Vec<Heading>, repeated: &[(String, f32)]) -> Vec<Value> {
    let headings: Vec<Heading> = headings
        .into_iter()
        .filter(|heading| !is_repeated(&structure::without_numbers(&heading.text), heading.top, repeated))
        .collect();
    // Titles are above all ranks.
    let ranked = headings.iter().filter(|heading| heading.level > 0);
    let ranks = SizeRanks::of(ranked.map(|heading| HeadingSize {
        size: heading.size,
        step: SIZE_STEP,
        depth: heading.depth,
    }));
    headings
        .iter()
        .map(|heading| {
            let own = ranks.rank(heading.size);
            let by_size = || ranks.depth(own).unwrap_or((own as u8).saturating_add(1));
            let level = if heading.level == 0 { 0 } else { heading.depth.unwrap_or_else(by_size).min(6) };
            json!({ "level": level, "text": heading.text, "page": heading.page, "block": heading.block })
        })
        .collect()
}

/// Returns the paragraphs and tables that go on over a page.
fn continued(ends: &[Ends], repeated: &[(String, f32)]) -> Vec<Value> {
    let body = |end: &&End| {
        let repeats = end.short && is_repeated(&end.pattern, end.place, repeated);
        !(repeats || is_furniture(&end.kind))
    };
    let mut found = Vec::new();
    for (page, pair) in ends.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        let (Some(last), Some(first)) = (before.bottom.iter().find(body), after.top.iter().find(body)) else {
            continue;
        };
        let kind = match (&last.kind, &first.kind) {
            (BlockKind::Table, BlockKind::Table) if agree(last, first) => "table",
            (BlockKind::Text | BlockKind::ListItem, BlockKind::Text)
                if structure::goes_on(&last.last, &first.first) =>
            {
                "text"
            }
            _ => continue,
        };
        found.push(json!({
            "kind": kind,
            "from": { "page": page, "block": last.block },
            "to": { "page": page + 1, "block": first.block },
        }));
    }
    found
}

/// Returns whether two tables are one: as many columns, and the same header or the same edges.
fn agree(last: &End, first: &End) -> bool {
    let (Some(a), Some(b)) = (&last.table, &first.table) else { return false };
    let edges = || a.edges.iter().zip(&b.edges).filter(|(a, b)| (**a - **b).abs() <= SAME_COLUMN).count();
    a.edges.len() == b.edges.len()
        && ((!a.header.is_empty() && a.header == b.header) || edges() * 4 >= a.edges.len() * 3)
}

#[cfg(test)]
mod tests;
