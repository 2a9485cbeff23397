#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::collections::{BTreeMap, BTreeSet};

use lector_sdk::fake::FakeHost;
use lector_sdk::{Block, BlockKind, Cell, Line, Quad, Rect, Size, Summary, Table, Transcript};
use serde_json::{Value, json};

use crate::Standard;

/// A block of a test page: its kind, its place as a fraction of the page, its size in points, its lines.
type Set = (BlockKind, f32, f32, &'static [&'static str]);

fn page(sets: &[Set]) -> Transcript {
    let mut page = Transcript::blank(Size { width: 1000, height: 1000 }, 100.0);
    for (id, (kind, place, size, lines)) in (0..).zip(sets) {
        let quad = Quad::from_rect(Rect { x: 100.0, y: place * 1000.0, width: 500.0, height: 10.0 });
        let mut block = Block::new(id, kind.clone(), quad);
        block.set_property("size_pt", *size);
        if matches!(kind, BlockKind::Table) {
            let cell = |row: u32, column: u32, text: &str| {
                let x = 100.0 + 200.0 * column as f32;
                let quad = Quad::from_rect(Rect { x, y: 0.0, width: 50.0, height: 10.0 });
                let made = Cell::new(row, column, text, quad);
                if row == 0 { made.as_header() } else { made }
            };
            block.table =
                Some(Table::new(2, 2).with(cell(0, 0, "Name")).with(cell(0, 1, "Sum")).with(cell(1, 0, "a")));
        }
        page.blocks.push(block);
        for text in *lines {
            page.lines.push(Line { block_id: id, ..Line::new(*text, 1.0, quad) });
        }
    }
    page
}

fn properties(pages: Vec<Transcript>) -> Value {
    let summary: Summary = FakeHost::new().assemble::<Standard>(pages, "{}").unwrap();
    summary.properties.map_or(Value::Null, |json| serde_json::from_str(&json).unwrap())
}

#[test]
fn headings_have_levels_of_the_whole_document() {
    let found = properties(vec![
        page(&[
            (BlockKind::Title, 0.1, 24.0, &["On Pages"]),
            (BlockKind::Heading(1), 0.3, 16.0, &["1 Introduction"]),
            (BlockKind::Text, 0.4, 0.0, &["text."]),
        ]),
        // On its own page a heading of the second level is the largest.
        page(&[
            (BlockKind::Heading(1), 0.3, 12.0, &["1.1 Earlier"]),
            (BlockKind::Heading(1), 0.5, 12.0, &["Remarks"]),
        ]),
    ]);
    let levels: Vec<(u64, &str, u64)> = found["outline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| (h["level"].as_u64().unwrap(), h["text"].as_str().unwrap(), h["page"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        levels,
        [(0, "On Pages", 0), (1, "1 Introduction", 0), (2, "1.1 Earlier", 1), (2, "Remarks", 1)]
    );
}

#[test]
fn headings_beyond_the_most_of_an_outline_are_counted() {
    // In another place on each page: none is furniture.
    let headings = |page: u8| -> Vec<Set> {
        (0..250)
            .map(|_| (BlockKind::Heading(1), 0.1 + 0.01 * f32::from(page), 12.0, &["Scope"] as &[&str]))
            .collect()
    };
    let found = properties((0..81).map(|number| page(&headings(number))).collect());
    assert_eq!(
        (found["outline"].as_array().map(Vec::len), &found["outline_omitted"]),
        (Some(20_000), &250.into())
    );
}

