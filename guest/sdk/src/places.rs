//! Places of texts on a page: the quad of a part of a line, rows of lines, neighbors. Pure geometry on a transcript; called by
//! guests that look for values.

use std::ops::Range;

use crate::{Line, Point, Quad, Rect, Rotation, Transcript};

/// Least overlap of two lines of one row, as a fraction of the lower one's height.
const ROW_OVERLAP_MIN: f32 = 0.5;

/// A word and its characters in the line.
struct Placed<'a> {
    quad: &'a Quad,
    chars: Range<usize>,
}

impl Line {
    /// Returns the quad of the characters `range` of the text: from the words where the line has any, otherwise as a fraction
    /// of the line, as if all characters had one width. Request words for exact places.
    pub fn quad_of(&self, range: Range<usize>) -> Quad {
        let placed: Vec<Placed<'_>> = self
            .word_ranges()
            .into_iter()
            .zip(&self.words)
            .map(|(chars, word)| Placed { quad: &word.quad, chars })
            .collect();
        let mut touched =
            placed.iter().filter(|word| word.chars.start < range.end && range.start < word.chars.end);
        let Some(first) = touched.next() else {
            let length = self.text.chars().count().max(1);
            let share = |index: usize| index.min(length) as f32 / length as f32;
            return self.quad.between(share(range.start), share(range.end));
        };
        let last = touched.next_back().unwrap_or(first);
        let (start, end) = (first.piece(&range), last.piece(&range));
        Quad { top_right: end.top_right, bottom_right: end.bottom_right, ..start }
    }

    /// Returns the characters of each word in the text, in order. Ends at the first word that does not follow the one before
    /// it in the text, which only a malformed line has.
    pub fn word_ranges(&self) -> Vec<Range<usize>> {
        let mut ranges = Vec::with_capacity(self.words.len());
        let (mut bytes, mut chars) = (0, 0);
        for word in &self.words {
            let Some(rest) = self.text.get(bytes..) else { break };
            let Some(skipped) = rest.find(word.text.as_str()) else { break };
            let before = rest.get(..skipped).map_or(0, |skipped| skipped.chars().count());
            let (from, length) = (chars + before, word.text.chars().count());
            ranges.push(from..from + length);
            bytes += skipped + word.text.len();
            chars = from + length;
        }
        ranges
    }
}

impl Placed<'_> {
    /// Returns the part of the word that shows the characters `range` of the line.
    fn piece(&self, range: &Range<usize>) -> Quad {
        let length = self.chars.len().max(1) as f32;
        let share =
            |index: usize| (index.clamp(self.chars.start, self.chars.end) - self.chars.start) as f32 / length;
        self.quad.between(share(range.start), share(range.end))
    }
}

impl Transcript {
    /// Returns the bounds of a quad on the page as it is read: turned by the page's rotation, so that text runs to the right.
    pub fn upright(&self, quad: &Quad) -> Rect {
        let (width, height) = (self.size.width as f32, self.size.height as f32);
        let turned = |point: Point| match self.rotation {
            Rotation::None => point,
            Rotation::Quarter => Point::new(height - point.y, point.x),
            Rotation::Half => Point::new(width - point.x, height - point.y),
            Rotation::ThreeQuarters => Point::new(point.y, width - point.x),
        };
        Quad {
            top_left: turned(quad.top_left),
            top_right: turned(quad.top_right),
            bottom_right: turned(quad.bottom_right),
            bottom_left: turned(quad.bottom_left),
        }
        .bounds()
    }

    /// Returns the indices of the lines that stand side by side, row by row from top to bottom, each row from left to right.
    /// Columns of a page are not told apart: two columns of text give rows of two lines.
    pub fn rows(&self) -> Vec<Vec<usize>> {
        let rects: Vec<Rect> = self.lines.iter().map(|line| self.upright(&line.quad)).collect();
        let mut order: Vec<usize> = (0..rects.len()).collect();
        order.sort_by(|&a, &b| middle(&rects, a).total_cmp(&middle(&rects, b)));
        let mut rows: Vec<Vec<usize>> = Vec::new();
        for index in order {
            // A line joins the row of the line before it, by the first line of that row: a row does not drift.
            let joins = rows.last().and_then(|row| row.first()).is_some_and(|&first| {
                rects.get(first).zip(rects.get(index)).is_some_and(|(a, b)| beside(a, b))
            });
            match rows.last_mut() {
                Some(row) if joins => row.push(index),
                _ => rows.push(vec![index]),
            }
        }
        for row in &mut rows {
            row.sort_by(|&a, &b| left(&rects, a).total_cmp(&left(&rects, b)));
        }
        rows
    }

    /// Returns the index of the nearest line to the right of the line at `index`, in the same row.
    pub fn right_of(&self, index: usize) -> Option<usize> {
        let from = self.upright(&self.lines.get(index)?.quad);
        // Boxes of neighbors may overlap a little.
        let start = from.x + from.width / 2.0;
        self.nearest(index, |rect| (beside(&from, rect) && rect.x >= start).then_some(rect.x - from.x))
    }

