//! The model catalog: one folder a model, with a `model.toml` and the weights that it names.
//!
//! Owns: reading and checking `models/*/model.toml`, the digests of weights, the texts of labels. Knows no engine:
//! `lector models list` uses it on a machine without ONNX Runtime. Called by [`crate::Inference`] and the CLI.

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
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder or file cannot be written.
    #[error("cannot write {}", path.display())]
    Unwritable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A `model.toml` is not what it should be: broken TOML, an unknown or a missing key.
    #[error("{} is not a model description", path.display())]
    Malformed {
        /// Which one.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A `model.toml` says something that cannot be.
    #[error("{}: {what}", path.display())]
    Invalid {
        /// Which one.
        path: PathBuf,
        /// What, and what would be right.
        what: String,
    },
    /// A file that a model needs is not there.
    #[error("model {model} lacks {}; run `cargo xtask setup` to fetch it", path.display())]
    Missing {
        /// Which model.
        model: ModelName,
        /// Which file.
        path: PathBuf,
    },
    /// A file of a model is not the one that was described.
    #[error(
        "{} of model {model} has sha256 {found}, expected {expected}; delete it and run `cargo xtask setup`",
        path.display()
    )]
    Differs {
        /// Which model.
        model: ModelName,
        /// Which file.
        path: PathBuf,
        /// Digest in `model.toml`.
        expected: Sha256,
        /// Digest of the file.
        found: Sha256,
    },
    /// The labels of a model cannot be had.
    #[error("labels of model {model}: {what}")]
    Labels {
        /// Which model.
        model: ModelName,
        /// What is wrong.
        what: String,
    },
}

impl CatalogError {
    /// Whether it stands in a file of that model, as far as the path tells.
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

    /// For those who must not learn where things lie on this machine.
    pub(crate) fn without_paths(&self) -> String {
        let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::Unreadable { path, .. } => format!("`{}` of the catalog cannot be read", file(path)),
            Self::Unwritable { path, .. } => format!("`{}` of the catalog cannot be written", file(path)),
            Self::Malformed { .. } | Self::Invalid { .. } => {
                "a description in the catalog is wrong".to_owned()
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

/// What a model is for. It decides how its sessions share the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Page to text probability map.
    Detection,
    /// Lines to characters.
    Recognition,
    /// Picture to class.
    Classification,
}

impl Task {
    /// As written in `model.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::Detection => "detection",
            Task::Recognition => "recognition",
            Task::Classification => "classification",
        }
    }

    /// All of them.
    pub const ALL: [Self; 3] = [Self::Detection, Self::Recognition, Self::Classification];
}

/// A file with the weights of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Where it is, or will be after `cargo xtask setup`.
    pub path: PathBuf,
    /// What it must be.
    pub sha256: Sha256,
    /// How long it must be.
    pub bytes: u64,
}

/// The package that the weights come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name in the package registry.
    pub package: String,
    /// Its version.
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
    /// Greatest class and its probability at each step: see [`crate::ctc`].
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

/// How a picture becomes the model's input: for the authors of guests; extents also pin the engine's shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preprocess {
    /// `rgb` or `bgr`.
    pub channels: Option<String>,
    /// Subtracted from values in 0..1, in the order of `channels`.
    pub mean: Option<[f32; 3]>,
    /// Divided by.
    pub std: Option<[f32; 3]>,
    /// Rows of pixels.
    pub height: Option<u32>,
    /// Columns of pixels.
    pub width: Option<u32>,
}

/// A model of the catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelEntry {
    /// Its name, which is its folder's.
    pub name: ModelName,
    /// What it is for.
    pub task: Task,
    /// One sentence.
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// Its weights.
    pub weights: Weights,
    /// Where they come from; `None` for an operator's own.
    pub source: Option<Source>,
    /// Where the texts of its classes come from.
    pub labels: Option<LabelSource>,
    /// What its engine takes.
    pub engine: EngineSpec,
    /// What its input is made of.
    pub preprocess: Preprocess,
    /// How a new engine is judged; `None`: nothing but the reference may serve it.
    pub acceptance: Option<Acceptance>,
}

impl ModelEntry {
    /// Whether an engine of the other computes the same, and may take this one's place behind an open lane: weights,
    /// classes, shapes. How engines are judged, and what is said of the model, may differ.
    pub(crate) fn computes_as(&self, other: &Self) -> bool {
        self.task == other.task
            && self.weights.sha256 == other.weights.sha256
            && self.labels == other.labels
            && self.engine == other.engine
            && self.preprocess == other.preprocess
    }

    /// Whether the weights are there, by length alone; [`ModelEntry::verify`] looks at every byte.
    pub fn present(&self) -> bool {
        std::fs::metadata(&self.weights.path).is_ok_and(|m| m.len() == self.weights.bytes)
    }

    /// Checks the digest of the weights, reading them in pieces.
    pub fn verify(&self) -> Result<(), CatalogError> {
        let found =
            digest::of_file(&self.weights.path).map_err(|e| self.unreadable(&self.weights.path, e))?;
        self.compare(&self.weights.path, &self.weights.sha256, found)
    }

    /// The weights, checked.
    pub(crate) fn read_weights(&self) -> Result<Vec<u8>, CatalogError> {
        let bytes = std::fs::read(&self.weights.path).map_err(|e| self.unreadable(&self.weights.path, e))?;
        self.compare(&self.weights.path, &self.weights.sha256, digest::of_bytes(&bytes))?;
        Ok(bytes)
    }

    /// Texts of the model's classes in their order, from the model's weights where they are kept there; empty
    /// where it has none.
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

    /// The same, and the models in an operator's own folder, which need not be there. A name stands for one model.
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
            let what = format!("{} describes a model of that name, too", other.weights.path.display());
            return Err(CatalogError::Invalid { path: one.weights.path.clone(), what });
        }
        Ok(Self { entries })
    }

    /// The models, by name.
    pub fn entries(&self) -> &[ModelEntry] {
        &self.entries
    }

    /// The model of that name.
    pub fn find(&self, name: &ModelName) -> Option<&ModelEntry> {
        self.entries.iter().find(|e| e.name == *name)
    }
}

#[cfg(test)]
pub(crate) mod tests;
