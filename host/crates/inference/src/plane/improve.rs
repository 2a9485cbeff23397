//! Better engines in the background: one thread that has missing engines built, one at a time, and puts each that is
//! accepted into its lane between two runs. Requests never wait for it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use lector_core::ModelName;

use super::Plane;
use super::board::{BuiltStatus, RungState};
use crate::build::process::{Running, carry_out};
use crate::build::{BuildOrder, Step, Task};
use crate::cache::{Entry, Found};
use crate::catalogue::ModelEntry;
use crate::error::InferenceError;
use crate::forge::{Made, Source};
use crate::provider::Rung;

/// The queue of models whose engines could be better, and the builder at work.
#[derive(Default)]
pub(super) struct Improver {
    queue: Mutex<Queue>,
    changed: Condvar,
    running: Running,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    models: VecDeque<ModelName>,
    stopped: bool,
}

impl Improver {
    /// Starts the thread. It ends with [`stop`](Self::stop), or when the plane is gone.
    pub(super) fn start(plane: &Arc<Plane>) -> Result<(), InferenceError> {
        let weak = Arc::downgrade(plane);
        let thread = std::thread::Builder::new()
            .name("engine-improver".to_owned())
            .spawn(move || work(&weak))
            .map_err(|source| InferenceError::Improver { source })?;
        *plane.improver.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Has a model looked at when its turn comes.
    pub(super) fn enqueue(&self, model: &ModelName) {
        let mut queue = self.lock();
        if !queue.models.contains(model) {
            queue.models.push_back(model.clone());
        }
        drop(queue);
        self.changed.notify_all();
    }

    /// Ends the builder at work and the thread. A second call does nothing.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
        self.running.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last one to let go of the plane may be the thread itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the thread that improves engines ended by a panic");
        }
    }

    /// Nothing panics while it is held, so a poisoned lock holds a sound state.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next model; `None`: the end.
    fn next(&self) -> Option<ModelName> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return None;
            }
            if let Some(model) = queue.models.pop_front() {
                return Some(model);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn work(weak: &Weak<Plane>) {
    loop {
        let Some(plane) = weak.upgrade() else { return };
        let Some(model) = plane.improver.next() else { return };
        plane.improve(&model);
    }
}

/// What a look at a rung gave.
enum Look {
    /// An accepted engine.
    Ready(Entry),
    /// None that may serve; the board says why.
    No,
    /// None yet; it could be built.
    Missing,
}

impl Plane {
    /// Why a rung may not serve a model at all.
    fn excluded(entry: &ModelEntry, rung: Rung) -> Option<String> {
        match &entry.acceptance {
            _ if rung == Rung::REFERENCE => None,
            None => {
                Some("the model's description has no [acceptance], so only cpu/f32 may serve it".to_owned())
            }
            Some(acceptance) if !acceptance.precisions.contains(&rung.precision) => {
                Some(format!("the model's description does not allow {}", rung.precision))
            }
            Some(_) => None,
        }
    }

    /// Looks into the cache for a rung's engine.
    fn look(&self, entry: &ModelEntry, rung: Rung) -> Look {
        let model = &entry.name;
        if let Some(why) = Self::excluded(entry, rung) {
            self.board.note(model, rung, RungState::Excluded { why });
            return Look::No;
        }
        if matches!(self.board.state(model, rung), RungState::Failed { .. }) {
            return Look::No;
        }
        let key = self.forge.key(entry, rung, self.config.plan.seats(entry.task));
        match self.cache.find(&key) {
            Ok(Found::Entry(found)) => {
                self.board.built(model, rung, BuiltStatus::from(&found));
                if found.manifest.verdict.accepted {
                    return Look::Ready(found);
                }
                self.board.note(model, rung, RungState::Refused);
                Look::No
            }
            Ok(Found::Nothing | Found::SetAside { .. }) => {
                self.board.note(model, rung, RungState::Missing);
                Look::Missing
            }
            Err(error) => {
                let why = format!("the engine cache cannot be read: {error}");
                tracing::warn!(%model, %rung, %error, dir = %self.cache.dir().display(), "the engine cache cannot be read");
                self.board.note(model, rung, RungState::Failed { why });
                Look::No
            }
        }
    }

    fn load(&self, entry: &ModelEntry, rung: Rung, found: &Entry, source: &Source) -> Option<Made> {
        match self.forge.load(rung, &found.dir, source, self.config.plan.seats(entry.task)) {
            Ok(made) => {
                self.board.note(&entry.name, rung, RungState::Ready);
                Some(made)
            }
            Err(why) => {
                // Whole, and still not loadable: the files are what was built, so building again would not help now.
                tracing::warn!(model = %entry.name, %rung, why, "an engine could not be loaded");
                let reason = format!("it could not be loaded: {why}");
                if let Err(error) = self.cache.set_aside(&found.dir, &reason) {
                    tracing::warn!(%error, "it could not be set aside");
                }
                self.board.note(&entry.name, rung, RungState::Failed { why });
                None
            }
        }
    }

    /// Engines to open a lane with: from the cache, or of the reference, which needs no build, or, where the ladder
    /// permits neither, built now.
    pub(super) fn first_engines(
        &self,
        entry: &ModelEntry,
        source: &Source,
    ) -> Result<(Rung, Made), InferenceError> {
        let ladder = self.ladder(&entry.name);
        for &rung in &ladder.rungs {
            let started = Instant::now();
            match self.look(entry, rung) {
                Look::Ready(found) => {
                    if let Some(made) = self.load(entry, rung, &found, source) {
                        self.board.serves(&entry.name, rung, Some(found), started.elapsed());
                        return Ok((rung, made));
                    }
                }
                Look::Missing if rung == Rung::REFERENCE => {
                    let made = self.forge.make(rung, source, self.config.plan.seats(entry.task));
                    let made = made.map_err(|what| self.refuse(entry, rung, what))?;
                    self.board.note(&entry.name, rung, RungState::Ready);
                    self.board.serves(&entry.name, rung, None, started.elapsed());
                    return Ok((rung, made));
                }
                Look::Missing | Look::No => {}
            }
        }
        // The last rung is the humblest, and mostly the fastest to build.
        for &rung in ladder.rungs.iter().rev() {
            if self.board.state(&entry.name, rung) != RungState::Missing {
                continue;
            }
            let started = Instant::now();
            if self.build(entry, rung)
                && let Look::Ready(found) = self.look(entry, rung)
                && let Some(made) = self.load(entry, rung, &found, source)
            {
                self.board.serves(&entry.name, rung, Some(found), started.elapsed());
                return Ok((rung, made));
            }
        }
        let status = self.board.status(&entry.name, ladder);
        let why: Vec<String> = status.rungs.iter().map(|one| self.reason(one)).collect();
        Err(InferenceError::NoEngine { model: entry.name.clone(), why: why.join("; ") })
    }

    fn reason(&self, one: &super::RungStatus) -> String {
        let why = match (&one.state, &one.built) {
            (RungState::Failed { why } | RungState::Excluded { why }, _) => why.clone(),
            (RungState::Refused, Some(built)) => format!("refused: {}", built.summary),
            (RungState::Missing, _) if self.config.builder_command.is_empty() => {
                "not built, and nothing is built here: `lector engines build` does it".to_owned()
            }
            (state, _) => state.as_str().to_owned(),
        };
        format!("{}: {why}", one.rung)
    }

    fn refuse(&self, entry: &ModelEntry, rung: Rung, what: String) -> InferenceError {
        InferenceError::Session { model: entry.name.clone(), rung, what }
    }

    /// Has an engine built by a process of its own. True: an entry is there now, accepted.
    fn build(&self, entry: &ModelEntry, rung: Rung) -> bool {
        let (model, seats) = (&entry.name, self.config.plan.seats(entry.task));
        if self.config.builder_command.is_empty() {
            return false;
        }
        let order = BuildOrder::new(&self.config, Task::Build, model, rung, seats);
        let (since, estimate) = (Instant::now(), self.estimate(entry, rung));
        let note = |step| self.board.note(model, rung, RungState::Building { step, since, estimate });
        note(Step::Waiting);
        tracing::info!(%model, %rung, estimate_s = estimate.map(|e| e.as_secs()), "building an engine");
        let command = &self.config.builder_command;
        let outcome =
            carry_out(command, &order, self.config.build_timeout, &self.improver.running, |step, detail| {
                tracing::info!(%model, %rung, ?step, detail, "building an engine");
                note(step);
            });
        match outcome {
            Ok(outcome) => {
                let (accepted, summary) = (outcome.accepted, outcome.summary.clone());
                tracing::info!(
                    %model, %rung, accepted, summary, entry = outcome.entry, bytes = outcome.bytes,
                    build_ms = outcome.build_ms, acceptance_ms = outcome.acceptance_ms, "an engine was built"
                );
                self.board.built(model, rung, outcome.into());
                self.board.note(model, rung, if accepted { RungState::Ready } else { RungState::Refused });
                accepted
            }
            Err(why) => {
                tracing::warn!(%model, %rung, why, "an engine could not be built");
                self.board.note(model, rung, RungState::Failed { why });
                false
            }
        }
    }

    /// How long the last build of this model for this rung took, under whatever key.
    fn estimate(&self, entry: &ModelEntry, rung: Rung) -> Option<std::time::Duration> {
        let entries = self.cache.entries().unwrap_or_default();
        let alike = entries
            .iter()
            .map(|(_, manifest)| manifest)
            .filter(|manifest| manifest.key.model == entry.name.as_str() && manifest.key.rung == rung);
        let latest = alike.max_by_key(|manifest| manifest.built_at_s)?;
        Some(std::time::Duration::from_millis(latest.build_ms + latest.acceptance_ms))
    }

    /// Whether a model that has just been opened could be served better, and then has it looked at.
    pub(super) fn want_better(&self, model: &ModelName) {
        let Some(serving) = self.board.serving(model) else { return };
        let better = self.ladder(model).rungs.iter().take_while(|rung| **rung != serving.rung);
        let missing: Vec<Rung> =
            better.copied().filter(|rung| self.board.state(model, *rung) == RungState::Missing).collect();
        // The reference straight from the model loads slower than its optimised graph would.
        let own = serving.entry.is_none() && missing.is_empty();
        if self.config.builder_command.is_empty() || (missing.is_empty() && !own) {
            return;
        }
        missing.into_iter().for_each(|rung| self.board.note(model, rung, RungState::Queued));
        self.improver.enqueue(model);
    }

    /// Goes down the ladder to the first rung that can be had, builds it if need be, and puts it into the lane.
    fn improve(&self, model: &ModelName) {
        let (Ok(entry), Some(serving)) = (self.entry(model), self.board.serving(model)) else { return };
        for &rung in &self.ladder(model).rungs {
            if rung == serving.rung && serving.entry.is_some() {
                return;
            }
            let found = match self.look(&entry, rung) {
                Look::Missing if self.build(&entry, rung) => self.look(&entry, rung),
                found => found,
            };
            let Look::Ready(found) = found else { continue };
            let started = Instant::now();
            let made = match Source::read(&entry) {
                Ok(source) => self.load(&entry, rung, &found, &source),
                Err(error) => {
                    tracing::warn!(%model, %rung, %error, "a better engine waits: the model cannot be read");
                    None
                }
            };
            let Some(made) = made else { continue };
            let Some(lane) = self.now().get(model).cloned() else { return };
            let (load, waited) = (started.elapsed(), Instant::now());
            lane.swap(rung, made.engines);
            self.board.serves(model, rung, Some(found), load);
            tracing::info!(
                %model, from = %serving.rung, to = %rung, load_ms = load.as_millis() as u64,
                swap_ms = waited.elapsed().as_millis() as u64, "a better engine serves"
            );
            return;
        }
    }
}