    /// Returns the index of the nearest line below the line at `index` that overlaps it in width.
    pub fn below(&self, index: usize) -> Option<usize> {
        let from = self.upright(&self.lines.get(index)?.quad);
        let start = from.y + from.height / 2.0;
        self.nearest(index, |rect| {
            let overlaps = rect.x < from.x + from.width && from.x < rect.x + rect.width;
            (overlaps && !beside(&from, rect) && rect.y >= start).then_some(rect.y - from.y)
        })
    }

    /// Returns the line with the least distance, of those that have one.
    fn nearest(&self, index: usize, distance: impl Fn(&Rect) -> Option<f32>) -> Option<usize> {
        let others = self.lines.iter().enumerate().filter(|(other, _)| *other != index);
        let far = others.filter_map(|(other, line)| Some((distance(&self.upright(&line.quad))?, other)));
        far.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, other)| other)
    }
}

/// Returns whether two rectangles stand side by side.
fn beside(a: &Rect, b: &Rect) -> bool {
    let overlap = (a.y + a.height).min(b.y + b.height) - a.y.max(b.y);
    overlap > 0.0 && overlap >= ROW_OVERLAP_MIN * a.height.min(b.height)
}

fn middle(rects: &[Rect], index: usize) -> f32 {
    rects.get(index).map_or(0.0, |rect| rect.y + rect.height / 2.0)
}

fn left(rects: &[Rect], index: usize) -> f32 {
    rects.get(index).map_or(0.0, |rect| rect.x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Size, Word};

    fn quad(x: f32, y: f32, width: f32, height: f32) -> Quad {
        Quad::from_rect(Rect { x, y, width, height })
    }

    fn page(lines: &[(&str, f32, f32)]) -> Transcript {
        let mut page = Transcript::blank(Size { width: 400, height: 300 }, 72.0);
        for (text, x, y) in lines {
            let width = text.chars().count() as f32 * 10.0;
            page.lines.push(Line::new(*text, 1.0, quad(*x, *y, width, 20.0)));
        }
        page
    }

    #[test]
    fn a_part_of_a_line_has_the_quad_of_its_characters() {
        let mut line = Line::new("Übung <a@b.de>", 1.0, quad(0.0, 0.0, 140.0, 20.0));
        let bounds = line.quad_of(7..13).bounds();
        assert!((bounds.x - 70.0).abs() < 0.1 && (bounds.width - 60.0).abs() < 0.1, "{bounds:?}");
        // Words are where they are, not where characters of one width would be.
        let word = |text: &str, x, width| Word {
            text: text.to_owned(),
            confidence: 1.0,
            quad: quad(x, 0.0, width, 20.0),
        };
        line.words = vec![word("Übung", 0.0, 50.0), word("<a@b.de>", 200.0, 80.0)];
        assert_eq!(line.word_ranges(), [0..5, 6..14]);
        let bounds = line.quad_of(7..13).bounds();
        assert!((bounds.x - 210.0).abs() < 0.1 && (bounds.width - 60.0).abs() < 0.1, "{bounds:?}");
        let bounds = line.quad_of(3..99).bounds();
        assert!((bounds.x - 30.0).abs() < 0.1 && (bounds.width - 250.0).abs() < 0.1, "{bounds:?}");
        // A word that is not in the text ends the list.
        line.words.insert(1, word("missing", 60.0, 10.0));
        let ranges = line.word_ranges();
        assert_eq!((ranges.len(), ranges.first()), (1, Some(&(0..5))));
    }

    #[test]
    fn lines_have_rows_and_neighbors_in_every_rotation() {
        let upright =
            page(&[("Total", 10.0, 102.0), ("99", 200.0, 100.0), ("Date", 10.0, 40.0), ("x", 12.0, 150.0)]);
        assert_eq!(upright.rows(), [vec![2], vec![0, 1], vec![3]]);
        let (width, height) = (400.0, 300.0);
        for rotation in [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters] {
            let mut turned = upright.clone();
            turned.rotation = rotation;
            if matches!(rotation, Rotation::Quarter | Rotation::ThreeQuarters) {
                turned.size = Size { width: 300, height: 400 };
            }
            // The inverse of the rotation that makes the page upright.
            let back = |p: Point| match rotation {
                Rotation::None => p,
                Rotation::Quarter => Point::new(p.y, width - p.x),
                Rotation::Half => Point::new(width - p.x, height - p.y),
                Rotation::ThreeQuarters => Point::new(height - p.y, p.x),
            };
            for line in &mut turned.lines {
                let Quad { top_left, top_right, bottom_right, bottom_left } = line.quad;
                line.quad = Quad {
                    top_left: back(top_left),
                    top_right: back(top_right),
                    bottom_right: back(bottom_right),
                    bottom_left: back(bottom_left),
                };
            }
            assert_eq!(turned.rows(), [vec![2], vec![0, 1], vec![3]], "{rotation:?}");
            assert_eq!((turned.right_of(0), turned.right_of(1)), (Some(1), None), "{rotation:?}");
            assert_eq!((turned.below(2), turned.below(0), turned.below(3)), (Some(0), Some(3), None));
        }
        assert_eq!(upright.right_of(9), None);
    }
}
