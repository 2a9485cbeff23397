//! Where traffic goes: promote, canary, shadow, rollback, withdraw.

use std::collections::BTreeMap;
use std::sync::Arc;

use lector_core::{DeploymentName, Fault, Kind, TenantName};
use serde_json::{Value, json};

use super::Note;
use crate::access::{Actor, Caller};
use crate::directory::Deployment;
use crate::meter::now_ms;
use crate::platform::Platform;
use crate::quarantine::revision_quarantined;
use crate::revision::Revision;
use crate::route::{RouteRecord, Watch};
use crate::store::Change;
use crate::view::DeploymentView;

/// Where a revision gets traffic from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Destination {
    /// All of it.
    Promote(Option<Watch>),
    /// Some of it.
    Canary(u8, Option<Watch>),
    /// None; it reads along.
    Shadow(u8),
}

impl Destination {
    pub(super) fn step(self, route: &RouteRecord, revision: u32, now_ms: u64) -> Result<RouteRecord, Fault> {
        let checked = |watch: Option<Watch>| watch.map(Watch::checked).transpose();
        match self {
            Self::Promote(watch) => Ok(route.promote(revision, checked(watch)?, now_ms)),
            Self::Canary(percent, watch) => route.canary(revision, percent, checked(watch)?, now_ms),
            Self::Shadow(percent) => route.shadow(revision, percent, now_ms),
        }
    }
}

/// A revision that a route wants, in memory; or why a damaged one is not.
type Wanted = Result<Arc<Revision>, Fault>;

/// A step from one route to the next.
type Step<'a> = dyn Fn(&RouteRecord, u64) -> Result<RouteRecord, Fault> + Send + Sync + 'a;

impl Platform {
    /// Routes to a revision: all of the traffic, a part, or none and it reads along. With a watch, it is taken back by
    /// itself where it breaches that.
    pub async fn route(
        &self,
        caller: &Caller,
        name: &DeploymentName,
        revision: u32,
        destination: Destination,
    ) -> Result<DeploymentView, Fault> {
        let act = match destination {
            Destination::Promote(_) => "promote",
            Destination::Canary(..) => "canary",
            Destination::Shadow(_) => "shadow",
        };
        self.reroute_of(caller, name, act, Some(revision), &move |route, now_ms| {
            destination.step(route, revision, now_ms)
        })
        .await
    }

    /// Back to the weights before.
    pub async fn rollback(&self, caller: &Caller, name: &DeploymentName) -> Result<DeploymentView, Fault> {
        self.reroute_of(caller, name, "rollback", None, &RouteRecord::rollback).await
    }

    /// Drops a deployment with all its revisions. Requests that hold one are answered by it to their end.
    pub async fn drop_deployment(&self, caller: &Caller, name: &DeploymentName) -> Result<(), Fault> {
        caller.may_manage()?;
        let tenant = caller.tenant();
        let mut doing = self.begin().await;
        let deployment = doing.directory.own(tenant, name)?.clone();
        if deployment.route.seed {
            let message = format!("Deployment `{name}` comes from the host's configuration: drop it there.");
            return Err(Fault::new(Kind::Conflict, "deployment_is_configured", message));
        }
        doing.change(Change::DropDeployment(tenant.clone(), name.clone()));
        doing.directory.deployments.remove(&(tenant.clone(), name.clone()));
        let note = Note {
            actor: &caller.actor,
            tenant: Some(tenant),
            act: "deployment_drop",
            target: name.to_string(),
            from: summary(&deployment.route),
            to: Value::Null,
        };
        doing.done(note).await
    }

    async fn reroute_of(
        &self,
        caller: &Caller,
        name: &DeploymentName,
        act: &'static str,
        revision: Option<u32>,
        step: &Step<'_>,
    ) -> Result<DeploymentView, Fault> {
        caller.may_manage()?;
        self.reroute(&caller.actor, caller.tenant(), name, act, revision, Value::Null, step).await
    }

