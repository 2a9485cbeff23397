//! The model catalog: one folder for each model, with a `model.toml` and the weights that it names.
//!
//! Owns reading and checking `models/*/model.toml`, the digests of weights and the texts of labels. Must not know
//! engines: `lector models list` uses it on a machine without ONNX Runtime. Called by [`crate::Inference`] and the CLI.

mod acceptance;
mod backup;
mod digest;
mod import;
mod labels;
mod raw;
mod validate;

use std::path::{Path, PathBuf};

use lector_core::ModelName;

pub use acceptance::{Acceptance, ClassificationLimits, DetectionLimits, RecognitionLimits, Thresholds};
pub use backup::{BackupSummary, backup, own_models, restore};
pub use digest::Sha256;
pub use import::ModelImport;
pub use labels::{LabelOrigin, LabelSource};
pub use validate::Finding;

/// Why the catalog, or a model of it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A folder or file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A folder or file cannot be written.
    #[error("cannot write {}", path.display())]
    Unwritable {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A `model.toml` is malformed: invalid TOML, an unknown or a missing key.
    #[error("{} is not a model description", path.display())]
    Malformed {
        /// The path.
        path: PathBuf,
        /// The position and the cause.
        source: Box<toml::de::Error>,
    },
    /// A `model.toml` has an invalid value.
    #[error("{}: {what}", path.display())]
    Invalid {
        /// The path.
        path: PathBuf,
        /// The invalid value, and the valid ones.
        what: String,
    },
    /// A file of a model is missing.
    #[error("model {model} lacks {}; run `cargo xtask setup` to fetch it", path.display())]
    Missing {
        /// The model.
        model: ModelName,
        /// The file.
        path: PathBuf,
    },
    /// A file of a model does not have the digest of its description.
    #[error(
        "{} of model {model} has sha256 {found}, expected {expected}; delete it and run `cargo xtask setup`",
        path.display()
    )]
    Differs {
        /// The model.
        model: ModelName,
        /// The file.
        path: PathBuf,
        /// Digest in `model.toml`.
        expected: Sha256,
        /// Digest of the file.
        found: Sha256,
    },
    /// The labels of a model are missing or invalid.
    #[error("labels of model {model}: {what}")]
    Labels {
        /// The model.
        model: ModelName,
        /// The cause.
        what: String,
    },
}

impl CatalogError {
    /// Returns whether the error is in a file of that model, judged by the path.
    pub(crate) fn concerns(&self, model: &ModelName) -> bool {
        let named = |path: &Path| path.components().any(|part| part.as_os_str() == model.as_str());
        match self {
            Self::Unreadable { path, .. }
            | Self::Unwritable { path, .. }
            | Self::Malformed { path, .. }
            | Self::Invalid { path, .. } => named(path),
            Self::Missing { model: of, .. }
            | Self::Differs { model: of, .. }
            | Self::Labels { model: of, .. } => of == model,
        }
    }

    /// Returns the message without paths, for clients that must not see them.
    pub(crate) fn without_paths(&self) -> String {
        let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::Unreadable { path, .. } => format!("`{}` of the catalog cannot be read", file(path)),
            Self::Unwritable { path, .. } => format!("`{}` of the catalog cannot be written", file(path)),
            Self::Malformed { .. } | Self::Invalid { .. } => {
                "a model description in the catalog is invalid".to_owned()
            }
            Self::Missing { model, path } => {
                format!("model {model} lacks `{}`; `cargo xtask setup` fetches it", file(path))
            }
            Self::Differs { model, path, .. } => {
                format!("`{}` of model {model} is not the file that its description names", file(path))
            }
            Self::Labels { .. } => self.to_string(),
        }
    }
}

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
}

impl Task {
    /// Returns the task as written in `model.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::Detection => "detection",
            Task::Recognition => "recognition",
            Task::Classification => "classification",
        }
    }

    /// All tasks.
    pub const ALL: [Self; 3] = [Self::Detection, Self::Recognition, Self::Classification];
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

/// A model of the catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelEntry {
    /// Its name, equal to the name of its folder.
    pub name: ModelName,
    /// The task.
    pub task: Task,
    /// One sentence.
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// The weights.
    pub weights: Weights,
    /// The package of the weights; `None` for an operator's own model.
    pub source: Option<Source>,
    /// The source of the texts of its classes.
    pub labels: Option<LabelSource>,
    /// The shapes that its engine takes.
    pub engine: EngineSpec,
    /// How its input is made.
    pub preprocess: Preprocess,
    /// The acceptance of new engines; `None`: only the reference may serve it.
    pub acceptance: Option<Acceptance>,
}

