#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::bidi;
use crate::geometry::{Point, Quad, Rect};
use crate::layout;

mod heads;
mod patterns;
mod right_to_left;
mod roles;
mod tables;
mod words;

const PAGE: (f32, f32) = (600.0, 800.0);
/// Advance of a letter in the tests, as a fraction of the font size.
const ADVANCE: f32 = 0.5;

/// A line of a test page.
#[derive(Clone, Debug)]
struct Set {
    text: String,
    words: Vec<(String, Quad)>,
    quad: Quad,
    size: f32,
}

/// Sets a line at a position; a gap of two spaces and more is as wide as its spaces.
fn line(x: f32, y: f32, size: f32, text: &str) -> Set {
    let mut words = Vec::new();
    let mut at = x;
    for word in text.split(' ') {
        let width = word.chars().count() as f32 * ADVANCE * size;
        if !word.is_empty() {
            words.push((word.to_owned(), Quad::from_rect(&Rect { x: at, y, width, height: size })));
        }
        at += width + ADVANCE * size;
    }
    let right = words.last().map_or(x, |(_, quad)| quad.bounds().right());
    let quad = Quad::from_rect(&Rect { x, y, width: right - x, height: size });
    Set { text: text.split_whitespace().collect::<Vec<_>>().join(" "), words, quad, size }
}

fn turned(mut set: Set, angle: f32) -> Set {
    let center = Point::new(PAGE.0 / 2.0, PAGE.1 / 2.0);
    let turn = |quad: &Quad| Quad(quad.0.map(|p| p.turned_about(center, angle)));
    set.quad = turn(&set.quad);
    for word in &mut set.words {
        word.1 = turn(&word.1);
    }
    set
}

fn blocks_of(sets: &[Set], rules: &[Rule]) -> Vec<(Block, Vec<String>)> {
    blocks_beside(sets, rules, &[])
}

fn blocks_beside(sets: &[Set], rules: &[Rule], pictures: &[Rect]) -> Vec<(Block, Vec<String>)> {
    let quads: Vec<Quad> = sets.iter().map(|set| set.quad).collect();
    let placed = if bidi::are_right_to_left(sets.iter().map(|set| set.text.as_str())) {
        layout::reading_order_from_right(&quads, rules, PAGE)
    } else {
        layout::reading_order(&quads, rules, PAGE)
    };
    let pieces: Vec<Piece<'_>> = placed
        .iter()
        .map(|place| {
            let set = &sets[place.index];
            Piece {
                text: &set.text,
                quad: set.quad,
                words: set.words.iter().map(|(text, quad)| Token { text, quad: *quad }).collect(),
                font_size: Some(set.size),
                block: place.block,
                zone: place.zone,
            }
        })
        .collect();
    let (blocks, _) = Analysis::of(pieces.clone(), Sheet { size: PAGE, first: true, pictures }).blocks(rules);
    let mut seen: Vec<usize> = blocks.iter().flat_map(|block| block.rows.iter().flatten().copied()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..sets.len()).collect::<Vec<_>>(), "each line is in one block");
    let text = |row: &Vec<usize>| row.iter().map(|at| pieces[*at].text).collect::<Vec<_>>().join(" ");
    blocks.into_iter().map(|block| (block.clone(), block.rows.iter().map(text).collect())).collect()
}

fn kinds(blocks: &[(Block, Vec<String>)]) -> Vec<(Kind, String)> {
    blocks.iter().map(|(block, rows)| (block.kind, rows.first().cloned().unwrap_or_default())).collect()
}

const WORDS: &str =
    "the state of a line is what the page shows and no more than that can be said about it here";

/// Sets a paragraph of `count` lines.
fn prose(x: f32, y: f32, count: usize) -> Vec<Set> {
    (0..count).map(|i| line(x, y + 12.0 * i as f32, 10.0, &WORDS[i % 3..])).collect()
}

fn texts(table: &Table) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new(); table.columns]; table.rows];
    for cell in &table.cells {
        rows[cell.row][cell.column] = cell.text.clone();
    }
    rows
}

