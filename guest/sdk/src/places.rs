//! Places of texts on a page: the quad of a part of a line, rows of lines, neighbors. Pure geometry on a transcript; called by
//! guests that look for values.

use std::ops::Range;

use crate::{Direction, Line, Point, Quad, Rect, Rotation, Transcript, Word};

/// Least overlap of two lines of one row, as a fraction of the lower one's height.
const ROW_OVERLAP_MIN: f32 = 0.5;

/// A word and its characters in the line.
struct Placed<'a> {
    word: &'a Word,
    chars: Range<usize>,
}

impl Line {
    /// Returns the quad of the characters `range` of the text: from the words where the line has any, otherwise as a fraction
    /// of the line, as if all characters had one width. Request words for exact places. The quad runs to the right, as those of
    /// words do, also where the text runs from right to left.
    pub fn quad_of(&self, range: Range<usize>) -> Quad {
        let placed = self.word_ranges().into_iter().zip(&self.words);
        let pieces: Vec<Quad> = placed
            .map(|(chars, word)| Placed { word, chars })
            .filter(|placed| placed.chars.start < range.end && range.start < placed.chars.end)
            .map(|placed| placed.piece(&range))
            .collect();
        // The order of words in the text is not that on the page where words run from right to left.
        let along = |quad: &&Quad| {
            let (from, to) = (self.quad.top_left, self.quad.top_right);
            (quad.top_left.x - from.x) * (to.x - from.x) + (quad.top_left.y - from.y) * (to.y - from.y)
        };
        let left = pieces.iter().min_by(|a, b| along(a).total_cmp(&along(b)));
        let right = pieces.iter().max_by(|a, b| along(a).total_cmp(&along(b)));
        match left.zip(right) {
            Some((left, right)) => {
                Quad { top_right: right.top_right, bottom_right: right.bottom_right, ..*left }
            }
            None => part(&self.quad, &range, self.text.chars().count(), self.direction == Direction::Rtl),
        }
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
        let inner = |index: usize| index.clamp(self.chars.start, self.chars.end) - self.chars.start;
        let own = inner(range.start)..inner(range.end);
        part(&self.word.quad, &own, self.chars.len(), self.word.text.chars().any(is_to_left))
    }
}

/// Returns the part of a quad that shows the characters `range` of `count` of one width, which run to the left or to the right.
fn part(quad: &Quad, range: &Range<usize>, count: usize, to_left: bool) -> Quad {
    let count = count.max(1);
    let share = |index: usize| index.min(count) as f32 / count as f32;
    let (from, to) = (share(range.start), share(range.end));
    if to_left { quad.between(1.0 - to, 1.0 - from) } else { quad.between(from, to) }
}

/// Returns whether a character is a letter of a script that runs to the left (Unicode blocks of Hebrew, Arabic and their
/// neighbors); numbers in such text run to the right.
fn is_to_left(c: char) -> bool {
    let is_of_script = matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
        | '\u{1e800}'..='\u{1efff}');
    is_of_script && c.is_alphabetic()
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
    use crate::Size;

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
    fn a_part_of_a_line_from_right_to_left_has_the_quad_of_its_characters() {
        let word = |text: &str, x, width| Word {
            text: text.to_owned(),
            confidence: 1.0,
            quad: quad(x, 0.0, width, 20.0),
        };
        // From the right: a word, a name of two Latin words, a number, a word.
        let text = "שלום Mac Pro 123 עולם";
        let plain = Line { direction: Direction::Rtl, ..Line::new(text, 1.0, quad(0.0, 0.0, 210.0, 20.0)) };
        let words = [
            word("שלום", 170.0, 40.0),
            word("Mac", 90.0, 30.0),
            word("Pro", 130.0, 30.0),
            word("123", 50.0, 30.0),
            word("עולם", 0.0, 40.0),
        ];
        let with_words = Line { words: words.to_vec(), ..plain.clone() };
        for (range, x, width) in [
            (0..4, 170.0, 40.0),
            // The first letter is at the right end of its word, the first digit at the left end.
            (0..1, 200.0, 10.0),
            (13..14, 50.0, 10.0),
            (5..12, 90.0, 70.0),
            (9..16, 50.0, 110.0),
            (0..21, 0.0, 210.0),
            (17..21, 0.0, 40.0),
        ] {
            let found = with_words.quad_of(range.clone());
            let (left, right) = (found.top_left.x, found.top_right.x);
            assert!((left - x).abs() < 0.1 && (right - left - width).abs() < 0.1, "{range:?} {found:?}");
        }
        // Without words, the fraction is counted from the right.
        let found = plain.quad_of(0..4);
        assert!(
            (found.top_left.x - 170.0).abs() < 0.1 && (found.top_right.x - 210.0).abs() < 0.1,
            "{found:?}"
        );
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