impl ModelEntry {
    /// Returns whether an engine of `other` computes the same and may replace one of `self` behind an open lane:
    /// weights, classes, shapes. Acceptance and descriptive fields may differ.
    pub(crate) fn computes_as(&self, other: &Self) -> bool {
        self.task == other.task
            && self.weights.sha256 == other.weights.sha256
            && self.labels == other.labels
            && self.engine == other.engine
            && self.preprocess == other.preprocess
    }

    /// Returns whether the weights are present, judged by the length alone; [`ModelEntry::verify`] reads every byte.
    pub fn present(&self) -> bool {
        std::fs::metadata(&self.weights.path).is_ok_and(|m| m.len() == self.weights.bytes)
    }

    /// Checks the digest of the weights, reading them in pieces.
    pub fn verify(&self) -> Result<(), CatalogError> {
        let found =
            digest::of_file(&self.weights.path).map_err(|e| self.unreadable(&self.weights.path, e))?;
        self.compare(&self.weights.path, &self.weights.sha256, found)
    }

    /// Returns the weights, checked.
    pub(crate) fn read_weights(&self) -> Result<Vec<u8>, CatalogError> {
        let bytes = std::fs::read(&self.weights.path).map_err(|e| self.unreadable(&self.weights.path, e))?;
        self.compare(&self.weights.path, &self.weights.sha256, digest::of_bytes(&bytes))?;
        Ok(bytes)
    }

    /// Returns the texts of the model's classes in their order, from the metadata of `weights` where they are kept
    /// there; empty where it has no labels.
    pub fn read_labels(&self, weights: &[u8]) -> Result<Vec<String>, CatalogError> {
        match &self.labels {
            Some(source) => labels::read(self, source, weights),
            None => Ok(Vec::new()),
        }
    }

    fn compare(&self, path: &Path, expected: &Sha256, found: Sha256) -> Result<(), CatalogError> {
        if *expected == found {
            return Ok(());
        }
        let (model, path, expected) = (self.name.clone(), path.to_owned(), expected.clone());
        Err(CatalogError::Differs { model, path, expected, found })
    }

    fn unreadable(&self, path: &Path, source: std::io::Error) -> CatalogError {
        let path = path.to_owned();
        match source.kind() {
            std::io::ErrorKind::NotFound => CatalogError::Missing { model: self.name.clone(), path },
            _ => CatalogError::Unreadable { path, source },
        }
    }
}

/// All models of a folder, by name.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    entries: Vec<ModelEntry>,
}

impl Catalog {
    /// Reads `models_dir/*/model.toml`. A folder without one is not a model; anything wrong in one is an error.
    pub fn read(models_dir: &Path) -> Result<Self, CatalogError> {
        Self::read_both(models_dir, None)
    }

    /// Reads both folders; the operator's own may be missing. A name that occurs in both is an error.
    pub fn read_both(models_dir: &Path, own_models_dir: Option<&Path>) -> Result<Self, CatalogError> {
        let mut entries = Vec::new();
        for dir in [models_dir].into_iter().chain(own_models_dir.filter(|dir| dir.is_dir())) {
            let unreadable = |source| CatalogError::Unreadable { path: dir.to_owned(), source };
            for folder in std::fs::read_dir(dir).map_err(unreadable)? {
                let path = folder.map_err(unreadable)?.path().join("model.toml");
                if path.is_file() {
                    entries.push(raw::entry(&path)?);
                }
            }
        }
        entries.sort_by(|a: &ModelEntry, b| a.name.cmp(&b.name));
        if let Some([one, other]) = entries.array_windows().find(|[one, other]| one.name == other.name) {
            let what = format!("{} describes a model with the same name", other.weights.path.display());
            return Err(CatalogError::Invalid { path: one.weights.path.clone(), what });
        }
        Ok(Self { entries })
    }

    /// Returns the models, by name.
    pub fn entries(&self) -> &[ModelEntry] {
        &self.entries
    }

    /// Returns the model of that name.
    pub fn find(&self, name: &ModelName) -> Option<&ModelEntry> {
        self.entries.iter().find(|e| e.name == *name)
    }
}

#[cfg(test)]
pub(crate) mod tests;
