//! The revision that another revision wraps, with the parts that it had when it was pinned.
//!
//! A copy, not a reference: promoting, deleting or deploying again the wrapped deployment does not change a revision
//! that wraps it.

use std::collections::BTreeMap;

use lector_core::{DeploymentName, ModelName, OptionsSchema, PipelineInfo, TenantName};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::settings::Settings;

/// A pinned revision. It has no budget: its calls get what the call of the wrapping guest has left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WrappedRevision {
    /// Owner of the wrapped deployment: the tenant itself, or the owner of the shared deployments.
    pub tenant: TenantName,
    /// Name of the wrapped deployment.
    pub deployment: DeploymentName,
    /// Number of the revision.
    pub revision: u32,
    /// SHA-256 of its component.
    pub component: Digest,
    /// Size of its component; 0 in records from before it was counted.
    #[serde(default)]
    pub component_bytes: u64,
    /// Settings that its guest accepted. A store keeps them beside the record.
    #[serde(skip)]
    pub settings: Settings,
    /// Models that its guest may open, by alias.
    pub grants: BTreeMap<String, ModelName>,
    /// Returned by its guest's `configure`.
    pub pipeline_info: PipelineInfo,
    /// Returned by its guest's `describe`, for a guest with options of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options_schema: Option<OptionsSchema>,
    /// The revision that it wraps itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wraps: Option<Box<WrappedRevision>>,
}

impl WrappedRevision {
    /// Returns this stage and the stages that it wraps, the innermost last.
    pub(crate) fn stages(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |stage| stage.wraps.as_deref())
    }

    /// Returns this stage and those that it wraps without the grants of optional models that `allowed` does not contain.
    pub(crate) fn with_optional_of(mut self, allowed: &BTreeMap<String, ModelName>) -> Self {
        let info = &self.pipeline_info;
        let is_optional =
            |alias: &String| info.optional_models().any(|own| own == alias) && !info.models.contains(alias);
        self.grants.retain(|alias, model| !is_optional(alias) || allowed.values().any(|own| own == model));
        self.wraps = self.wraps.map(|wraps| Box::new(wraps.with_optional_of(allowed)));
        self
    }

    /// Returns the catalog's models behind the aliases in its pipeline info, without those of the stages that it wraps.
    pub(crate) fn models(&self) -> impl Iterator<Item = &ModelName> {
        self.pipeline_info.models.iter().filter_map(|alias| self.grants.get(alias))
    }
}
