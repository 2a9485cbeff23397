//! Ruling lines: level and upright lines, and filled rectangles thin enough to be lines.
//!
//! Programs draw one line as many pieces, a piece for each cell; pieces of one line are joined. A page with more lines than
//! any table has, a map or a plan, has none here.

use std::ffi::c_int;

use lector_core::Rect;

use super::space::{Matrix, PageSpace};
use crate::worker::library::{Handle, Library};

/// `FPDF_SEGMENT_LINETO`, `FPDF_SEGMENT_BEZIERTO`, `FPDF_SEGMENT_MOVETO` (public/fpdfview.h).
const LINE_TO: c_int = 0;
const BEZIER_TO: c_int = 1;
const MOVE_TO: c_int = 2;
/// Largest number of segments that are examined on a page.
const SEGMENTS_MAX: u32 = 400_000;
/// Largest number of pieces of a page.
const PIECES_MAX: usize = 100_000;
/// Largest number of lines of a page.
const RULES_MAX: usize = 4_096;
/// Largest deviation of a level or upright line, in points, and as a part of its length.
const SLANT_MAX_PT: f32 = 0.5;
const SLANT_MAX: f32 = 0.02;
/// Largest thickness of a line, in points.
const THICKNESS_MAX_PT: f32 = 3.0;
/// Smallest length of a filled rectangle that is a line, in multiples of its thickness.
const LENGTH_MIN: f32 = 3.0;
/// Smallest thickness reported, in points: a hairline has none.
const THICKNESS_MIN_PT: f32 = 0.1;
/// Smallest length of a joined line, in points: the height of a row of small print.
const RULE_MIN_PT: f32 = 6.0;
/// Distance across the line of pieces that are one, and the largest gap between them along it, in points.
const SAME_PT: f32 = 0.75;
const GAP_MAX_PT: f32 = 1.5;

/// A piece of a line: its place across, its ends along.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at: f32,
    from: f32,
    to: f32,
    thickness: f32,
}

/// The lines found so far.
#[derive(Default)]
pub(super) struct Rules {
    level: Vec<Piece>,
    upright: Vec<Piece>,
    segments: u32,
    is_over: bool,
}

impl Rules {
    /// Adds the lines of a path object; `placed` maps its coordinates to the page's.
    pub(super) fn add(&mut self, library: Library, path: Handle, placed: Matrix, space: &PageSpace) {
        let c = library.c;
        let (mut fill, mut stroke, mut width) = (0, 0, 0.0);
        // SAFETY: the object belongs to an open page, and is a path, here and below.
        let count = unsafe {
            c.FPDFPath_GetDrawMode(path.cast(), &raw mut fill, &raw mut stroke);
            c.FPDFPageObj_GetStrokeWidth(path.cast(), &raw mut width);
            c.FPDFPath_CountSegments(path.cast())
        };
        let paint = match (stroke != 0, fill != 0) {
            (true, _) => Paint::Stroked { width: width * placed.scale() },
            (false, true) => Paint::Filled,
            (false, false) => return,
        };
        let mut outline = Outline::default();
        for index in 0..count {
            self.segments += 1;
            if self.is_over || self.segments > SEGMENTS_MAX {
                self.is_over = true;
                return;
            }
            let (mut x, mut y) = (0.0, 0.0);
            // SAFETY: as above, and the index is in range.
            let (kind, closes) = unsafe {
                let segment = c.FPDFPath_GetPathSegment(path.cast(), index);
                c.FPDFPathSegment_GetPoint(segment, &raw mut x, &raw mut y);
                (c.FPDFPathSegment_GetType(segment), c.FPDFPathSegment_GetClose(segment) != 0)
            };
            let (x, y) = placed.point(x, y);
            let point = space.point(x, y);
            match kind {
                MOVE_TO => {
                    self.add_outline(&outline, paint);
                    outline = Outline { points: vec![point], ..Outline::default() };
                }
                LINE_TO => outline.points.push(point),
                BEZIER_TO => outline.is_curved = true,
                _ => {}
            }
            if closes && let Some(first) = outline.points.first() {
                outline.points.push(*first);
            }
        }
        self.add_outline(&outline, paint);
    }

    fn add_outline(&mut self, outline: &Outline, paint: Paint) {
        // The ends of curves are not among the points, so lines beside them are unknown, too.
        if outline.is_curved {
            return;
        }
        match paint {
            Paint::Stroked { width } => {
                for pair in outline.points.windows(2) {
                    if let [a, b] = *pair {
                        self.add_line(a, b, width);
                    }
                }
            }
            Paint::Filled => {
                if let Some(area) = outline.area() {
                    self.add_thin(area);
                }
            }
        }
    }

