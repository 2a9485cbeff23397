//! Changes of the route: promote, canary, shadow, rollback, withdraw.

use std::collections::BTreeMap;
use std::sync::Arc;

use lector_core::{DeploymentName, Fault, Kind, TenantName};
use serde_json::{Value, json};

use super::{AuditContext, Mutation};
use crate::access::{Actor, Principal};
use crate::api_types::DeploymentView;
use crate::directory::Deployment;
use crate::plane::ControlPlane;
use crate::quarantine::faults::revision_quarantined;
use crate::revision::Revision;
use crate::route::{RollbackPolicy, RoutePrecondition, RouteRecord};
use crate::store::Change;

/// The traffic that a revision gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Destination {
    /// All traffic.
    Promote(Option<RollbackPolicy>),
    /// A part of the traffic, in percent.
    Canary(u8, Option<RollbackPolicy>),
    /// Shadow traffic only, in percent.
    Shadow(u8),
    /// No traffic. For a deploy: the first revision of a deployment is not promoted, either.
    NoTraffic,
}

/// A rollback.
#[derive(Clone, Debug, Default)]
pub struct RollbackRequest {
    /// The revision to return to; `None`: the newest stable one before that was not withdrawn.
    pub to: Option<u32>,
    /// The reason that the withdrawn revision shows; `None`: the actor.
    pub reason: Option<String>,
    /// The route that the caller expects the deployment to have.
    pub precondition: RoutePrecondition,
}

impl Destination {
    pub(super) fn step(self, route: &RouteRecord, revision: u32, now_ms: u64) -> Result<RouteRecord, Fault> {
        let checked = |rollback_policy: Option<RollbackPolicy>| {
            rollback_policy.map(RollbackPolicy::checked).transpose()
        };
        match self {
            Self::Promote(rollback_policy) => Ok(route.promote(revision, checked(rollback_policy)?, now_ms)),
            Self::Canary(percent, rollback_policy) => {
                route.canary(revision, percent, checked(rollback_policy)?, now_ms)
            }
            Self::Shadow(percent) => route.shadow(revision, percent, now_ms),
            Self::NoTraffic => Ok(route.clone()),
        }
    }

    /// Returns whether clients get answers of the revision.
    fn answers(self) -> bool {
        matches!(self, Self::Promote(_) | Self::Canary(..))
    }
}

/// Longest reason of a rollback that is kept, in characters.
const REASON_CHARS_MAX: usize = 500;
/// Most attempts to load a route's revisions while the deployment keeps changing.
pub(super) const LOADS_MAX: usize = 8;

/// A revision that a route wants, in memory; or the fault of a damaged one.
type Wanted = Result<Arc<Revision>, Fault>;

/// Revisions that a route wants, by number.
pub(super) type Loaded = BTreeMap<u32, Wanted>;

/// A change of a route by one mutation, for its audit event.
pub(crate) struct Rerouting {
    pub(crate) action: &'static str,
    /// The revision that the request names, which must exist.
    pub(crate) revision: Option<u32>,
    /// The cause of a change that no client asked for; otherwise null.
    pub(crate) why: Value,
}

impl Rerouting {
    /// Makes the change that a client or the configuration asks for.
    pub(crate) fn asked(action: &'static str, revision: Option<u32>) -> Self {
        Self { action, revision, why: Value::Null }
    }
}

/// A function from one route to the next.
type Step<'a> = dyn Fn(&RouteRecord, u64) -> Result<RouteRecord, Fault> + Send + Sync + 'a;

impl ControlPlane {
    /// Routes all or part of the traffic, or shadow traffic only, to a revision. With a rollback policy, the revision
    /// is rolled back automatically if it breaches the policy. Fault: `revision_withdrawn` if it was rolled back before.
    pub async fn route(
        &self,
        principal: &Principal,
        name: &DeploymentName,
        revision: u32,
        destination: Destination,
    ) -> Result<DeploymentView, Fault> {
        let precondition = RoutePrecondition::default();
        self.route_if(principal, name, revision, destination, &precondition, false).await
    }

