//! Tables without a drawn grid: headings over several columns, cells close to each other, cells of several lines.

use super::*;

/// Sets rows at their own heights.
fn rows_at(rows: &[(f32, &[(f32, &str)])]) -> Vec<Set> {
    rows.iter().flat_map(|(y, row)| row.iter().map(|(x, text)| line(*x, *y, 10.0, text))).collect()
}

fn level(y: f32, from: f32, to: f32) -> Rule {
    Rule { from: Point::new(from, y), to: Point::new(to, y) }
}

/// Returns the one table of a page.
fn table_of(sets: &[Set], rules: &[Rule]) -> Table {
    let blocks = blocks_of(sets, rules);
    let mut tables = blocks.iter().filter_map(|(block, _)| block.table.clone());
    let table = tables.next().expect("a table");
    assert!(tables.next().is_none() && blocks.len() == 1, "one table and nothing else: {blocks:?}");
    table
}

/// Returns the texts of the cells over several columns, with their row, first column and number of columns.
fn wide(table: &Table) -> Vec<(&str, usize, usize, usize)> {
    let cells = table.cells.iter().filter(|cell| cell.column_span > 1);
    cells.map(|cell| (cell.text.as_str(), cell.row, cell.column, cell.column_span)).collect()
}

const GROUPED: &[(f32, &[(f32, &str)])] = &[
    (100.0, &[(200.0, "Agency"), (380.0, "Person")]),
    (118.0, &[(200.0, "First"), (260.0, "Second"), (320.0, "Third"), (380.0, "First"), (440.0, "Second")]),
    (
        140.0,
        &[
            (60.0, "By hand"),
            (200.0, "1.38"),
            (260.0, "1.15"),
            (320.0, "1.11"),
            (380.0, "0.46"),
            (440.0, "0.40"),
        ],
    ),
    (
        154.0,
        &[
            (60.0, "By post"),
            (200.0, "0.53"),
            (260.0, "0.25"),
            (320.0, "0.98"),
            (380.0, "0.19"),
            (440.0, "0.09"),
        ],
    ),
    (
        168.0,
        &[
            (60.0, "Both"),
            (200.0, "0.95"),
            (260.0, "0.70"),
            (320.0, "1.04"),
            (380.0, "0.33"),
            (440.0, "0.25"),
        ],
    ),
];

#[test]
fn a_rule_under_a_heading_gives_it_the_columns_below() {
    let rules = [
        level(96.0, 55.0, 480.0),
        level(114.0, 198.0, 350.0),
        level(114.0, 378.0, 475.0),
        level(134.0, 55.0, 480.0),
        level(182.0, 55.0, 480.0),
    ];
    let table = table_of(&rows_at(GROUPED), &rules);
    assert_eq!((table.rows, table.columns), (5, 6));
    assert_eq!(wide(&table), [("Agency", 0, 1, 3), ("Person", 0, 4, 2)]);
    // A rule from edge to edge groups nothing.
    let rules = [level(96.0, 55.0, 480.0), level(114.0, 55.0, 480.0), level(134.0, 55.0, 480.0)];
    assert!(wide(&table_of(&rows_at(GROUPED), &rules)).is_empty());
}

#[test]
fn a_heading_under_a_rule_has_the_columns_of_the_rule() {
    let rows: &[(f32, &[(f32, &str)])] = &[
        (
            100.0,
            &[(60.0, "Complaint"), (160.0, "All"), (240.0, "Pulse"), (300.0, "Breath"), (360.0, "Fever")],
        ),
        (120.0, &[(268.0, "percent of each")]),
        (142.0, &[(60.0, "Pain"), (160.0, "315"), (240.0, "31.6"), (300.0, "12.0"), (360.0, "4.1")]),
        (156.0, &[(60.0, "Cough"), (160.0, "296"), (240.0, "9.3"), (300.0, "10.8"), (360.0, "4.8")]),
        (170.0, &[(60.0, "Other"), (160.0, "231"), (240.0, "25.4"), (300.0, "6.6"), (360.0, "3.2")]),
    ];
    let rules = [level(96.0, 55.0, 390.0), level(115.0, 238.0, 388.0), level(136.0, 55.0, 390.0)];
    let table = table_of(&rows_at(rows), &rules);
    assert_eq!((table.rows, table.columns), (5, 5));
    assert_eq!(wide(&table), [("percent of each", 1, 2, 3)]);
}

