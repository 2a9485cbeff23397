//! The key of an engine: everything that the engine depends on. Two engines with one key are the same engine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::files::plain;
use crate::catalog::Sha256;
use crate::provider::EngineVariant;

/// Increases when the files of this version cannot be read by an older or a newer host.
pub(crate) const LAYOUT: u32 = 1;

/// The key of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineKey {
    /// Version of the layout of an entry.
    pub layout: u32,
    /// Name of the model; two models may share their weights and differ in the rest.
    pub model: String,
    /// Digest of the weights.
    pub model_sha256: String,
    /// Reduction that the host appends to the model.
    pub reduce: String,
    /// Provider and precision.
    #[serde(rename = "rung")]
    pub variant: EngineVariant,
    /// Versions of all libraries that take part.
    pub libraries: BTreeMap<String, String>,
    /// Version of the device's driver; empty for a CPU.
    pub driver: String,
    /// Architecture of the device: compute capability and name, or the processor's flags.
    pub device: String,
    /// Shapes for which the engine is prepared.
    pub shapes: String,
    /// Other options that change the engine.
    pub options: BTreeMap<String, String>,
    /// Digest of the golden batch and its thresholds: acceptance by other ones does not count.
    pub acceptance: String,
}

impl EngineKey {
    /// Returns the digest of the whole key.
    pub fn digest(&self) -> String {
        // A structure of texts and maps of texts always has a JSON form.
        Sha256::of(&serde_json::to_vec(self).unwrap_or_default()).as_str().to_owned()
    }

    /// Returns the name of the folder: readable, and different for different keys.
    pub fn folder(&self) -> String {
        let digest = self.digest();
        let variant = plain(&self.variant.to_string());
        format!("{}-{variant}-{}", self.model, digest.get(..16).unwrap_or_default())
    }
}
