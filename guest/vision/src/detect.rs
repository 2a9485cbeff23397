//! Text detection with a DB model: input size, text boxes of a probability map, and the decision on a second pass at a
//! higher resolution. After Liao, Wan, Yao, Chen, Bai: "Real-time Scene Text Detection with Differentiable
//! Binarization", AAAI 2020.
//!
//! Independent of models and images; the guest scales quads from map pixels to page pixels.

mod bands;
pub(crate) mod components;
mod db;
mod size;
mod tiles;

use crate::geometry::Quad;

pub use bands::{Axis, Band, Bands};
pub use db::boxes;
pub use size::{Adaptive, input_size, median_line_height, refine};
pub use tiles::Tiles;

/// Parameters of the conversion of a probability map to boxes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DbOptions {
    /// Minimum probability of a text pixel, 0 to 1.
    pub threshold: f32,
    /// Minimum mean probability inside a box, 0 to 1.
    pub box_threshold: f32,
    /// Unclip ratio: a box grows beyond the shrunken text kernel, which the model is trained to output, by `area *
    /// ratio / perimeter` on every side.
    pub unclip_ratio: f32,
    /// Minimum length of a box's short side before it grows, in map pixels.
    pub side_min: f32,
    /// Maximum boxes of one map; beyond it the smallest are left out, and [`Found::left_out`] counts them.
    pub boxes_max: usize,
}

/// A piece of text found on a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextBox {
    /// Its corners; the first corner is top left for text within 45 degrees of level.
    pub quad: Quad,
    /// Mean probability inside, 0 to 1.
    pub score: f32,
}

/// The boxes of a probability map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Its boxes, topmost first.
    pub boxes: Vec<TextBox>,
    /// Number of boxes beyond `DbOptions::boxes_max`. Noise gives thousands of specks; the largest boxes, which are
    /// text, are kept.
    pub left_out: usize,
}

/// The reason why a probability map gave no boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectError {
    /// The map's length is not width times height.
    Shape {
        /// Expected bytes for width and height.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// The map has more connected pieces than `DbOptions::boxes_max` boxes of text can have.
    Noise {
        /// The maximum number of boxes.
        limit: usize,
    },
}

impl std::fmt::Display for DetectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shape { expected, got } => {
                write!(
                    f,
                    "probability map has {got} bytes where its size asks for {expected}; pass the whole map"
                )
            }
            Self::Noise { limit } => write!(
                f,
                "page shatters into more pieces than {limit} boxes of text do: it is noise; raise the threshold"
            ),
        }
    }
}

impl std::error::Error for DetectError {}
