//! Which revisions of a deployment answer, and how much of the traffic each has. Pure.
//!
//! Owns the acts on a route (promote, canary, shadow, rollback) as functions from one record to the next, and the choice
//! of a revision for a request. Knows no store and no guest. Called by `acts.rs` and by every request.

use lector_core::{DeploymentName, Fault, Kind, TenantName};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Most earlier states of a route that are kept for rollbacks.
const HISTORY_MAX: usize = 16;

/// A revision's share of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Its number.
    pub revision: u32,
    /// Of 100.
    pub percent: u8,
}

/// A revision that reads a sample of pages in the background and never answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// Its number.
    pub revision: u32,
    /// Share of the documents whose pages it reads too, of 100.
    pub percent: u8,
}

/// What a candidate may cost before it is taken back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RollbackPolicy {
    /// Largest share of pages that may fail, 0 to 1.
    pub error_rate_max: f64,
    /// Largest 99th percentile of a page's time, in milliseconds; 0: no bound.
    pub p99_ms_max: u64,
    /// Pages before it is judged.
    pub pages_min: u64,
    /// How far the candidate's share of failed pages may lie above that of the stable revision over the same time, 0 to 1;
    /// absent: they are not compared. `error_rate_max` holds beside it: 1 leaves the comparison alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_rate_increase_max: Option<f64>,
    /// How many times as long as the stable revision's the candidate's 99th percentile may be over the same time; absent:
    /// they are not compared.
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
    /// The same, if it makes sense.
    pub(crate) fn checked(self) -> Result<Self, Fault> {
        if !(0.0..=1.0).contains(&self.error_rate_max) || self.pages_min == 0 {
            return Err(Fault::new(
                Kind::Invalid,
                "rollback_policy_invalid",
                "A watch needs an `error_rate_max` from 0 to 1 and a `pages_min` of 1 or more.",
            ));
        }
        let increase = self.error_rate_increase_max.unwrap_or(0.0);
        let ratio = self.p99_ratio_max.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&increase) || !(ratio.is_finite() && ratio > 0.0) {
            return Err(Fault::new(
                Kind::Invalid,
                "rollback_policy_invalid",
                "`error_rate_increase_max` is a number from 0 to 1, and `p99_ratio_max` one above 0.",
            ));
        }
        Ok(self)
    }
}

/// Where the traffic of a deployment goes, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteRecord {
    /// Its owner.
    pub tenant: TenantName,
    /// Its name.
    pub deployment: DeploymentName,
    /// Rises by one with every change; guards against two changes at once.
    pub version: u64,
    /// The number that the next revision will have.
    pub next_revision: u32,
    /// Whether it comes from the host's configuration; every tenant may call it.
    #[serde(alias = "seed")]
    pub shared: bool,
    /// Nothing, or the stable revision and maybe a candidate; 100 in all.
    pub weights: Vec<Weight>,
    /// Reads along, if any.
    pub shadow: Option<Shadow>,
    /// Judges the newest of `weights`, if any.
    #[serde(alias = "watch")]
    pub rollback_policy: Option<RollbackPolicy>,
    /// Weights before, oldest first.
    pub history: Vec<Vec<Weight>>,
    /// When it was last changed, milliseconds since 1970.
    pub changed_at_ms: u64,
}

