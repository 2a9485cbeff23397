//! Words of a line and their positions.

use super::{Reading, Symbol};
use crate::geometry::Quad;

/// A run of characters between spaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// The characters.
    pub text: String,
    /// Mean probability of its characters, 0 to 1.
    pub confidence: f32,
    /// The part of the line's quad that it covers.
    pub quad: Quad,
}

/// Returns the median distance of neighboring characters in steps; 2 if there are too few.
pub(super) fn typical_advance(symbols: &[Symbol]) -> f32 {
    let mut advances: Vec<usize> =
        symbols.windows(2).filter_map(|w| Some(w.last()?.from_step - w.first()?.from_step)).collect();
    advances.sort_unstable();
    advances.get(advances.len() / 2).map_or(2.0, |&a| a as f32)
}

/// Returns the words of a reading, with quads interpolated along the quad of the line that was read.
pub fn words(reading: &Reading, line: &Quad) -> Vec<Word> {
    reading
        .glyphs
        .split(|g| g.text.trim().is_empty())
        .filter_map(|run| {
            // The characters of a line from right to left stand from its right end.
            let from = run.iter().map(|g| g.from).reduce(f32::min)?;
            let to = run.iter().map(|g| g.to).reduce(f32::max)?;
            let sum: f32 = run.iter().map(|g| g.confidence).sum();
            Some(Word {
                text: run.iter().map(|g| g.text.trim()).collect(),
                confidence: sum / run.len() as f32,
                quad: line.slice(from, to),
            })
        })
        .collect()
}
