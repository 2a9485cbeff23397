//! Detection of rules: the lines drawn between the cells of forms and tables. They are found as ridges, pixels darker
//! (or lighter) than the pixels a little above and below them, in runs longer than any stroke of a letter.
//!
//! Works on a page at about the detector's size; independent of text. Called once per page, for [`crate::layout`].

use crate::detect::components::{Stroke, strokes};
use crate::geometry::{Point, Rotation};

/// A drawn line, in pixels of the image that it was found in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Its left or upper end.
    pub from: Point,
    /// Its right or lower end.
    pub to: Point,
}

impl Rule {
    /// Returns the rule with both axes scaled.
    pub fn scaled(&self, x: f32, y: f32) -> Self {
        let scaled = |p: Point| Point::new(p.x * x, p.y * y);
        Self { from: scaled(self.from), to: scaled(self.to) }
    }

    /// Returns the position of the rule after its image of `width` by `height` was turned clockwise.
    pub fn turned(&self, rotation: Rotation, width: f32, height: f32) -> Self {
        let turned = |p: Point| p.turned(rotation, width, height);
        Self { from: turned(self.from), to: turned(self.to) }
    }
}

/// Distance in rows of the pixels that a ridge is compared with: rules up to five pixels thick are found, edges of
/// areas are not.
const REACH: usize = 3;
/// Minimum difference of gray levels (of 255). A hairline of half a pixel at this size still differs by 70.
const CONTRAST: u8 = 24;
/// Minimum run of ridge pixels: longer than letters are wide, shorter than the steps of a thin line tilted by 3
/// degrees.
const RUN_MIN: u32 = 24;
/// Minimum length of a rule, in pixels: cells of a table are longer.
const LENGTH_MIN: f32 = 40.0;
/// Maximum slope of a rule, as rows per column: 3 degrees. A steeper one was joined from several.
const SLOPE_MAX: f32 = 0.055;
/// Maximum runs of ridge pixels; a picture has that many, a form does not.
const RUNS_MAX: usize = 1 << 19;
/// Maximum rules of a page; more are a pattern.
const RULES_MAX: usize = 4096;
/// Side of the tiles in which an image is transposed, in pixels.
const TILE: usize = 64;

/// Returns the rules of an image of RGB triples, level ones first. Empty if the image is not `width` times `height`, or
/// has more lines than a form.
pub fn rules(rgb: &[u8], width: usize, height: usize) -> Vec<Rule> {
    if width == 0 || height == 0 || rgb.len() != width * height * 3 {
        return Vec::new();
    }
    let gray = gray(rgb);
    let level = lines(&gray, width, height);
    let upright = lines(&transposed(&gray, width, height), height, width);
    let swapped = |stroke: Stroke| Rule {
        from: Point::new(stroke.from.y, stroke.from.x),
        to: Point::new(stroke.to.y, stroke.to.x),
    };
    let mut rules: Vec<Rule> = level.into_iter().map(|s| Rule { from: s.from, to: s.to }).collect();
    rules.extend(upright.into_iter().map(swapped));
    if rules.len() > RULES_MAX { Vec::new() } else { rules }
}

/// Returns the green of every pixel: most of its brightness, from one byte in three.
fn gray(rgb: &[u8]) -> Vec<u8> {
    rgb.as_chunks::<3>().0.iter().map(|pixel| pixel[1]).collect()
}

/// Transposes rows and columns, tile by tile, so that both sides stay in the cache.
fn transposed(gray: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut out = vec![0u8; gray.len()];
    for top in (0..height).step_by(TILE) {
        for left in (0..width).step_by(TILE) {
            for y in top..(top + TILE).min(height) {
                let right = (left + TILE).min(width);
                let Some(row) = gray.get(y * width + left..y * width + right) else { continue };
                for (x, &value) in (left..).zip(row) {
                    if let Some(place) = out.get_mut(x * height + y) {
                        *place = value;
                    }
                }
            }
        }
    }
    out
}

/// Returns the lines along the rows.
fn lines(gray: &[u8], width: usize, height: usize) -> Vec<Stroke> {
    let mut mask = vec![0u8; gray.len()];
    let row = |y: usize| gray.get(y * width..(y + 1) * width).unwrap_or_default();
    for (y, out) in mask.chunks_exact_mut(width).enumerate() {
        if y >= REACH && y + REACH < height {
            ridge(row(y - REACH), row(y), row(y + REACH), out);
        }
    }
    let long_and_level = |stroke: &Stroke| {
        let length = stroke.to.x - stroke.from.x;
        length >= LENGTH_MIN && stroke.rows as f32 <= 2.0 * REACH as f32 + SLOPE_MAX * length
    };
    let mut found = strokes(&mask, width, 0, RUN_MIN, RUNS_MAX).unwrap_or_default();
    found.retain(long_and_level);
    found
}

/// Marks the pixels of a row that are darker, or lighter, than those above and below; 64 per iteration.
fn ridge(above: &[u8], here: &[u8], below: &[u8], out: &mut [u8]) {
    let mark = |a: u8, h: u8, b: u8| {
        let dark = a.min(b).saturating_sub(h);
        let light = h.saturating_sub(a.max(b));
        u8::from(dark.max(light) > CONTRAST)
    };
    let ((a, a_rest), (h, h_rest), (b, b_rest)) =
        (above.as_chunks::<64>(), here.as_chunks::<64>(), below.as_chunks::<64>());
    let (o, o_rest) = out.as_chunks_mut::<64>();
    for (((a, h), b), o) in a.iter().zip(h).zip(b).zip(o) {
        for (((a, h), b), o) in a.iter().zip(h).zip(b).zip(o) {
            *o = mark(*a, *h, *b);
        }
    }
    for (((a, h), b), o) in a_rest.iter().zip(h_rest).zip(b_rest).zip(o_rest) {
        *o = mark(*a, *h, *b);
    }
}

#[cfg(test)]
mod tests;
