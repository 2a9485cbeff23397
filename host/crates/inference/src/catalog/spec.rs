//! The parts of a model's description: task, weights, shapes, preprocessing.

use std::path::PathBuf;

use super::digest::Sha256;

/// The task of a model. It determines how the model's sessions share the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// From page to text probability map.
    Detection,
    /// From lines to characters.
    Recognition,
    /// From picture to class.
    Classification,
    /// From line to text, by libtesseract. Its weights are the list of the languages that can be installed.
    Transcription,
}

impl Task {
    /// Returns the task as written in `model.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::Detection => "detection",
            Task::Recognition => "recognition",
            Task::Classification => "classification",
            Task::Transcription => "transcription",
        }
    }

    /// The tasks of models that are ONNX files.
    pub const ONNX: [Self; 3] = [Self::Detection, Self::Recognition, Self::Classification];
}

/// A file with the weights of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// The path, also before `cargo xtask setup` has fetched it.
    pub path: PathBuf,
    /// The expected digest.
    pub sha256: Sha256,
    /// The expected length.
    pub bytes: u64,
}

/// The package that contains the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name in the package registry.
    pub package: String,
    /// The version.
    pub version: String,
    /// Digest of the wheel.
    pub wheel_sha256: Sha256,
    /// Member of the wheel.
    pub path: String,
}

/// A reduction that the host appends to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduce {
    /// The most probable class of each step and its probability: see [`crate::ctc`].
    Ctc,
}

/// Shapes that the engine takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSpec {
    /// Reduction to append.
    pub reduce: Option<Reduce>,
    /// Widths are multiples of `step` up to `max`.
    pub width: Option<Steps>,
    /// Heights and widths are multiples of `step` up to `max`.
    pub side: Option<Steps>,
    /// Most rows of one run.
    pub max_batch: u32,
}

/// Multiples of `step` up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// 1 or more.
    pub step: u32,
    /// A multiple of `step`.
    pub max: u32,
}

/// How a picture becomes the model's input: for the authors of guests. The extents also fix the engine's shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preprocess {
    /// `rgb` or `bgr`.
    pub channels: Option<String>,
    /// Subtracted from values in 0..1, in the order of `channels`.
    pub mean: Option<[f32; 3]>,
    /// Divisors after the subtraction, in the order of `channels`.
    pub std: Option<[f32; 3]>,
    /// Rows of pixels.
    pub height: Option<u32>,
    /// Columns of pixels.
    pub width: Option<u32>,
}