    /// As [`route`](Self::route), if the deployment has the expected route; with `force` also to a withdrawn revision.
    /// Fault otherwise: `precondition_failed`.
    pub async fn route_if(
        &self,
        principal: &Principal,
        name: &DeploymentName,
        revision: u32,
        destination: Destination,
        precondition: &RoutePrecondition,
        force: bool,
    ) -> Result<DeploymentView, Fault> {
        let action = match destination {
            Destination::Promote(_) => "promote",
            Destination::Canary(..) => "canary",
            Destination::Shadow(_) | Destination::NoTraffic => "shadow",
        };
        principal.may_manage()?;
        let step = move |route: &RouteRecord, now_ms: u64| {
            precondition.check(name, Some(route))?;
            if destination.answers() && !force {
                route.not_withdrawn(revision)?;
            }
            destination.step(route, revision, now_ms)
        };
        let rerouting = Rerouting::asked(action, Some(revision));
        self.reroute(&principal.actor, principal.tenant(), name, rerouting, &step).await
    }

    /// Returns to an earlier revision, which gets all traffic, and withdraws the revision that is on trial, or else
    /// live. The rollback policy of the earlier revision applies again. Faults: `nothing_before`, `revision_withdrawn`,
    /// `already_live`, `precondition_failed`.
    pub async fn rollback(
        &self,
        principal: &Principal,
        name: &DeploymentName,
        request: RollbackRequest,
    ) -> Result<DeploymentView, Fault> {
        principal.may_manage()?;
        let RollbackRequest { to, reason, precondition } = request;
        let by = || format!("rolled back by {}", principal.actor.id);
        let reason = reason.map_or_else(by, |reason| reason_of(&reason));
        let step = move |route: &RouteRecord, now_ms: u64| {
            precondition.check(name, Some(route))?;
            match to {
                Some(revision) => route.rollback_to(revision, &reason, now_ms),
                None => route.rollback(&reason, now_ms),
            }
        };
        let rerouting = Rerouting::asked("rollback", to);
        self.reroute(&principal.actor, principal.tenant(), name, rerouting, &step).await
    }

    /// Deletes a deployment with all its revisions. Requests that hold a lease finish on their revision.
    pub async fn delete_deployment(&self, principal: &Principal, name: &DeploymentName) -> Result<(), Fault> {
        principal.may_manage()?;
        let tenant = principal.tenant();
        let mut mutation = self.begin(&principal.actor).await?;
        let deployment = mutation.directory.own(tenant, name)?.clone();
        if deployment.route.shared {
            let message =
                format!("Deployment `{name}` is managed by configuration: remove it from the configuration.");
            return Err(Fault::new(Kind::Conflict, "deployment_is_configured", message));
        }
        mutation.change(Change::DeleteDeployment(tenant.clone(), name.clone()));
        mutation.directory.deployments.remove(&(tenant.clone(), name.clone()));
        let note = AuditContext {
            actor: &principal.actor,
            tenant: Some(tenant),
            action: "deployment_delete",
            target: name.to_string(),
            from: summary(&deployment.route),
            to: Value::Null,
        };
        mutation.commit(note).await
    }

    /// Changes a deployment's route. The revisions that the new route wants are in memory before the route changes.
    pub(crate) async fn reroute(
        &self,
        actor: &Actor,
        tenant: &TenantName,
        name: &DeploymentName,
        rerouting: Rerouting,
        step: &Step<'_>,
    ) -> Result<DeploymentView, Fault> {
        let Rerouting { action, revision, why } = rerouting;
        let (mut mutation, deployment, next, loaded) =
            self.loaded(actor, tenant, name, step, revision).await?;
        let mut to = summary(&next);
        if let (Value::Object(members), false) = (&mut to, why.is_null()) {
            members.insert("why".to_owned(), why);
        }
        let from = summary(&deployment.route);
        mutation.change(Change::PutRoute(next.clone()));
        let rerouted = rerouted(&deployment, next, loaded);
        let view = DeploymentView::of(&rerouted);
        mutation.directory.deployments.insert((tenant.clone(), name.clone()), Arc::new(rerouted));
        mutation
            .commit(AuditContext { actor, tenant: Some(tenant), action, target: name.to_string(), from, to })
            .await?;
        Ok(view)
    }

    /// Loads the revisions that the next route wants, then takes the write lock. Loading may take minutes, so it
    /// happens before; it is repeated if the deployment was changed meanwhile.
    async fn loaded(
        &self,
        actor: &Actor,
        tenant: &TenantName,
        name: &DeploymentName,
        step: &Step<'_>,
        revision: Option<u32>,
    ) -> Result<(Mutation, Arc<Deployment>, RouteRecord, Loaded), Fault> {
        for _ in 0..LOADS_MAX {
            let deployment = self.directory.load_full().own(tenant, name)?.clone();
            let (next, loaded) = self.load(&deployment, step, revision).await?;
            let mutation = self.begin(actor).await?;
            if Arc::ptr_eq(&deployment, mutation.directory.own(tenant, name)?) {
                return Ok((mutation, deployment, next, loaded));
            }
        }
        Err(route_changed(name))
    }

