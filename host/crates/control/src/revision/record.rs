//! The stored form of a revision.

use std::collections::BTreeMap;

use lector_core::{DeploymentName, ModelName, OptionsSchema, PipelineInfo, TenantName};
use serde::{Deserialize, Serialize};

use super::wrapped::WrappedRevision;
use crate::digest::Digest;
use crate::settings::Settings;
use crate::tenant::BudgetSpec;

/// A revision as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisionRecord {
    /// Owner of the deployment.
    pub tenant: TenantName,
    /// Name of the deployment.
    pub deployment: DeploymentName,
    /// Number in the deployment, from 1.
    pub number: u32,
    /// SHA-256 of the component.
    pub component: Digest,
    /// Size of the component, in bytes.
    pub component_bytes: u64,
    /// Settings that the guest accepted. A store keeps them beside the record.
    #[serde(skip)]
    pub settings: Settings,
    /// Models that the guest may open, by alias.
    pub grants: BTreeMap<String, ModelName>,
    /// Limits of each guest call.
    pub budget: BudgetSpec,
    /// Returned by the guest's `configure`.
    #[serde(alias = "declaration")]
    pub pipeline_info: PipelineInfo,
    /// Returned by the guest's `describe`, for a guest with options of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options_schema: Option<OptionsSchema>,
    /// The revision that it wraps, for a guest that imports `pipeline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wraps: Option<Box<WrappedRevision>>,
    /// Creation time, milliseconds since 1970.
    pub created_at_ms: u64,
    /// The actor that created it: the id of a key, or `open`, `config`.
    pub created_by: String,
}

impl RevisionRecord {
    /// Returns the catalog's models behind the aliases in the pipeline info, and those of the stages that it wraps.
    pub(crate) fn models(&self) -> Vec<ModelName> {
        let own = self.pipeline_info.models.iter().filter_map(|alias| self.grants.get(alias));
        let mut models = Vec::new();
        for model in own.chain(self.wrapped_stages().flat_map(WrappedRevision::models)) {
            if !models.contains(model) {
                models.push(model.clone());
            }
        }
        models
    }

    /// Returns the models that its stages open where the host has them.
    pub(crate) fn optional_models(&self) -> Vec<ModelName> {
        let own = self.pipeline_info.optional_models().filter_map(|alias| self.grants.get(alias));
        let mut models: Vec<ModelName> = own.cloned().collect();
        for stage in self.wrapped_stages() {
            let theirs = stage.pipeline_info.optional_models().filter_map(|alias| stage.grants.get(alias));
            models.extend(theirs.cloned());
        }
        models.sort_unstable();
        models.dedup();
        models
    }

    /// Pins this revision for one that wraps it.
    pub(crate) fn pinned(&self) -> WrappedRevision {
        WrappedRevision {
            tenant: self.tenant.clone(),
            deployment: self.deployment.clone(),
            revision: self.number,
            component: self.component.clone(),
            component_bytes: self.component_bytes,
            settings: self.settings.clone(),
            grants: self.grants.clone(),
            pipeline_info: self.pipeline_info.clone(),
            options_schema: self.options_schema.clone(),
            wraps: self.wraps.clone(),
        }
    }

    /// Returns the stages that it wraps, the innermost last.
    pub(crate) fn wrapped_stages(&self) -> impl Iterator<Item = &WrappedRevision> {
        self.wraps.iter().flat_map(|wraps| wraps.stages())
    }

    /// Returns the bytes of its settings and of the schema of its options, with those of the stages that it wraps, which are
    /// stored with it.
    pub(crate) fn settings_bytes(&self) -> u64 {
        let of = |settings: &Settings, schema: &Option<OptionsSchema>| {
            (settings.as_str().len() + schema.as_ref().map_or(0, OptionsSchema::bytes)) as u64
        };
        let stages = self.wrapped_stages().map(|stage| of(&stage.settings, &stage.options_schema));
        of(&self.settings, &self.options_schema) + stages.sum::<u64>()
    }

    /// Returns whether both have the same parts.
    pub(crate) fn is_made_of(&self, other: &Self) -> bool {
        let parts = |of: &Self| {
            (of.component.clone(), of.settings.clone(), of.grants.clone(), of.budget, of.wraps.clone())
        };
        parts(self) == parts(other)
    }
}
