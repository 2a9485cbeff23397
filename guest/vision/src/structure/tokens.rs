//! Words of a level page, the segments between wide gaps, and the printed rows that segments form.

use super::numbers::is_value;
use crate::bidi;
use crate::geometry::Rect;

/// White space that ends a segment, in sizes of its text: a space is a third, and justified text stretches it to less
/// than this most of the time.
const SEGMENT_GAP: f32 = 0.75;

/// The same between two numbers: a space inside a number is a quarter.
const NUMBER_GAP: f32 = 0.5;

/// The same in heights of a box that was read from pixels.
const NUMBER_GAP_READ: f32 = 0.36;

/// A word of a level page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'a> {
    pub text: &'a str,
    pub area: Rect,
    /// Index of its line in the frame.
    pub line: usize,
    /// True where the page is mirrored, because its text runs from right to left.
    pub mirrored: bool,
}

/// Words with normal spaces between them.
#[derive(Clone, Debug)]
pub(super) struct Segment<'a> {
    /// Index of the line of its first word.
    pub line: usize,
    pub words: Vec<Word<'a>>,
    pub area: Rect,
}

/// Segments on one baseline, left to right.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub segments: Vec<Segment<'a>>,
    pub area: Rect,
}

/// Segments of a row by columns: first and last column, and the segment.
pub(super) type Line<'a> = Vec<(usize, usize, Segment<'a>)>;

impl<'a> Segment<'a> {
    pub fn of(line: usize, words: Vec<Word<'a>>) -> Option<Self> {
        let area = around(words.iter().map(|word| word.area))?;
        Some(Self { line, words, area })
    }

    /// Returns its words in the order of a reader, joined with spaces.
    pub fn text(&self) -> String {
        text(&self.words)
    }
}

/// Returns words that stand side by side in the order of a reader, joined with spaces.
pub(super) fn text(words: &[Word<'_>]) -> String {
    let mut texts: Vec<&str> = words.iter().map(|word| word.text).collect();
    if words.first().is_some_and(|word| word.mirrored) {
        texts.reverse();
    }
    bidi::to_reading_order(&mut texts, |text| text);
    texts.join(" ")
}

/// Returns the rectangle around others; `None` for none.
pub(super) fn around(areas: impl Iterator<Item = Rect>) -> Option<Rect> {
    areas.reduce(|all, area| all.union(&area))
}

/// Splits the words of a line at wide gaps.
pub(super) fn segments<'a>(line: usize, words: &[Word<'a>], size: f32) -> Vec<Segment<'a>> {
    segments_of(line, words, size, NUMBER_GAP)
}

/// The same for a line read from pixels, whose box is higher than its letters.
pub(super) fn segments_read<'a>(line: usize, words: &[Word<'a>], size: f32) -> Vec<Segment<'a>> {
    segments_of(line, words, size, NUMBER_GAP_READ)
}

fn segments_of<'a>(line: usize, words: &[Word<'a>], size: f32, number_gap: f32) -> Vec<Segment<'a>> {
    let mut out = Vec::new();
    let mut open: Vec<Word<'a>> = Vec::new();
    for word in words {
        let apart = open.last().is_some_and(|last| {
            let gap = word.area.x - last.area.right();
            let numbers = || is_value(last.text) && is_value(word.text);
            gap > SEGMENT_GAP * size || (gap > number_gap * size && numbers())
        });
        if apart {
            out.extend(Segment::of(line, std::mem::take(&mut open)));
        }
        open.push(*word);
    }
    out.extend(Segment::of(line, open));
    out
}

/// Returns the rows from top to bottom. A segment joins a row if its middle is near the row's, and no member is in the
/// same place.
pub(super) fn rows(mut segments: Vec<Segment<'_>>) -> Vec<Row<'_>> {
    segments.sort_by(|a, b| a.area.center().y.total_cmp(&b.area.center().y));
    let mut rows: Vec<(f32, Row<'_>)> = Vec::new();
    for segment in segments {
        let middle = segment.area.center().y;
        let joins = rows.last().is_some_and(|(sum, row)| {
            let low = row.segments.iter().map(|s| s.area.height).fold(segment.area.height, f32::min);
            let mean = sum / row.segments.len() as f32;
            let stacked = row.segments.iter().any(|s| {
                let shared = s.area.right().min(segment.area.right()) - s.area.x.max(segment.area.x);
                shared > 0.3 * s.area.width.min(segment.area.width)
            });
            (middle - mean).abs() < 0.5 * low && !stacked
        });
        match rows.last_mut() {
            Some((sum, row)) if joins => {
                *sum += middle;
                row.area = row.area.union(&segment.area);
                row.segments.push(segment);
            }
            _ => rows.push((middle, Row { area: segment.area, segments: vec![segment] })),
        }
    }
    let mut rows: Vec<Row<'_>> = rows.into_iter().map(|(_, row)| row).collect();
    for row in &mut rows {
        row.segments.sort_by(|a, b| a.area.x.total_cmp(&b.area.x));
    }
    rows
}
