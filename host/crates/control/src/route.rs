//! Routes: the revisions of a deployment that get traffic, and their shares. Pure functions.
//!
//! Owns the changes of a route (promote, canary, shadow, rollback) as functions from one record to the next, and the
//! choice of a revision for a request. Independent of the store and of guests. Called by the mutations and by every
//! request.

mod precondition;

use std::collections::BTreeMap;

use lector_core::{DeploymentName, Fault, Kind, TenantName};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

pub(crate) use precondition::etag;
pub use precondition::{EntityTags, RoutePrecondition};

/// Most earlier weights of a route that are kept for rollbacks.
const HISTORY_MAX: usize = 16;

/// A revision's share of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Weight {
    /// Number of the revision.
    pub revision: u32,
    /// Share of the traffic, in percent.
    pub percent: u8,
}

/// A revision that reads a sample of pages in the background and never answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Shadow {
    /// Number of the revision.
    pub revision: u32,
    /// Share of the documents that are mirrored to it, in percent.
    pub percent: u8,
}

/// The conditions under which a candidate is rolled back automatically.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RollbackPolicy {
    /// Largest share of failed pages, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    pub error_rate_max: f64,
    /// Largest 99th percentile of the page time, in milliseconds; 0: no limit.
    pub p99_ms_max: u64,
    /// Pages to read before the policy applies.
    #[schema(minimum = 1)]
    pub pages_min: u64,
    /// Largest difference between the candidate's share of failed pages and that of the stable revision over the same
    /// time, 0 to 1; absent: the shares are not compared. `error_rate_max` still applies: set it to 1 to use the
    /// comparison only.
    #[schema(minimum = 0, maximum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_rate_increase_max: Option<f64>,
    /// Largest ratio of the candidate's 99th percentile to that of the stable revision over the same time; absent: they
    /// are not compared.
    #[schema(exclusive_minimum = 0)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ratio_max: Option<f64>,
}

impl Default for RollbackPolicy {
    fn default() -> Self {
        Self {
            error_rate_max: 0.05,
            p99_ms_max: 0,
            pages_min: 20,
            error_rate_increase_max: None,
            p99_ratio_max: None,
        }
    }
}

impl RollbackPolicy {
    /// Returns the policy if its values are in range.
    pub(crate) fn checked(self) -> Result<Self, Fault> {
        if !(0.0..=1.0).contains(&self.error_rate_max) || self.pages_min == 0 {
            return Err(Fault::new(
                Kind::Invalid,
                "rollback_policy_invalid",
                "The rollback policy is out of range: `error_rate_max` must be from 0 to 1, and `pages_min` 1 or more.",
            ));
        }
        let increase = self.error_rate_increase_max.unwrap_or(0.0);
        let ratio = self.p99_ratio_max.unwrap_or(1.0);
        if !((0.0..=1.0).contains(&increase) && ratio.is_finite() && ratio > 0.0) {
            return Err(Fault::new(
                Kind::Invalid,
                "rollback_policy_invalid",
                "The rollback policy is out of range: `error_rate_increase_max` must be from 0 to 1, and `p99_ratio_max` above 0.",
            ));
        }
        Ok(self)
    }
}

/// Weights that a route had before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredPast")]
pub struct PastWeights {
    /// The weights.
    pub weights: Vec<Weight>,
    /// The rollback policy that applied to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_policy: Option<RollbackPolicy>,
}

/// Lector 0.1 stored the weights alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredPast {
    Weights(Vec<Weight>),
    WithPolicy {
        weights: Vec<Weight>,
        #[serde(default)]
        rollback_policy: Option<RollbackPolicy>,
    },
}

impl From<StoredPast> for PastWeights {
    fn from(stored: StoredPast) -> Self {
        match stored {
            StoredPast::Weights(weights) => Self { weights, rollback_policy: None },
            StoredPast::WithPolicy { weights, rollback_policy } => Self { weights, rollback_policy },
        }
    }
}

/// The route that a rollback restores.
pub(crate) struct Earlier {
    /// Gets all traffic.
    pub(crate) revision: u32,
    rollback_policy: Option<RollbackPolicy>,
    /// The history before it.
    history: Vec<PastWeights>,
}

