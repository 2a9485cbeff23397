#![allow(clippy::unwrap_used)]
use super::*;
use crate::geometry::{Point, Rect};
use proptest::prelude::*;

fn quad(width: f32, height: f32) -> Quad {
    Quad::from_rect(&Rect { x: 10.0, y: 20.0, width, height })
}

#[test]
fn lines_on_end_are_read_downwards() {
    let options = CropOptions::default();
    let read = |quad: Quad| reading_quads(&[quad], &options)[0];
    let turned = read(quad(20.0, 300.0));
    assert_eq!(turned.0[0], Point::new(30.0, 20.0), "begins at the upper right");
    assert_eq!((turned.width(), turned.height()), (300.0, 20.0));
    assert_eq!(read(quad(20.0, 29.0)), quad(20.0, 29.0), "a single high letter is not a vertical line");
}

#[test]
fn a_narrow_character_beside_level_lines_is_not_turned() {
    // A digit in the cell of a table, its label, and a vertical line as high as three characters.
    let boxes = [quad(13.0, 24.0), quad(120.0, 22.0), quad(20.0, 66.0)];
    let read = reading_quads(&boxes, &CropOptions::default());
    assert_eq!(read[..2], boxes[..2]);
    assert_eq!((read[2].width(), read[2].height()), (66.0, 20.0));
}

#[test]
fn margins_are_in_line_heights() {
    let options = CropOptions { margin: 0.1, ..CropOptions::default() };
    let grown = reading_quads(&[quad(200.0, 20.0)], &options)[0].bounds();
    assert!((grown.width - 204.0).abs() < 1e-3 && (grown.height - 24.0).abs() < 1e-3);
}

#[test]
fn widths_keep_the_aspect() {
    let options = CropOptions::default();
    assert_eq!(width_at(&quad(200.0, 24.0), &options), 400);
    assert_eq!(width_at(&quad(2.0, 24.0), &options), 16, "at least the minimum");
    assert_eq!(split(3, &quad(200.0, 24.0), &options).len(), 1);
}

#[test]
fn long_lines_are_split_not_squeezed() {
    let options = CropOptions { width_max: 960, ..CropOptions::default() };
    let line = quad(1000.0, 20.0);
    let parts = split(7, &line, &options);
    assert_eq!(parts.len(), 3, "2400 columns in pieces of 960 with overlaps of 144");
    for pair in parts.windows(2) {
        let overlap = (pair[0].to - pair[1].from) * 1000.0 / 20.0;
        assert!((overlap - 3.0).abs() < 0.05, "three line heights, not {overlap}");
    }
    assert!(parts.iter().all(|p| p.line == 7 && p.width <= 960));
    assert_eq!((parts[0].from, parts[2].to), (0.0, 1.0));
}

proptest! {
    #[test]
    fn pieces_cover_the_line(width in 1f32..40_000.0, height in 4f32..60.0, most in 320u32..3200) {
        let options = CropOptions { width_max: most, ..CropOptions::default() };
        let line = quad(width, height);
        let parts = split(0, &line, &options);
        prop_assert!(!parts.is_empty() && parts.len() <= 64);
        prop_assert_eq!(parts[0].from, 0.0);
        prop_assert_eq!(parts.last().unwrap().to, 1.0);
        for pair in parts.windows(2) {
            prop_assert!(pair[1].from < pair[0].to && pair[1].from > pair[0].from, "overlap, advance");
        }
        for part in &parts {
            prop_assert!(part.width <= most && part.width >= 16);
            // The aspect is kept within a few percent unless the maximum number of pieces applies.
            if parts.len() < 64 && part.width > 32 {
                let exact = part.quad.width() * 48.0 / height;
                prop_assert!((part.width as f32 - exact).abs() <= 0.03 * exact + 2.0, "{} {}", part.width, exact);
            }
        }
    }
}
