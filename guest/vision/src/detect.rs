//! Text detection around a DB model's run: what size to show it, what boxes its probability map holds, and whether to
//! look again at a higher resolution. After Liao, Wan, Yao, Chen, Bai: "Real-time Scene Text Detection with
//! Differentiable Binarization", AAAI 2020.
//!
//! Knows nothing of models and images; the guest scales quads from map pixels to page pixels.

mod bands;
pub(crate) mod components;
mod db;
mod size;

use crate::geometry::Quad;

pub use bands::{Axis, Band, Bands};
pub use db::boxes;
pub use size::{Adaptive, input_size, median_line_height, refine};

/// How boxes are made of a probability map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DbOptions {
    /// Least probability of a text pixel, 0 to 1.
    pub threshold: f32,
    /// Least mean probability inside a box, 0 to 1.
    pub box_threshold: f32,
    /// How far a box grows beyond the shrunken text kernel that the model was trained to give: by
    /// `area * ratio / perimeter` on every side.
    pub unclip_ratio: f32,
    /// Least length of a box's short side before it is grown, in map pixels.
    pub side_min: f32,
    /// Most boxes of one map; of more the smallest are left out, and [`Found::left_out`] says how many.
    pub boxes_max: usize,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self { threshold: 0.3, box_threshold: 0.45, unclip_ratio: 1.6, side_min: 3.0, boxes_max: 4000 }
    }
}

/// A piece of text found on a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextBox {
    /// Its corners, first corner top left for text within 45 degrees of level.
    pub quad: Quad,
    /// Mean probability inside, 0 to 1.
    pub score: f32,
}

/// What a probability map holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Its boxes, topmost first.
    pub boxes: Vec<TextBox>,
    /// Boxes beyond `DbOptions::boxes_max`. Noise gives thousands of specks; text is larger, so the largest were kept.
    pub left_out: usize,
}

/// Why a probability map gave no boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectError {
    /// The map's length is not width times height.
    Shape {
        /// Bytes that width and height ask for.
        expected: usize,
        /// Bytes that were given.
        got: usize,
    },
    /// The map shatters into more pieces than `DbOptions::boxes_max` boxes of text can.
    Noise {
        /// The bound on boxes.
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
