//! Running heads and feet without white space between them and the text.

use super::*;

/// A small page of a scanned book, in pixels of 150 dpi: 630 by 1035.
const BOOK: (f32, f32) = (630.0, 1035.0);
const LEFT: f32 = 60.0;
const RIGHT: f32 = 560.0;
const LEADING: f32 = 28.0;
const HEIGHT: f32 = 24.0;

/// Sets a text of one word from pixels: no font size, and a box from edge to edge.
fn boxed(x: f32, right: f32, y: f32, text: &str) -> Set {
    let quad = Quad::from_rect(&Rect { x, y, width: right - x, height: HEIGHT });
    Set { text: text.to_owned(), words: vec![(text.to_owned(), quad)], quad, size: 0.0 }
}

/// Sets full lines of text from row `from`, the first one indented.
fn text(from: usize, rows: usize) -> Vec<Set> {
    let row = |at: usize| {
        let x = if at == 0 { LEFT + 25.0 } else { LEFT };
        boxed(
            x,
            RIGHT,
            60.0 + LEADING * (from + at) as f32,
            "and so the line goes on to the edge of the page",
        )
    };
    (0..rows).map(row).collect()
}

fn blocks(sets: &[Set]) -> Vec<(Kind, Vec<String>)> {
    let quads: Vec<Quad> = sets.iter().map(|set| set.quad).collect();
    let placed = layout::reading_order(&quads, &[], BOOK);
    let pieces: Vec<Piece<'_>> = placed
        .iter()
        .map(|place| {
            let set = &sets[place.index];
            let words = set.words.iter().map(|(text, quad)| Token { text, quad: *quad }).collect();
            Piece {
                text: &set.text,
                quad: set.quad,
                words,
                font_size: None,
                block: place.block,
                zone: place.zone,
            }
        })
        .collect();
    let sheet = Sheet { size: BOOK, first: false, pictures: &[] };
    let (found, _) = Analysis::of(pieces.clone(), sheet).blocks(&[]);
    let texts = |row: &Vec<usize>| row.iter().map(|at| pieces[*at].text).collect::<Vec<_>>().join(" ");
    found.iter().map(|block| (block.kind, block.rows.iter().map(texts).collect())).collect()
}

/// Checks that these texts are furniture, and that all the other lines are text.
#[track_caller]
fn check(sets: &[Set], expect: &[(Kind, &str)]) {
    let found = blocks(sets);
    let is_text = |kind: Kind| matches!(kind, Kind::Text);
    let mut furniture: Vec<(Kind, &str)> = found
        .iter()
        .filter(|(kind, _)| !is_text(*kind))
        .map(|(kind, rows)| (*kind, rows[0].as_str()))
        .collect();
    furniture.sort_by_key(|(_, text)| (*text).to_owned());
    let mut expect = expect.to_vec();
    expect.sort_by_key(|(_, text)| (*text).to_owned());
    assert_eq!(furniture, expect, "{found:?}");
    let lines: usize = found.iter().filter(|(kind, _)| is_text(*kind)).map(|(_, rows)| rows.len()).sum();
    assert_eq!(lines, sets.len() - expect.len(), "{found:?}");
}

