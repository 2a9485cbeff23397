//! Words of a level page, the segments between wide gaps, and the printed rows that segments form.

use super::numbers::is_value;
use crate::bidi;
use crate::geometry::Rect;
use crate::rows;

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
    /// Index in the words of that line.
    pub at: usize,
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
pub(super) fn rows<'a>(segments: Vec<Segment<'a>>) -> Vec<Row<'a>> {
    let is_stacked = |a: &Segment<'a>, b: &Segment<'a>| {
        let shared = a.area.right().min(b.area.right()) - a.area.x.max(b.area.x);
        shared > 0.3 * a.area.width.min(b.area.width)
    };
    let made = |mut segments: Vec<Segment<'a>>| {
        let area = around(segments.iter().map(|segment| segment.area)).unwrap_or_default();
        segments.sort_by(|a, b| a.area.x.total_cmp(&b.area.x));
        Row { segments, area }
    };
    let rows = rows::rows(segments, |segment| (segment.area.center().y, segment.area.height), is_stacked);
    rows.into_iter().map(made).collect()
}