impl RouteRecord {
    /// A deployment without revisions.
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
            changed_at_ms: 0,
        }
    }

    /// The revision that answers by default.
    pub fn stable(&self) -> Option<u32> {
        self.weights.first().map(|weight| weight.revision)
    }

    /// The revision that is being tried on a part of the traffic.
    pub fn candidate(&self) -> Option<u32> {
        self.weights.get(1).map(|weight| weight.revision)
    }

    /// The revision that a watch judges: the candidate, or the one promoted with a watch.
    pub(crate) fn rollback_watched(&self) -> Option<(u32, RollbackPolicy)> {
        let judged = self.candidate().or(self.stable())?;
        Some((judged, self.rollback_policy?))
    }

    /// Every revision that must be loaded.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = u32> + '_ {
        self.weights.iter().map(|weight| weight.revision).chain(self.shadow.map(|shadow| shadow.revision))
    }

    /// Whether a revision may not be dropped: it answers, reads along, or a rollback could come back to it.
    pub(crate) fn names(&self, revision: u32) -> bool {
        self.wanted().any(|wanted| wanted == revision)
            || self.history.iter().flatten().any(|weight| weight.revision == revision)
    }

    /// The newest revision that ever had a part, as far back as a rollback could go.
    pub(crate) fn newest_routed(&self) -> u32 {
        let before = self.history.iter().flatten().map(|weight| weight.revision);
        self.wanted().chain(before).max().unwrap_or(0)
    }

    fn changed(&self, now_ms: u64) -> Self {
        Self { version: self.version + 1, changed_at_ms: now_ms, ..self.clone() }
    }

    fn reweighted(&self, weights: Vec<Weight>, rollback_policy: Option<RollbackPolicy>, now_ms: u64) -> Self {
        let mut next = self.changed(now_ms);
        if next.weights != weights {
            let before = std::mem::replace(&mut next.weights, weights);
            if !before.is_empty() {
                next.history.push(before);
            }
            let surplus = next.history.len().saturating_sub(HISTORY_MAX);
            next.history.drain(..surplus);
        }
        next.rollback_policy = rollback_policy;
        next
    }

    /// The number for a new revision, and the record that has given it out.
    pub(crate) fn with_revision(&self, now_ms: u64) -> (u32, Self) {
        let number = self.next_revision;
        (number, Self { next_revision: number + 1, ..self.changed(now_ms) })
    }

    /// All traffic to `revision`. A shadow of the same revision has done its work.
    pub(crate) fn promote(
        &self,
        revision: u32,
        rollback_policy: Option<RollbackPolicy>,
        now_ms: u64,
    ) -> Self {
        let mut next = self.reweighted(vec![Weight { revision, percent: 100 }], rollback_policy, now_ms);
        next.shadow = next.shadow.filter(|shadow| shadow.revision != revision);
        next
    }

    /// `percent` of the traffic to `revision`, the rest to the stable one.
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
                    "Deployment `{}` has no live revision to try another one against: promote it.",
                    self.deployment
                ),
            )
        })?;
        if stable == revision {
            return Err(Fault::new(
                Kind::Conflict,
                "already_live",
                format!("Revision {revision} is the live one already: there is nothing to try it against."),
            ));
        }
        if !(1..=99).contains(&percent) {
            return Err(percent_invalid("1 to 99; promote for all of it, roll back for none"));
        }
        let weights = vec![Weight { revision: stable, percent: 100 - percent }, Weight { revision, percent }];
        Ok(self.reweighted(weights, rollback_policy, now_ms))
    }

    /// `revision` reads along with `percent` of the documents; 0 ends it.
    pub(crate) fn shadow(&self, revision: u32, percent: u8, now_ms: u64) -> Result<Self, Fault> {
        if percent > 100 {
            return Err(percent_invalid("0 (none) to 100"));
        }
        if percent > 0 && self.stable().is_none() {
            return Err(Fault::new(
                Kind::Conflict,
                "deployment_not_live",
                format!(
                    "Deployment `{}` has no live revision to read along with: promote one.",
                    self.deployment
                ),
            ));
        }
        let mut next = self.changed(now_ms);
        next.shadow = (percent > 0).then_some(Shadow { revision, percent });
        Ok(next)
    }

    /// Back to the weights before.
    pub(crate) fn rollback(&self, now_ms: u64) -> Result<Self, Fault> {
        let mut next = self.changed(now_ms);
        let Some(before) = next.history.pop() else {
            return Err(Fault::new(
                Kind::Conflict,
                "nothing_before",
                format!("Deployment `{}` has no earlier state to go back to.", self.deployment),
            ));
        };
        next.weights = before;
        next.rollback_policy = None;
        next.shadow = None;
        Ok(next)
    }

    /// No traffic to anything.
    pub(crate) fn withdraw(&self, now_ms: u64) -> Self {
        let mut next = self.reweighted(Vec::new(), None, now_ms);
        next.shadow = None;
        next.shared = false;
        next
    }

    /// The revision for a request. The same key comes to the same revision as long as weights only rise for it.
    pub(crate) fn choose(&self, key: &str) -> Option<u32> {
        match self.weights.as_slice() {
            [] => None,
            [only] => Some(only.revision),
            [stable, rest @ ..] => {
                // Candidates have the low places: who is on one stays there when its share grows.
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

    /// The shadow that reads along with a request, if it is in the sample.
    pub(crate) fn shadow_of(&self, key: &str) -> Option<u32> {
        let shadow = self.shadow?;
        (bucket("shadow", key) < shadow.percent).then_some(shadow.revision)
    }
}

fn percent_invalid(range: &str) -> Fault {
    Fault::new(Kind::Invalid, "percent_invalid", format!("`percent` is a whole number from {range}."))
}

/// A place from 0 to 99 for a key, the same on every machine. Salted by deployment, so that the same clients are not
/// everybody's canaries.
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
