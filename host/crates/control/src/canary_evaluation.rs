//! Canary evaluation: rolls back revisions that breach their rollback policy.
//!
//! Owns the decision, and allows one rollback at a time for each deployment. Deployments are evaluated independently:
//! the slow rollback of one (the target revision may have to be loaded) does not delay the others.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use lector_core::{DeploymentName, Fault, Kind, TenantName};
use serde_json::json;

use crate::access::Actor;
use crate::directory::Deployment;
use crate::mutations::routes::Rerouting;
use crate::plane::ControlPlane;
use crate::route::RouteRecord;

type DeploymentKey = (TenantName, DeploymentName);

/// A revision that breaches its policy.
#[derive(Clone, Debug)]
pub(crate) struct Breach {
    tenant: TenantName,
    deployment: DeploymentName,
    revision: u32,
    /// Version of the route that was evaluated.
    version: u64,
    /// The condition that was met, with figures.
    reason: String,
}

/// Deployments with a rollback in progress.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<Mutex<BTreeSet<DeploymentKey>>>);

/// A rollback in progress.
pub(crate) struct RollbackGuard {
    in_flight: InFlight,
    key: DeploymentKey,
}

impl InFlight {
    /// Begins the rollback of a deployment; `None` if one is in progress.
    pub(crate) fn begin(&self, breach: &Breach) -> Option<RollbackGuard> {
        let key = (breach.tenant.clone(), breach.deployment.clone());
        let fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        fresh.then(|| RollbackGuard { in_flight: self.clone(), key })
    }
}

impl Drop for RollbackGuard {
    fn drop(&mut self) {
        self.in_flight.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Evaluates one deployment.
fn evaluate(deployment: &Deployment) -> Option<Breach> {
    let route = &deployment.route;
    let (number, policy) = route.rollback_watched()?;
    // A first revision has no predecessor to roll back to.
    route.earlier()?;
    let revision = deployment.loaded.get(&number)?.as_ref().ok()?;
    let stable = route.stable().filter(|stable| *stable != number);
    let stable = stable.and_then(|stable| deployment.loaded.get(&stable)?.as_ref().ok());
    let baseline = stable.map(|stable| stable.statistics.window());
    let reason = revision.statistics.view().breach(&policy, baseline)?;
    Some(Breach {
        tenant: route.tenant.clone(),
        deployment: route.deployment.clone(),
        revision: number,
        version: route.version,
        reason,
    })
}

impl ControlPlane {
    /// Returns the revisions that breach their policy now.
    pub(crate) fn breaches(&self) -> Vec<Breach> {
        let directory = self.directory.load_full();
        directory.deployments.values().filter_map(|deployment| evaluate(deployment)).collect()
    }

    /// Rolls a deployment back, unless its route has changed since the evaluation.
    pub(crate) async fn roll_back(&self, breach: Breach) -> Result<(), Fault> {
        let Breach { tenant, deployment, revision, version, reason } = breach;
        tracing::warn!(%tenant, %deployment, revision, reason, "rolling back a revision that breaches its policy");
        let withdrawn = format!("rolled back automatically: {reason}");
        let why = json!({ "revision": revision, "breach": reason });
        let step = move |route: &RouteRecord, now_ms: u64| {
            if route.version == version { route.rollback(&withdrawn, now_ms) } else { Err(overtaken()) }
        };
        // On the account of the tenant, so that its rollbacks do not stand before the administrators' changes.
        let actor = Actor::named("rollback_policy").on_account_of(self.directory.load().tenant(&tenant)?);
        let rerouting = Rerouting { action: "auto_rollback", revision: None, why };
        match self.reroute(&actor, &tenant, &deployment, rerouting, &step).await {
            // Another change came first.
            Err(fault) if fault.code == OVERTAKEN => Ok(()),
            answer => answer.map(|_| ()),
        }
    }
}

const OVERTAKEN: &str = "route_changed";

fn overtaken() -> Fault {
    Fault::new(Kind::Conflict, OVERTAKEN, "The route was changed while it was evaluated.")
}
