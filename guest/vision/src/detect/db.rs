//! Boxes of a DB probability map: threshold, components, minimum-area rectangle, mean probability inside, and growth
//! from the shrunken kernel to the extent of the text.
//!
//! The paper shrinks a text polygon by Vatti clipping with an offset of `area * (1 - r^2) / perimeter` and grows the
//! result by `area * ratio / perimeter`. A rectangle grown that way stays a rectangle (with sharp joints), so no
//! polygon clipper is needed. Coordinates are edges of pixels: the map's first pixel spans 0 to 1.

use super::{DbOptions, DetectError, Found, TextBox, components::components};
use crate::geometry::{Point, Quad, convex_hull, min_area_rect};

/// Pixel runs allowed per allowed box; text has a few dozen, a map of noise has thousands without any box.
const RUNS_PER_BOX: usize = 256;

/// Area ratio up to which an upright rectangle is preferred to the smallest tilted one: the outline of a component is
/// ragged by a pixel, so the tilt of a short one is mostly noise.
const UPRIGHT_GAIN: f32 = 1.1;
/// The same for boxes less than twice as long as high: round and slanted letters appear tilted in any direction.
const UPRIGHT_GAIN_SHORT: f32 = 1.35;

/// Returns the text boxes of a probability map of bytes (255 is certain), rows from the top. Quads are in map pixels
/// and inside the map; topmost first.
pub fn boxes(prob: &[u8], width: usize, height: usize, options: &DbOptions) -> Result<Found, DetectError> {
    let expected = width.saturating_mul(height);
    if prob.len() != expected {
        return Err(DetectError::Shape { expected, got: prob.len() });
    }
    if expected == 0 {
        return Ok(Found::default());
    }
    let noise = || DetectError::Noise { limit: options.boxes_max };
    let limit = (options.threshold.clamp(0.0, 1.0) * 255.0) as u8;
    let rows_min = options.side_min.max(1.0) as u32;
    let runs_max = options.boxes_max.saturating_mul(RUNS_PER_BOX);
    let found = components(prob, width, limit, rows_min, runs_max).ok_or_else(noise)?;
    let mut boxes = Vec::new();
    for mut outline in found {
        let hull = convex_hull(&mut outline);
        let Some(kernel) = kernel(&hull) else { continue };
        if kernel.width().min(kernel.height()) < options.side_min {
            continue;
        }
        let score = mean_inside(prob, width, height, &kernel);
        if score < options.box_threshold {
            continue;
        }
        boxes.push(TextBox { quad: unclip(&kernel, options.unclip_ratio, width, height), score });
    }
    Ok(largest(boxes, options.boxes_max))
}

/// Keeps the largest boxes, in their order.
fn largest(mut boxes: Vec<TextBox>, most: usize) -> Found {
    let left_out = boxes.len().saturating_sub(most);
    if left_out > 0 {
        let mut order: Vec<(usize, f32)> = boxes.iter().map(|text| text.quad.area()).enumerate().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        order.truncate(most);
        order.sort_unstable_by_key(|(index, _)| *index);
        boxes = order.into_iter().filter_map(|(index, _)| boxes.get(index).copied()).collect();
    }
    Found { boxes, left_out }
}

/// Returns the rectangle of a component: the smallest one, or the upright one if it is hardly larger.
fn kernel(hull: &[Point]) -> Option<Quad> {
    let tilted = Quad::upright(min_area_rect(hull)?);
    let bounds = hull
        .iter()
        .skip(1)
        .fold((hull.first()?.x, hull.first()?.y, hull.first()?.x, hull.first()?.y), |(l, t, r, b), p| {
            (l.min(p.x), t.min(p.y), r.max(p.x), b.max(p.y))
        });
    let upright = Quad::from_rect(&crate::geometry::Rect::from_edges(bounds.0, bounds.1, bounds.2, bounds.3));
    let (long, short) = (tilted.width().max(tilted.height()), tilted.width().min(tilted.height()));
    let gain = if long < 2.0 * short { UPRIGHT_GAIN_SHORT } else { UPRIGHT_GAIN };
    Some(if upright.area() <= gain * tilted.area() { upright } else { tilted })
}

/// Grows a kernel on every side, and clips it to the map.
fn unclip(kernel: &Quad, ratio: f32, width: usize, height: usize) -> Quad {
    let (w, h) = (kernel.width(), kernel.height());
    let distance = w * h * ratio / (2.0 * (w + h)).max(f32::EPSILON);
    let grown = kernel.expanded(distance, distance);
    Quad(grown.0.map(|p| Point::new(p.x.clamp(0.0, width as f32), p.y.clamp(0.0, height as f32))))
}

/// Returns the mean of the pixels whose center lies inside a convex quad, 0 to 1.
fn mean_inside(prob: &[u8], width: usize, height: usize, quad: &Quad) -> f32 {
    let bounds = quad.bounds();
    let top = bounds.y.floor().max(0.0) as usize;
    let bottom = (bounds.bottom().ceil().max(0.0) as usize).min(height);
    let (mut sum, mut count) = (0u64, 0u64);
    for row in top..bottom {
        let Some((left, right)) = span_at(quad, row as f32 + 0.5) else { continue };
        let from = (left - 0.5).ceil().max(0.0) as usize;
        let to = ((right - 0.5).floor() + 1.0).clamp(0.0, width as f32) as usize;
        let Some(pixels) = prob.get(row * width + from..row * width + to) else { continue };
        sum += sum_of(pixels);
        count += pixels.len() as u64;
    }
    if count == 0 { 0.0 } else { sum as f32 / (count as f32 * 255.0) }
}

/// Returns the interval where a horizontal line crosses a convex quad.
fn span_at(quad: &Quad, y: f32) -> Option<(f32, f32)> {
    let (mut left, mut right) = (f32::INFINITY, f32::NEG_INFINITY);
    for i in 0..4 {
        let (a, b) = (quad.0[i], quad.0[(i + 1) % 4]);
        if (a.y <= y) != (b.y <= y) {
            let x = a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y);
            left = left.min(x);
            right = right.max(x);
        }
    }
    (left <= right).then_some((left, right))
}

/// Returns the sum of bytes, 64 per iteration.
fn sum_of(bytes: &[u8]) -> u64 {
    let (chunks, rest) = bytes.as_chunks::<64>();
    let of = |bytes: &[u8]| bytes.iter().map(|&b| u32::from(b)).sum::<u32>();
    chunks.iter().map(|chunk| u64::from(of(chunk))).sum::<u64>() + u64::from(of(rest))
}

#[cfg(test)]
mod tests;
