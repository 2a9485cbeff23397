//! Composition of the lines of a transcript, in reading order, from pieces of text of any source. Called once per page.

use lector_sdk::{Direction, Line, Size, Source, Word, span};
use lector_vision::geometry::{Quad, Rotation};
use lector_vision::layout;
use lector_vision::rules::Rule;

use crate::convert::to_sdk_quad;
use crate::fragment::Fragment;

/// The rotation of the page while its pieces were read, and its upright size.
pub(crate) struct Frame {
    /// Size in pixels of the upright page, the coordinate space of the pieces.
    pub(crate) size: Size,
    /// Rotation of the page image that makes it upright.
    pub(crate) rotation: Rotation,
}

impl Frame {
    /// Maps a quad of the upright page back to the page image as rendered.
    fn back(&self, quad: &Quad) -> Quad {
        quad.turned(self.rotation.inverse(), self.size.width as f32, self.size.height as f32)
    }
}

/// Returns the lines of the page in reading order, in pixels of the page image as rendered. `rules` are the lines drawn
/// on the page, in the coordinates of the pieces.
pub(crate) fn lines(fragments: &[Fragment], rules: &[Rule], frame: &Frame) -> Vec<Line> {
    let _span = span("layout");
    let quads: Vec<Quad> = fragments.iter().map(|fragment| fragment.quad).collect();
    let placed = layout::reading_order(&quads, rules, (frame.size.width as f32, frame.size.height as f32));
    let mut lines = Vec::new();
    for group in placed.chunk_by(|a, b| a.line == b.line) {
        let members: Vec<&Fragment> = group.iter().filter_map(|place| fragments.get(place.index)).collect();
        let block = group.first().map_or(0, |place| place.block);
        lines.extend(line(&members, block, frame));
    }
    lines
}

/// Joins the fragments of one printed line; `None` without any.
fn line(members: &[&Fragment], block: u32, frame: &Frame) -> Option<Line> {
    let quads: Vec<Quad> = members.iter().map(|fragment| fragment.quad).collect();
    let quad = layout::join_line(&quads)?;
    let texts: Vec<&str> = members.iter().map(|fragment| fragment.text.as_str()).collect();
    let characters = |fragment: &Fragment| fragment.text.chars().count().max(1) as f32;
    let total: f32 = members.iter().map(|fragment| characters(fragment)).sum();
    let sum: f32 = members.iter().map(|fragment| fragment.confidence * characters(fragment)).sum();
    let words = members.iter().flat_map(|fragment| &fragment.words).map(|word| Word {
        text: word.text.clone(),
        confidence: word.confidence.clamp(0.0, 1.0),
        quad: to_sdk_quad(&frame.back(&word.quad)),
    });
    // The source of a line is embedded text only if all of its fragments are embedded.
    let read = members.iter().any(|fragment| matches!(fragment.source, Source::Ocr));
    Some(Line {
        text: texts.join(" "),
        confidence: (sum / total).clamp(0.0, 1.0),
        quad: to_sdk_quad(&frame.back(&quad)),
        words: words.collect(),
        source: if read { Source::Ocr } else { Source::TextLayer },
        direction: Direction::Ltr,
        block_id: block,
    })
}
