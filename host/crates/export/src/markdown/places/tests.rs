#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use lector_core::{Block, Cell, Quad, Size, Word};
use proptest::prelude::*;

use super::*;
use crate::sample;

/// Returns a page with a block for each entry.
fn page(blocks: &[(BlockKind, &[&str])]) -> Transcript {
    let mut page = Transcript::blank(Size { width: 100, height: 100 }, 72.0);
    for ((kind, lines), id) in blocks.iter().zip(0..) {
        for text in *lines {
            let word = |text: &str| Word { text: text.to_owned(), confidence: 1.0, quad: Quad::default() };
            let words = text.split_whitespace().map(word).collect();
            page.lines.push(Line { block_id: id, words, ..Line::new(*text, 1.0, Quad::default()) });
        }
        let quad = Quad::default();
        page.blocks.push(Block {
            id,
            kind: kind.clone(),
            quad,
            confidence: 1.0,
            table: None,
            properties: None,
        });
    }
    page
}

/// Returns the text of each line and of its words, as the Markdown has them.
fn found(page: &Transcript) -> Vec<(String, Vec<String>)> {
    let (text, places) = of_page(page);
    assert_eq!(text, super::super::of_page(page, None));
    let of = |range: &Range<usize>| text[range.clone()].to_owned();
    places.iter().map(|place| (of(&place.range), place.words.iter().map(of).collect())).collect()
}

fn lines(page: &Transcript) -> Vec<String> {
    found(page).into_iter().map(|(line, _)| line).collect()
}

#[test]
fn lines_of_furniture_are_not_found_in_the_text() {
    let page = page(&[
        (BlockKind::PageNumber, &["2"]),
        (BlockKind::Header, &["The report"]),
        (BlockKind::Heading { level: 2 }, &["1 The report_of_it"]),
        (BlockKind::Text, &["A line of", "the year 2024"]),
        (BlockKind::Footer, &["The report"]),
        (BlockKind::Text, &["a * b"]),
    ]);
    assert_eq!(lines(&page), ["", "", "1 The report_of_it", "A line of", "the year 2024", "", "a \\* b"]);
    assert_eq!(found(&page)[6].1, ["a", "\\*", "b"]);
    let offsets: Vec<usize> = of_page(&page).1.iter().map(|place| place.range.start).collect();
    assert!(offsets.is_sorted(), "{offsets:?}");
}

#[test]
fn lines_of_items_and_code_and_joined_lines_are_found() {
    let mut page = page(&[
        (BlockKind::ListItem, &["• one", "two"]),
        (BlockKind::ListItem, &["3. 3"]),
        (BlockKind::Code, &["a = `b` \\\\ 1"]),
        (BlockKind::Text, &["Wirtschafts-", "politik & mehr"]),
        (BlockKind::Text, &["changed", "text 7"]),
    ]);
    page.blocks[3].properties = Some(r#"{"text":"Wirtschaftspolitik & mehr"}"#.into());
    page.blocks[4].properties = Some(r#"{"text":"another text 7"}"#.into());
    let expect = ["one", "two", "3", "a = `b` \\\\ 1", "Wirtschafts", "politik \\& mehr", "", "text 7"];
    assert_eq!(lines(&page), expect);
}

#[test]
fn lines_of_a_table_are_found_in_their_cells() {
    let cell = |row, column, span, text: &str, lines: Vec<u32>| Cell {
        row,
        column,
        row_span: 1,
        column_span: span,
        header: row == 0,
        quad: Quad::default(),
        text: text.to_owned(),
        lines,
    };
    for span in [1, 2] {
        let mut page =
            page(&[(BlockKind::Table, &["Name", "2024", "2", "Ada & Co", "<b>|c", "more", "after"])]);
        page.blocks[0].table = Some(Table {
            rows: 2,
            columns: 3,
            cells: vec![
                cell(0, 0, span, "Name", vec![0]),
                cell(0, 2, 1, "2024", vec![1]),
                cell(1, 0, 1, "2", vec![2]),
                // The lines of two cells alternate in reading order.
                cell(1, 1, 1, "Ada & Co more", vec![3, 5]),
                cell(1, 2, 1, "<b>|c", vec![4]),
            ],
        });
        let (ada, tag) =
            if span == 1 { ("Ada \\& Co", "\\<b\\>\\|c") } else { ("Ada &amp; Co", "&lt;b&gt;|c") };
        assert_eq!(lines(&page), ["Name", "2024", "2", ada, tag, "more", "after"]);
    }
}

#[test]
fn every_kind_of_block_is_found() {
    let page = sample::every_kind();
    let furniture = ["Running title", "Confidential", "7"];
    for (line, (place, words)) in page.lines.iter().zip(found(&page)) {
        let is_furniture = furniture.contains(&line.text.as_str());
        // A line over two cells is in none of them.
        let is_missing = is_furniture || ["Name Sum", "Ada =1+2"].contains(&line.text.as_str());
        assert_eq!(place.is_empty(), is_missing, "{}", line.text);
        assert_eq!(words.len(), line.words.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Each line of running text is found as it is but for escapes, one after the other.
    #[test]
    fn every_line_is_found(
        blocks in prop::collection::vec(
            (0..5usize, prop::collection::vec("[a-c2&_*<>| https://x.org\\\\-]{0,12}|\\PC{0,6}", 1..4)),
            1..5,
        )
    ) {
        let kinds = [
            BlockKind::Text, BlockKind::Heading { level: 2 }, BlockKind::PageNumber, BlockKind::Caption, BlockKind::Footer,
        ];
        let texts: Vec<(BlockKind, Vec<&str>)> = blocks.iter()
            .map(|(kind, lines)| (kinds[*kind].clone(), lines.iter().map(String::as_str).collect())).collect();
        let blocks: Vec<(BlockKind, &[&str])> = texts.iter().map(|(kind, lines)| (kind.clone(), &lines[..])).collect();
        let page = page(&blocks);
        let (text, places) = of_page(&page);
        let mut end = 0;
        for (line, place) in page.lines.iter().zip(places) {
            let furniture = [BlockKind::PageNumber, BlockKind::Footer];
            let is_furniture = furniture.contains(&page.blocks[line.block_id as usize].kind);
            let expect = if is_furniture { String::new() } else { letters_of(&line.text) };
            let read = |range: Range<usize>| Letters::markdown(&text[range], 0).letters;
            prop_assert_eq!(read(place.range.clone()), expect, "{}", text);
            prop_assert!(place.range.start >= end, "{}", text);
            end = place.range.end;
            for (word, place) in line.words.iter().zip(place.words) {
                prop_assert_eq!(read(place), if is_furniture { String::new() } else { letters_of(&word.text) });
            }
        }
    }
}
