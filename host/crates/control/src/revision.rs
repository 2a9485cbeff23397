//! Revisions: an immutable set of component, settings, grants and limits; and the leases on revisions.
//!
//! Owns the stored form of a revision (the record) and its form in memory (loaded, with its drain gate and its
//! statistics). Independent of routes. Made by `deploy_pipeline.rs`, loaded by `revision_cache.rs`, leased by every
//! request.

mod cost_model;
mod record;
mod statistics;
mod wrapped;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use lector_core::options;
use lector_core::{CallCtx, DeploymentName, Fault, GuestLogSink, Kind, ModelName, PipelineInfo, RequestId};
use serde_json::{Map, Value};

use crate::drain_gate::{DrainGate, DrainGuard};
use crate::model_references::ModelReference;
use crate::pipeline::{BatchingPolicy, Pipeline, WrappedPipelines};
use crate::tenant::Tenant;

pub use cost_model::{CostModel, Prediction};
pub use record::RevisionRecord;
pub use statistics::{RevisionStatistics, ShadowComparison, ShadowStatistics, Statistics};
pub use wrapped::WrappedRevision;

/// A revision in memory, ready to read pages.
pub struct Revision {
    /// Its stored form.
    pub record: Arc<RevisionRecord>,
    /// The loaded guest.
    pub pipeline: Arc<dyn Pipeline>,
    /// Counts its leases.
    pub gate: Arc<DrainGate>,
    /// Pages, errors and times.
    pub statistics: RevisionStatistics,
    /// The cost of its pages.
    pub cost_model: Arc<CostModel>,
    /// Comparison with the live revision while it gets shadow traffic.
    pub shadow: ShadowStatistics,
    /// The guest's own batching policy, if it exports one.
    pub batching_policy: Option<Box<dyn BatchingPolicy>>,
    settings: Arc<str>,
    grants: Arc<BTreeMap<String, ModelName>>,
    /// The pipelines that it wraps.
    wrapped: WrappedPipelines,
    guest_log: Arc<dyn GuestLogSink>,
    /// References on its models; a revision that is only tried in a deploy has none of its own.
    _references: Option<ModelReference>,
}

impl Revision {
    pub(crate) fn new(
        record: Arc<RevisionRecord>,
        pipeline: Arc<dyn Pipeline>,
        wrapped: WrappedPipelines,
        guest_log: Arc<dyn GuestLogSink>,
        reference: Option<ModelReference>,
    ) -> Arc<Self> {
        Arc::new(Self {
            _references: reference,
            settings: record.settings.text(),
            grants: Arc::new(record.grants.clone()),
            batching_policy: pipeline.batching_policy(),
            record,
            pipeline,
            wrapped,
            guest_log,
            gate: Arc::default(),
            statistics: RevisionStatistics::default(),
            cost_model: Arc::default(),
            shadow: ShadowStatistics::default(),
        })
    }

    /// Returns the context of a guest call of this revision for `tenant`, with the smaller of the revision's and the
    /// tenant's limits.
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
            memory: None,
            file_name: None,
            languages: Arc::default(),
            takes_languages: self.record.wraps.is_none() && self.record.pipeline_info.takes_languages(),
            options: options::defaults(self.record.options_schema.as_ref()),
            passed_options: None,
            wrapped: self.wrapped.outermost(),
            depth: 0,
            guest_log: Some(self.guest_log.clone()),
        };
        ctx.planner = self.batching_policy.as_ref().map(|batching_policy| batching_policy.planner(&ctx));
        ctx
    }

    /// Checks the options that a client sends for the guest, and returns them as JSON text with the defaults filled in. Fault:
    /// `guest_option_invalid`.
    pub fn options(&self, given: Map<String, Value>) -> Result<Arc<str>, Fault> {
        let RevisionRecord { deployment, number, options_schema, .. } = &*self.record;
        options::check(options_schema.as_ref(), given).map_err(|error| {
            let message = match options_schema {
                Some(_) => format!(
                    "The option of the deployment `{deployment}` (revision {number}) {error}. Its `options_schema` describes \
                     all of them."
                ),
                None => format!(
                    "The deployment `{deployment}` (revision {number}) has no options of its own: leave `guest_options` out, or \
                     name a deployment that has some."
                ),
            };
            Fault::new(Kind::Invalid, "guest_option_invalid", message)
        })
    }

    /// Returns a lease; `holder` names the holder.
    pub fn lease(self: &Arc<Self>, holder: &str) -> Result<Lease, Fault> {
        // The gate of a revision is never closed: every reader of the snapshot that names the revision gets a lease.
        // The revision is freed with the last lease.
        let guard = self.gate.enter(holder.into(), usize::MAX).map_err(|_| {
            Fault::new(
                Kind::Bug,
                "internal",
                "A live revision was closed. This is a bug in the server: report it.",
            )
        })?;
        Ok(Lease { revision: self.clone(), _guard: guard })
    }
}

/// The right to use one revision, which stays in memory while the lease is held.
pub struct Lease {
    revision: Arc<Revision>,
    _guard: DrainGuard,
}

impl Lease {
    /// Returns the revision.
    pub fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    /// Returns the requested deployment, or the default one.
    pub fn deployment(&self) -> &DeploymentName {
        &self.revision.record.deployment
    }

    /// Returns the number of the revision.
    pub fn number(&self) -> u32 {
        self.revision.record.number
    }

    /// Returns the SHA-256 of the component, hexadecimal.
    pub fn digest(&self) -> &str {
        self.revision.record.component.as_str()
    }

    /// Returns the pipeline info from the guest's `configure`.
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
