//! Roles of paragraphs: headings with numbers, watermarks, program text, footnotes, receipts.

use super::*;

fn of<'a>(blocks: &'a [(Block, Vec<String>)], text: &str) -> &'a Block {
    let found = blocks.iter().find(|(_, rows)| rows.iter().any(|row| row.starts_with(text)));
    &found.unwrap_or_else(|| panic!("no {text:?} in {blocks:?}")).0
}

/// The number of an address has no sibling; that of a chapter has.
#[test]
fn a_number_without_a_dot_makes_a_heading_beside_another_one() {
    let mut sets =
        vec![line(60.0, 60.0, 10.0, "Anna Keller"), line(60.0, 86.0, 10.0, "12 Mill Lane, Oxford")];
    sets.extend(prose(60.0, 140.0, 8));
    assert_eq!(of(&blocks_of(&sets, &[]), "12 Mill").kind, Kind::Text);
    for (other, expect) in
        [("3 Results", Kind::Heading(1)), ("2.1 Earlier work", Kind::Heading(1)), ("7 Results", Kind::Text)]
    {
        let mut sets = vec![line(60.0, 60.0, 10.0, "2 Method of the work")];
        sets.extend(prose(60.0, 86.0, 8));
        sets.push(line(60.0, 210.0, 10.0, other));
        sets.extend(prose(60.0, 236.0, 8));
        assert_eq!(of(&blocks_of(&sets, &[]), "2 Method").kind, expect, "{other}");
    }
    // A number with a dot, and one in larger letters, need none.
    for (size, text) in [(10.0, "12. Method"), (10.5, "12 Method")] {
        let mut sets = vec![line(60.0, 60.0, size, text)];
        sets.extend(prose(60.0, 86.0, 12));
        assert_eq!(of(&blocks_of(&sets, &[]), text).kind, Kind::Heading(1), "{text}");
    }
}

#[test]
fn large_lines_with_digits_are_headings_where_they_have_a_word() {
    for (text, is_heading) in
        [("Invoice 2024-117", true), ("Angebot 4711/0815-22", true), ("x = 3 + 2.5 y", false)]
    {
        let mut sets = vec![line(60.0, 100.0, 16.0, text)];
        sets.extend(prose(60.0, 130.0, 8));
        assert_eq!(of(&blocks_of(&sets, &[]), text).kind != Kind::Text, is_heading, "{text}");
    }
}

#[test]
fn a_watermark_is_no_title() {
    let mut sets = prose(60.0, 60.0, 12);
    let around = Quad::from_rect(&Rect { x: 150.0, y: 230.0, width: 290.0, height: 290.0 });
    let mark = Set { text: "DRAFT".into(), words: vec![("DRAFT".into(), around)], quad: around, size: 90.0 };
    sets.push(mark);
    assert_eq!(of(&blocks_of(&sets, &[]), "DRAFT").kind, Kind::Text);
    // Read from pixels it is turned.
    let mut turned_mark = line(200.0, 360.0, 60.0, "DRAFT");
    turned_mark = turned(turned_mark, -0.7);
    *sets.last_mut().unwrap() = turned_mark;
    assert_eq!(of(&blocks_of(&sets, &[]), "DRAFT").kind, Kind::Text);
}

/// Sets prose in letters of different widths.
fn proportional(y: f32, count: usize) -> Vec<Set> {
    let mut sets = prose(60.0, y, count);
    for (i, set) in sets.iter_mut().enumerate() {
        for (j, (_, quad)) in set.words.iter_mut().enumerate() {
            let bounds = quad.bounds();
            let width = bounds.width * (0.75 + 0.1 * ((i + 3 * j) % 5) as f32);
            *quad = Quad::from_rect(&Rect { width, ..bounds });
        }
    }
    sets
}

#[test]
fn code_with_indents_and_blank_lines_is_one_block() {
    let code = [
        (0, 0, "def total(items):"),
        (4, 1, "result = 0"),
        (4, 2, "for item in items:"),
        (8, 3, "if item.price > 100:"),
        (12, 4, "result += item.price"),
        (8, 5, ")"),
        (4, 7, "return result"),
    ];
    let mut sets = proportional(60.0, 7);
    for (column, row, text) in code {
        sets.push(line(60.0 + 5.0 * column as f32, 170.0 + 12.0 * row as f32, 10.0, text));
    }
    sets.extend(proportional(290.0, 7));
    let blocks = blocks_of(&sets, &[]);
    let found: Vec<&Vec<String>> =
        blocks.iter().filter(|(block, _)| block.kind == Kind::Code).map(|(_, rows)| rows).collect();
    assert_eq!(found, [&code.map(|(_, _, text)| text.to_owned()).to_vec()], "{blocks:?}");
    // A word that is repeated is no sign of one width.
    let mut sets = proportional(60.0, 7);
    sets.push(line(60.0, 170.0, 10.0, "checklist of the checklist is a checklist"));
    assert!(blocks_of(&sets, &[]).iter().all(|(block, _)| block.kind != Kind::Code));
    // A page of nothing else is a letter of a typewriter.
    let sets: Vec<Set> = code
        .iter()
        .map(|(column, row, text)| line(60.0 + 5.0 * *column as f32, 170.0 + 12.0 * *row as f32, 10.0, text))
        .collect();
    assert!(blocks_of(&sets, &[]).iter().all(|(block, _)| block.kind != Kind::Code));
}

#[test]
fn each_footnote_is_a_block() {
    let mut sets = prose(60.0, 100.0, 20);
    let notes = [
        "1 See the annual report of the city, page 12, for a detailed",
        "12 tables with the costs of heating, which the council printed in",
        "1990 and later.",
        "2 The figures of the year before were not available.",
    ];
    sets.extend((0..).zip(notes).map(|(at, text)| line(60.0, 700.0 + 10.0 * at as f32, 8.0, text)));
    let blocks = blocks_of(&sets, &[]);
    let found: Vec<usize> = blocks
        .iter()
        .filter(|(block, _)| block.kind == Kind::Footnote)
        .map(|(block, _)| block.rows.len())
        .collect();
    assert_eq!(found, [3, 1], "{blocks:?}");
}

#[test]
fn the_lines_of_a_receipt_stay_lines() {
    let rows = [
        (60.0, "CORNER SHOP"),
        (76.0, "12 Hill Rd, Leeds"),
        (120.0, "Milk 1L               1.20"),
        (136.0, "Bread                 2.35"),
        (152.0, "Apples 1.2kg x 2.50   3.00"),
        (168.0, "Cheese                4.10"),
        (212.0, "TOTAL GBP            10.65"),
        (228.0, "CASH                 20.00"),
        (244.0, "CHANGE                9.35"),
        (288.0, "14:33 12/05/2024"),
        (304.0, "Thank you!"),
    ];
    let sets: Vec<Set> = rows.iter().map(|(y, text)| line(60.0, *y, 12.0, text)).collect();
    let blocks = blocks_of(&sets, &[]);
    let rowed: Vec<&str> = blocks
        .iter()
        .filter(|(block, _)| block.rowed)
        .flat_map(|(_, rows)| rows)
        .map(String::as_str)
        .collect();
    assert_eq!(rowed.len(), rows.len(), "{blocks:?}");
}