#[test]
fn the_row_of_a_page_number_is_a_running_head() {
    let page = |head: &[Set]| [head.to_vec(), text(1, 30)].concat();
    let number = (Kind::PageNumber, "298");
    // The number at the left and the chapter at the right; the number in the middle; the title before the number.
    for at in [LEFT, 285.0] {
        check(
            &page(&[boxed(at, at + 45.0, 60.0, "298"), boxed(440.0, RIGHT, 61.0, "[Ch. XIX.")]),
            &[number, (Kind::Header, "[Ch. XIX.")],
        );
    }
    check(
        &page(&[boxed(LEFT, 420.0, 60.0, "THE HISTORY OF THE KINGDOM"), boxed(515.0, RIGHT, 60.0, "298")]),
        &[number, (Kind::Header, "THE HISTORY OF THE KINGDOM")],
    );
    check(
        &page(&[
            boxed(LEFT, LEFT + 45.0, 60.0, "298"),
            boxed(210.0, 400.0, 60.0, "HISTORY OF ENGLAND"),
            boxed(470.0, RIGHT, 60.0, "[BOOK IV."),
        ]),
        &[number, (Kind::Header, "HISTORY OF ENGLAND"), (Kind::Header, "[BOOK IV.")],
    );
    // A speck above it.
    check(
        &page(&[
            boxed(300.0, 310.0, 5.0, "—"),
            boxed(LEFT, LEFT + 45.0, 60.0, "298"),
            boxed(440.0, RIGHT, 61.0, "[Ch. XIX."),
        ]),
        &[number, (Kind::Header, "[Ch. XIX."), (Kind::Header, "—")],
    );
    // The number alone, in the middle and at the right.
    for at in [285.0, 515.0] {
        check(&page(&[boxed(at, at + 45.0, 60.0, "298")]), &[number]);
    }
}

#[test]
fn the_row_of_a_page_number_is_a_running_foot() {
    let y = 60.0 + LEADING * 32.0;
    for foot in [
        vec![boxed(285.0, 330.0, y, "298")],
        vec![boxed(LEFT, 160.0, y, "VOL. III."), boxed(515.0, RIGHT, y, "298")],
    ] {
        let expect: Vec<(Kind, &str)> = match foot.len() {
            1 => vec![(Kind::PageNumber, "298")],
            _ => vec![(Kind::PageNumber, "298"), (Kind::Footer, "VOL. III.")],
        };
        check(&[text(0, 32), foot].concat(), &expect);
    }
}

#[test]
fn text_beside_a_number_stays_text() {
    let all_text = |sets: &[Set]| {
        let found = blocks(sets);
        assert!(found.iter().all(|(kind, _)| !matches!(kind, Kind::Header | Kind::Footer)), "{found:?}");
        found
    };
    // A number in the margin beside the first line of the text, and beside the end of a paragraph.
    for right in [RIGHT, 220.0] {
        let first = boxed(LEFT, right, 60.0, "the end of a sentence here.");
        let margin = [first, boxed(590.0, 620.0, 60.0, "12")];
        let found = blocks(&[margin.to_vec(), text(1, 30)].concat());
        assert!(
            found.iter().any(|(kind, rows)| *kind == Kind::Text && rows[0].starts_with("the end")),
            "{found:?}"
        );
    }
    // A year that ends a paragraph, a year at the start of a line, and the number of an equation.
    let year = boxed(LEFT, LEFT + 60.0, 60.0, "1832.");
    all_text(&[vec![year], text(1, 30)].concat());
    let year = boxed(LEFT, LEFT + 60.0, 60.0 + LEADING * 32.0, "1832");
    let found = all_text(&[text(0, 32), vec![year]].concat());
    assert!(
        found.iter().any(|(kind, rows)| *kind == Kind::Text && rows.iter().any(|r| r == "1832")),
        "{found:?}"
    );
    // The numbers of lines.
    let mut sets = Vec::new();
    for (at, set) in text(0, 30).into_iter().enumerate() {
        let y = set.quad.bounds().y;
        sets.extend([boxed(10.0, 30.0, y, &format!("{}", at + 1)), boxed(LEFT + 30.0, RIGHT, y, &set.text)]);
    }
    all_text(&sets);
}

#[test]
fn the_first_row_of_two_columns_stays_text() {
    let column = |x: f32, from: usize| -> Vec<Set> {
        let row = |at: usize| {
            boxed(x, x + 235.0, 60.0 + LEADING * (from + at) as f32, "a line of one column of two")
        };
        (0..30).map(row).collect()
    };
    let found =
        blocks(&[column(LEFT, 0), vec![boxed(325.0, 385.0, 60.0, "1832")], column(325.0, 1)].concat());
    let header = found.iter().find(|(kind, _)| *kind == Kind::Header);
    assert!(header.is_none(), "{header:?}");
}
