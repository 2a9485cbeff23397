//! The inference plane: catalog, environment, open lanes. Implements [`Engines`].

mod agreement;
mod changes;
mod engine_states;
mod input_fingerprint;
mod open;
mod openings;
mod provider_preferences;
mod retry_backoff;
mod upgrade;
mod upgrader;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use lector_core::port::{FailedEngine, WorkDone, WorkItem};
use lector_core::{Blame, Engines, Fault, Kind, ModelInfo, ModelName};
use tokio::sync::oneshot;

use crate::build::process::{Running, carry_out};
use crate::build::{BuildOrder, Outcome, Step, Task};
use crate::cache::EngineCache;
use crate::catalog::{Catalog, ModelEntry};
use crate::config::InferenceConfig;
use crate::cores::Cores;
use crate::engine_builder::EngineBuilder;
use crate::error::InferenceError;
use crate::lane::{Answer, Lane};
use crate::lane_counters::LaneStatus;
use crate::provider::EngineVariant;
use crate::provider_preference::ProviderPreference;
pub use engine_states::{BuiltStatus, EngineStatus, ServingStatus, VariantState, VariantStatus};
use openings::{Openings, SIDE_BY_SIDE_MAX, side_by_side};
use provider_preferences::ProviderPreferences;
use upgrader::{UpgradeWork, Upgrader};

/// The engines of this host. [`Engines::prepare`] opens lanes and [`Engines::retain`] closes them.
pub struct Inference(Arc<Plane>);

struct Plane {
    config: InferenceConfig,
    /// The catalog as last read. It is read again before each opening, so that added and changed models need no
    /// restart.
    catalog: RwLock<Arc<Catalog>>,
    /// The error of the last read of the catalog.
    catalog_error: Mutex<Option<String>>,
    preferences: ProviderPreferences,
    engine_builder: EngineBuilder,
    cache: EngineCache,
    engine_states: engine_states::EngineStates,
    upgrader: Upgrader,
    cores: Arc<Cores>,
    /// An immutable snapshot: a request reads it once, an opening or closing replaces it.
    lanes: RwLock<Arc<Lanes>>,
    /// Held shared while a lane is opened, and exclusively while lanes are closed, which are slow; `true` after the shutdown.
    changing: RwLock<bool>,
    /// Taken before `changing`, so that who waits here does not keep a closing waiting, which would keep the other waiting.
    openings: Openings,
}

/// Most builds that one opening starts: a built engine may not load, and is then built again.
const FIRST_ENGINE_ROUNDS: usize = 2;

type Lanes = BTreeMap<ModelName, Arc<Lane>>;

impl Inference {
    /// Reads the catalog and loads the runtimes. A provider that the configuration names and that cannot load is an
    /// error. Opens no lanes. Blocks briefly.
    pub fn start(config: InferenceConfig) -> Result<Arc<Self>, InferenceError> {
        config.validate()?;
        let catalog = config.catalog()?;
        let (preferences, openvino) = ProviderPreferences::raise(&config, &catalog)?;
        let plane = Arc::new(Plane {
            engine_builder: EngineBuilder::new(&config, openvino)?,
            cache: EngineCache::new(config.cache_dir.clone(), config.cache_bytes_max),
            cores: Arc::new(Cores::new(config.threads)),
            engine_states: engine_states::EngineStates::default(),
            upgrader: Upgrader::default(),
            lanes: RwLock::default(),
            changing: RwLock::default(),
            openings: Openings::default(),
            catalog_error: Mutex::default(),
            config,
            catalog: RwLock::new(Arc::new(catalog)),
            preferences,
        });
        Upgrader::start(&plane, plane.config.start_pause, plane.config.watch_pause)?;
        Ok(Arc::new(Self(plane)))
    }

    /// Opens lanes as [`Engines::prepare`] does, on the calling thread: checks the digests of the weights, makes the
    /// sessions, starts the lanes. Takes about 0.1 s for each session.
    pub fn open(&self, models: &[ModelName]) -> Result<(), InferenceError> {
        self.0.open(models)
    }

