//! What a recognizer is shown of a page: the corners of each line in its reading direction, the columns it takes at the
//! recognizer's height, and the overlapping pieces of lines that are longer than one run takes.
//!
//! Knows no pixels: the host cuts the quads out of its image.

use crate::geometry::{Quad, Rotation};

/// What a recognizer takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropOptions {
    /// Rows of its input (48 for PP-OCR).
    pub height: u32,
    /// Fewest columns of a piece, so that a single letter is not lost in convolutions.
    pub width_min: u32,
    /// Most columns of a piece (3200 for PP-OCR); longer lines are split.
    pub width_max: u32,
    /// How far two pieces of one line overlap, in line heights; two wide characters at least.
    pub overlap: f32,
    /// Added above, below and at both ends of a line, in line heights.
    pub margin: f32,
}

impl Default for CropOptions {
    fn default() -> Self {
        Self { height: 48, width_min: 16, width_max: 3200, overlap: 3.0, margin: 0.0 }
    }
}

/// A line that stands on end is at least this much higher than wide.
const VERTICAL_ASPECT: f32 = 1.5;

/// A piece of a line for one row of a recognizer's batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// Index of the line among those given.
    pub line: usize,
    /// Corners in the coordinates of the line, in reading direction.
    pub quad: Quad,
    /// Columns at `CropOptions::height` rows.
    pub width: u32,
    /// Where it begins, as a share of the line's length.
    pub from: f32,
    /// Where it ends, as a share of the line's length; 1 for the last piece.
    pub to: f32,
}

/// Whether text stands on end: a box much higher than wide is a turned line, not a short one.
pub fn is_vertical(quad: &Quad) -> bool {
    quad.height() >= VERTICAL_ASPECT * quad.width()
}

/// The quad that is read: the corners of a detected box in reading direction, a margin added. A box on end is read
/// downwards (as text turned clockwise stands); whether it runs upwards instead is for the line classifier to say, see
/// [`crate::orientation`].
pub fn reading_quad(quad: &Quad, options: &CropOptions) -> Quad {
    let quad = if is_vertical(quad) { quad.rotated_corners(Rotation::Quarter) } else { *quad };
    let margin = options.margin * quad.height();
    if margin == 0.0 { quad } else { quad.expanded(margin, margin) }
}

/// Columns that a line in reading direction takes at `height` rows with its aspect kept, at least `width_min`.
pub fn width_at(quad: &Quad, options: &CropOptions) -> u32 {
    let (width, height) = (quad.width(), quad.height().max(1e-3));
    let columns = (options.height as f32 * width / height).ceil();
    // `as` saturates: a degenerate line gives a huge width, and `split` bounds the pieces.
    (columns as u32).max(options.width_min.max(1))
}

/// Most pieces of one line: 64 pieces of 3200 columns are a line 4000 times as long as high. A longer one is squeezed.
const PIECES_MAX: u32 = 64;

/// The pieces of one line (index `line`, corners in reading direction): one where it fits, else as few as possible of
/// equal width, each overlapping the next by `CropOptions::overlap`. Read apart, they are joined by [`crate::ctc::join`].
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

/// All pieces of all lines, in the order of the lines.
pub fn pieces(lines: &[Quad], options: &CropOptions) -> Vec<Piece> {
    lines.iter().enumerate().flat_map(|(i, quad)| split(i, quad, options)).collect()
}

#[cfg(test)]
mod tests;
