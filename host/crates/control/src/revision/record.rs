//! The stored form of a revision.

use std::collections::BTreeMap;

use lector_core::{DeploymentName, ModelName, PipelineInfo, TenantName};
use serde::{Deserialize, Serialize};

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
    /// Creation time, milliseconds since 1970.
    pub created_at_ms: u64,
    /// The actor that created it: the id of a key, or `open`, `config`.
    pub created_by: String,
}

impl RevisionRecord {
    /// Returns the catalog's models behind the aliases in the pipeline info.
    pub(crate) fn models(&self) -> Vec<ModelName> {
        self.pipeline_info.models.iter().filter_map(|alias| self.grants.get(alias)).cloned().collect()
    }

    /// Returns whether both have the same parts.
    pub(crate) fn is_made_of(&self, other: &Self) -> bool {
        let parts = |of: &Self| (of.component.clone(), of.settings.clone(), of.grants.clone(), of.budget);
        parts(self) == parts(other)
    }
}