    /// Returns all models of the catalog, open or not.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.0.catalog()
    }

    /// Returns the provider preference list of a model, with the reasons for it.
    pub fn preference(&self, model: &ModelName) -> &ProviderPreference {
        self.0.preference(model)
    }

    /// Returns the state of the engines of all open models, by the name of the model.
    pub fn engines(&self) -> Vec<EngineStatus> {
        let lanes = self.0.now();
        lanes.keys().map(|model| self.0.engine_states.status(model, self.0.preference(model))).collect()
    }

    /// Builds or verifies an engine in a process of its own, whatever engine serves now. Blocks until the process ends.
    pub fn order(
        &self,
        task: Task,
        model: &ModelName,
        variant: EngineVariant,
        on_step: impl FnMut(Step, &str),
    ) -> Result<Outcome, String> {
        let entry = self.0.entry(model).map_err(|error| error.to_string())?;
        let config = &self.0.config;
        let order = BuildOrder::new(config, task, model, variant, config.plan.session_config(entry.task));
        carry_out(&config.builder_command, &order, config.build_timeout, &Running::default(), on_step)
    }

    /// Returns the cache of built engines.
    pub fn cache(&self) -> &EngineCache {
        &self.0.cache
    }

    /// Returns the state of all lanes, by the name of the model.
    pub fn lanes(&self) -> Vec<LaneStatus> {
        self.0.now().values().map(|lane| lane.status()).collect()
    }

    /// Runs the smallest input through every lane. Blocks for the configured time at most.
    pub fn probe(&self) -> Result<(), Fault> {
        let timeout = self.0.config.probe_timeout;
        let deadline = Instant::now() + timeout;
        let lanes = self.0.now();
        let answers: Vec<(&ModelName, Answer)> = lanes
            .iter()
            .map(|(name, lane)| Ok((name, lane.probe(deadline)?)))
            .collect::<Result<_, Fault>>()?;
        for (name, answer) in answers {
            match wait_until(answer, deadline) {
                Some(Ok(answer)) => answer.map(drop)?,
                Some(Err(_)) => return Err(lost(name)),
                None => {
                    let waited = format!("no answer within {} ms", timeout.as_millis());
                    let message = format!("model {name} did not answer the readiness probe in time");
                    return Err(
                        Fault::new(Kind::Unavailable, "engine_probe_timeout", message).with_detail(waited)
                    );
                }
            }
        }
        Ok(())
    }

    /// Closes all lanes: rejects new items, answers waiting items with a fault, lets current runs end and joins the
    /// owner threads. Blocks; a second call does nothing. Nothing can be opened afterwards.
    pub fn shutdown(&self) {
        // Stopped first, because an opening that waits for a build would block the lock below.
        self.0.upgrader.stop();
        let mut ended = self.0.changing.write().unwrap_or_else(PoisonError::into_inner);
        *ended = true;
        let lanes = self.0.now();
        lanes.values().for_each(|lane| lane.close());
        lanes.values().for_each(|lane| lane.join());
    }
}