    /// Computes the next route, and loads the revisions that it wants.
    async fn load(
        &self,
        deployment: &Deployment,
        step: &Step<'_>,
        revision: Option<u32>,
    ) -> Result<(RouteRecord, Loaded), Fault> {
        if let Some(number) = revision.filter(|number| !deployment.revisions.contains_key(number)) {
            let name = &deployment.route.deployment;
            let damaged = deployment.quarantined.contains_key(&number);
            return Err(if damaged {
                revision_quarantined(name, number)
            } else {
                revision_not_found(name, number)
            });
        }
        let next = step(&deployment.route, self.clock.now_ms())?;
        let mut loaded = BTreeMap::new();
        for number in next.wanted() {
            loaded.insert(number, self.wanted(deployment, number).await?);
        }
        Ok((next, loaded))
    }

    /// Returns a revision that the next route wants. A damaged revision may stay in a route, and its requests get the
    /// fault; it cannot be added to a route.
    pub(super) async fn wanted(&self, deployment: &Deployment, number: u32) -> Result<Wanted, Fault> {
        if let Some(record) = deployment.revisions.get(&number) {
            return Ok(Ok(self.revision_cache.get(record).await?));
        }
        let name = &deployment.route.deployment;
        if !deployment.quarantined.contains_key(&number) {
            return Err(revision_not_found(name, number));
        }
        let fault = revision_quarantined(name, number);
        if deployment.loaded.contains_key(&number) { Ok(Err(fault)) } else { Err(fault) }
    }
}

/// Returns the deployment with its new route. Resets the statistics of revisions that go on trial; revisions that the
/// route no longer wants drain.
pub(super) fn rerouted(before: &Deployment, route: RouteRecord, loaded: Loaded) -> Deployment {
    let under_policy = |route: &RouteRecord| route.rollback_watched().map(|(revision, _)| revision);
    let in_memory = loaded.iter().filter_map(|(number, revision)| Some((number, revision.as_ref().ok()?)));
    for (number, revision) in in_memory {
        let on_trial = route.candidate() == Some(*number) || under_policy(&route) == Some(*number);
        if route.weights != before.route.weights {
            if on_trial {
                revision.statistics.reset();
            }
            // The candidate is compared with the stable revision over the time of the trial.
            revision.statistics.begin_window();
        }
        if route.shadow != before.route.shadow {
            revision.shadow.reset();
        }
    }
    let mut draining = before.draining.clone();
    let left = before.loaded.iter().filter(|(number, _)| !loaded.contains_key(number));
    draining.extend(left.filter_map(|(_, revision)| revision.as_ref().ok()).map(Arc::downgrade));
    draining.retain(|revision| revision.strong_count() > 0);
    Deployment {
        route: Arc::new(route),
        revisions: before.revisions.clone(),
        loaded,
        draining,
        quarantined: before.quarantined.clone(),
        // The new route replaces a damaged one.
        damage: None,
    }
}

/// Returns the operator's reason on one line, bounded.
fn reason_of(reason: &str) -> String {
    let printable = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(REASON_CHARS_MAX).collect()
}

/// Formats a route for the audit log.
pub(super) fn summary(route: &RouteRecord) -> Value {
    json!({
        "version": route.version, "weights": route.weights, "shadow": route.shadow, "rollback_policy": route.rollback_policy,
        "withdrawn": route.withdrawn,
    })
}

/// Returns the fault for a deployment that was changed each time while its revisions were loaded.
pub(super) fn route_changed(deployment: &DeploymentName) -> Fault {
    let message = format!(
        "Deployment `{deployment}` was changed {LOADS_MAX} times while its revisions were loaded: check its state, and try again."
    );
    Fault::new(Kind::Conflict, "route_changed", message)
}

pub(crate) fn revision_not_found(deployment: &DeploymentName, number: u32) -> Fault {
    let message = format!(
        "Deployment `{deployment}` has no revision {number}: list the deployment's revisions to find the number."
    );
    Fault::new(Kind::NotFound, "revision_not_found", message)
}