#[test]
fn an_article_has_a_title_headings_paragraphs_and_furniture() {
    let mut sets = vec![
        line(60.0, 30.0, 8.0, "Journal of Pages, volume 7"),
        line(60.0, 90.0, 20.0, "On the Order of Pages"),
    ];
    sets.push(line(60.0, 130.0, 13.0, "1 Introduction"));
    sets.extend(prose(60.0, 155.0, 6));
    sets.push(line(60.0, 250.0, 11.5, "1.1 Earlier work"));
    sets.extend(prose(60.0, 270.0, 6));
    sets.push(line(60.0, 370.0, 13.0, "2 Method"));
    sets.extend(prose(60.0, 395.0, 8));
    sets.push(line(60.0, 700.0, 7.0, "1 See the appendix for the proof."));
    sets.push(line(295.0, 770.0, 9.0, "12"));
    let found = kinds(&blocks_of(&sets, &[]));
    let of = |text: &str| found.iter().find(|(_, first)| first.starts_with(text)).map(|(kind, _)| *kind);
    assert_eq!(of("Journal"), Some(Kind::Header), "{found:?}");
    assert_eq!(of("On the Order"), Some(Kind::Title));
    assert_eq!(of("1 Introduction"), Some(Kind::Heading(1)));
    assert_eq!(of("1.1 Earlier"), Some(Kind::Heading(2)));
    assert_eq!(of("2 Method"), Some(Kind::Heading(1)));
    assert_eq!(of("1 See"), Some(Kind::Footnote));
    assert_eq!(of("12"), Some(Kind::PageNumber));
    assert_eq!(found.iter().filter(|(kind, _)| *kind == Kind::Text).count(), 3);
}

#[test]
fn items_are_one_block_each_with_their_continuation() {
    let mut sets = prose(60.0, 100.0, 3);
    sets.push(line(70.0, 150.0, 10.0, "• a first item that goes on over the end of its line and"));
    sets.push(line(80.0, 162.0, 10.0, "continues here"));
    sets.push(line(70.0, 174.0, 10.0, "• a second one"));
    sets.push(line(70.0, 186.0, 10.0, "• a third one"));
    let blocks = blocks_of(&sets, &[]);
    let items: Vec<usize> = blocks
        .iter()
        .filter(|(block, _)| block.kind == Kind::ListItem)
        .map(|(block, _)| block.rows.len())
        .collect();
    assert_eq!(items, [2, 1, 1]);
    // A number without a sibling begins a paragraph, not a list.
    let mut sets = prose(60.0, 100.0, 3);
    sets.push(line(60.0, 136.0, 10.0, "1. is what the text goes on with here for a while"));
    assert!(blocks_of(&sets, &[]).iter().all(|(block, _)| block.kind != Kind::ListItem));
}

fn columns(rows: &[&[(f32, &str)]]) -> Vec<Set> {
    let row = |(i, row): (usize, &&[(f32, &str)])| -> Vec<Set> {
        row.iter().map(|(x, text)| line(*x, 300.0 + 14.0 * i as f32, 10.0, text)).collect()
    };
    rows.iter().enumerate().flat_map(row).collect()
}

const ROWS: &[&[(f32, &str)]] = &[
    &[(80.0, "Country"), (220.0, "2019"), (300.0, "2020"), (380.0, "Change")],
    &[(80.0, "France"), (220.0, "1 200"), (300.0, "1 340"), (380.0, "+140")],
    &[(80.0, "Germany"), (220.0, "2 200"), (300.0, "2 100"), (380.0, "-100")],
    &[(80.0, "Italy"), (220.0, "900"), (300.0, "905"), (380.0, "+5")],
];

#[test]
fn aligned_words_are_a_table_with_a_header() {
    let mut sets = prose(60.0, 100.0, 6);
    sets.push(line(80.0, 280.0, 10.0, "Table 3. Pages by country"));
    sets.extend(columns(ROWS));
    sets.extend(prose(60.0, 420.0, 6));
    let blocks = blocks_of(&sets, &[]);
    let at = blocks.iter().position(|(block, _)| block.kind == Kind::Table).expect("a table");
    let table = blocks[at].0.table.as_ref().unwrap();
    assert_eq!((table.rows, table.columns), (4, 4));
    assert_eq!(texts(table)[1], ["France", "1 200", "1 340", "+140"]);
    assert!(table.cells.iter().all(|cell| cell.header == (cell.row == 0)));
    let caption = blocks.iter().find(|(block, _)| block.kind == Kind::Caption).expect("a caption");
    assert_eq!(caption.0.caption_of, Some(at));
}

