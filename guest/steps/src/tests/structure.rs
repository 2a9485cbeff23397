//! Blocks and tables of the standard pipeline.

use lector_sdk::{BlockKind, Direction};

use super::*;

const TABLE: &[(f32, f32, &str)] = &[
    (57.0, 60.0, "Country"),
    (200.0, 60.0, "2019"),
    (300.0, 60.0, "Change"),
    (57.0, 80.0, "France"),
    (200.0, 80.0, "1200"),
    (300.0, 80.0, "+140"),
    (57.0, 100.0, "Germany"),
    (200.0, 100.0, "2200"),
    (300.0, 100.0, "-100"),
    (57.0, 120.0, "Italy"),
    (200.0, 120.0, "900"),
    (300.0, 120.0, "+5"),
    (57.0, 300.0, "The quick brown fox jumps over the lazy dog and ex-"),
    (57.0, 316.0, "plains a second line of plain embedded text to it"),
    (57.0, 332.0, "so that nobody can doubt that this is real prose."),
];

#[test]
fn embedded_text_has_blocks_and_tables() {
    let host = host(0);
    let page = FakePage::pdf(Pixels::white(Size { width: 826, height: 1169 }), 100.0, layer(TABLE, &[]));
    let transcript = read(&host, page.clone(), "{}");
    assert_eq!((page.renders(), host.runs("detection")), (1, 0), "a small rendering for the rules, no model");
    let ids: Vec<u32> = transcript.blocks.iter().map(|block| block.id).collect();
    assert_eq!(ids, [0, 1]);
    assert!(transcript.lines.windows(2).all(|pair| pair[0].block_id <= pair[1].block_id));
    let table = transcript.blocks[0].table.as_ref().expect("a table");
    assert_eq!((table.rows, table.columns), (4, 3));
    let cell = table.cells.iter().find(|cell| cell.row == 2 && cell.column == 1).unwrap();
    assert_eq!((cell.text.as_str(), cell.header), ("2200", false));
    assert_eq!(transcript.lines[cell.lines[0] as usize].text, "2200");
    assert_eq!(transcript.blocks[1].kind, BlockKind::Text);
    let properties = transcript.blocks[1].properties.as_deref().expect("a joined text");
    assert!(properties.contains("dog and explains a second"), "{properties}");
    assert!(transcript.lines.iter().all(|line| line.words.is_empty()), "words were not asked for");
}

/// A check box larger than the text beside it made a heading of it.
#[test]
fn a_line_has_the_size_of_most_of_its_characters() {
    let mut all = layer(PROSE, &[]);
    all.spans.extend(layer(&[(57.0, 130.0, "Send me the newsletter")], &[]).spans);
    let mut mark = of_source(layer(&[(36.0, 126.0, "\u{2610}")], &[]), Source::FormField).spans;
    for span in &mut mark {
        span.font_size = 20.0;
        span.area = Rect { x: 36.0, y: 126.0, width: 20.0, height: 20.0 };
    }
    all.spans.splice(0..0, mark);
    let transcript = read(&host(0), FakePage::pdf(letter(), 100.0, all), "{}");
    let line = transcript.lines.iter().find(|line| line.text == "\u{2610} Send me the newsletter");
    let id = line.unwrap_or_else(|| panic!("{:?}", texts(&transcript))).block_id;
    assert_eq!(transcript.blocks[id as usize].kind, BlockKind::Text);
}

#[test]
fn columns_of_upright_characters_run_down_the_page() {
    let column = |x: f32, text: &str| TextSpan {
        text: text.to_owned(),
        area: Rect { x, y: 60.0, width: 12.0, height: 12.0 * text.chars().count() as f32 },
        font_size: 12.0,
        visible: true,
        ends_line: false,
        source: Source::TextLayer,
    };
    for (texts_of, expect) in [
        (["春の会議では", "新しい図書館の"], Direction::Ttb),
        (["the volume", "and its year"], Direction::Ltr),
    ] {
        let mut all = layer(PROSE, &[]);
        // Two spans of one column tell that it runs down.
        let [first, second] = texts_of.map(|text| column(400.0, text));
        let below = Rect { y: first.area.y + first.area.height + 2.0, ..second.area };
        all.spans.extend([first, TextSpan { area: below, ends_line: true, ..second }]);
        let transcript = read(&host(0), FakePage::pdf(letter(), 100.0, all), "{}");
        let text = texts_of.join(" ");
        let line = transcript.lines.iter().find(|line| line.text == text);
        let line = line.unwrap_or_else(|| panic!("{:?}", texts(&transcript)));
        assert_eq!(line.direction, expect);
        let (first, around) = (line.quad.top_left, line.quad.bounds());
        let is_upright = (first.x - around.x).abs() < 1.0 && (first.y - around.y).abs() < 1.0;
        assert_eq!(is_upright, expect == Direction::Ttb, "{:?}", line.quad);
    }
}