/// The stored form of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteRecord {
    /// Owner of the deployment.
    pub tenant: TenantName,
    /// Name of the deployment.
    pub deployment: DeploymentName,
    /// Increases by one with every change; prevents concurrent changes.
    pub version: u64,
    /// The number of the next revision.
    pub next_revision: u32,
    /// Whether it is a shared deployment: managed by configuration, usable by every tenant.
    #[serde(alias = "seed")]
    pub shared: bool,
    /// Empty, or the stable revision and an optional candidate; the sum is 100.
    pub weights: Vec<Weight>,
    /// The revision that gets shadow traffic.
    pub shadow: Option<Shadow>,
    /// Applies to the newest revision in `weights`.
    #[serde(alias = "watch")]
    pub rollback_policy: Option<RollbackPolicy>,
    /// Earlier weights, oldest first.
    pub history: Vec<PastWeights>,
    /// Revisions that were rolled back, and the reasons. They get no requests until they are promoted by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub withdrawn: BTreeMap<u32, String>,
    /// Time of the last change, milliseconds since 1970.
    pub changed_at_ms: u64,
}

impl RouteRecord {
    /// Makes the route of a deployment without revisions.
    pub(crate) fn new(tenant: TenantName, deployment: DeploymentName) -> Self {
        Self {
            tenant,
            deployment,
            version: 0,
            next_revision: 1,
            shared: false,
            weights: Vec::new(),
            shadow: None,
            rollback_policy: None,
            history: Vec::new(),
            withdrawn: BTreeMap::new(),
            changed_at_ms: 0,
        }
    }

    /// Returns the stable revision.
    pub fn stable(&self) -> Option<u32> {
        self.weights.first().map(|weight| weight.revision)
    }

    /// Returns the revision on trial with a part of the traffic.
    pub fn candidate(&self) -> Option<u32> {
        self.weights.get(1).map(|weight| weight.revision)
    }

    /// Returns the revision that the rollback policy applies to: the candidate, or the revision promoted with a policy.
    pub(crate) fn rollback_watched(&self) -> Option<(u32, RollbackPolicy)> {
        let judged = self.candidate().or(self.stable())?;
        Some((judged, self.rollback_policy?))
    }

