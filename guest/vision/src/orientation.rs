//! Orientation of a page and its lines: classifier scores combined with the evidence of the detected boxes.
//!
//! Decisions only; the guest runs the classifiers and maps their labels to rotations.

use crate::crop;
use crate::geometry::{Quad, Rotation};

/// Ratio of length to height from which a box indicates the text direction.
const ASPECT_MIN: f32 = 2.0;
/// Minimum number of such boxes that count as evidence.
const EVIDENCE_MIN: usize = 3;

/// Thresholds of evidence for turning a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotationOptions {
    /// Minimum probability at which a classifier turns a page without geometric evidence, 0 to 1. Classifiers trained
    /// with smoothed labels never give more than about 0.93.
    pub certain: f32,
    /// Fraction of the text length that must run in one direction for the boxes to count as evidence, 0.5 to 1.
    pub agreement: f32,
}

impl Default for RotationOptions {
    fn default() -> Self {
        Self { certain: 0.8, agreement: 0.7 }
    }
}

/// Returns the fraction of the text, by length, that is vertical, 0 to 1; `None` with too few boxes of evidence.
pub fn share_on_end(boxes: &[Quad]) -> Option<f32> {
    let (mut level, mut on_end, mut evidence) = (0.0f32, 0.0f32, 0);
    for quad in boxes {
        let (width, height) = (quad.width(), quad.height());
        let (long, short) = (width.max(height), width.min(height));
        if !long.is_finite() || long < ASPECT_MIN * short {
            continue;
        }
        evidence += 1;
        // A quad in reading direction may itself run down the page.
        let along = quad.angle();
        let runs_down = along.sin().abs() > along.cos().abs();
        if (height > width) != runs_down { on_end += long } else { level += long }
    }
    (evidence >= EVIDENCE_MIN).then(|| on_end / (level + on_end))
}

/// Returns the rotation that turns the page upright. `scores[i]` is the probability that it must be turned clockwise by
/// `i` quarters (`None` without a classifier); `boxes` are quads detected on the page as it is.
///
/// The direction of the lines rules out two of the four rotations, so that the classifier only chooses between the
/// other two; it overrides the boxes if it is certain (a page of vertical writing is upright although its lines are
/// vertical). A page is never turned by a half without a certain classifier. Without a classifier, only vertical boxes
/// turn it: by a quarter, which the caller corrects by a half where the lines turn out to be upside down ([`flipped`]).
pub fn page_rotation(scores: Option<[f32; 4]>, boxes: &[Quad], options: &RotationOptions) -> Rotation {
    let on_end = share_on_end(boxes);
    let stands = on_end.is_some_and(|share| share >= options.agreement);
    let lies = on_end.is_some_and(|share| share <= 1.0 - options.agreement);
    let Some(scores) = scores else {
        return if stands { Rotation::Quarter } else { Rotation::None };
    };
    let best = (1..4).fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
    let certain = scores[best] >= options.certain;
    let sideways = best % 2 == 1;
    let quarters = if stands {
        // Vertical writing needs a classifier that is certain of an upright (or reversed) page.
        if sideways || certain {
            best
        } else if scores[1] >= scores[3] {
            1
        } else {
            3
        }
    } else if lies {
        // A page with level lines is not turned by a quarter; of the other two, a half turn needs certainty.
        let left = scores[0] + scores[2];
        if left > 0.0 && scores[2] / left >= options.certain && scores[2] >= 0.5 { 2 } else { 0 }
    } else if certain {
        best
    } else {
        0
    };
    Rotation::from_quarters(quarters as u32)
}

/// Probability from which a classification counts by itself.
const SURE: f32 = 0.9;
/// Probability from which it counts against the other lines.
const SURE_ALONE: f32 = 0.98;
/// Length in line heights below which a line follows the others.
const SHORT: f32 = 3.0;

