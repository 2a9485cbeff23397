//! Blocks and tables of the standard pipeline.

use lector_sdk::BlockKind;

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
