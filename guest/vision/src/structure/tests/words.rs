//! No word of a page gets lost: each is once in the text of a block or in a cell.

use std::collections::BTreeMap;

use super::*;

/// Returns how often each word is in the blocks.
fn found(sets: &[Set], rules: &[Rule]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (block, rows) in blocks_of(sets, rules) {
        let texts: Vec<String> = match &block.table {
            Some(table) => {
                let mut pieces: Vec<usize> =
                    table.cells.iter().flat_map(|cell| cell.pieces.clone()).collect();
                pieces.sort_unstable();
                pieces.dedup();
                let mut lines = block.rows.concat();
                lines.sort_unstable();
                assert_eq!(pieces, lines, "the lines of a table are those of its cells");
                table.cells.iter().map(|cell| cell.text.clone()).collect()
            }
            None => rows,
        };
        for word in texts.iter().flat_map(|text| text.split_whitespace()) {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
    }
    counts
}

fn printed(sets: &[Set]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (word, _) in sets.iter().flat_map(|set| &set.words) {
        *counts.entry(word.clone()).or_default() += 1;
    }
    counts
}

#[test]
fn words_beyond_the_frame_are_in_the_nearest_cell() {
    let rules = grid(&[100.0, 160.0, 220.0], &[200.0, 220.0, 240.0, 260.0], &[]);
    let page = |last: &[Set]| {
        let head = [line(105.0, 205.0, 10.0, "Name"), line(165.0, 205.0, 10.0, "Sum")];
        let row = [line(105.0, 225.0, 10.0, "Bread"), line(165.0, 225.0, 10.0, "10")];
        [&head[..], &row[..], last, &prose(60.0, 400.0, 5)].concat()
    };
    for (last, expect) in [
        // One line over the whole row and the mark of a note.
        (vec![line(105.0, 245.0, 10.0, "Milk        12.50    *)")], ["Milk", "12.50 *)"]),
        // Half of the words, most of the words, and most of the characters of a cell beyond it.
        (vec![line(105.0, 245.0, 10.0, "Milk"), line(190.0, 245.0, 10.0, "12.50 *)")], ["Milk", "12.50 *)"]),
        (
            vec![line(105.0, 245.0, 10.0, "Milk"), line(190.0, 245.0, 10.0, "12.50 * )")],
            ["Milk", "12.50 * )"],
        ),
        (vec![line(105.0, 245.0, 10.0, "Milk"), line(205.0, 245.0, 10.0, "5 *)")], ["Milk", "5 *)"]),
        // At the left.
        (vec![line(80.0, 245.0, 10.0, "*)   Milk"), line(165.0, 245.0, 10.0, "5")], ["*) Milk", "5"]),
    ] {
        let sets = page(&last);
        let blocks = blocks_of(&sets, &rules);
        let table = blocks.iter().find_map(|(block, _)| block.table.as_ref()).expect("a table");
        assert_eq!(texts(table)[2], expect);
        assert_eq!(found(&sets, &rules), printed(&sets));
    }
    // Text beside the frame that only begins in it is no cell.
    let beside = line(210.0, 245.0, 10.0, "a and a text that goes on beside the frame");
    let sets = page(&[line(105.0, 245.0, 10.0, "Milk"), line(165.0, 245.0, 10.0, "5"), beside]);
    let blocks = blocks_of(&sets, &rules);
    let table = blocks.iter().find_map(|(block, _)| block.table.as_ref()).expect("a table");
    assert_eq!(texts(table)[2], ["Milk", "5"]);
}

#[test]
fn a_word_without_a_place_is_in_the_cell_of_its_line() {
    let rules = grid(&[100.0, 160.0, 220.0], &[200.0, 220.0, 240.0], &[]);
    let mut sets: Vec<Set> = (0..2)
        .flat_map(|row| {
            [105.0, 165.0].map(|x| line(x, 205.0 + 20.0 * row as f32, 10.0, &format!("x{x}r{row} u{x}")))
        })
        .collect();
    sets[3].words[1].1.0[0].x = f32::NAN;
    assert!(blocks_of(&sets, &rules).iter().any(|(block, _)| block.table.is_some()));
    assert_eq!(found(&sets, &rules), printed(&sets));
}

/// A generated row: its words by column, whether they are one line, and its offset from its place.
type Generated = (Vec<(u8, f32, f32)>, bool, f32);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_word_is_once_in_a_block_or_a_cell(
        rows in proptest::collection::vec(
            (proptest::collection::vec((0u8..4, -12.0..60.0f32, -7.0..7.0f32), 1..5), any::<bool>(), -3.0..6.0f32),
            2..14,
        ),
        pitch in 8.0..26.0f32,
        spread in 30.0..90.0f32,
        drawn in 0u8..4,
        hebrew in any::<bool>(),
    ) {
        let rows: Vec<Generated> = rows;
        let mut sets: Vec<Set> = Vec::new();
        let mut count = 0;
        for (at, (cells, is_one, off)) in rows.iter().enumerate() {
            let y = 200.0 + pitch * at as f32 + off;
            let mut parts: Vec<Set> = Vec::new();
            for (column, (kind, dx, dy)) in cells.iter().enumerate() {
                let mut text = Vec::new();
                for _ in 0..=kind % 3 {
                    count += 1;
                    // Most lines are words; numbers make tables.
                    text.push(match (*kind, hebrew) {
                        (3, _) => format!("{}", 1000 + count),
                        (_, false) => format!("w{count}x"),
                        (_, true) => format!("ש{count}ם"),
                    });
                }
                parts.push(line(100.0 + spread * column as f32 + dx, y + if *is_one { dy * 0.8 } else { 0.0 }, 10.0, &text.join(" ")));
            }
            if *is_one {
                let quads: Vec<Quad> = parts.iter().map(|part| part.quad).collect();
                let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
                sets.push(Set {
                    text: texts.join(" "),
                    words: parts.iter().flat_map(|part| part.words.clone()).collect(),
                    quad: Quad::around(&quads).unwrap(),
                    size: 10.0,
                });
            } else {
                sets.extend(parts);
            }
        }
        let ys: Vec<f32> = (0..=rows.len()).map(|row| 196.0 + pitch * row as f32).collect();
        let xs: Vec<f32> = (0..=usize::from(drawn)).map(|column| 96.0 + spread * column as f32).collect();
        let rules = if drawn == 0 { Vec::new() } else { grid(&xs, &ys, &[]) };
        prop_assert_eq!(found(&sets, &rules), printed(&sets), "{:?}", blocks_of(&sets, &rules));
    }
}
