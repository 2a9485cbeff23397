//! The model catalog: one folder for each model, with a `model.toml` and the weights that it names.
//!
//! Owns reading and checking `models/*/model.toml`, the digests of weights and the texts of labels. Must not know
//! engines: `lector models list` uses it on a machine without ONNX Runtime. Called by [`crate::Inference`] and the CLI.

mod acceptance;
mod backup;
mod digest;
mod entry;
mod error;
mod import;
mod labels;
mod raw;
mod spec;
mod validate;

use std::path::Path;

use lector_core::ModelName;

pub use acceptance::{Acceptance, ClassificationLimits, DetectionLimits, RecognitionLimits, Thresholds};
pub use backup::{BackupSummary, backup, own_models, restore};
pub use digest::Sha256;
pub use entry::ModelEntry;
pub use error::CatalogError;
pub use import::ModelImport;
pub use labels::{LabelOrigin, LabelSource};
pub use spec::{EngineSpec, Preprocess, Reduce, Source, Steps, Task, Weights};
pub use validate::Finding;

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
