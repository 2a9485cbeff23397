//! Deployments, revisions and keys as they are shown. What is shown never holds a secret.

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
use crate::usage_counters::now_ms;

/// A deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeploymentView {
    /// Its name.
    pub name: DeploymentName,
    /// Whether the host's configuration lends it to every tenant.
    pub shared: bool,
    /// Rises with every change of the route.
    pub version: u64,
    /// Where the traffic goes: nothing, or the stable revision and maybe a candidate.
    pub weights: Vec<Weight>,
    /// Reads along.
    pub shadow: Option<Shadow>,
    /// Judges the newest of `weights`.
    pub rollback_policy: Option<RollbackPolicy>,
    /// Where a rollback goes.
    pub previous: Option<Vec<Weight>>,
    /// When the route was last changed, milliseconds since 1970.
    pub changed_at_ms: u64,
    /// Why its route is in quarantine: nothing is routed until a revision is promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// The revisions, newest first.
    pub revisions: Vec<RevisionView>,
}

/// A revision's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RevisionState {
    /// It answers.
    Live,
    /// It answers a part.
    Candidate,
    /// It reads along.
    Shadow,
    /// It is routed to and cannot be run on this host.
    Unavailable,
    /// It answers those who hold it, and nobody new.
    Draining,
    /// It could be routed to.
    Ready,
    /// Its row in the store is damaged: it cannot be run, and nothing is known of it but its number.
    Quarantined,
}

/// A revision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RevisionView {
    /// Counted from 1.
    pub number: u32,
    /// Its standing.
    pub state: RevisionState,
    /// Of 100.
    pub percent: u8,
    /// Documents that it is reading now.
    pub leases: usize,
    /// Why it is in quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is made of; absent of one in quarantine.
    #[serde(flatten)]
    pub parts: Option<RevisionParts>,
    /// How it does since it was loaded or became a candidate; absent where it is not in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
    /// How the guest's own program for its batches does; absent where it has none, or is not in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batching_policy: Option<BatchingPolicyStatus>,
    /// How it compares; only of a shadow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<ShadowComparison>,
}

/// What a revision is made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RevisionParts {
    /// SHA-256 of the component.
    pub component: Digest,
    /// Size of the component.
    pub component_bytes: u64,
    /// What it was configured with.
    pub settings: Settings,
    /// Models by alias.
    pub grants: BTreeMap<String, ModelName>,
    /// Limits of each guest call.
    pub budget: BudgetSpec,
    /// What the guest said of itself.
    pub pipeline_info: PipelineInfo,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
    /// By whom.
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

    /// The revision with that number.
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

/// A key, without its secret and without its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// Names it.
    pub id: KeyId,
    /// What it is good for.
    pub scope: Scope,
    /// What its owner calls it.
    pub label: String,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
    /// From when on it is refused.
    pub expires_at_ms: Option<u64>,
    /// When it was revoked.
    pub revoked_at_ms: Option<u64>,
    /// Whether it opens anything now.
    pub active: bool,
}

impl KeyView {
    pub(crate) fn of(record: &KeyRecord) -> Self {
        Self {
            id: record.id.clone(),
            scope: record.scope.clone(),
            label: record.label.clone(),
            created_at_ms: record.created_at_ms,
            expires_at_ms: record.expires_at_ms,
            revoked_at_ms: record.revoked_at_ms,
            active: record.is_active(now_ms()),
        }
    }
}
