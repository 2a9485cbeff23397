//! A model of the catalog, and the checks of its files.

use lector_core::ModelName;

use super::acceptance::Acceptance;
use super::digest;
use super::error::CatalogError;
use super::labels::{self, LabelSource};
use super::spec::{EngineSpec, Preprocess, Source, Task, Weights};

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
        let path = &self.weights.path;
        let found = digest::of_file(path).map_err(|e| CatalogError::of_file(&self.name, path, e))?;
        CatalogError::unless_same(&self.name, path, &self.weights.sha256, found)
    }

    /// Returns the weights, checked.
    pub(crate) fn read_weights(&self) -> Result<Vec<u8>, CatalogError> {
        let path = &self.weights.path;
        let bytes = std::fs::read(path).map_err(|e| CatalogError::of_file(&self.name, path, e))?;
        CatalogError::unless_same(&self.name, path, &self.weights.sha256, digest::of_bytes(&bytes))?;
        Ok(bytes)
    }

    /// Returns the texts of the model's classes in their order, from the metadata of `weights` where they are kept
    /// there; empty where it has no labels.
    pub fn read_labels(&self, weights: &[u8]) -> Result<Vec<String>, CatalogError> {
        match &self.labels {
            Some(source) => labels::read(&self.name, source, weights),
            None => Ok(Vec::new()),
        }
    }
}
