//! Embedded text combined with text read from pixels: whether a text layer is real, its lines, and the regions left to
//! read.
//!
//! Units are points of the page as displayed, as in the contract's `text-layer`; the guest scales to pixels. Embedded
//! and recognized lines are merged into one transcript by passing the quads of both to [`crate::layout`].

mod judge;
mod merge;

use crate::geometry::{Quad, Rect};

pub use judge::judge;
pub use merge::lines;

/// Where a document holds a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The content of the page.
    #[default]
    Page,
    /// A form field.
    Field,
    /// An annotation.
    Annotation,
}

/// A word of embedded text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span<'a> {
    /// Its characters, without spaces.
    pub text: &'a str,
    /// Its position.
    pub area: Rect,
    /// Size of its font as displayed.
    pub font_size: f32,
    /// False for text drawn invisibly, as OCR programs put it under a scan.
    pub visible: bool,
    /// True if a line break or a clear gap follows in the document's own order.
    pub ends_line: bool,
    /// Where the document holds it.
    pub origin: Origin,
}

/// The text layer of a page.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// The words in the document's own order.
    pub spans: &'a [Span<'a>],
    /// Areas covered by pictures.
    pub pictures: &'a [Rect],
    /// Number of characters without a mapping to Unicode.
    pub unmapped: u32,
    /// Width and height of the page.
    pub page: (f32, f32),
}

/// The quality of a text layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Text that a program wrote; it is used as it is.
    Real,
    /// Text that another OCR program put invisibly under a scan: readable, but no better than reading it again.
    Hidden,
    /// No text, or too little to judge.
    Absent,
    /// Meaningless characters (unmapped, private use, "(cid:12)", control characters).
    Garbage,
    /// Words on top of each other or outside the page.
    Misplaced,
}

/// A word of an embedded line.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWord {
    /// Its characters.
    pub text: String,
    /// Its position, in reading direction.
    pub quad: Quad,
}

/// A line of embedded text. Its confidence is 1 by definition.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerLine {
    /// Its words joined with spaces.
    pub text: String,
    /// Its position, in reading direction.
    pub quad: Quad,
    /// Its words and their positions.
    pub words: Vec<LayerWord>,
    /// Size of the font of most of its characters.
    pub font_size: f32,
    /// Where the document holds it.
    pub origin: Origin,
}

/// Returns the indices of detected boxes that embedded lines do not cover: those with less than `share` (0 to 1; 0.5 is
/// a good value) of their length covered by words. Boxes and lines have the same units.
pub fn uncovered(boxes: &[Quad], lines: &[LayerLine], share: f32) -> Vec<usize> {
    let words: Vec<Rect> = lines.iter().flat_map(|l| l.words.iter().map(|w| w.quad.bounds())).collect();
    let open = |quad: &Quad| {
        let own = quad.bounds();
        let on_end = own.height > own.width;
        // Detected boxes are higher than the letters, so coverage is measured along the line, over the words that share
        // at least half of their thickness with it.
        let covered: f32 = words
            .iter()
            .filter_map(|word| {
                let both = own.intersection(word);
                let (along, across, thickness) = if on_end {
                    (both.height, both.width, word.width.min(own.width))
                } else {
                    (both.width, both.height, word.height.min(own.height))
                };
                (across >= 0.5 * thickness && along > 0.0).then_some(along)
            })
            .sum();
        covered < share * own.width.max(own.height)
    };
    boxes.iter().enumerate().filter(|(_, quad)| open(quad)).map(|(i, _)| i).collect()
}

/// Returns whether a viewer shows a word, or a picture under it does: text that is drawn invisibly elsewhere is for no reader.
pub fn is_shown(span: &Span<'_>, pictures: &[Rect]) -> bool {
    let area = span.area.area();
    let under = || pictures.iter().map(|picture| picture.intersection(&span.area).area()).sum::<f32>();
    span.visible || (area > 0.0 && under() >= 0.5 * area)
}

/// Minimum side of a picture, in points; a smaller one holds no line of text.
const PICTURE_MIN_PT: f32 = 12.0;
/// Fraction covered by words from which the text of a picture is already embedded: dense print covers a quarter to a
/// third of its page.
const COVERED_SHARE: f32 = 0.15;

/// Returns the pictures that may show text missing from the spans, overlapping ones joined, clipped to the page.
pub fn regions_to_read(layer: &Layer<'_>) -> Vec<Rect> {
    let page = Rect { x: 0.0, y: 0.0, width: layer.page.0, height: layer.page.1 };
    let mut regions: Vec<Rect> = Vec::new();
    for picture in layer.pictures {
        let mut region = picture.intersection(&page);
        if region.width < PICTURE_MIN_PT || region.height < PICTURE_MIN_PT {
            continue;
        }
        // Pictures are often cut into strips; after joining, a line of text across two of them is read once. A joined
        // region may touch further ones, so this repeats until nothing changes (each iteration removes one).
        while let Some(at) = regions.iter().position(|r| touches(r, &region)) {
            region = region.union(&regions.swap_remove(at));
        }
        regions.push(region);
    }
    regions.retain(|region| {
        let said: f32 = layer.spans.iter().map(|s| s.area.intersection(region).area()).sum();
        said < COVERED_SHARE * region.area()
    });
    regions.sort_by(|a, b| a.y.total_cmp(&b.y).then(a.x.total_cmp(&b.x)));
    regions
}

/// Returns whether two areas overlap or touch (within a point).
fn touches(a: &Rect, b: &Rect) -> bool {
    a.x <= b.right() + 1.0 && b.x <= a.right() + 1.0 && a.y <= b.bottom() + 1.0 && b.y <= a.bottom() + 1.0
}

#[cfg(test)]
mod tests;