impl Plane {
    fn now(&self) -> Arc<Lanes> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, lanes: Lanes) {
        *self.lanes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lanes);
    }

    /// Adds a lane to a new snapshot, under the lock: other lanes may be added at the same time.
    fn insert(&self, model: &ModelName, lane: Lane) {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut lanes).insert(model.clone(), Arc::new(lane));
    }

    fn preference(&self, model: &ModelName) -> &ProviderPreference {
        self.preferences.of(model)
    }

    fn open(&self, models: &[ModelName]) -> Result<(), InferenceError> {
        self.open_available(models)?;
        for model in models {
            let mut round = 0;
            while let Some(built) = self.open_or_build(model, round)? {
                built.blocking_recv().map_err(|_| InferenceError::Stopped)?;
                round += 1;
            }
        }
        Ok(())
    }

    /// Opens the lanes of those models that have an engine, several side by side. The others stay closed.
    fn open_available(&self, models: &[ModelName]) -> Result<(), InferenceError> {
        let lanes = self.now();
        let closed: Vec<&ModelName> = models.iter().filter(|model| !lanes.contains_key(*model)).collect();
        // More than there are cores would only hold more memory at once.
        let at_once = self.config.threads.min(SIDE_BY_SIDE_MAX);
        side_by_side(&closed, at_once, |model| self.open_without_build(model).map(drop))
    }

    /// Opens a lane; where no engine is available, starts the build of one and returns the receiver of its end. `round`:
    /// the number of builds that this opening has waited for.
    fn open_or_build(
        &self,
        model: &ModelName,
        round: usize,
    ) -> Result<Option<oneshot::Receiver<()>>, InferenceError> {
        if self.open_without_build(model)? {
            return Ok(None);
        }
        if round == FIRST_ENGINE_ROUNDS {
            return Err(self.no_engine(&self.entry(model)?));
        }
        self.upgrader.enqueue_first(model).map(Some)
    }

    /// Opens a lane without a build. Returns false where no available engine is on the model's provider preference
    /// list.
    fn open_without_build(&self, model: &ModelName) -> Result<bool, InferenceError> {
        // Checked before any lock is taken: most models are open already.
        if self.now().contains_key(model) {
            return Ok(true);
        }
        let _opening = self.openings.begin(model);
        let ended = self.changing.read().unwrap_or_else(PoisonError::into_inner);
        if *ended {
            return Err(InferenceError::Stopped);
        }
        // Another caller may have opened it while this call waited.
        if self.now().contains_key(model) {
            return Ok(true);
        }
        let started = Instant::now();
        self.reread_for(model)?;
        let Some(lane) = self.lane(&self.entry(model)?)? else { return Ok(false) };
        let status = lane.status();
        let entry = self.engine_states.serving(model).and_then(|serving| serving.entry);
        tracing::info!(
            %model, entry, variant = %lane.variant(), preference = %self.preference(model), sessions = status.sessions,
            threads = status.threads_per_session, ms = started.elapsed().as_millis(), "lane open"
        );
        self.insert(model, lane);
        self.enqueue_upgrade(model);
        Ok(true)
    }

    fn are_open(&self, models: &[ModelName]) -> bool {
        let lanes = self.now();
        models.iter().all(|model| lanes.contains_key(model))
    }

    fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn entry(&self, model: &ModelName) -> Result<ModelEntry, InferenceError> {
        let catalog = self.catalog();
        catalog.find(model).cloned().ok_or_else(|| InferenceError::unknown(model, &catalog))
    }

    /// Reads the catalog again before `model` is opened. An error in another model's description does not prevent the
    /// opening.
    fn reread_for(&self, model: &ModelName) -> Result<(), InferenceError> {
        match self.reread() {
            Err(error) if self.catalog().find(model).is_some() && !error.concerns(model) => Ok(()),
            read => Ok(read?),
        }
    }

    fn retain(&self, models: &[ModelName]) -> Vec<ModelName> {
        let _changing = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        let (kept, closed): (Lanes, Lanes) =
            Lanes::clone(&self.now()).into_iter().partition(|(name, _)| models.contains(name));
        if closed.is_empty() {
            return Vec::new();
        }
        self.replace(kept);
        closed.values().for_each(|lane| lane.close());
        closed.values().for_each(|lane| lane.join());
        let closed: Vec<ModelName> = closed.into_keys().collect();
        closed.iter().for_each(|model| self.engine_states.closed(model));
        tracing::info!(models = ?closed, "lanes closed: no references are left");
        closed
    }
}

impl UpgradeWork for Plane {
    fn upgrader(&self) -> &Upgrader {
        &self.upgrader
    }

    fn build_first(&self, model: &ModelName) {
        self.build_first_engine(model);
    }

    fn upgrade(&self, model: &ModelName) {
        self.upgrade_engine(model);
    }

    fn check_for_changes(&self) {
        self.check_inputs();
    }
}

