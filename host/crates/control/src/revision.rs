//! Revisions: a component with settings, grants and limits, which never changes; and the leases on them.
//!
//! Owns what a revision is on disk (the record) and in memory (loaded, with its gate and its figures). Knows nothing of
//! routes. Made by `stage.rs`, put into memory by `revision_cache.rs`, leased by every request.

mod cost_model;
mod record;
mod statistics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use lector_core::{CallCtx, DeploymentName, Fault, Kind, ModelName, PipelineInfo, RequestId};

use crate::drain_gate::{DrainGate, DrainGuard};
use crate::model_references::ModelReference;
use crate::pipeline::{BatchingPolicy, Pipeline};
use crate::tenant::Tenant;

pub use cost_model::{CostModel, Prediction};
pub use record::RevisionRecord;
pub use statistics::{RevisionStatistics, ShadowComparison, ShadowStatistics, Statistics};

/// A revision in memory, ready to read pages.
pub struct Revision {
    /// As it is stored.
    pub record: Arc<RevisionRecord>,
    /// The loaded guest.
    pub pipeline: Arc<dyn Pipeline>,
    /// Counts the leases on it.
    pub gate: Arc<DrainGate>,
    /// How it does.
    pub statistics: RevisionStatistics,
    /// What its pages cost.
    pub cost_model: Arc<CostModel>,
    /// How it compares while it is a shadow.
    pub shadow: ShadowStatistics,
    /// The guest's own batching policy, where it exports one.
    pub batching_policy: Option<Box<dyn BatchingPolicy>>,
    settings: Arc<str>,
    grants: Arc<BTreeMap<String, ModelName>>,
    /// On its models; a trial has none of its own.
    _claim: Option<ModelReference>,
}

impl Revision {
    pub(crate) fn new(
        record: Arc<RevisionRecord>,
        pipeline: Arc<dyn Pipeline>,
        reference: Option<ModelReference>,
    ) -> Arc<Self> {
        Arc::new(Self {
            _claim: reference,
            settings: record.settings.text(),
            grants: Arc::new(record.grants.clone()),
            batching_policy: pipeline.batching_policy(),
            record,
            pipeline,
            gate: Arc::default(),
            statistics: RevisionStatistics::default(),
            cost_model: Arc::default(),
            shadow: ShadowStatistics::default(),
        })
    }

    /// What a guest call of this revision for `tenant` is made with: the lesser of the revision's and the tenant's limits.
    pub fn ctx(&self, tenant: &Tenant, request: RequestId, deadline: Instant) -> CallCtx {
        let mut ctx = CallCtx {
            tenant: tenant.name().clone(),
            deployment: self.record.deployment.clone(),
            request,
            settings: self.settings.clone(),
            grants: self.grants.clone(),
            budget: self.record.budget.at_most(tenant.page_budget()).into(),
            deadline,
            weight: tenant.record.policy.weight.max(1),
            batching: self.record.pipeline_info.batching.as_slice().into(),
            background: false,
            planner: None,
            page_observer: None,
            file_name: None,
            wrapped: None,
            depth: 0,
        };
        ctx.planner = self.batching_policy.as_ref().map(|batching_policy| batching_policy.planner(&ctx));
        ctx
    }

    /// A lease in the name of `holder`.
    pub fn lease(self: &Arc<Self>, holder: &str) -> Result<Lease, Fault> {
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
    revision: Arc<Revision>,
    _pass: DrainGuard,
}

impl Lease {
    /// The revision.
    pub fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

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
    pub fn pipeline_info(&self) -> &PipelineInfo {
        &self.revision.record.pipeline_info
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