/// Returns for each line whether it is upside down, from its probability of "turned by 180 degrees" (`lines` in reading
/// direction, one probability each; a missing one counts as 0). Vertical lines are judged separately from level ones,
/// because they may run up or down. In each group a line follows its own classification only if that is certain; a
/// short or doubtful line follows the others.
pub fn flipped(lines: &[Quad], probabilities: &[f32]) -> Vec<bool> {
    let probability = |i: usize| probabilities.get(i).copied().unwrap_or(0.0);
    let runs_down = |quad: &Quad| {
        let angle = quad.angle();
        crop::is_vertical(quad) || angle.sin().abs() > angle.cos().abs()
    };
    let consensus = |down: bool| {
        let (mut sum, mut length) = (0.0, 0.0);
        for (i, quad) in lines.iter().enumerate().filter(|(_, q)| runs_down(q) == down && q.is_finite()) {
            sum += probability(i) * quad.width();
            length += quad.width();
        }
        length > 0.0 && sum / length > 0.5
    };
    let (level, on_end) = (consensus(false), consensus(true));
    lines
        .iter()
        .enumerate()
        .map(|(i, quad)| {
            let all = if runs_down(quad) { on_end } else { level };
            let p = probability(i);
            let own = if p >= 0.5 { p } else { 1.0 - p };
            let differs = (p >= 0.5) != all;
            let alone = runs_down(quad) && own >= SURE || own >= SURE_ALONE;
            if differs && alone && quad.width() >= SHORT * quad.height() { !all } else { all }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;

    fn lines(count: usize, width: f32, height: f32) -> Vec<Quad> {
        (0..count).map(|i| Quad::from_rect(&Rect { x: 10.0, y: 30.0 * i as f32, width, height })).collect()
    }

    #[track_caller]
    fn check(scores: Option<[f32; 4]>, boxes: &[Quad], expect: Rotation) {
        assert_eq!(page_rotation(scores, boxes, &RotationOptions::default()), expect);
    }

    #[test]
    fn turns_a_page_on_evidence_only() {
        let (level, on_end) = (lines(6, 300.0, 20.0), lines(6, 20.0, 300.0));
        check(None, &level, Rotation::None);
        check(None, &[], Rotation::None);
        check(None, &on_end, Rotation::Quarter);
        check(Some([0.1, 0.2, 0.1, 0.6]), &on_end, Rotation::ThreeQuarters);
        check(Some([0.5, 0.1, 0.1, 0.3]), &on_end, Rotation::ThreeQuarters);
        check(Some([0.97, 0.01, 0.01, 0.01]), &on_end, Rotation::None);
        check(Some([0.02, 0.95, 0.02, 0.01]), &level, Rotation::None);
        check(Some([0.02, 0.02, 0.95, 0.01]), &level, Rotation::Half);
        check(Some([0.3, 0.0, 0.6, 0.1]), &level, Rotation::None);
        check(Some([0.05, 0.0, 0.0, 0.95]), &level[..1], Rotation::ThreeQuarters);
        check(Some([0.4, 0.0, 0.0, 0.6]), &level[..1], Rotation::None);
    }

    #[test]
    fn lines_in_reading_direction_count_as_they_stand_on_the_page() {
        let turned: Vec<Quad> =
            lines(6, 20.0, 300.0).iter().map(|q| q.rotated_corners(Rotation::Quarter)).collect();
        assert_eq!(share_on_end(&turned), Some(1.0));
        assert_eq!(share_on_end(&lines(2, 300.0, 20.0)), None, "two lines are no evidence");
    }

    #[test]
    fn doubtful_lines_go_with_the_others() {
        let quads = lines(5, 300.0, 20.0);
        assert_eq!(flipped(&quads, &[0.0, 0.1, 0.95, 0.2, 0.99]), [false, false, false, false, true]);
        assert_eq!(flipped(&quads, &[0.99, 0.9, 0.4, 0.95, 0.001]), [true, true, true, true, false]);
        let mut short = quads.clone();
        short.push(Quad::from_rect(&Rect { x: 0.0, y: 200.0, width: 30.0, height: 20.0 }));
        assert_eq!(flipped(&short, &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0]).last(), Some(&false));
        // A stamp in the margin runs up while the page is upright.
        let mut stamped = quads;
        stamped.push(
            Quad::from_rect(&Rect { x: 0.0, y: 0.0, width: 20.0, height: 400.0 })
                .rotated_corners(Rotation::Quarter),
        );
        let turned = flipped(&stamped, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.97]);
        assert_eq!(turned, [false, false, false, false, false, true]);
    }
}