    /// Returns every revision that must be loaded.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = u32> + '_ {
        self.weights.iter().map(|weight| weight.revision).chain(self.shadow.map(|shadow| shadow.revision))
    }

    /// Returns whether a revision must be kept: it serves traffic, gets shadow traffic, or a rollback could restore it.
    pub(crate) fn names(&self, revision: u32) -> bool {
        self.wanted().any(|wanted| wanted == revision) || self.past().any(|past| past == revision)
    }

    /// Returns the newest revision that has had traffic, as far back as a rollback can go.
    pub(crate) fn newest_routed(&self) -> u32 {
        self.wanted().chain(self.past()).max().unwrap_or(0)
    }

    /// Returns the revisions that the history names.
    fn past(&self) -> impl Iterator<Item = u32> + '_ {
        self.history.iter().flat_map(|past| &past.weights).map(|weight| weight.revision)
    }

    fn changed(&self, now_ms: u64) -> Self {
        Self { version: self.version + 1, changed_at_ms: now_ms, ..self.clone() }
    }

    fn reweighted(&self, weights: Vec<Weight>, rollback_policy: Option<RollbackPolicy>, now_ms: u64) -> Self {
        let mut next = self.changed(now_ms);
        if next.weights != weights {
            let before = std::mem::replace(&mut next.weights, weights);
            if !before.is_empty() {
                next.history.push(PastWeights { weights: before, rollback_policy: next.rollback_policy });
            }
            let surplus = next.history.len().saturating_sub(HISTORY_MAX);
            next.history.drain(..surplus);
        }
        next.rollback_policy = rollback_policy;
        next
    }

    /// Assigns the number of a new revision; returns it with the changed record.
    pub(crate) fn with_revision(&self, now_ms: u64) -> (u32, Self) {
        let number = self.next_revision;
        (number, Self { next_revision: number + 1, ..self.changed(now_ms) })
    }

    /// Routes all traffic to `revision`, which is no longer withdrawn. Ends shadow traffic to the same revision.
    pub(crate) fn promote(
        &self,
        revision: u32,
        rollback_policy: Option<RollbackPolicy>,
        now_ms: u64,
    ) -> Self {
        let mut next = self.reweighted(vec![Weight { revision, percent: 100 }], rollback_policy, now_ms);
        next.shadow = next.shadow.filter(|shadow| shadow.revision != revision);
        next.withdrawn.remove(&revision);
        next
    }

    /// Routes `percent` of the traffic to `revision`, which is no longer withdrawn, and the rest to the stable revision.
    pub(crate) fn canary(
        &self,
        revision: u32,
        percent: u8,
        rollback_policy: Option<RollbackPolicy>,
        now_ms: u64,
    ) -> Result<Self, Fault> {
        let stable = self.stable().ok_or_else(|| {
            Fault::new(
                Kind::Conflict,
                "deployment_not_live",
                format!(
                    "Deployment `{}` has no live revision to compare a canary with: promote the revision.",
                    self.deployment
                ),
            )
        })?;
        if stable == revision {
            return Err(Fault::new(
                Kind::Conflict,
                "already_live",
                format!("Revision {revision} is the live revision: choose another revision for the canary."),
            ));
        }
        if !(1..=99).contains(&percent) {
            return Err(percent_invalid("1 to 99: promote the revision for 100, roll back for 0"));
        }
        let weights = vec![Weight { revision: stable, percent: 100 - percent }, Weight { revision, percent }];
        let mut next = self.reweighted(weights, rollback_policy, now_ms);
        next.withdrawn.remove(&revision);
        Ok(next)
    }

    /// Mirrors `percent` of the documents to `revision`; 0 ends the shadow traffic.
    pub(crate) fn shadow(&self, revision: u32, percent: u8, now_ms: u64) -> Result<Self, Fault> {
        if percent > 100 {
            return Err(percent_invalid("0 (none) to 100"));
        }
        if percent > 0 && self.stable().is_none() {
            return Err(Fault::new(
                Kind::Conflict,
                "deployment_not_live",
                format!(
                    "Deployment `{}` has no live revision to mirror traffic of: promote a revision.",
                    self.deployment
                ),
            ));
        }
        if percent > 0 && self.stable() == Some(revision) {
            let message = format!(
                "Revision {revision} is the live revision, and shadow traffic compares another revision with it: choose \
                 another revision."
            );
            return Err(Fault::new(Kind::Conflict, "already_live", message));
        }
        let mut next = self.changed(now_ms);
        next.shadow = (percent > 0).then_some(Shadow { revision, percent });
        Ok(next)
    }

    /// Finds the route that a rollback restores: the newest stable revision that is neither rolled back nor withdrawn,
    /// with the rollback policy that it had when it got all traffic. Of a canary, that is the stable revision.
    pub(crate) fn earlier(&self) -> Option<Earlier> {
        let rolled_back = self.candidate().or(self.stable());
        let usable = |revision: u32| Some(revision) != rolled_back && !self.withdrawn.contains_key(&revision);
        let mut history = self.history.clone();
        let mut target = self.candidate().and(self.stable());
        let mut rollback_policy = None;
        while let Some(past) = history.pop() {
            let Some(stable) = past.weights.first().map(|weight| weight.revision) else { continue };
            match target {
                Some(target) if target != stable => {
                    history.push(past);
                    break;
                }
                None if !usable(stable) => continue,
                _ => target = Some(stable),
            }
            // The policy of a canary applied to the candidate; that of the stable revision is further back.
            if past.weights.len() == 1 {
                rollback_policy = past.rollback_policy;
                break;
            }
        }
        target.map(|revision| Earlier { revision, rollback_policy, history })
    }

    /// Restores the earlier route, and withdraws the revision on trial, or else the live one, for `reason`.
    pub(crate) fn rollback(&self, reason: &str, now_ms: u64) -> Result<Self, Fault> {
        let Some(earlier) = self.earlier() else {
            let message = format!(
                "Deployment `{}` has no earlier revision to roll back to that was not withdrawn: promote a revision by its \
                 number.",
                self.deployment
            );
            return Err(Fault::new(Kind::Conflict, "nothing_before", message));
        };
        let mut next = self.changed(now_ms);
        next.withdrawn.extend(self.candidate().or(self.stable()).map(|gone| (gone, reason.to_owned())));
        next.weights = vec![Weight { revision: earlier.revision, percent: 100 }];
        next.rollback_policy = earlier.rollback_policy;
        next.history = earlier.history;
        next.shadow = None;
        Ok(next)
    }

    /// Routes all traffic back to `revision`, with the rollback policy that it had when it last got all traffic, and
    /// withdraws the other revisions of the route for `reason`.
    pub(crate) fn rollback_to(&self, revision: u32, reason: &str, now_ms: u64) -> Result<Self, Fault> {
        self.not_withdrawn(revision)?;
        let weights = vec![Weight { revision, percent: 100 }];
        if self.weights == weights {
            let message = format!(
                "Revision {revision} gets all requests already: name another revision to roll back to."
            );
            return Err(Fault::new(Kind::Conflict, "already_live", message));
        }
        let mut next = self.changed(now_ms);
        let others = self.weights.iter().filter(|weight| weight.revision != revision);
        next.withdrawn.extend(others.map(|weight| (weight.revision, reason.to_owned())));
        let at = next.history.iter().rposition(|past| past.weights == weights);
        next.rollback_policy = at.and_then(|at| next.history.drain(at..).next()?.rollback_policy);
        next.weights = weights;
        next.shadow = None;
        Ok(next)
    }

    /// Checks that a revision is not withdrawn. Fault: `revision_withdrawn`, with the reason.
    pub(crate) fn not_withdrawn(&self, revision: u32) -> Result<(), Fault> {
        let Some(reason) = self.withdrawn.get(&revision) else { return Ok(()) };
        let message = format!(
            "Revision {revision} of deployment `{}` is withdrawn ({reason}): deploy a new revision, or promote this one with \
             its number and `force`.",
            self.deployment
        );
        Err(Fault::new(Kind::Conflict, "revision_withdrawn", message))
    }

    /// Removes all traffic.
    pub(crate) fn withdraw(&self, now_ms: u64) -> Self {
        let mut next = self.reweighted(Vec::new(), None, now_ms);
        next.shadow = None;
        next.shared = false;
        next
    }

    /// Returns the revision for a request. A routing key stays with a revision as long as the weight of that revision
    /// does not fall.
    pub(crate) fn choose(&self, key: &str) -> Option<u32> {
        match self.weights.as_slice() {
            [] => None,
            [only] => Some(only.revision),
            [stable, rest @ ..] => {
                // The candidate has the low buckets: a key that is routed to it stays there when its share grows.
                let mut place = bucket(self.deployment.as_str(), key);
                for weight in rest {
                    if place < weight.percent {
                        return Some(weight.revision);
                    }
                    place -= weight.percent;
                }
                Some(stable.revision)
            }
        }
    }

    /// Returns the shadow revision if the request is in its sample.
    pub(crate) fn shadow_of(&self, key: &str) -> Option<u32> {
        let shadow = self.shadow?;
        (bucket("shadow", key) < shadow.percent).then_some(shadow.revision)
    }
}

fn percent_invalid(range: &str) -> Fault {
    Fault::new(Kind::Invalid, "percent_invalid", format!("`percent` is a whole number from {range}."))
}

/// Returns a bucket from 0 to 99 for a key, the same on every machine. The salt makes the buckets of a key in two
/// deployments independent, so that the same clients do not get every canary.
fn bucket(salt: &str, key: &str) -> u8 {
    let mut hash = Sha256::new();
    hash.update(salt.as_bytes());
    hash.update([0]);
    hash.update(key.as_bytes());
    let number = hash.finalize().iter().take(8).fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    (number % 100) as u8
}

#[cfg(test)]
mod tests;
