//! The lines drawn on a level page as positions and extents: level ones and upright ones. For [`crate::layout`] and
//! [`crate::structure`].

use crate::geometry::Point;

/// Slope up to which a line is level, or upright, on a leveled page.
const SLOPE_MAX: f32 = 0.05;

/// A level or upright line: its position, and the start and end of its extent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stroke {
    pub at: f32,
    pub from: f32,
    pub to: f32,
}

/// Returns the level and the upright lines between these ends, each sorted by position; others are left out. Pieces of one line
/// stay apart.
pub(crate) fn strokes(ends: impl Iterator<Item = (Point, Point)>) -> (Vec<Stroke>, Vec<Stroke>) {
    let (mut level, mut upright) = (Vec::new(), Vec::new());
    for (a, b) in ends.filter(|(a, b)| [a.x, a.y, b.x, b.y].iter().all(|v| v.is_finite())) {
        let (dx, dy) = ((b.x - a.x).abs(), (b.y - a.y).abs());
        if dy < SLOPE_MAX * dx {
            level.push(Stroke { at: (a.y + b.y) / 2.0, from: a.x.min(b.x), to: a.x.max(b.x) });
        } else if dx < SLOPE_MAX * dy {
            upright.push(Stroke { at: (a.x + b.x) / 2.0, from: a.y.min(b.y), to: a.y.max(b.y) });
        }
    }
    level.sort_by(|a, b| a.at.total_cmp(&b.at));
    upright.sort_by(|a, b| a.at.total_cmp(&b.at));
    (level, upright)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_level_or_upright_or_neither() {
        let ends = [
            ((90.0, 20.0), (10.0, 21.0)),
            ((0.0, 5.0), (100.0, 5.0)),
            ((30.0, 0.0), (30.5, 80.0)),
            ((0.0, 0.0), (50.0, 50.0)),
            ((0.0, 0.0), (f32::NAN, 0.0)),
            ((7.0, 7.0), (7.0, 7.0)),
        ];
        let (level, upright) =
            strokes(ends.iter().map(|(a, b)| (Point::new(a.0, a.1), Point::new(b.0, b.1))));
        let stroke = |at, from, to| Stroke { at, from, to };
        assert_eq!(level, [stroke(5.0, 0.0, 100.0), stroke(20.5, 10.0, 90.0)]);
        assert_eq!(upright, [stroke(30.25, 0.0, 80.0)]);
    }
}
