//! Revisions: a component with settings, grants and limits, which never changes; and the leases on them.
//!
//! Owns what a revision is on disk (the record) and in memory (loaded, with its gate and its figures). Knows nothing of
//! routes. Made by `stage.rs`, put into memory by `shelf.rs`, leased by every request.

mod figures;
mod prices;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use lector_core::{CallCtx, Declaration, DeploymentName, Fault, Kind, ModelName, RequestId, TenantName};
use serde::{Deserialize, Serialize};

use crate::claims::Claim;
use crate::gate::{Gate, Pass};
use crate::reader::{BatchProgram, Reader};
use crate::settings::Settings;
use crate::store::Digest;
use crate::tenant::{BudgetSpec, Tenant};

pub(crate) use figures::{Figures, ShadowFigures};
pub use figures::{FiguresView, ShadowView};
pub(crate) use prices::Prices;

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
    pub declaration: Declaration,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
    /// By whom: the id of a key, or `open`, `config`.
    pub created_by: String,
}

impl RevisionRecord {
    /// The catalogue's models behind the aliases that the guest declared.
    pub(crate) fn models(&self) -> Vec<ModelName> {
        self.declaration.models.iter().filter_map(|alias| self.grants.get(alias)).cloned().collect()
    }

    /// Whether it was made of the same things.
    pub(crate) fn is_made_of(&self, other: &Self) -> bool {
        let parts = |of: &Self| (of.component.clone(), of.settings.clone(), of.grants.clone(), of.budget);
        parts(self) == parts(other)
    }
}

/// A revision in memory, ready to read pages.
pub(crate) struct Revision {
    pub(crate) record: Arc<RevisionRecord>,
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) figures: Figures,
    pub(crate) prices: Arc<Prices>,
    pub(crate) shadow: ShadowFigures,
    pub(crate) program: Option<Box<dyn BatchProgram>>,
    settings: Arc<str>,
    grants: Arc<BTreeMap<String, ModelName>>,
    /// On its models; a trial has none of its own.
    _claim: Option<Claim>,
}

impl Revision {
    pub(crate) fn new(
        record: Arc<RevisionRecord>,
        reader: Arc<dyn Reader>,
        claim: Option<Claim>,
    ) -> Arc<Self> {
        Arc::new(Self {
            _claim: claim,
            settings: record.settings.text(),
            grants: Arc::new(record.grants.clone()),
            program: reader.program(),
            record,
            reader,
            gate: Arc::default(),
            figures: Figures::default(),
            prices: Arc::default(),
            shadow: ShadowFigures::default(),
        })
    }

    /// What a guest call of this revision for `tenant` is made with: the lesser of the revision's and the tenant's limits.
    pub(crate) fn ctx(&self, tenant: &Tenant, request: RequestId, deadline: Instant) -> CallCtx {
        let mut ctx = CallCtx {
            tenant: tenant.name().clone(),
            deployment: self.record.deployment.clone(),
            request,
            settings: self.settings.clone(),
            grants: self.grants.clone(),
            budget: self.record.budget.at_most(tenant.page_budget()).into(),
            deadline,
            weight: tenant.record.terms.weight.max(1),
            batching: self.record.declaration.batching.as_slice().into(),
            background: false,
            planner: None,
            watch: None,
            file_name: None,
            wrapped: None,
            depth: 0,
        };
        ctx.planner = self.program.as_ref().map(|program| program.planner(&ctx));
        ctx
    }

    /// A lease in the name of `holder`.
    pub(crate) fn lease(self: &Arc<Self>, holder: &str) -> Result<Lease, Fault> {
        // The gate of a revision is never closed: who has read the snapshot that names it gets its lease, and it is
        // freed when the last one is gone.
        let pass = self.gate.enter(holder.into(), usize::MAX).map_err(|_| {
            Fault::new(Kind::Bug, "internal", "A revision was closed while it was live; report it.")
        })?;
        Ok(Lease { revision: self.clone(), _pass: pass })
    }
}

/// The right to use one revision; while it is held the revision stays.
pub struct Lease {
    pub(crate) revision: Arc<Revision>,
    _pass: Pass,
}

impl Lease {
    /// The deployment that was asked for, or the default one.
    pub fn deployment(&self) -> &DeploymentName {
        &self.revision.record.deployment
    }

    /// Number of the revision.
    pub fn number(&self) -> u32 {
        self.revision.record.number
    }

    /// SHA-256 of the component, hexadecimal.
    pub fn digest(&self) -> &str {
        self.revision.record.component.as_str()
    }

    /// What the guest said of itself when it was configured.
    pub fn declaration(&self) -> &Declaration {
        &self.revision.record.declaration
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("deployment", self.deployment())
            .field("number", &self.number())
            .finish()
    }
}