#[test]
fn lines_alone_when_structure_is_off() {
    let page = FakePage::pdf(Pixels::white(Size { width: 826, height: 1169 }), 100.0, layer(TABLE, &[]));
    let transcript = read(&host(0), page.clone(), r#"{"structure": "off"}"#);
    assert!(transcript.blocks.is_empty());
    assert_eq!((page.renders(), transcript.lines.len()), (0, TABLE.len()));
}

#[test]
fn prose_without_tables_needs_no_rendering() {
    let page = FakePage::pdf(letter(), 100.0, layer(PROSE, &[]));
    let transcript = read(&host(0), page.clone(), "{}");
    assert_eq!(page.renders(), 0);
    assert_eq!(transcript.blocks.len(), 1);
    assert!(transcript.blocks[0].properties.is_none(), "spaces join its lines");
}

#[test]
fn pages_read_from_pixels_have_blocks_too() {
    let transcript = read(&host(3), FakePage::raster(turned(&letter(), Rotation::ThreeQuarters)), "{}");
    assert_eq!(texts(&transcript), ["abcdab", "acdcb", "abab"]);
    let ids: Vec<u32> = transcript.blocks.iter().map(|block| block.id).collect();
    assert!(transcript.lines.iter().all(|line| ids.contains(&line.block_id)));
    let around = transcript.blocks[0].quad.bounds();
    let line = transcript.lines[0].quad.bounds();
    assert!((around.x - line.x).abs() < 60.0 && around.x >= 0.0, "in the coordinates of the page as it lies");
}

#[test]
fn the_documents_own_lines_make_the_table_without_a_rendering() {
    // A grid of 3 rows and 2 columns; the header spans both columns, the first cell has two lines.
    let words: &[(f32, f32, &str)] = &[
        (60.0, 62.0, "Population of the country"),
        (60.0, 84.0, "Germany"),
        (60.0, 98.0, "and Berlin"),
        (260.0, 84.0, "83 million"),
        (60.0, 120.0, "France"),
        (260.0, 120.0, "68 million"),
        (57.0, 300.0, "The quick brown fox jumps over the lazy dog"),
        (57.0, 316.0, "and a second line of plain embedded text follows."),
    ];
    let level = |y: f32| Rect { x: 50.0, y, width: 350.0, height: 0.5 };
    let upright = |x: f32, y: f32, height: f32| Rect { x, y, width: 0.5, height };
    let rules = vec![
        level(58.0),
        level(80.0),
        level(116.0),
        level(138.0),
        upright(50.0, 58.0, 80.0),
        upright(250.0, 80.0, 58.0),
        upright(400.0, 58.0, 80.0),
    ];
    let drawn = TextLayer { rules, ..layer(words, &[]) };
    let page = FakePage::pdf(Pixels::white(Size { width: 826, height: 1169 }), 100.0, drawn);
    let transcript = read(&host(0), page.clone(), "{}");
    assert_eq!(page.renders(), 0);
    let table = transcript.blocks.iter().find_map(|block| block.table.as_ref()).expect("a table");
    assert_eq!((table.rows, table.columns), (3, 2));
    let cells: Vec<(u32, &str)> =
        table.cells.iter().map(|cell| (cell.column_span, cell.text.as_str())).collect();
    let expect = [
        (2, "Population of the country"),
        (1, "Germany and Berlin"),
        (1, "83 million"),
        (1, "France"),
        (1, "68 million"),
    ];
    assert_eq!(cells, expect);
}

/// Two columns of running text, given line by line from the left column, as a program may write them.
#[test]
fn the_right_column_of_a_page_in_hebrew_is_read_first() {
    let page_of = |text: &'static str| {
        let mut lines: Vec<(f32, f32, &str)> = Vec::new();
        for row in 0..12 {
            lines.push((40.0, 100.0 + 16.0 * row as f32, text));
            lines.push((320.0, 100.0 + 16.0 * row as f32, text));
        }
        let size = Size { width: 826, height: 1169 };
        read(&host(0), FakePage::pdf(Pixels::white(size), 100.0, layer(&lines, &[])), "{}")
    };
    for (text, first_is_right) in
        [("שורה אחת של טקסט רגיל בעמודה צרה", true), ("one line of plain text in a small column", false)]
    {
        let transcript = page_of(text);
        let lefts: Vec<f32> = transcript.lines.iter().map(|line| line.quad.bounds().x).collect();
        assert_eq!(lefts.len(), 24);
        let (first, last) = lefts.split_at(12);
        let is_one = |lefts: &[f32]| lefts.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 1.0);
        assert!(is_one(first) && is_one(last), "column by column: {lefts:?}");
        assert_eq!(first[0] > last[0], first_is_right, "{text}");
    }
}

/// Fragments of one printed line: a Latin name of two fragments in a line of Hebrew keeps its order.
#[test]
fn fragments_of_a_line_are_joined_in_their_directions() {
    let mut lines: Vec<(f32, f32, &str)> =
        (0..6).map(|row| (57.0, 300.0 + 16.0 * row as f32, "שורה אחת של טקסט רגיל כאן")).collect();
    // From the left: the end of the line, the two words of a name, its beginning.
    lines.extend([
        (57.0, 100.0, "מקומי"),
        (91.0, 100.0, "Mac"),
        (113.0, 100.0, "Pro"),
        (135.0, 100.0, "מחשב"),
    ]);
    let mut layer = layer(&lines, &[]);
    for span in &mut layer.spans {
        span.ends_line = true;
    }
    let size = Size { width: 826, height: 1169 };
    let transcript = read(&host(0), FakePage::pdf(Pixels::white(size), 100.0, layer), "{}");
    let texts = texts(&transcript);
    assert!(texts.contains(&"מחשב Mac Pro מקומי"), "{texts:?}");
}