impl Drop for Inference {
    fn drop(&mut self) {
        // The upgrader thread holds the plane while it works.
        self.0.upgrader.stop();
    }
}

impl Engines for Inference {
    fn model(&self, name: &ModelName) -> Option<Arc<ModelInfo>> {
        self.0.now().get(name).map(|lane| lane.info().clone())
    }

    fn prepare(&self, models: Vec<ModelName>) -> BoxFuture<'static, Result<(), Fault>> {
        let plane = self.0.clone();
        async move {
            // Checked before a blocking thread is used: most models are open already.
            if plane.are_open(&models) {
                return Ok(());
            }
            let (opener, asked) = (plane.clone(), models.clone());
            let opening = tokio::task::spawn_blocking(move || opener.open_available(&asked));
            opening.await.map_err(|error| defect(&error))?.map_err(|error| error.fault())?;
            for model in models {
                for round in 0.. {
                    if plane.are_open(std::slice::from_ref(&model)) {
                        break;
                    }
                    let (plane, model) = (plane.clone(), model.clone());
                    let opening = tokio::task::spawn_blocking(move || plane.open_or_build(&model, round));
                    let opened = opening.await.map_err(|error| defect(&error))?;
                    // A build takes up to an hour; the wait for it holds no thread.
                    let Some(built) = opened.map_err(|error| error.fault())? else { break };
                    built.await.map_err(|_| InferenceError::Stopped.fault())?;
                }
            }
            Ok(())
        }
        .boxed()
    }

    fn retain(&self, models: Vec<ModelName>) -> BoxFuture<'static, Vec<ModelName>> {
        let plane = self.0.clone();
        async move {
            // After a panic no lane has been closed that is still in use.
            tokio::task::spawn_blocking(move || plane.retain(&models)).await.unwrap_or_default()
        }
        .boxed()
    }

    fn failed(&self, model: Option<&ModelName>) -> Result<Vec<FailedEngine>, Fault> {
        let failed = self.0.failed(model)?.into_iter();
        Ok(failed
            .map(|(model, variant, why)| FailedEngine { model, variant: variant.to_string(), why })
            .collect())
    }

    fn retry(&self, failed: &[FailedEngine]) {
        for one in failed {
            if let Ok(variant) = one.variant.parse() {
                self.0.retry(&one.model, &[variant]);
            }
        }
    }

    fn infer(&self, item: WorkItem) -> BoxFuture<'static, Result<WorkDone, Fault>> {
        let name = item.model.clone();
        let offered = match self.0.now().get(&name) {
            Some(lane) => lane.offer(item),
            None => Err(Fault::new(
                Kind::NotFound,
                "model_not_found",
                format!("model {name} has no open lane on this server"),
            )
            .blaming(Blame::Host)),
        };
        // The future holds only the receiver of the answer: dropping the future withdraws the item.
        Box::pin(async move { offered?.await.map_err(|_| lost(&name))? })
    }
}

fn defect(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(Kind::Bug, "engine_lost", "the model could not be opened: an internal task failed")
        .with_detail(error)
}

/// Returns the fault of a run that an owner thread never answered, which only a defect can cause.
fn lost(model: &ModelName) -> Fault {
    Fault::new(Kind::Bug, "engine_lost", format!("model {model} did not answer: its owner thread ended"))
}

/// Blocks this thread on a future; `None` at the deadline.
fn wait_until<F: Future>(future: F, deadline: Instant) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        std::thread::park_timeout(deadline.checked_duration_since(Instant::now())?);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::Duration;

    use super::*;

    #[test]
    fn waiting_ends_with_the_answer_or_at_the_deadline() {
        let soon = || Instant::now() + Duration::from_millis(20);
        assert_eq!(wait_until(std::future::pending::<()>(), soon()), None);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || sender.send(7));
        assert_eq!(wait_until(receiver, Instant::now() + Duration::from_secs(60)), Some(Ok(7)));
        thread.join().unwrap().unwrap();
    }
}
