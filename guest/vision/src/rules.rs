//! Detection of rules: the lines drawn between the cells of forms and tables. They are found as ridges, pixels darker
//! (or lighter) than the pixels a little above and below them, in runs longer than any stroke of a letter.
//!
//! Works on a page at about the detector's size; independent of text. Called once per page, for [`crate::layout`].

use crate::detect::components::{Stroke, strokes};
use crate::geometry::{Point, Rect, Rotation};

/// A drawn line, in pixels of the image that it was found in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Its left or upper end.
    pub from: Point,
    /// Its right or lower end.
    pub to: Point,
}

impl Rule {
    /// Returns the middle line of a thin area.
    pub fn along(area: &Rect) -> Self {
        let middle = area.center();
        if area.width >= area.height {
            Self { from: Point::new(area.x, middle.y), to: Point::new(area.right(), middle.y) }
        } else {
            Self { from: Point::new(middle.x, area.y), to: Point::new(middle.x, area.bottom()) }
        }
    }

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
/// Widest crossing of another rule, in pixels: a thick rule, and the reach beside it.
const CROSSING_MAX: usize = 2 * REACH + 3;
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
    found(rgb, width, height, false)
}

/// Returns the rules as [`rules`] does, and also those that others cross more often than every 24 pixels: the upright lines
/// of a table with low rows. For [`crate::structure`].
pub fn crossing(rgb: &[u8], width: usize, height: usize) -> Vec<Rule> {
    found(rgb, width, height, true)
}

fn found(rgb: &[u8], width: usize, height: usize, bridged: bool) -> Vec<Rule> {
    if width == 0 || height == 0 || rgb.len() != width * height * 3 {
        return Vec::new();
    }
    let gray = gray(rgb);
    let level = lines(&gray, width, height, bridged);
    let upright = lines(&transposed(&gray, width, height), height, width, bridged);
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
fn lines(gray: &[u8], width: usize, height: usize, bridged: bool) -> Vec<Stroke> {
    let mut mask = vec![0u8; gray.len()];
    let row = |y: usize| gray.get(y * width..(y + 1) * width).unwrap_or_default();
    for (y, out) in mask.chunks_exact_mut(width).enumerate() {
        if y >= REACH && y + REACH < height {
            ridge(row(y - REACH), row(y), row(y + REACH), out);
            if bridged {
                bridge(row(y), out);
            }
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

/// Marks the pixels where another rule crosses a run: they are no ridge, but have the color of the run.
fn bridge(gray: &[u8], marks: &mut [u8]) {
    let mut last: Option<usize> = None;
    for start in (0..marks.len()).step_by(64) {
        let end = (start + 64).min(marks.len());
        // Most of a page is blank.
        if marks.get(start..end).is_none_or(|block| block.iter().all(|mark| *mark == 0)) {
            continue;
        }
        for x in start..end {
            if marks.get(x) != Some(&1) {
                continue;
            }
            if let Some(from) = last.filter(|from| (2..=CROSSING_MAX + 1).contains(&(x - from)))
                && let (Some(&a), Some(&b)) = (gray.get(from), gray.get(x))
            {
                let (low, high) = (a.min(b).saturating_sub(CONTRAST), a.max(b).saturating_add(CONTRAST));
                let alike = gray.get(from..x).is_some_and(|gap| gap.iter().all(|g| (low..=high).contains(g)));
                if let Some(gap) = marks.get_mut(from..x).filter(|_| alike) {
                    gap.fill(1);
                }
            }
            last = Some(x);
        }
    }
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