    /// Takes a deployment's route one step on. What the new route wants is in memory before anybody is sent there.
    #[allow(clippy::too_many_arguments, reason = "one act, each part of it said once")]
    pub(crate) async fn reroute(
        &self,
        actor: &Actor,
        tenant: &TenantName,
        name: &DeploymentName,
        act: &'static str,
        revision: Option<u32>,
        why: Value,
        step: &Step<'_>,
    ) -> Result<DeploymentView, Fault> {
        // Loading may take a while: it is done before the desk is taken, and kept until it is.
        let before = self.directory.load_full();
        let _warm = self.load(before.own(tenant, name)?, step, revision).await?;
        let mut doing = self.begin().await;
        let deployment = doing.directory.own(tenant, name)?.clone();
        let (next, loaded) = self.load(&deployment, step, revision).await?;
        let mut to = summary(&next);
        if let (Value::Object(members), false) = (&mut to, why.is_null()) {
            members.insert("why".to_owned(), why);
        }
        let from = summary(&deployment.route);
        doing.change(Change::PutRoute(next.clone()));
        let rerouted = rerouted(&deployment, next, loaded);
        let view = DeploymentView::of(&rerouted);
        doing.directory.deployments.insert((tenant.clone(), name.clone()), Arc::new(rerouted));
        doing.done(Note { actor, tenant: Some(tenant), act, target: name.to_string(), from, to }).await?;
        Ok(view)
    }

    /// The next route, and the revisions that it wants.
    async fn load(
        &self,
        deployment: &Deployment,
        step: &Step<'_>,
        revision: Option<u32>,
    ) -> Result<(RouteRecord, BTreeMap<u32, Wanted>), Fault> {
        if let Some(number) = revision.filter(|number| !deployment.revisions.contains_key(number)) {
            let name = &deployment.route.deployment;
            let damaged = deployment.quarantined.contains_key(&number);
            return Err(if damaged {
                revision_quarantined(name, number)
            } else {
                revision_not_found(name, number)
            });
        }
        let next = step(&deployment.route, now_ms())?;
        let mut loaded = BTreeMap::new();
        for number in next.wanted() {
            loaded.insert(number, self.wanted(deployment, number).await?);
        }
        Ok((next, loaded))
    }

    /// A revision that the next route wants. A damaged one may stay where the route has it, and answers with its fault;
    /// no route comes to it anew.
    pub(super) async fn wanted(&self, deployment: &Deployment, number: u32) -> Result<Wanted, Fault> {
        if let Some(record) = deployment.revisions.get(&number) {
            return Ok(Ok(self.shelf.get(record).await?));
        }
        let name = &deployment.route.deployment;
        if !deployment.quarantined.contains_key(&number) {
            return Err(revision_not_found(name, number));
        }
        let fault = revision_quarantined(name, number);
        if deployment.loaded.contains_key(&number) { Ok(Err(fault)) } else { Err(fault) }
    }
}

/// The deployment on its new route. Revisions that come onto trial count from nothing; those that are not wanted any
/// more drain.
pub(super) fn rerouted(before: &Deployment, route: RouteRecord, loaded: BTreeMap<u32, Wanted>) -> Deployment {
    let judged = |route: &RouteRecord| route.watched().map(|(revision, _)| revision);
    let in_memory = loaded.iter().filter_map(|(number, revision)| Some((number, revision.as_ref().ok()?)));
    for (number, revision) in in_memory {
        let on_trial = route.candidate() == Some(*number) || judged(&route) == Some(*number);
        if on_trial && route.weights != before.route.weights {
            revision.figures.reset();
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
        // The new route takes the place of a damaged one.
        damage: None,
    }
}

/// A route in the audit log.
pub(super) fn summary(route: &RouteRecord) -> Value {
    json!({
        "version": route.version, "weights": route.weights, "shadow": route.shadow, "watch": route.watch,
    })
}

pub(super) fn revision_not_found(deployment: &DeploymentName, number: u32) -> Fault {
    let message =
        format!("Deployment `{deployment}` has no revision {number}: list them to see which there are.");
    Fault::new(Kind::NotFound, "revision_not_found", message)
}
