//! Crops for a recognizer: the corners of each line in reading direction, its columns at the recognizer's height, and
//! the overlapping pieces of lines that are longer than one run.
//!
//! Independent of pixels: the host cuts the quads out of its image.

use crate::geometry::{Quad, Rotation};
use crate::statistics::weighted_median;

/// Input limits of a recognizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropOptions {
    /// Rows of its input (48 for PP-OCR).
    pub height: u32,
    /// Minimum columns of a piece, so that a single letter is not lost in convolutions.
    pub width_min: u32,
    /// Maximum columns of a piece (3200 for PP-OCR); longer lines are split.
    pub width_max: u32,
    /// Overlap of two pieces of one line, in line heights; at least two wide characters.
    pub overlap: f32,
    /// Margin above, below and at both ends of a line, in line heights.
    pub margin: f32,
}

impl Default for CropOptions {
    fn default() -> Self {
        Self { height: 48, width_min: 16, width_max: 3200, overlap: 3.0, margin: 0.0 }
    }
}

/// Minimum ratio of height to width of a vertical line.
const VERTICAL_ASPECT: f32 = 1.5;

/// Height up to which a box is a single narrow character beside level lines, as a ratio to their height.
const CHARACTER_HEIGHT: f32 = 1.4;

/// A piece of a line for one row of a recognizer's batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// Index of the line in the input.
    pub line: usize,
    /// Corners in the coordinates of the line, in reading direction.
    pub quad: Quad,
    /// Columns at `CropOptions::height` rows.
    pub width: u32,
    /// Start, as a fraction of the line's length.
    pub from: f32,
    /// End, as a fraction of the line's length; 1 for the last piece.
    pub to: f32,
}

/// Returns whether the text is vertical: a box much higher than wide is a turned line, not a short one.
pub fn is_vertical(quad: &Quad) -> bool {
    quad.height() >= VERTICAL_ASPECT * quad.width()
}

/// Returns the height of most of the level text of these boxes, weighted by length; 0 where no box is level.
pub fn level_height<'a>(quads: impl IntoIterator<Item = &'a Quad>) -> f32 {
    let level = quads.into_iter().filter(|quad| quad.is_finite() && !is_vertical(quad));
    weighted_median(level.map(|quad| (quad.height(), quad.width())))
}

/// Returns the corners of a detected box in reading direction. A vertical box is read downwards (text turned clockwise); the
/// line classifier detects upward text, see [`crate::orientation`]. A box no higher than the level lines of the page
/// ([`level_height`]) is not turned: it is one narrow character, such as a digit in a table.
pub fn turned_to_read(quad: &Quad, level_height: f32) -> Quad {
    let is_line = is_vertical(quad) && quad.height() > CHARACTER_HEIGHT * level_height;
    if is_line { quad.rotated_corners(Rotation::Quarter) } else { *quad }
}

/// Returns the quads to read of the boxes of a page, in reading direction, with a margin.
pub fn reading_quads(quads: &[Quad], options: &CropOptions) -> Vec<Quad> {
    let level_height = level_height(quads);
    let to_read = |quad: &Quad| {
        let quad = turned_to_read(quad, level_height);
        let margin = options.margin * quad.height();
        if margin == 0.0 { quad } else { quad.expanded(margin, margin) }
    };
    quads.iter().map(to_read).collect()
}

/// Returns the columns of a line in reading direction at `height` rows with its aspect kept, at least `width_min`.
pub fn width_at(quad: &Quad, options: &CropOptions) -> u32 {
    let (width, height) = (quad.width(), quad.height().max(1e-3));
    let columns = (options.height as f32 * width / height).ceil();
    // `as` saturates: a degenerate line gives a huge width, and `split` bounds the pieces.
    (columns as u32).max(options.width_min.max(1))
}

/// Maximum pieces of one line: 64 pieces of 3200 columns are a line 4000 times as long as high. A longer line is
/// squeezed.
const PIECES_MAX: u32 = 64;

/// Splits one line (index `line`, corners in reading direction) into pieces: one if it fits, otherwise the fewest
/// pieces of equal width, each overlapping the next by `CropOptions::overlap`. [`crate::ctc::join`] joins their
/// readings.
pub fn split(line: usize, quad: &Quad, options: &CropOptions) -> Vec<Piece> {
    let total = width_at(quad, options);
    let most = options.width_max.max(options.width_min).max(1);
    if total <= most {
        return vec![Piece { line, quad: *quad, width: total, from: 0.0, to: 1.0 }];
    }
    // An overlap of half a piece or more would not advance.
    let overlap = ((options.overlap * options.height as f32) as u32).min(most / 2);
    let advance = (most - overlap).max(1);
    let count = (total - overlap).div_ceil(advance).clamp(2, PIECES_MAX);
    // `count` pieces of width w cover count * w - (count - 1) * overlap columns.
    let width = (f64::from(total) + f64::from(count - 1) * f64::from(overlap)) / f64::from(count);
    let share = (width / f64::from(total)) as f32;
    let stride = (1.0 - share) / (count - 1) as f32;
    (0..count)
        .map(|i| {
            let from = stride * i as f32;
            let to = if i + 1 == count { 1.0 } else { (from + share).min(1.0) };
            Piece { line, quad: quad.slice(from, to), width: (width.round() as u32).min(most), from, to }
        })
        .collect()
}

/// Returns all pieces of all lines, in the order of the lines.
pub fn pieces(lines: &[Quad], options: &CropOptions) -> Vec<Piece> {
    lines.iter().enumerate().flat_map(|(i, quad)| split(i, quad, options)).collect()
}

#[cfg(test)]
mod tests;