#[test]
fn what_only_looks_like_a_table_stays_text() {
    // Two columns of prose on common baselines.
    let left = prose(30.0, 100.0, 12);
    let mut sets = left.clone();
    sets.extend(left.iter().map(|set| line(330.0, set.quad.bounds().y, 5.0, &set.text)));
    assert!(blocks_of(&sets, &[]).iter().all(|(block, _)| block.kind != Kind::Table));
    // A form.
    let form: &[&[(f32, &str)]] = &[
        &[(80.0, "Name:"), (220.0, "Ada Lovelace")],
        &[(80.0, "City:"), (220.0, "London")],
        &[(80.0, "Born:"), (220.0, "1815")],
        &[(80.0, "Field:"), (220.0, "Mathematics")],
    ];
    let blocks = blocks_of(&columns(form), &[]);
    assert!(blocks.iter().all(|(block, _)| block.kind != Kind::Table));
    let rows: Vec<&String> = blocks.iter().flat_map(|(_, rows)| rows).collect();
    assert_eq!(rows, ["Name: Ada Lovelace", "City: London", "Born: 1815", "Field: Mathematics"]);
    assert!(blocks.iter().all(|(block, _)| block.rowed));
}

#[test]
fn rows_that_were_read_as_one_line_stay_rows() {
    let rows_of = |sets: &[Set]| -> Vec<Vec<String>> {
        let blocks = blocks_of(sets, &[]);
        blocks.into_iter().filter(|(block, _)| block.rowed).map(|(_, rows)| rows).collect()
    };
    // Amounts at a common edge, with lines at the top and the end that are no rows by themselves. One article is as wide as
    // the block, so that the layout does not part the lines at the top from the others.
    let texts = [
        "Corner Shop",
        "Main Road 12",
        "Wholemeal bread with seeds 2.49",
        "Milk 2 l 1.19",
        "Apples 3.05 A",
        "Total EUR 6.73",
    ];
    let right = 400.0;
    let receipt: Vec<Set> = (0..)
        .zip(texts)
        .map(|(at, text)| {
            let width = text.chars().count() as f32 * ADVANCE * 10.0;
            line(if at < 2 { 260.0 } else { right - width }, 100.0 + 14.0 * at as f32, 10.0, text)
        })
        .collect();
    assert_eq!(rows_of(&receipt).concat(), texts);
    let form = ["Name: Ada Lovelace", "City: London", "Date of birth: 10 December 1815"];
    let sets: Vec<Set> =
        (0..).zip(form).map(|(at, text)| line(80.0, 100.0 + 14.0 * at as f32, 10.0, text)).collect();
    assert_eq!(rows_of(&sets).concat(), form);
    // Amounts and colons in running text make no rows.
    let text = [
        "The price of bread was 2.49 in the north and 2.10 in the south, as",
        "the report says: it had been lower before. In the north it rose by",
        "a tenth, in the south by less than that, for reasons that no reader",
        "of the first report could see. Milk had the price of 1.19 and 1.05",
        "in the same months; both went down when the summer was over again.",
    ];
    let sets: Vec<Set> =
        (0..).zip(text).map(|(at, text)| line(80.0, 100.0 + 14.0 * at as f32, 10.0, text)).collect();
    assert!(rows_of(&sets).is_empty());
}