#[test]
fn what_is_repeated_at_one_place_is_furniture() {
    const HEADS: [&[&str]; 4] =
        [&["Annual report 1"], &["Annual report 2"], &["Annual report 3"], &["Annual report 4"]];
    let pages = HEADS
        .iter()
        .map(|head| {
            page(&[
                (BlockKind::Heading(1), 0.05, 14.0, head),
                (BlockKind::Text, 0.4, 0.0, &["Text of its own"]),
            ])
        })
        .collect();
    let found = properties(pages);
    let furniture = found["furniture"].as_array().unwrap();
    let patterns: Vec<&Value> = furniture.iter().map(|entry| &entry["pattern"]).collect();
    assert!(patterns.contains(&&json!("annual report #")), "{found}");
    assert_eq!(
        furniture.iter().find(|f| f["pattern"] == "annual report #").unwrap()["blocks"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    assert!(found.get("outline").is_none(), "a running head is no heading");
}

#[test]
fn paragraphs_and_tables_go_on_over_a_page() {
    let found = properties(vec![
        page(&[
            (BlockKind::Text, 0.4, 0.0, &["A sentence that does"]),
            (BlockKind::PageNumber, 0.95, 0.0, &["1"]),
        ]),
        page(&[(BlockKind::Text, 0.1, 0.0, &["not end here."]), (BlockKind::Table, 0.4, 0.0, &["Name Sum"])]),
        page(&[(BlockKind::Table, 0.1, 0.0, &["Name Sum"]), (BlockKind::Text, 0.4, 0.0, &["The end."])]),
        page(&[(BlockKind::Text, 0.1, 0.0, &["Another one."])]),
    ]);
    assert_eq!(
        found["continued"],
        json!([
            { "kind": "text", "from": { "page": 0, "block": 0 }, "to": { "page": 1, "block": 0 } },
            { "kind": "table", "from": { "page": 1, "block": 1 }, "to": { "page": 2, "block": 0 } },
        ])
    );
}

#[test]
fn plain_lines_have_no_properties() {
    let mut plain = page(&[(BlockKind::Text, 0.4, 0.0, &["A line"])]);
    plain.blocks.clear();
    assert_eq!(properties(vec![plain]), Value::Null);
}

/// Does what [`super::repeated`] does by counting the pages of every window anew.
fn repeated_by_windows(ends: &[super::Ends], least: usize) -> Vec<(String, f32)> {
    let mut places: BTreeMap<&str, Vec<(usize, f32)>> = BTreeMap::new();
    for (page, own) in ends.iter().enumerate() {
        for end in own.top.iter().chain(&own.bottom) {
            places.entry(&end.pattern).or_default().push((page, end.place));
        }
    }
    let best = |all: &mut Vec<(usize, f32)>| {
        all.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut best: Option<(usize, f32)> = None;
        for to in 0..all.len() {
            let from = all.iter().position(|place| all[to].1 - place.1 <= super::SAME_PLACE).unwrap();
            let pages: BTreeSet<usize> = all[from..=to].iter().map(|place| place.0).collect();
            if pages.len() >= least && best.is_none_or(|(count, _)| pages.len() > count) {
                best = Some((pages.len(), all[(from + to) / 2].1));
            }
        }
        best.map(|(_, place)| place)
    };
    places.into_iter().filter_map(|(pattern, mut all)| Some((pattern.to_owned(), best(&mut all)?))).collect()
}

#[test]
fn repeated_texts_are_counted_by_page() {
    let end = |pattern: u32, place: f32, block: u32| super::End {
        block,
        kind: BlockKind::Text,
        pattern: format!("text {pattern}"),
        first: String::new(),
        last: String::new(),
        place,
        short: true,
        table: None,
    };
    // Places on a grid around two middles, in a fixed sequence that looks like chance.
    let mut state = 7_u32;
    let mut next = |most: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % most
    };
    for count in [1, 3, 8, 60] {
        let mut ends: Vec<super::Ends> = Vec::new();
        for _ in 0..count {
            let mut some = || -> Vec<super::End> {
                let texts = next(4);
                (0..texts).map(|block| end(next(3), 0.1 + 0.007 * next(12) as f32, block)).collect()
            };
            ends.push(super::Ends { top: some(), bottom: some() });
        }
        let least = super::REPEATED_MIN.max((super::REPEATED_SHARE * count as f32).ceil() as usize);
        assert_eq!(super::repeated(&ends), repeated_by_windows(&ends, least), "{count} pages");
    }
}

#[test]
fn blocks_at_both_ends_of_a_page_are_listed_once() {
    let heads: &[Set] =
        &[(BlockKind::Text, 0.05, 0.0, &["Journal 1"]), (BlockKind::Text, 0.06, 0.0, &["Journal 2"])];
    let found = properties(vec![page(heads), page(heads), page(heads)]);
    let blocks: Vec<Value> =
        (0..3).flat_map(|page| (0..2).map(move |block| json!({ "page": page, "block": block }))).collect();
    assert_eq!(found["furniture"], json!([{ "kind": "header", "pattern": "journal #", "blocks": blocks }]));
}
