//! Detection: agreement of the masks, and of the boxes that post-processing makes of them.

use std::collections::VecDeque;

use lector_core::Tensor;

use super::report::{Measure, floats, ratio};
use crate::catalog::DetectionLimits;

/// Smaller components are noise to every post-processing.
const BOX_PIXELS_MIN: usize = 16;
/// Two boxes match from this intersection over union.
const SAME_BOX: f64 = 0.6;

pub(super) struct Tally {
    limits: DetectionLimits,
    /// Pixels of text in both masks, and in at least one.
    both: u64,
    either: u64,
    /// Boxes of both masks, and those with a match, both sides counted.
    boxes: u64,
    matched: u64,
    /// Pixels of text in the mask of the reference and of the candidate.
    area: (u64, u64),
    broken: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Tally {
    pub(super) fn new(limits: DetectionLimits) -> Self {
        Self { limits, both: 0, either: 0, boxes: 0, matched: 0, area: (0, 0), broken: 0 }
    }

    pub(super) fn add(&mut self, expected: &[Tensor], found: &[Tensor]) -> Result<(), String> {
        let shape = expected.first().map(Tensor::shape).unwrap_or_default();
        let [.., height, width] = *shape else {
            return Err(format!("a probability map of shape {shape:?} has no height and width"));
        };
        let (expected, found) = (floats(expected, 0)?, floats(found, 0)?);
        let plane = (height * width).max(1);
        for (expected, found) in expected.chunks_exact(plane).zip(found.chunks_exact(plane)) {
            self.broken += found.iter().filter(|value| !value.is_finite()).count() as u64;
            let text = |map: &[f32]| map.iter().map(|&p| p > self.limits.threshold).collect::<Vec<bool>>();
            self.compare(&text(expected), &text(found), width.max(1));
        }
        Ok(())
    }

    fn compare(&mut self, expected: &[bool], found: &[bool], width: usize) {
        for (&expected, &found) in expected.iter().zip(found) {
            self.both += u64::from(expected && found);
            self.either += u64::from(expected || found);
            self.area.0 += u64::from(expected);
            self.area.1 += u64::from(found);
        }
        let (expected, mut found) = (boxes(expected, width), boxes(found, width));
        self.boxes += (expected.len() + found.len()) as u64;
        for one in expected {
            let best = found.iter().enumerate().max_by(|a, b| one.overlap(a.1).total_cmp(&one.overlap(b.1)));
            if let Some((at, other)) = best
                && one.overlap(other) >= SAME_BOX
            {
                found.swap_remove(at);
                self.matched += 2;
            }
        }
    }

    pub(super) fn measures(&self) -> Vec<Measure> {
        let (expected, found) = self.area;
        let drift = ratio(expected.abs_diff(found), expected.max(found).max(1));
        vec![
            Measure::at_least(
                "mask_agreement",
                ratio(self.both, self.either),
                self.limits.mask_agreement_min,
            ),
            Measure::at_least("box_match", ratio(self.matched, self.boxes), self.limits.box_match_min),
            Measure::at_most("area_drift", drift, self.limits.area_drift_max),
            Measure::at_most("not_finite", self.broken as f64, 0.0),
            // A batch in which the reference finds no box proves nothing.
            Measure::at_least("boxes_compared", self.boxes as f64, 2.0),
        ]
    }
}

impl Area {
    fn pixels(&self) -> usize {
        (self.right - self.left) * (self.bottom - self.top)
    }

    /// Returns the intersection over union.
    fn overlap(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right).saturating_sub(self.left.max(other.left));
        let height = self.bottom.min(other.bottom).saturating_sub(self.top.max(other.top));
        let shared = width * height;
        ratio(shared as u64, (self.pixels() + other.pixels() - shared) as u64)
    }
}

/// Returns the bounding boxes of the connected components, with 4-connectivity.
fn boxes(mask: &[bool], width: usize) -> Vec<Area> {
    let mut seen = vec![false; mask.len()];
    let (mut boxes, mut queue) = (Vec::new(), VecDeque::new());
    let text = |at: usize| mask.get(at).copied().unwrap_or(false);
    for start in 0..mask.len() {
        if !text(start) || seen.get(start).copied().unwrap_or(true) {
            continue;
        }
        let mut area = Area { left: usize::MAX, top: usize::MAX, right: 0, bottom: 0 };
        let mut pixels = 0;
        queue.push_back(start);
        while let Some(at) = queue.pop_front() {
            match seen.get_mut(at) {
                Some(seen) if text(at) && !*seen => *seen = true,
                _ => continue,
            }
            let (x, y) = (at % width, at / width);
            pixels += 1;
            area = Area {
                left: area.left.min(x),
                top: area.top.min(y),
                right: area.right.max(x + 1),
                bottom: area.bottom.max(y + 1),
            };
            queue.extend([at.checked_sub(width), at.checked_add(width)].into_iter().flatten());
            if x > 0 {
                queue.push_back(at - 1);
            }
            if x + 1 < width {
                queue.push_back(at + 1);
            }
        }
        if pixels >= BOX_PIXELS_MIN {
            boxes.push(area);
        }
    }
    boxes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_become_boxes_and_specks_do_not() {
        let (width, height) = (20, 12);
        let inside = |x: usize, y: usize| {
            (2..8).contains(&x) && (1..5).contains(&y) || (x, y) == (15, 2) || x >= 10 && (7..9).contains(&y)
        };
        let mask: Vec<bool> = (0..width * height).map(|at| inside(at % width, at / width)).collect();
        let expect =
            [Area { left: 2, top: 1, right: 8, bottom: 5 }, Area { left: 10, top: 7, right: 20, bottom: 9 }];
        assert_eq!(boxes(&mask, width), expect);
        assert!(boxes(&[], 1).is_empty());
    }

    #[test]
    fn overlap_is_intersection_over_union() {
        let area = |left, right| Area { left, top: 0, right, bottom: 2 };
        assert_eq!(area(0, 4).overlap(&area(0, 4)), 1.0);
        assert_eq!(area(0, 4).overlap(&area(2, 6)), 1.0 / 3.0);
        assert_eq!(area(0, 4).overlap(&area(4, 6)), 0.0);
    }
}
