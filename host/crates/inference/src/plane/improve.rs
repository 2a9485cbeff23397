//! A model's way up and down its ladder: what is in the cache, what can be loaded, what is built and when a failure is
//! tried again. On the improver's thread, but for the first engines of an opening.

use std::time::{Duration, Instant};

use lector_core::ModelName;

use super::Plane;
use super::board::{BuiltStatus, RungState};
use super::patience::{Failure, Patience};
use crate::build::process::carry_out;
use crate::build::{BuildOrder, Step, Task};
use crate::cache::{Entry, Found};
use crate::catalogue::ModelEntry;
use crate::error::InferenceError;
use crate::forge::{Made, Source};
use crate::provider::Rung;

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
    pub(super) fn excluded(entry: &ModelEntry, rung: Rung) -> Option<String> {
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

    /// Looks into the cache for a rung's engine. What failed stays failed until it is time to try again, until somebody waits
    /// for it whose wait is worth a try, or until what it stands on has changed.
    fn look(&self, entry: &ModelEntry, rung: Rung, awaited: bool) -> Look {
        let model = &entry.name;
        let basis = self.basis(entry, rung);
        let excluded = basis.excluded.clone();
        let changed = self.board.stands_on(model, rung, basis);
        if let Some(why) = excluded {
            self.board.note(model, rung, RungState::Excluded { why });
            return Look::No;
        }
        if changed {
            self.board.forget_failures(model, rung);
        } else if let RungState::Failed { again, rarely, .. } = self.board.state(model, rung)
            && (!awaited || rarely)
            && again > Instant::now()
        {
            // The model may have been looked at for another rung's sake, and this one's time is still to come.
            self.improver.enqueue_at(model, again);
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
                self.fail(model, rung, why, Failure::Building);
                Look::No
            }
        }
    }

    /// Notes a failure and plans the next try. Where nothing is built here it is a look into the cache.
    fn fail(&self, model: &ModelName, rung: Rung, why: String, failure: Failure) {
        let tries = self.board.count_failure(model, rung);
        let patience = Patience { soon: self.config.retry_pause, rare: self.config.rare_retry_pause };
        let pause = patience.after(tries, failure);
        let again = Instant::now() + pause.time;
        self.board.note(model, rung, RungState::Failed { why, tries, again, rarely: pause.rarely });
        self.improver.enqueue_at(model, again);
    }

    fn load(&self, entry: &ModelEntry, rung: Rung, found: &Entry, source: &Source) -> Option<Made> {
        match self.forge.load(rung, entry, &found.dir, source, self.config.plan.seats(entry.task)) {
            Ok(made) => {
                self.board.note(&entry.name, rung, RungState::Ready);
                self.board.forget_failures(&entry.name, rung);
                Some(made)
            }
            Err(why) => {
                // Whole, and still not loadable: something has changed that its key does not know of.
                tracing::warn!(model = %entry.name, %rung, why, "an engine could not be loaded");
                let reason = format!("it could not be loaded: {why}");
                if let Err(error) = self.cache.set_aside(&found.dir, &reason) {
                    tracing::warn!(%error, "it could not be set aside");
                }
                self.fail(&entry.name, rung, why, Failure::Loading);
                None
            }
        }
    }

    /// Engines to open a lane with: from the cache, or of the reference, which needs no build. `None`: neither is permitted
    /// and there, and something could be built.
    pub(super) fn first_engines(
        &self,
        entry: &ModelEntry,
        source: &Source,
    ) -> Result<Option<(Rung, Made)>, InferenceError> {
        let ladder = self.ladder(&entry.name);
        for &rung in &ladder.rungs {
            let started = Instant::now();
            if let Look::Ready(found) = self.look(entry, rung, false)
                && let Some(made) = self.load(entry, rung, &found, source)
            {
                self.board.serves(entry, rung, Some(found), started.elapsed());
                return Ok(Some((rung, made)));
            }
            // The reference needs no build, whatever became of its optimised graph.
            if rung == Rung::REFERENCE {
                let made = self.forge.make(rung, source, self.config.plan.seats(entry.task));
                let made = made.map_err(|what| self.refuse(entry, rung, what))?;
                if self.board.state(&entry.name, rung) == RungState::Missing {
                    self.board.note(&entry.name, rung, RungState::Ready);
                }
                self.board.serves(entry, rung, None, started.elapsed());
                return Ok(Some((rung, made)));
            }
        }
        let buildable = |rung: &Rung| {
            let state = self.board.state(&entry.name, *rung);
            matches!(state, RungState::Missing | RungState::Failed { rarely: false, .. })
        };
        if !self.config.builder_command.is_empty() && ladder.rungs.iter().any(buildable) {
            return Ok(None);
        }
        Err(self.no_engine(entry))
    }

    /// Has the humblest rung built that can be: it is mostly the fastest to build, and somebody waits.
    pub(super) fn build_first(&self, model: &ModelName) {
        let Ok(entry) = self.entry(model) else { return };
        for &rung in self.ladder(model).rungs.iter().rev() {
            match self.look(&entry, rung, true) {
                Look::Ready(_) => return self.board.note(model, rung, RungState::Unknown),
                Look::Missing if self.build(&entry, rung) => return,
                Look::Missing | Look::No => {}
            }
        }
    }

    /// Why nothing serves a model, rung by rung.
    pub(super) fn no_engine(&self, entry: &ModelEntry) -> InferenceError {
        let status = self.board.status(&entry.name, self.ladder(&entry.name));
        let why: Vec<String> = status.rungs.iter().map(|one| self.reason(one)).collect();
        InferenceError::NoEngine { model: entry.name.clone(), why: why.join("; ") }
    }

    fn reason(&self, one: &super::RungStatus) -> String {
        let why = match (&one.state, &one.built) {
            (RungState::Failed { why, rarely: true, .. }, _) => {
                format!("{why} (it is tried again rarely, or at once by `lector engines retry`)")
            }
            (RungState::Failed { why, .. } | RungState::Excluded { why }, _) => why.clone(),
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
                // What this host has built is no reason to try again.
                self.board.stands_on(model, rung, self.basis(entry, rung));
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
                self.fail(model, rung, why, Failure::Building);
                false
            }
        }
    }

    /// How long the last build of this model for this rung took, under whatever key.
    fn estimate(&self, entry: &ModelEntry, rung: Rung) -> Option<Duration> {
        let entries = self.cache.entries().unwrap_or_default();
        let alike = entries
            .iter()
            .map(|(_, manifest)| manifest)
            .filter(|manifest| manifest.key.model == entry.name.as_str() && manifest.key.rung == rung);
        let latest = alike.max_by_key(|manifest| manifest.built_at_s)?;
        Some(Duration::from_millis(latest.build_ms + latest.acceptance_ms))
    }

    /// Rungs that could serve an open model better than what does; its own where that is made straight from the model, for
    /// its optimised graph would load faster.
    pub(super) fn wanted(&self, model: &ModelName) -> Vec<Rung> {
        let Some(serving) = self.board.serving(model) else { return Vec::new() };
        let rungs = self.ladder(model).rungs.iter().copied();
        let better = rungs.take_while(|rung| *rung != serving.rung);
        better.chain(serving.entry.is_none().then_some(serving.rung)).collect()
    }

    /// Whether a model that has just been opened could be served better, and then has it looked at.
    pub(super) fn want_better(&self, model: &ModelName) {
        let Some(serving) = self.board.serving(model) else { return };
        let wanted = self.wanted(model);
        let in_state = |rung: &Rung| self.board.state(model, *rung);
        let missing: Vec<Rung> =
            wanted.iter().copied().filter(|rung| in_state(rung) == RungState::Missing).collect();
        // Whose time came while the lane was being opened was looked at in vain.
        for rung in &wanted {
            if let RungState::Failed { again, .. } = in_state(rung) {
                self.improver.enqueue_at(model, again);
            }
        }
        // The reference straight from the model loads slower than its optimised graph would.
        let own = serving.entry.is_none() && missing.is_empty();
        if self.config.builder_command.is_empty() || (missing.is_empty() && !own) {
            return;
        }
        missing.into_iter().for_each(|rung| self.board.note(model, rung, RungState::Queued));
        self.improver.enqueue(model);
    }

    /// Goes down the ladder to the first rung that can be had, builds it if need be, and puts it into the lane.
    pub(super) fn improve(&self, model: &ModelName) {
        // A builder reads it anew, too. Where it cannot be read the builder says why.
        let _ = self.reread();
        self.climb(model);
        self.board.nothing_queued(model);
    }

    fn climb(&self, model: &ModelName) {
        let (Ok(entry), Some(serving)) = (self.entry(model), self.board.serving(model)) else { return };
        if self.board.model(model).is_some_and(|opened| !opened.computes_as(&entry)) {
            let why = "the model was replaced since its lane was opened: what was built for the new one serves when it is \
                       opened next";
            let wanted = self.wanted(model).into_iter();
            return wanted.for_each(|rung| {
                self.board.note(model, rung, RungState::Excluded { why: why.to_owned() });
            });
        }
        for &rung in &self.ladder(model).rungs {
            if rung == serving.rung && serving.entry.is_some() {
                return;
            }
            let found = match self.look(&entry, rung, false) {
                Look::Missing if self.build(&entry, rung) => self.look(&entry, rung, false),
                found => found,
            };
            let Look::Ready(found) = found else {
                // It serves straight from the model, which needs no build.
                if rung == serving.rung && self.board.state(model, rung) == RungState::Missing {
                    self.board.note(model, rung, RungState::Ready);
                }
                continue;
            };
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
            self.board.serves(&entry, rung, Some(found), load);
            tracing::info!(
                %model, from = %serving.rung, to = %rung, load_ms = load.as_millis() as u64,
                swap_ms = waited.elapsed().as_millis() as u64, "a better engine serves"
            );
            return;
        }
    }
}
