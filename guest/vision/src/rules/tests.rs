#![allow(clippy::unwrap_used)]
use super::*;

const SIZE: (usize, usize) = (400, 300);

/// Makes a page of one gray with level bars `(x, y, width, height, level)`.
fn page(paper: u8, bars: &[(usize, usize, usize, usize, u8)]) -> Vec<u8> {
    let mut rgb = vec![paper; SIZE.0 * SIZE.1 * 3];
    for &(x, y, width, height, level) in bars {
        for row in y..y + height {
            rgb[(row * SIZE.0 + x) * 3..(row * SIZE.0 + x + width) * 3].fill(level);
        }
    }
    rgb
}

fn found(rgb: &[u8]) -> Vec<Rule> {
    rules(rgb, SIZE.0, SIZE.1)
}

fn rule(from: (f32, f32), to: (f32, f32)) -> Rule {
    Rule { from: Point::new(from.0, from.1), to: Point::new(to.0, to.1) }
}

#[test]
fn lines_are_found_in_both_directions_and_in_both_shades() {
    let bars = [(50, 100, 300, 1, 150), (200, 120, 1, 150, 0)];
    let expect = [rule((50.0, 100.5), (350.0, 100.5)), rule((200.5, 120.0), (200.5, 270.0))];
    assert_eq!(found(&page(255, &bars)), expect);
    assert_eq!(found(&page(0, &bars[..1])), expect[..1]);
    assert_eq!(found(&page(90, &[(50, 100, 300, 1, 70)])), [], "too faint");
}

#[test]
fn letters_and_areas_are_no_lines() {
    let dashes: Vec<_> = (0..20).map(|i| (20 * i, 100, 15, 2, 0)).collect();
    assert_eq!(found(&page(255, &dashes)), []);
    assert_eq!(found(&page(255, &[(50, 50, 300, 40, 0)])), [], "the edges of an area");
    assert_eq!(found(&page(255, &[(50, 50, 30, 1, 0)])), [], "shorter than a cell");
}

#[test]
fn a_tilted_line_is_one() {
    let mut rgb = page(255, &[]);
    for x in 50..350 {
        let y = 100 + (x - 50) / 30;
        for row in y..y + 2 {
            rgb[(row * SIZE.0 + x) * 3..][..3].fill(0);
        }
    }
    let lines = found(&rgb);
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].from.x, lines[0].to.x), (50.0, 350.0));
    assert!((lines[0].to.y - lines[0].from.y - 9.0).abs() <= 1.0, "{lines:?}");
}

#[test]
fn what_is_no_page_has_none() {
    assert_eq!(rules(&[], 0, 0), []);
    assert_eq!(rules(&[0; 10], 4, 4), []);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let noise: Vec<u8> = (0..SIZE.0 * SIZE.1 * 3)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect();
    assert_eq!(found(&noise), []);
}

#[test]
fn upright_lines_of_low_rows_are_found_where_rules_cross() {
    // A grid of hairlines: columns of 100 pixels, rows of 18.
    let (width, height) = (420, 240);
    let mut rgb = vec![255u8; width * height * 3];
    for y in 0..height {
        for x in 0..width {
            let inside = (10..=410).contains(&x) && (10..=208).contains(&y);
            if inside && ((x - 10) % 100 == 0 || (y - 10) % 18 == 0) {
                rgb[(y * width + x) * 3..][..3].fill(0);
            }
        }
    }
    let upright = |found: &[Rule]| found.iter().filter(|r| (r.to.y - r.from.y).abs() > 150.0).count();
    assert_eq!(upright(&rules(&rgb, width, height)), 0);
    assert_eq!(upright(&crossing(&rgb, width, height)), 5);
}
