//! Stamps: areas of colored ink on a light ground, which may lie over print. Black print under a stamp stays dark in the lightest
//! of the three channels, where colored ink is nearly as light as paper: [`without_color`].
//!
//! Works on a small version of the page; independent of text. Called once for a page that is read from pixels.

use crate::geometry::Rect;

/// Minimum difference between the channels of colored ink; thin strokes are blended with the paper around them.
const COLORED: u8 = 40;
/// Minimum of the lightest channel: dark colors would stay dark.
const LIGHT: u8 = 130;
/// Side of the cells that a page is divided into, in pixels, and the colored pixels of one that belongs to a stamp.
const CELL: usize = 4;
const PIXELS_MIN: usize = 2;
/// Minimum side of a stamp, in pixels; colored words are smaller.
const SIDE_MIN: usize = 20;
/// Maximum part of the page, and the parts of a stamp's box that are colored: a picture has more, a few words have less.
const PAGE_SHARE_MAX: f32 = 0.3;
const INK_SHARE: std::ops::RangeInclusive<f32> = 0.04..=0.6;
/// Maximum number of stamps; a page with more is a drawing or a picture.
const STAMPS_MAX: usize = 4;

/// Returns the boxes of stamps on an image of RGB triples, largest first; none where there are more than a few.
pub fn stamps(rgb: &[u8], width: usize, height: usize) -> Vec<Rect> {
    if width == 0 || rgb.len() != width * height * 3 {
        return Vec::new();
    }
    let (columns, rows) = (width.div_ceil(CELL), height.div_ceil(CELL));
    let mut counts = vec![0usize; columns * rows];
    for (at, pixel) in rgb.as_chunks::<3>().0.iter().enumerate() {
        if is_colored(pixel)
            && let Some(count) = counts.get_mut(at / width / CELL * columns + at % width / CELL)
        {
            *count += 1;
        }
    }
    let mut found: Vec<Rect> = Vec::new();
    for start in 0..counts.len() {
        let Some(group) = take_group(&mut counts, columns, start) else { continue };
        let side = |cells: usize| cells * CELL;
        let (wide, high) = (side(group.right - group.left + 1), side(group.bottom - group.top + 1));
        let (area, page) = ((wide * high) as f32, (width * height) as f32);
        let is_stamp = wide.min(high) >= SIDE_MIN
            && area <= PAGE_SHARE_MAX * page
            && INK_SHARE.contains(&(group.ink as f32 / area));
        if is_stamp {
            found.push(Rect {
                x: side(group.left) as f32,
                y: side(group.top) as f32,
                width: wide as f32,
                height: high as f32,
            });
        }
    }
    if found.len() > STAMPS_MAX {
        return Vec::new();
    }
    found.sort_by(|a, b| b.area().total_cmp(&a.area()));
    found
}

/// Replaces each pixel by the lightest of its channels, in all three.
pub fn without_color(rgb: &mut [u8]) {
    for pixel in rgb.as_chunks_mut::<3>().0 {
        *pixel = [pixel[0].max(pixel[1]).max(pixel[2]); 3];
    }
}

fn is_colored(&[r, g, b]: &[u8; 3]) -> bool {
    let (low, high) = (r.min(g).min(b), r.max(g).max(b));
    high - low >= COLORED && high >= LIGHT
}

/// Cells that touch each other, or nearly.
struct Group {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
    ink: usize,
}

/// Takes the cells connected with `start` out of `counts`; `None` where it is no colored cell.
fn take_group(counts: &mut [usize], columns: usize, start: usize) -> Option<Group> {
    let rows = counts.len() / columns;
    let first = (start % columns, start / columns);
    let mut group = Group { left: first.0, top: first.1, right: first.0, bottom: first.1, ink: 0 };
    let mut open = vec![first];
    while let Some((x, y)) = open.pop() {
        let Some(count) = counts.get_mut(y * columns + x).filter(|count| **count >= PIXELS_MIN) else {
            continue;
        };
        group.ink += std::mem::take(count);
        (group.left, group.right) = (group.left.min(x), group.right.max(x));
        (group.top, group.bottom) = (group.top.min(y), group.bottom.max(y));
        // A gap of one cell is within a stamp.
        for near_y in y.saturating_sub(2)..=(y + 2).min(rows - 1) {
            for near_x in x.saturating_sub(2)..=(x + 2).min(columns - 1) {
                open.push((near_x, near_y));
            }
        }
    }
    (group.ink > 0).then_some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a white page with a ring of `color`.
    fn ring(color: [u8; 3]) -> Vec<u8> {
        let mut rgb = vec![255u8; 256 * 360 * 3];
        for (at, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (x, y) = ((at % 256) as f32 - 150.0, (at / 256) as f32 - 200.0);
            if (36.0..40.0).contains(&x.hypot(y)) {
                *pixel = color;
            }
        }
        rgb
    }

    #[test]
    fn a_ring_of_colored_ink_is_a_stamp_and_a_black_one_is_none() {
        let found = stamps(&ring([232, 146, 146]), 256, 360);
        assert_eq!(found.len(), 1);
        let Rect { x, y, width, height } = found[0];
        assert!((x - 110.0).abs() < 6.0 && (y - 160.0).abs() < 6.0, "{found:?}");
        assert!((width - 80.0).abs() < 9.0 && (height - 80.0).abs() < 9.0, "{found:?}");
        assert!(stamps(&ring([60, 60, 60]), 256, 360).is_empty());
        assert!(stamps(&ring([40, 20, 90]), 256, 360).is_empty(), "dark ink stays dark in every channel");
    }

    #[test]
    fn pictures_and_colored_words_are_no_stamps() {
        let picture = [200, 40, 40].repeat(256 * 360);
        assert!(stamps(&picture, 256, 360).is_empty());
        let mut word = vec![255u8; 256 * 360 * 3];
        for y in 100..108 {
            for x in 30..90 {
                word[(y * 256 + x) * 3 + 1] = 30;
            }
        }
        assert!(stamps(&word, 256, 360).is_empty());
        assert!(stamps(&[1, 2, 3], 256, 360).is_empty());
    }

    #[test]
    fn print_stays_dark_without_the_color() {
        let mut rgb = vec![230, 140, 140, 10, 10, 10, 150, 20, 20];
        without_color(&mut rgb);
        assert_eq!(rgb, [230, 230, 230, 10, 10, 10, 150, 150, 150]);
    }
}