#[test]
fn receipts_and_contents_stay_rows() {
    let receipt: &[&[(f32, &str)]] = &[
        &[(80.0, "Bread"), (300.0, "2.49")],
        &[(80.0, "Milk"), (300.0, "1.19")],
        &[(80.0, "Apples"), (300.0, "3.05")],
        &[(80.0, "Total"), (300.0, "6.73")],
    ];
    let blocks = blocks_of(&columns(receipt), &[]);
    let rows: Vec<&String> = blocks.iter().flat_map(|(_, rows)| rows).collect();
    assert_eq!(rows, ["Bread 2.49", "Milk 1.19", "Apples 3.05", "Total 6.73"]);
    let contents: &[&[(f32, &str)]] = &[
        &[(80.0, "Introduction"), (150.0, "......................"), (300.0, "1")],
        &[(80.0, "Methods"), (130.0, ".........................."), (300.0, "12")],
        &[(80.0, "Results"), (130.0, ".........................."), (300.0, "25")],
    ];
    let blocks = blocks_of(&columns(contents), &[]);
    let rows: Vec<&String> = blocks.iter().flat_map(|(_, rows)| rows).collect();
    assert!(rows[1].starts_with("Methods .") && rows[1].ends_with(". 12"), "{rows:?}");
    assert!(blocks.iter().all(|(block, _)| block.kind != Kind::Table));
}

/// Returns the rules of a grid without those of `open`: upright ones by column and row.
fn grid(xs: &[f32], ys: &[f32], open: &[(usize, usize)]) -> Vec<Rule> {
    let rule = |a: f32, b: f32, c: f32, d: f32| Rule { from: Point::new(a, b), to: Point::new(c, d) };
    let mut rules: Vec<Rule> = ys.iter().map(|y| rule(xs[0], *y, xs[xs.len() - 1], *y)).collect();
    for (column, x) in xs.iter().enumerate() {
        for (row, pair) in ys.windows(2).enumerate() {
            if !open.contains(&(column, row)) {
                rules.push(rule(*x, pair[0], *x, pair[1]));
            }
        }
    }
    rules
}

#[test]
fn a_drawn_grid_gives_cells_with_spans_on_a_tilted_page_too() {
    for angle in [0.0, 0.02] {
        let rules: Vec<Rule> = grid(&[100.0, 200.0, 300.0, 400.0], &[200.0, 220.0, 240.0, 260.0], &[(2, 0)])
            .iter()
            .map(|rule| {
                let center = Point::new(PAGE.0 / 2.0, PAGE.1 / 2.0);
                Rule { from: rule.from.turned_about(center, angle), to: rule.to.turned_about(center, angle) }
            })
            .collect();
        let mut sets = vec![line(110.0, 205.0, 10.0, "Name"), line(260.0, 205.0, 10.0, "Both years")];
        for (row, name) in ["A", "B"].iter().enumerate() {
            let y = 225.0 + 20.0 * row as f32;
            sets.extend([line(110.0, y, 10.0, name), line(210.0, y, 10.0, "12"), line(310.0, y, 10.0, "15")]);
        }
        sets.extend(prose(60.0, 400.0, 5));
        let sets: Vec<Set> = sets.into_iter().map(|set| turned(set, angle)).collect();
        let blocks = blocks_of(&sets, &rules);
        let table = blocks.iter().find_map(|(block, _)| block.table.as_ref()).expect("a table");
        assert_eq!((table.rows, table.columns, table.cells.len()), (3, 3, 8), "{angle}");
        let wide = table.cells.iter().find(|cell| cell.column_span == 2).expect("a span");
        assert_eq!((wide.row, wide.column, wide.text.as_str(), wide.header), (0, 1, "Both years", true));
        assert_eq!(texts(table)[2], ["B", "12", "15"]);
    }
}

#[test]
fn code_is_told_by_letters_of_one_width() {
    let mut sets: Vec<Set> = Vec::new();
    // Proportional prose: letters of words vary in width.
    for (i, mut set) in prose(60.0, 100.0, 12).into_iter().enumerate() {
        for (j, (_, quad)) in set.words.iter_mut().enumerate() {
            let bounds = quad.bounds();
            let width = bounds.width * (0.75 + 0.1 * ((i + 3 * j) % 5) as f32);
            *quad = Quad::from_rect(&Rect { width, ..bounds });
        }
        sets.push(set);
    }
    for (i, text) in ["while pages remain do", "  print next_page", "  count plus one", "done with pages"]
        .iter()
        .enumerate()
    {
        sets.push(line(80.0, 300.0 + 12.0 * i as f32, 10.0, text));
    }
    let found = blocks_of(&sets, &[]);
    assert!(
        found.iter().any(|(block, rows)| block.kind == Kind::Code && rows[0].starts_with("while")),
        "{found:?}"
    );
    assert!(found.iter().all(|(block, rows)| block.kind != Kind::Code || !rows[0].starts_with("the state")));
}

