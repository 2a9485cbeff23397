//! Pages whose text runs from right to left.

use super::*;

/// Mirrors a set, and replaces its letters by Hebrew ones: a page of such sets is the mirrored one of the Latin sets.
fn hebrew(set: &Set) -> Set {
    let letter = |c: char| match c {
        'a'..='z' => char::from_u32('א' as u32 + (c as u32 - 'a' as u32)).unwrap(),
        c => c,
    };
    let text = |text: &str| text.chars().map(letter).collect::<String>();
    Set {
        text: text(&set.text),
        words: set.words.iter().map(|(word, quad)| (text(word), quad.mirrored(PAGE.0 / 2.0))).collect(),
        quad: set.quad.mirrored(PAGE.0 / 2.0),
        size: set.size,
    }
}

fn mirrored(rules: &[Rule]) -> Vec<Rule> {
    let point = |p: Point| Point::new(PAGE.0 - p.x, p.y);
    rules.iter().map(|rule| Rule { from: point(rule.to), to: point(rule.from) }).collect()
}

/// Checks that a page has the same blocks as the mirrored page in Hebrew, at the mirrored places; returns the latter.
#[track_caller]
fn check(sets: &[Set], rules: &[Rule]) -> Vec<(Block, Vec<String>)> {
    let latin = blocks_of(sets, rules);
    let found = blocks_of(&sets.iter().map(hebrew).collect::<Vec<_>>(), &mirrored(rules));
    let shape = |blocks: &[(Block, Vec<String>)]| -> Vec<(Kind, Vec<Vec<usize>>, bool)> {
        blocks.iter().map(|(block, _)| (block.kind, block.rows.clone(), block.rowed)).collect()
    };
    assert_eq!(shape(&latin), shape(&found), "{found:?}");
    for ((a, _), (b, _)) in latin.iter().zip(&found) {
        let (a, b) = (a.quad.mirrored(PAGE.0 / 2.0).bounds(), b.quad.bounds());
        assert!((a.x - b.x).abs() < 0.1 && (a.y - b.y).abs() < 0.1 && (a.width - b.width).abs() < 0.1);
    }
    found
}

#[test]
fn columns_indents_and_items_are_those_of_the_mirrored_page() {
    // Two columns: the right one is read first.
    let left = prose(30.0, 100.0, 12);
    let mut sets = left.clone();
    sets.extend(left.iter().map(|set| line(330.0, set.quad.bounds().y, 5.0, &set.text)));
    check(&sets, &[]);
    // Items with a marker, and an indented first line.
    let mut sets = prose(60.0, 100.0, 4);
    sets.push(line(
        80.0,
        148.0,
        10.0,
        "an indented line that begins a paragraph and goes on to the end of its line",
    ));
    sets.push(line(60.0, 160.0, 10.0, "and ends here"));
    sets.push(line(70.0, 190.0, 10.0, "• a first item that goes on over the end of its line and"));
    sets.push(line(80.0, 202.0, 10.0, "continues here"));
    sets.push(line(70.0, 214.0, 10.0, "• a second one"));
    sets.push(line(70.0, 226.0, 10.0, "• a third one"));
    let found = check(&sets, &[]);
    assert_eq!(found.iter().filter(|(block, _)| block.kind == Kind::ListItem).count(), 3);
    assert_eq!(found.iter().filter(|(block, _)| block.kind == Kind::Text).count(), 2);
    for angle in [0.03, -0.03] {
        let sets: Vec<Set> = sets.iter().cloned().map(|set| turned(set, angle)).collect();
        check(&sets, &[]);
    }
}

#[test]
fn contents_forms_and_receipts_stay_rows() {
    let contents: &[&[(f32, &str)]] = &[
        &[(80.0, "introduction"), (150.0, "......................"), (300.0, "1")],
        &[(80.0, "methods"), (130.0, ".........................."), (300.0, "12")],
        &[(80.0, "results"), (130.0, ".........................."), (300.0, "25")],
    ];
    let form: &[&[(f32, &str)]] = &[
        &[(80.0, "name:"), (220.0, "ada lovelace")],
        &[(80.0, "city:"), (220.0, "london")],
        &[(80.0, "field:"), (220.0, "mathematics")],
    ];
    let receipt: &[&[(f32, &str)]] = &[
        &[(80.0, "bread"), (300.0, "2.49")],
        &[(80.0, "milk"), (300.0, "1.19")],
        &[(80.0, "apples"), (300.0, "3.05")],
    ];
    for rows in [contents, form, receipt] {
        assert!(check(&columns(rows), &[]).iter().all(|(block, _)| block.rowed));
    }
}

#[test]
fn tables_have_their_columns_from_the_left_and_their_words_from_the_right() {
    let rows: &[&[(f32, &str)]] = &[
        &[(80.0, "name"), (220.0, "last year"), (300.0, "this year")],
        &[(80.0, "abc def"), (220.0, "1200"), (300.0, "1340")],
        &[(80.0, "bcd ef"), (220.0, "2200"), (300.0, "2100")],
        &[(80.0, "cde fg"), (220.0, "900"), (300.0, "905")],
    ];
    let sets = columns(rows);
    let found = check(&sets, &[]);
    let table = found.iter().find_map(|(block, _)| block.table.as_ref()).expect("a table");
    let texts = texts(table);
    let own = |text: &str| hebrew(&line(0.0, 0.0, 1.0, text)).text;
    assert_eq!(texts[1], ["1340".to_owned(), "1200".to_owned(), own("abc def")]);
    assert_eq!(texts[0][1], own("last year"));
    assert!(table.cells.iter().all(|cell| cell.header == (cell.row == 0)));
    assert!(
        table
            .cells
            .windows(2)
            .all(|pair| { pair[0].row < pair[1].row || pair[0].quad.bounds().x < pair[1].quad.bounds().x })
    );
}

/// Sets words in a cell from the left, as they stand on the page.
fn cell(x: f32, y: f32, words: &str, text: &str) -> Set {
    Set { text: text.to_owned(), ..line(x, y, 10.0, words) }
}

#[test]
fn the_words_of_a_cell_are_read_in_their_direction() {
    let rules = grid(&[100.0, 220.0, 340.0], &[200.0, 220.0, 240.0, 260.0], &[]);
    let cells = [
        // As printed from the left, and as read.
        ("משפחה שם", "שם משפחה"),
        ("ש״ח 12 500", "12 500 ש״ח"),
        ("Mac 11 מחשב", "מחשב Mac 11"),
        ("Total 12 500", "Total 12 500"),
        ("פרטי שם", "שם פרטי"),
        ("12 500", "12 500"),
    ];
    // On a page of either direction.
    for text in ["עמוד של טקסט בעברית עם הרבה מילים", "a page with much text of another language"]
    {
        let mut sets: Vec<Set> = (0..)
            .zip(cells)
            .map(|(at, (printed, read))| {
                let (x, y) = (105.0 + 120.0 * (at % 2) as f32, 205.0 + 20.0 * (at / 2) as f32);
                cell(x, y, printed, read)
            })
            .collect();
        sets.extend((0..6).map(|at| line(60.0, 400.0 + 14.0 * at as f32, 10.0, text)));
        let blocks = blocks_of(&sets, &rules);
        let table = blocks.iter().find_map(|(block, _)| block.table.as_ref()).expect("a table");
        let found: Vec<&str> = table.cells.iter().map(|cell| cell.text.as_str()).collect();
        assert_eq!(found, cells.map(|(_, read)| read));
    }
}
