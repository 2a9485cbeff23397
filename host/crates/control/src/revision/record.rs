//! The stored form of a revision.

use std::collections::BTreeMap;

use lector_core::{DeploymentName, ModelName, PipelineInfo, TenantName};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::settings::Settings;
use crate::tenant::BudgetSpec;

/// A revision as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisionRecord {
    /// Owner of the deployment.
    pub tenant: TenantName,
    /// Which deployment.
    pub deployment: DeploymentName,
    /// Counted from 1 in its deployment.
    pub number: u32,
    /// SHA-256 of the component.
    pub component: Digest,
    /// Size of the component.
    pub component_bytes: u64,
    /// Settings that the guest accepted. A store keeps them beside the record.
    #[serde(skip)]
    pub settings: Settings,
    /// Models that the guest may open, by alias.
    pub grants: BTreeMap<String, ModelName>,
    /// Limits of each guest call.
    pub budget: BudgetSpec,
    /// What the guest said of itself.
    pub pipeline_info: PipelineInfo,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
    /// By whom: the id of a key, or `open`, `config`.
    pub created_by: String,
}

impl RevisionRecord {
    /// The catalog's models behind the aliases that the guest declared.
    pub(crate) fn models(&self) -> Vec<ModelName> {
        self.pipeline_info.models.iter().filter_map(|alias| self.grants.get(alias)).cloned().collect()
    }

    /// Whether it was made of the same things.
    pub(crate) fn is_made_of(&self, other: &Self) -> bool {
        let parts = |of: &Self| (of.component.clone(), of.settings.clone(), of.grants.clone(), of.budget);
        parts(self) == parts(other)
    }
}
