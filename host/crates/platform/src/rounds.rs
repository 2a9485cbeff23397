//! What the platform does by itself: it takes back candidates that breach their watch, writes use to disk, and lets engines
//! go that nobody needs.
//!
//! Owns the background tasks, one for each, so that none waits for another's slow disk. Knows no request. Started with the
//! platform, ended with its drain.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use lector_core::{Fault, ModelName};
use serde_json::json;

use crate::access::Actor;
use crate::meter::FLUSH_EVERY;
use crate::platform::Platform;
use crate::store::{FlushId, UsageRow, hex};
use crate::tenant::Tenant;

/// So often candidates are judged: a breach is answered within this, and the judging costs nothing to speak of.
const JUDGE_EVERY: Duration = Duration::from_millis(200);
/// So often it is looked whether engines can go.
const LET_GO_EVERY: Duration = Duration::from_secs(1);

/// Starts the rounds; they end when the platform is gone or drained.
pub(crate) fn start(platform: &Arc<Platform>) {
    let go = |every, round: fn(Arc<Platform>) -> futures::future::BoxFuture<'static, ()>| {
        tokio::spawn(rounds(Arc::downgrade(platform), every, round));
    };
    go(JUDGE_EVERY, |platform| Box::pin(async move { platform.judge().await }));
    go(FLUSH_EVERY, |platform| Box::pin(async move { platform.flush_usage().await }));
    go(LET_GO_EVERY, |platform| Box::pin(async move { platform.let_engines_go().await }));
}

async fn rounds<F: Future<Output = ()>>(
    platform: Weak<Platform>,
    every: Duration,
    round: impl Fn(Arc<Platform>) -> F,
) {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(platform) = platform.upgrade() else { return };
        if platform.is_drained() {
            return;
        }
        round(platform).await;
    }
}

/// Use on its way to disk. What was taken out of the meters stays here, under one name, until the store has said that it
/// has it: an answer that is lost makes nobody's pages count twice, and a disk that is full loses none.
#[derive(Debug)]
pub(crate) struct Flushes {
    /// Tells this process's flushes from all others'.
    series: String,
    made: u64,
    waiting: Option<(FlushId, Vec<UsageRow>)>,
}

impl Flushes {
    pub(crate) fn new() -> Result<Self, Fault> {
        let mut series = [0u8; 16];
        getrandom::fill(&mut series).map_err(|error| {
            let message = "The system gives no random numbers, without which use cannot be counted safely.";
            Fault::new(lector_core::Kind::Unavailable, "no_randomness", message).with_detail(error)
        })?;
        Ok(Self { series: hex(&series), made: 0, waiting: None })
    }

    fn next(&mut self) -> FlushId {
        self.made += 1;
        FlushId(format!("{}-{}", self.series, self.made))
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

    /// Writes what was used since the last time; what could not be written then comes first.
    pub(crate) async fn flush_usage(&self) {
        let mut flushes = self.flushes.lock().await;
        loop {
            let again = flushes.waiting.is_some();
            if !again {
                let rows = self.take_usage();
                if rows.is_empty() {
                    return;
                }
                flushes.waiting = Some((flushes.next(), rows));
            }
            let Some((id, rows)) = flushes.waiting.clone() else { return };
            let count = rows.len();
            if let Err(error) = self.store.add_usage(id, rows).await {
                let fault = Fault::from(error);
                tracing::error!(%fault, rows = count, "usage could not be written; it is kept and tried again");
                return;
            }
            flushes.waiting = None;
            if !again {
                return;
            }
        }
    }

    /// What was used since it was last taken, out of the meters.
    fn take_usage(&self) -> Vec<UsageRow> {
        let directory = self.directory.load_full();
        let left: Vec<Arc<Tenant>> = std::mem::take(&mut *self.lock_left());
        let tenants = directory.tenants.values().cloned().chain(left);
        let rows = |tenant: Arc<Tenant>| {
            let name = tenant.name().clone();
            let taken = tenant.meter.take().into_iter();
            taken.map(move |(day, counts)| UsageRow { tenant: name.clone(), day, counts })
        };
        tenants.flat_map(rows).collect()
    }

    /// Closes the engines that nobody has needed for a while: neither a revision in memory nor one that is being staged,
    /// nor one that is ready and was not routed to yet.
    pub(crate) async fn let_engines_go(&self) {
        let needed = || -> BTreeSet<ModelName> {
            let directory = self.directory.load();
            directory.deployments.values().flat_map(|deployment| deployment.models_to_come()).collect()
        };
        let retain = |stay| self.shelf.loader().retain(stay);
        self.shelf.claims().let_go(self.engine_linger, needed, retain).await;
    }
}

fn overtaken() -> Fault {
    Fault::new(lector_core::Kind::Conflict, "changed_meanwhile", "The route was changed while it was judged.")
}