    fn add_line(&mut self, a: (f32, f32), b: (f32, f32), thickness: f32) {
        let (dx, dy) = ((b.0 - a.0).abs(), (b.1 - a.1).abs());
        let straight = |off: f32, length: f32| off <= SLANT_MAX_PT && off <= SLANT_MAX * length;
        let (ax, ay) = ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0);
        if straight(dy, dx) && dx > 0.0 {
            self.push(true, Piece { at: ay, from: a.0.min(b.0), to: a.0.max(b.0), thickness });
        } else if straight(dx, dy) && dy > 0.0 {
            self.push(false, Piece { at: ax, from: a.1.min(b.1), to: a.1.max(b.1), thickness });
        }
    }

    /// Adds a filled rectangle where it is thin enough to be a line.
    pub(super) fn add_thin(&mut self, area: Rect) {
        let Rect { x, y, width, height } = area;
        if height <= THICKNESS_MAX_PT && width >= LENGTH_MIN * height {
            self.push(true, Piece { at: y + height / 2.0, from: x, to: x + width, thickness: height });
        } else if width <= THICKNESS_MAX_PT && height >= LENGTH_MIN * width {
            self.push(false, Piece { at: x + width / 2.0, from: y, to: y + height, thickness: width });
        }
    }

    fn push(&mut self, is_level: bool, piece: Piece) {
        let finite =
            [piece.at, piece.from, piece.to, piece.thickness].iter().all(|number| number.is_finite());
        if !finite || piece.thickness > THICKNESS_MAX_PT {
            return;
        }
        if self.level.len() + self.upright.len() >= PIECES_MAX {
            self.is_over = true;
            return;
        }
        if is_level { self.level.push(piece) } else { self.upright.push(piece) }
    }

    /// Returns the lines as areas on the displayed page, the level ones first.
    pub(super) fn joined(self, space: &PageSpace) -> Vec<Rect> {
        if self.is_over {
            return Vec::new();
        }
        let level = joined(self.level).into_iter().map(|p| Rect {
            x: p.from,
            y: p.at - p.thickness / 2.0,
            width: p.to - p.from,
            height: p.thickness,
        });
        let upright = joined(self.upright).into_iter().map(|p| Rect {
            x: p.at - p.thickness / 2.0,
            y: p.from,
            width: p.thickness,
            height: p.to - p.from,
        });
        let found: Vec<Rect> = level.chain(upright).filter_map(|area| space.clip(area)).collect();
        if found.len() > RULES_MAX { Vec::new() } else { found }
    }
}

/// How a path is drawn. A path that is filled and stroked counts as stroked.
#[derive(Clone, Copy)]
enum Paint {
    Filled,
    /// With the width of the stroke as displayed, in points.
    Stroked {
        width: f32,
    },
}

/// One part of a path, from its start to the next.
#[derive(Default)]
struct Outline {
    /// Points as displayed.
    points: Vec<(f32, f32)>,
    is_curved: bool,
}

impl Outline {
    /// Returns the box around it; `None` without points.
    fn area(&self) -> Option<Rect> {
        let (first, rest) = self.points.split_first()?;
        let (mut low, mut high) = (*first, *first);
        for point in rest {
            low = (low.0.min(point.0), low.1.min(point.1));
            high = (high.0.max(point.0), high.1.max(point.1));
        }
        Some(Rect { x: low.0, y: low.1, width: high.0 - low.0, height: high.1 - low.1 })
    }
}

/// Joins pieces of one line, and leaves out what stays short.
fn joined(mut pieces: Vec<Piece>) -> Vec<Piece> {
    let band = |piece: &Piece| (piece.at / SAME_PT).round();
    pieces.sort_unstable_by(|a, b| band(a).total_cmp(&band(b)).then(a.from.total_cmp(&b.from)));
    let mut out: Vec<Piece> = Vec::new();
    for piece in pieces {
        match out.last_mut() {
            Some(last) if band(last) == band(&piece) && piece.from <= last.to + GAP_MAX_PT => {
                last.to = last.to.max(piece.to);
                last.thickness = last.thickness.max(piece.thickness);
            }
            _ => out.push(Piece { thickness: piece.thickness.max(THICKNESS_MIN_PT), ..piece }),
        }
    }
    out.retain(|piece| piece.to - piece.from >= RULE_MIN_PT);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn piece(at: f32, from: f32, to: f32) -> Piece {
        Piece { at, from, to, thickness: 0.5 }
    }

    #[test]
    fn pieces_of_a_line_are_one_and_short_ones_are_none() {
        let lines: Vec<(f32, f32)> = joined(vec![
            piece(10.0, 50.0, 90.0),
            piece(10.1, 10.0, 50.5),
            piece(10.0, 95.0, 120.0),
            piece(40.0, 0.0, 5.0),
        ])
        .iter()
        .map(|piece| (piece.from, piece.to))
        .collect();
        assert_eq!(lines, [(10.0, 90.0), (95.0, 120.0)]);
    }

    #[test]
    fn slanted_lines_thick_areas_and_numbers_that_are_none_are_no_rules() {
        let mut rules = Rules::default();
        rules.add_line((0.0, 0.0), (100.0, 10.0), 1.0);
        rules.add_line((0.0, 0.0), (100.0, 0.0), 20.0);
        rules.add_line((0.0, f32::NAN), (100.0, 0.0), 1.0);
        rules.add_thin(Rect { x: 0.0, y: 0.0, width: 50.0, height: 12.0 });
        rules.add_thin(Rect { x: 0.0, y: 0.0, width: 2.0, height: 2.0 });
        assert!(rules.level.is_empty() && rules.upright.is_empty());
        rules.add_line((0.0, 5.0), (100.0, 5.2), 1.0);
        rules.add_thin(Rect { x: 9.0, y: 0.0, width: 0.5, height: 30.0 });
        assert_eq!((rules.level.len(), rules.upright.len()), (1, 1));
    }

    #[test]
    fn a_page_of_too_many_pieces_has_no_rules() {
        let mut rules = Rules::default();
        for at in 0..=PIECES_MAX {
            rules.add_line((0.0, at as f32), (100.0, at as f32), 1.0);
        }
        assert!(rules.is_over);
    }
}