#[test]
fn lines_are_joined_by_the_words_of_the_text() {
    let all = |lines: &[&str]| {
        let vocabulary = Vocabulary::of(lines.iter().copied());
        join(lines.iter().copied(), &vocabulary)
    };
    assert_eq!(all(&["an exam-", "ple of a", "line"]), "an example of a line");
    assert_eq!(all(&["a well-known", "and well-", "known thing"]), "a well-known and well-known thing");
    assert_eq!(
        all(&["Ein- und", "Aus-", "gang, Vor-", "und Nachteile"]),
        "Ein- und Ausgang, Vor- und Nachteile"
    );
    assert_eq!(all(&["Jean-", "Pierre is"]), "Jean-Pierre is");
    assert_eq!(all(&["文書の構造を", "調べる"]), "文書の構造を調べる");
    assert_eq!(all(&["pages 3 -", "and 4"]), "pages 3 - and 4");
    // Ranges, slashes and words in capitals.
    assert_eq!(
        all(&["from 1990–", "1995, 3", "–4, and", "– so – it –", "is"]),
        "from 1990–1995, 3–4, and – so – it – is"
    );
    assert_eq!(all(&["input/", "output, 5 km", "/h, either /", "or"]), "input/output, 5 km/h, either / or");
    assert_eq!(all(&["THE ASSOCIA-", "TION OF LIBRARIES"]), "THE ASSOCIATION OF LIBRARIES");
    assert_eq!(all(&["a CD-", "ROM of the", "NATO-", "EU"]), "a CD-ROM of the NATO-EU");
    assert_eq!(
        all(&["a self-", "made man, self-", "ish and non-", "sense"]),
        "a self-made man, selfish and nonsense"
    );
    // Quotes, dashes and dots beside an ideograph, and beside Latin letters.
    assert_eq!(all(&["他说：", "“你好”", "然后走了"]), "他说：“你好”然后走了");
    assert_eq!(all(&["他说“你好”", "“再见”", "他——", "走了……", "不"]), "他说“你好”“再见”他——走了……不");
    assert_eq!(all(&["他说：“Hello”", "然后", "—走"]), "他说：“Hello”然后—走");
    assert_eq!(
        all(&["he said", "“hello”", "“you”", "— and", "…", "‘left’"]),
        "he said “hello” “you” — and … ‘left’"
    );
    assert_eq!(all(&["…", "…", "中", "a"]), "… …中 a");
    assert!(goes_on("which is a long", "sentence of two pages"));
    assert!(!goes_on("the end.", "A new one"));
}

#[test]
fn a_dense_page_takes_no_time() {
    let mut sets = Vec::new();
    for row in 0..1000 {
        for column in 0..5 {
            sets.push(line(
                20.0 + 110.0 * column as f32,
                14.0 * row as f32,
                10.0,
                &format!("{} {}", row * 7, column),
            ));
        }
    }
    let start = Instant::now();
    let blocks = blocks_of(&sets, &[]);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 2 }), "{took:?}");
    assert!(blocks.iter().any(|(block, _)| block.kind == Kind::Table));
    let start = Instant::now();
    let prose = prose(20.0, 0.0, 5000);
    blocks_of(&prose, &[]);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 2 }), "{took:?}");
}

fn any_set() -> impl Strategy<Value = Set> {
    let text = prop_oneof![
        Just("12.5".to_owned()),
        Just("• item".to_owned()),
        Just("Table 1: all".to_owned()),
        Just("1.2 Name".to_owned()),
        Just("7".to_owned()),
        "[a-zA-Z.:-]{1,12}( [a-z0-9]{1,8}){0,6}",
    ];
    (-50.0..650.0f32, -50.0..850.0f32, 0.0..40.0f32, text)
        .prop_map(|(x, y, size, text)| line(x, y, size, &text))
}

