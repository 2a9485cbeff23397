//! What the platform does by itself: it writes use to disk, and takes back candidates that breach their watch.
//!
//! Owns the one background task. Knows no request. Started with the platform, ended with its drain.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use lector_core::Fault;
use serde_json::json;

use crate::access::Actor;
use crate::meter::FLUSH_EVERY;
use crate::platform::Platform;
use crate::store::UsageRow;
use crate::tenant::Tenant;

/// So often candidates are judged: a breach is answered within this, and the judging costs nothing to speak of.
const JUDGE_EVERY: Duration = Duration::from_millis(200);

/// Goes its rounds until the platform is gone or drained.
pub(crate) async fn go(platform: Weak<Platform>) {
    let mut flushed = Instant::now();
    let mut tick = tokio::time::interval(JUDGE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(platform) = platform.upgrade() else { return };
        platform.judge().await;
        if flushed.elapsed() >= FLUSH_EVERY {
            flushed = Instant::now();
            platform.flush_usage().await;
        }
        if platform.is_drained() {
            return;
        }
    }
}

impl Platform {
    /// Takes back every revision that breaches its watch.
    pub(crate) async fn judge(&self) {
        let directory = self.directory.load_full();
        for deployment in directory.deployments.values() {
            let Some((number, watch)) = deployment.route.watched() else { continue };
            // A first revision has nowhere to go back to.
            if deployment.route.history.is_empty() {
                continue;
            }
            let Some(Ok(revision)) = deployment.loaded.get(&number) else { continue };
            let Some(breach) = revision.figures.view().breach(&watch) else { continue };
            let (tenant, name, version) =
                (&deployment.route.tenant, &deployment.route.deployment, deployment.route.version);
            tracing::warn!(%tenant, deployment = %name, revision = number, breach, "taking back a revision that breaches its watch");
            let why = json!({ "revision": number, "breach": breach });
            // Somebody who was faster has decided otherwise.
            let step = move |route: &crate::route::RouteRecord, now_ms: u64| {
                if route.version == version { route.rollback(now_ms) } else { Err(overtaken()) }
            };
            let actor = Actor::named("watch");
            if let Err(fault) = self.reroute(&actor, tenant, name, "auto_rollback", None, why, &step).await {
                tracing::error!(%tenant, deployment = %name, %fault, "the revision could not be taken back; trying again");
            }
        }
    }

    /// Writes what was used since the last time. What cannot be written is kept for the next.
    pub(crate) async fn flush_usage(&self) {
        let directory = self.directory.load_full();
        let left: Vec<Arc<Tenant>> = std::mem::take(&mut *self.lock_left());
        let tenants: Vec<Arc<Tenant>> = directory.tenants.values().cloned().chain(left).collect();
        let mut rows = Vec::new();
        let mut from = Vec::new();
        for tenant in &tenants {
            for (day, counts) in tenant.meter.take() {
                rows.push(UsageRow { tenant: tenant.name().clone(), day, counts });
                from.push(tenant);
            }
        }
        if rows.is_empty() {
            return;
        }
        if let Err(error) = self.store.add_usage(rows.clone()).await {
            let fault = Fault::from(error);
            tracing::error!(%fault, rows = rows.len(), "usage could not be written; it is kept and tried again");
            for (row, tenant) in rows.into_iter().zip(from) {
                tenant.meter.put_back(row.day, row.counts);
            }
        }
    }
}

fn overtaken() -> Fault {
    Fault::new(lector_core::Kind::Conflict, "changed_meanwhile", "The route was changed while it was judged.")
}