#[test]
fn a_heading_in_the_middle_of_its_columns_is_a_row_of_its_own() {
    let rows: &[(f32, &[(f32, &str)])] = &[
        (100.0, &[(60.0, "Variable"), (228.0, "Boys"), (390.0, "Girls")]),
        (111.0, &[(200.0, "%"), (260.0, "95% CI"), (355.0, "%"), (428.0, "95% CI")]),
        (
            124.0,
            &[
                (60.0, "Sensitivity"),
                (190.0, "39.13"),
                (252.0, "31 to 47"),
                (345.0, "37.50"),
                (420.0, "30 to 44"),
            ],
        ),
        (
            137.0,
            &[
                (60.0, "Specificity"),
                (190.0, "93.92"),
                (252.0, "92 to 95"),
                (345.0, "92.42"),
                (420.0, "91 to 93"),
            ],
        ),
        (
            150.0,
            &[(60.0, "Prevalence"), (190.0, "8.61"), (252.0, "7 to 9"), (345.0, "8.36"), (420.0, "7 to 9")],
        ),
    ];
    let table = table_of(&rows_at(rows), &[]);
    assert_eq!((table.rows, table.columns), (5, 5));
    assert_eq!(wide(&table), [("Boys", 0, 1, 2), ("Girls", 0, 3, 2)]);
    assert_eq!(texts(&table)[1], ["", "%", "95% CI", "%", "95% CI"]);
}

#[test]
fn a_table_of_words_with_a_number_at_its_end_keeps_its_rows() {
    let words = ["ab", "abc", "abcd", "abe", "abef", "abefg", "acd", "ace", "bcd", "bce"];
    let mut sets = rows_at(&[(100.0, &[(60.0, "Network"), (160.0, "Dimer"), (260.0, "Monomer")])]);
    for (at, word) in (0..).zip(words) {
        let y = 112.0 + 11.0 * at as f32;
        let last = if at == 9 { "0" } else { "no" };
        sets.extend([line(60.0, y, 10.0, word), line(165.0, y, 10.0, "yes"), line(275.0, y, 10.0, last)]);
    }
    let table = table_of(&sets, &[]);
    assert_eq!((table.rows, table.columns), (11, 3));
    assert_eq!(texts(&table)[10], ["bce", "yes", "0"]);
}

#[test]
fn cells_close_to_each_other_are_parted_where_other_rows_part_them() {
    // A narrow gap joins the words of the header, and those of one row, into one text.
    let rows: &[(f32, &[(f32, &str)])] = &[
        (100.0, &[(60.0, "Delay of"), (160.0, "Mean"), (186.0, "SD"), (240.0, "Most")]),
        (118.0, &[(60.0, "Patient"), (157.0, "55.3"), (186.0, "40.0"), (240.0, "198")]),
        (132.0, &[(60.0, "Service"), (157.0, "76.5"), (186.0, "91.2"), (240.0, "371")]),
        (146.0, &[(60.0, "Whole"), (152.0, "131.4"), (186.0, "94.3"), (240.0, "401")]),
    ];
    let table = table_of(&rows_at(rows), &[]);
    assert_eq!((table.rows, table.columns), (4, 4));
    assert_eq!(texts(&table)[0], ["Delay of", "Mean", "SD", "Most"]);
    assert_eq!(texts(&table)[3], ["Whole", "131.4", "94.3", "401"]);
}

#[test]
fn a_text_wider_than_its_column_ends_where_the_next_cell_begins() {
    let rows: &[(f32, &[(f32, &str)])] = &[
        (100.0, &[(220.0, "Before"), (345.0, "After"), (460.0, "All")]),
        (
            114.0,
            &[
                (60.0, "Samples"),
                (220.0, "679 (54 % of all taken)"),
                (345.0, "566 (45 % of all)"),
                (460.0, "1245"),
            ],
        ),
        (128.0, &[(60.0, "Positive"), (220.0, "394 (58 %)"), (345.0, "242 (42 %)"), (460.0, "636")]),
        (142.0, &[(60.0, "Of one kind"), (220.0, "220 (55 %)"), (345.0, "177 (73 %)"), (460.0, "397")]),
        (156.0, &[(60.0, "Of another"), (220.0, "75 (19 %)"), (345.0, "39 (16 %)"), (460.0, "114")]),
    ];
    let table = table_of(&rows_at(rows), &[]);
    assert_eq!((table.rows, table.columns), (5, 4));
    assert_eq!(texts(&table)[1], ["Samples", "679 (54 % of all taken)", "566 (45 % of all)", "1245"]);
}