fn any_rule() -> impl Strategy<Value = Rule> {
    (0.0..600.0f32, 0.0..800.0f32, 1.0..500.0f32, any::<bool>()).prop_map(|(x, y, length, level)| {
        let to = if level { Point::new(x + length, y) } else { Point::new(x, y + length) };
        Rule { from: Point::new(x, y), to }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_line_is_in_one_block_and_cells_fit_their_grid(
        mut sets in proptest::collection::vec(any_set(), 0..60),
        rules in proptest::collection::vec(any_rule(), 0..60),
        broken in proptest::option::of(0usize..60),
        angle in prop_oneof![Just(0.0f32), -0.1..0.1f32, Just(std::f32::consts::FRAC_PI_2)],
    ) {
        sets = sets.into_iter().map(|set| turned(set, angle)).collect();
        if let Some(set) = broken.and_then(|at| sets.get_mut(at)) {
            set.quad.0[2].x = f32::NAN;
        }
        for (block, _) in blocks_of(&sets, &rules) {
            prop_assert!(block.quad.is_finite());
            let Some(table) = block.table else { continue };
            let mut taken = vec![false; table.rows * table.columns];
            for cell in &table.cells {
                prop_assert!(cell.quad.is_finite() && cell.row_span > 0 && cell.column_span > 0);
                for row in cell.row..cell.row + cell.row_span {
                    for column in cell.column..cell.column + cell.column_span {
                        prop_assert!(row < table.rows && column < table.columns);
                        prop_assert!(!std::mem::replace(&mut taken[row * table.columns + column], true));
                    }
                }
            }
            prop_assert!(taken.iter().all(|slot| *slot), "the cells cover the grid");
        }
    }

    #[test]
    fn every_drawn_grid_with_text_is_a_table_of_its_size(
        rows in 2usize..8, columns in 2usize..6, x in 20.0..120.0f32, y in 100.0..300.0f32,
    ) {
        let xs: Vec<f32> = (0..=columns).map(|i| x + 80.0 * i as f32).collect();
        let ys: Vec<f32> = (0..=rows).map(|i| y + 22.0 * i as f32).collect();
        let mut sets = Vec::new();
        for (row, y) in ys.iter().take(rows).enumerate() {
            for (column, x) in xs.iter().take(columns).enumerate() {
                sets.push(line(x + 8.0, y + 6.0, 10.0, &format!("c{row}x{column}")));
            }
        }
        let blocks = blocks_of(&sets, &grid(&xs, &ys, &[]));
        let table = blocks.iter().find_map(|(block, _)| block.table.as_ref());
        prop_assert!(table.is_some());
        let table = table.unwrap();
        prop_assert_eq!((table.rows, table.columns), (rows, columns));
        prop_assert_eq!(&texts(table)[rows - 1][columns - 1], &format!("c{}x{}", rows - 1, columns - 1));
    }
}

#[test]
fn a_paragraph_upside_down_is_one_block_in_its_own_order() {
    let upright = ["How to fold the paper crane, first half:", "begin with a square sheet, on its back,"];
    let other = [
        "Turn the page over for this part:",
        "open the pocket and press it flat so that",
        "a diamond appears.",
    ];
    let mut page: Vec<Set> =
        (0..).zip(upright).map(|(at, text)| line(60.0, 60.0 + 14.0 * at as f32, 10.0, text)).collect();
    // Turned by half a turn about the center of the page.
    page.extend(
        (0..)
            .zip(other)
            .map(|(at, text)| turned(line(60.0, 400.0 + 14.0 * at as f32, 10.0, text), std::f32::consts::PI)),
    );
    page.push(line(60.0, 700.0, 10.0, "And the right way up again for the end of all of it."));
    let blocks = blocks_of(&page, &[]);
    let texts: Vec<String> = blocks.iter().map(|(_, rows)| rows.join(" ")).collect();
    assert!(texts.contains(&other.join(" ")), "{texts:?}");
}
