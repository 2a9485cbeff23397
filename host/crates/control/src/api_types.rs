//! Deployments, revisions and keys in the form that the API shows. No type here holds a secret.

use std::collections::BTreeMap;

use lector_core::batching::plan::BatchingPolicyStatus;
use lector_core::{DeploymentName, ModelName, PipelineInfo};
use serde::Serialize;

use crate::digest::Digest;
use crate::directory::Deployment;
use crate::key::{KeyId, KeyRecord, Scope};
use crate::revision::{RevisionRecord, ShadowComparison, Statistics};
use crate::route::{RollbackPolicy, RouteRecord, Shadow, Weight};
use crate::settings::Settings;
use crate::tenant::BudgetSpec;

/// A deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeploymentView {
    /// Its name.
    pub name: DeploymentName,
    /// Whether it is a shared deployment: managed by configuration, usable by every tenant.
    pub shared: bool,
    /// Increases by one with every change of the route.
    pub version: u64,
    /// The stable revision and an optional candidate; empty: no traffic is routed.
    pub weights: Vec<Weight>,
    /// The revision that gets shadow traffic.
    pub shadow: Option<Shadow>,
    /// Applies to the newest revision in `weights`.
    pub rollback_policy: Option<RollbackPolicy>,
    /// The weights that a rollback restores.
    pub previous: Option<Vec<Weight>>,
    /// Time of the last change of the route, milliseconds since 1970.
    pub changed_at_ms: u64,
    /// The reason that the route is quarantined: no traffic is routed until a revision is promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// The revisions, newest first.
    pub revisions: Vec<RevisionView>,
}

/// The state of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RevisionState {
    /// Serves traffic.
    Live,
    /// Serves a part of the traffic, on trial.
    Candidate,
    /// Gets shadow traffic.
    Shadow,
    /// The route names it, and this host cannot run it.
    Unavailable,
    /// Serves the requests that hold a lease, and no new ones.
    Draining,
    /// Can be routed to.
    Ready,
    /// Its row in the store is damaged: it cannot be run, and only its number is known.
    Quarantined,
}

/// A revision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RevisionView {
    /// Number in the deployment, from 1.
    pub number: u32,
    /// Its state.
    pub state: RevisionState,
    /// Share of the traffic, in percent.
    pub percent: u8,
    /// Documents that hold a lease now.
    pub leases: usize,
    /// The reason that it is quarantined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its parts; absent if it is quarantined.
    #[serde(flatten)]
    pub parts: Option<RevisionParts>,
    /// Statistics since it was loaded or became a candidate; absent if it is not in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
    /// Status of the guest's batching policy; absent if the guest has none, or the revision is not in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batching_policy: Option<BatchingPolicyStatus>,
    /// Comparison with the live revision; only for a shadow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<ShadowComparison>,
}

/// The parts of a revision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RevisionParts {
    /// SHA-256 of the component.
    pub component: Digest,
    /// Size of the component, in bytes.
    pub component_bytes: u64,
    /// Settings that the guest was configured with.
    pub settings: Settings,
    /// Models that the guest may open, by alias.
    pub grants: BTreeMap<String, ModelName>,
    /// Limits of each guest call.
    pub budget: BudgetSpec,
    /// Returned by the guest's `configure`.
    pub pipeline_info: PipelineInfo,
    /// Creation time, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Id of the actor that created it.
    pub created_by: String,
}

impl DeploymentView {
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let route = &deployment.route;
        let readable = deployment.revisions.values().map(|record| revision(deployment, record));
        let quarantined = deployment.quarantined.iter();
        let quarantined = quarantined.map(|(number, reason)| quarantined_revision(route, *number, reason));
        let mut revisions: Vec<RevisionView> = readable.chain(quarantined).collect();
        revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
        Self {
            name: route.deployment.clone(),
            shared: route.shared,
            version: route.version,
            weights: route.weights.clone(),
            shadow: route.shadow,
            rollback_policy: route.rollback_policy,
            previous: route.history.last().cloned(),
            changed_at_ms: route.changed_at_ms,
            quarantined: deployment.damage.clone(),
            revisions,
        }
    }

    /// Returns the revision with that number.
    pub fn revision(&self, number: u32) -> Option<&RevisionView> {
        self.revisions.iter().find(|revision| revision.number == number)
    }
}

fn revision(deployment: &Deployment, record: &RevisionRecord) -> RevisionView {
    let (route, number) = (&deployment.route, record.number);
    let in_memory = deployment.in_memory(number);
    let leases = in_memory.as_ref().map_or(0, |revision| revision.gate.count());
    let percent = percent_of(route, number);
    let shadows = route.shadow.is_some_and(|shadow| shadow.revision == number);
    let broken = matches!(deployment.loaded.get(&number), Some(Err(_)));
    let state = match () {
        () if broken => RevisionState::Unavailable,
        () if route.stable() == Some(number) => RevisionState::Live,
        () if route.candidate() == Some(number) => RevisionState::Candidate,
        () if shadows => RevisionState::Shadow,
        () if leases > 0 => RevisionState::Draining,
        () => RevisionState::Ready,
    };
    RevisionView {
        number,
        state,
        percent,
        leases,
        reason: None,
        parts: Some(RevisionParts {
            component: record.component.clone(),
            component_bytes: record.component_bytes,
            settings: record.settings.clone(),
            grants: record.grants.clone(),
            budget: record.budget,
            pipeline_info: record.pipeline_info.clone(),
            created_at_ms: record.created_at_ms,
            created_by: record.created_by.clone(),
        }),
        statistics: in_memory.as_ref().map(|revision| revision.statistics.view()),
        batching_policy: in_memory
            .as_ref()
            .and_then(|revision| Some(revision.batching_policy.as_ref()?.status())),
        comparison: in_memory.filter(|_| shadows).map(|revision| revision.shadow.view()),
    }
}

fn percent_of(route: &RouteRecord, number: u32) -> u8 {
    route.weights.iter().find(|weight| weight.revision == number).map_or(0, |weight| weight.percent)
}

fn quarantined_revision(route: &RouteRecord, number: u32, reason: &str) -> RevisionView {
    RevisionView {
        number,
        state: RevisionState::Quarantined,
        percent: percent_of(route, number),
        leases: 0,
        reason: Some(reason.to_owned()),
        parts: None,
        statistics: None,
        batching_policy: None,
        comparison: None,
    }
}

/// A key, without its secret and its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// Its id.
    pub id: KeyId,
    /// The rights of the key.
    pub scope: Scope,
    /// A label from its owner.
    pub label: String,
    /// Creation time, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Time after which the key is rejected, milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// Revocation time, milliseconds since 1970.
    pub revoked_at_ms: Option<u64>,
    /// Whether the key is valid now.
    pub active: bool,
}

impl KeyView {
    /// Returns the view at the civil time `now_ms`.
    pub(crate) fn of(record: &KeyRecord, now_ms: u64) -> Self {
        Self {
            id: record.id.clone(),
            scope: record.scope.clone(),
            label: record.label.clone(),
            created_at_ms: record.created_at_ms,
            expires_at_ms: record.expires_at_ms,
            revoked_at_ms: record.revoked_at_ms,
            active: record.is_active(now_ms),
        }
    }
}