#[test]
fn the_lines_of_a_cell_stay_in_it_to_the_last_row() {
    let labels: [&[&str]; 3] = [
        &["1. Treatment is the best", "way to help people", "who are ill"],
        &["2. Treatment carries a", "high risk of harm"],
        &["3. Since it was there", "the time that people", "stay there has become", "much shorter"],
    ];
    let mut sets = rows_at(&[(100.0, &[(240.0, "agree"), (320.0, "neither"), (400.0, "reject")])]);
    let mut y = 118.0;
    for label in labels {
        sets.extend([
            line(240.0, y, 10.0, "7.1"),
            line(320.0, y, 10.0, "33.3"),
            line(400.0, y, 10.0, "26.3"),
        ]);
        for text in label {
            sets.push(line(60.0, y, 10.0, text));
            y += 11.5;
        }
        y += 1.0;
    }
    let table = table_of(&sets, &[]);
    assert_eq!((table.rows, table.columns), (4, 4));
    assert_eq!(texts(&table)[3][0], labels[2].join(" "));
}

#[test]
fn the_bracketed_part_of_a_value_belongs_to_it() {
    let rows: &[(f32, &[(f32, &str)])] = &[
        (100.0, &[(60.0, "Complaint"), (160.0, "Pulse"), (240.0, "Breath"), (320.0, "Fever")]),
        (114.0, &[(60.0, "Pain"), (160.0, "315 (31.6)"), (240.0, "12 (1.2)"), (320.0, "4 (0.4)")]),
        (128.0, &[(60.0, "Cough"), (160.0, "296 (29.6)"), (240.0, "10 (1.0)"), (320.0, "8 (0.8)")]),
        (142.0, &[(60.0, "Other"), (160.0, "231 (23.1)"), (240.0, "6 (0.6)"), (320.0, "2 (0.2)")]),
        (156.0, &[(60.0, "Total"), (160.0, "842 (84.2)"), (240.0, "10028"), (320.0, "10014")]),
        (167.0, &[(240.0, "(2.8)"), (320.0, "(1.4)")]),
    ];
    let table = table_of(&rows_at(rows), &[]);
    assert_eq!((table.rows, table.columns), (5, 4));
    assert_eq!(texts(&table)[4], ["Total", "842 (84.2)", "10028 (2.8)", "10014 (1.4)"]);
}

#[test]
fn the_numbers_and_the_panels_of_a_chart_are_no_table() {
    let has_table = |sets: &[Set], rules: &[Rule]| {
        blocks_of(sets, rules).iter().any(|(block, _)| block.kind == Kind::Table)
    };
    let axes: &[(f32, &[(f32, &str)])] = &[
        (100.0, &[(60.0, "15"), (120.0, "30")]),
        (120.0, &[(60.0, "10"), (120.0, "20")]),
        (140.0, &[(180.0, "13")]),
        (160.0, &[(65.0, "5"), (240.0, "5")]),
        (180.0, &[(65.0, "0"), (245.0, "0")]),
    ];
    assert!(!has_table(&rows_at(axes), &[]));
    let numbers: &[(f32, &[(f32, &str)])] = &[
        (100.0, &[(60.0, "15"), (120.0, "30"), (180.0, "12")]),
        (114.0, &[(60.0, "10"), (120.0, "20"), (180.0, "13")]),
        (128.0, &[(60.0, "11"), (120.0, "21"), (180.0, "14")]),
    ];
    assert!(has_table(&rows_at(numbers), &[]));
    let panels = grid(&[60.0, 160.0, 260.0, 360.0, 460.0], &[100.0, 200.0, 300.0, 400.0], &[]);
    let words =
        [line(80.0, 140.0, 10.0, "sun"), line(300.0, 140.0, 10.0, "sea"), line(80.0, 240.0, 10.0, "sky")];
    assert!(!has_table(&words, &panels));
}

#[test]
fn the_rules_of_a_table_show_the_tilt_that_its_short_cells_hide() {
    // Each box is level, as a detector makes those of short texts; their places are tilted by a row.
    let tilt = 0.028;
    let center = Point::new(PAGE.0 / 2.0, PAGE.1 / 2.0);
    let heads = ["Name", "One", "Two", "Six", "Ten"];
    let cells = ["Row", "1.1", "2.2", "6.6", "9.9"];
    let mut sets = Vec::new();
    for row in 0..8 {
        for (column, x) in [40.0, 160.0, 280.0, 400.0, 520.0].into_iter().enumerate() {
            let at = Point::new(x, 300.0 + 13.0 * row as f32).turned_about(center, tilt);
            sets.push(line(at.x, at.y, 10.0, if row == 0 { heads[column] } else { cells[column] }));
        }
    }
    let rules: Vec<Rule> = [297.0, 311.5, 403.0]
        .into_iter()
        .map(|y| Rule {
            from: Point::new(38.0, y).turned_about(center, tilt),
            to: Point::new(545.0, y).turned_about(center, tilt),
        })
        .collect();
    let table = table_of(&sets, &rules);
    assert_eq!((table.rows, table.columns), (8, 5));
    assert_eq!(texts(&table)[0], heads);
    assert_eq!(texts(&table)[7], cells);
}
