//! Selection of a model's engine along its provider preference list: lookup in the cache, load, build, retry. Runs on
//! the upgrader thread, except for the first engines of an opening.

use std::time::{Duration, Instant};

use lector_core::ModelName;

use super::Plane;
use super::engine_states::{BuiltStatus, VariantState};
use super::retry_backoff::{Failure, RetryBackoff};
use crate::build::process::carry_out;
use crate::build::{BuildOrder, Step, Task};
use crate::cache::{Entry, Found};
use crate::catalog::ModelEntry;
use crate::engine_builder::{LoadedEngine, Source};
use crate::error::InferenceError;
use crate::provider::EngineVariant;

/// The result of a lookup.
enum Lookup {
    /// An accepted engine.
    Ready(Entry),
    /// No usable engine; the engine state table has the reason.
    No,
    /// No engine yet; it could be built.
    Missing,
}

impl Plane {
    /// Returns the reason why a variant may not serve a model at all.
    pub(super) fn excluded(entry: &ModelEntry, variant: EngineVariant) -> Option<String> {
        match &entry.acceptance {
            _ if variant == EngineVariant::REFERENCE => None,
            None => {
                Some("the model's description has no [acceptance], so only cpu/f32 may serve it".to_owned())
            }
            Some(acceptance) if !acceptance.precisions.contains(&variant.precision) => {
                Some(format!("the model's description does not allow {}", variant.precision))
            }
            Some(_) => None,
        }
    }

    /// Looks up the engine of a variant in the cache. A failed variant stays failed until its next attempt is due,
    /// until a caller waits for it and quick retries are left, or until its inputs have changed.
    fn look_up(&self, entry: &ModelEntry, variant: EngineVariant, awaited: bool) -> Lookup {
        let model = &entry.name;
        let input_fingerprint = self.input_fingerprint(entry, variant);
        let excluded = input_fingerprint.excluded.clone();
        let changed = self.engine_states.depends_on(model, variant, input_fingerprint);
        if let Some(why) = excluded {
            self.engine_states.note(model, variant, VariantState::Excluded { why });
            return Lookup::No;
        }
        if changed {
            self.engine_states.forget_failures(model, variant);
        } else if let VariantState::Failed { again, slow, .. } = self.engine_states.state(model, variant)
            && (!awaited || slow)
            && again > Instant::now()
        {
            // The lookup may be for another variant of the model, and the retry of this one is still to come.
            self.upgrader.enqueue_at(model, again);
            return Lookup::No;
        }
        let key = self.engine_builder.key(entry, variant, self.config.plan.session_config(entry.task));
        match self.cache.find(&key) {
            Ok(Found::Entry(found)) => {
                self.engine_states.built(model, variant, BuiltStatus::from(&found));
                let acceptance = &found.manifest.acceptance;
                let must_be_faster = self.preference(model).measured.contains(&variant);
                let state = match acceptance.slowness().filter(|_| must_be_faster) {
                    _ if !acceptance.accepted => VariantState::Refused,
                    Some(why) => VariantState::Excluded { why },
                    None => return Lookup::Ready(found),
                };
                self.engine_states.note(model, variant, state);
                Lookup::No
            }
            Ok(Found::Nothing | Found::Quarantined { .. }) => {
                self.engine_states.note(model, variant, VariantState::Missing);
                Lookup::Missing
            }
            Err(error) => {
                let why = format!("the engine cache cannot be read: {error}");
                tracing::warn!(%model, %variant, %error, dir = %self.cache.dir().display(), "the engine cache cannot be read");
                self.fail(model, variant, why, Failure::Building);
                Lookup::No
            }
        }
    }

    /// Records a failure and plans the next attempt. Where the host has no builder the attempt is a lookup in the
    /// cache.
    fn fail(&self, model: &ModelName, variant: EngineVariant, why: String, failure: Failure) {
        let attempts = self.engine_states.count_failure(model, variant);
        let retry_backoff =
            RetryBackoff { soon: self.config.retry_pause, rare: self.config.rare_retry_pause };
        let pause = retry_backoff.after(attempts, failure);
        let again = Instant::now() + pause.time;
        self.engine_states.note(
            model,
            variant,
            VariantState::Failed { why, attempts, again, slow: pause.slow },
        );
        self.upgrader.enqueue_at(model, again);
    }

    fn load(
        &self,
        entry: &ModelEntry,
        variant: EngineVariant,
        found: &Entry,
        source: &Source,
    ) -> Option<LoadedEngine> {
        match self.engine_builder.load(
            variant,
            entry,
            &found.dir,
            source,
            self.config.plan.session_config(entry.task),
        ) {
            Ok(made) => {
                self.engine_states.note(&entry.name, variant, VariantState::Ready);
                self.engine_states.forget_failures(&entry.name, variant);
                Some(made)
            }
            Err(why) => {
                // The files are whole and still do not load: a dependency has changed that the key does not cover.
                tracing::warn!(model = %entry.name, %variant, why, "an engine could not be loaded");
                let reason = format!("it could not be loaded: {why}");
                if let Err(error) = self.cache.quarantine(&found.dir, &reason) {
                    tracing::warn!(%error, "the engine could not be quarantined");
                }
                self.fail(&entry.name, variant, why, Failure::Loading);
                None
            }
        }
    }

    /// Returns the engines to open a lane with: from the cache, or of the reference, which needs no build. `None`: no
    /// permitted engine is available, and one could be built.
    pub(super) fn first_engines(
        &self,
        entry: &ModelEntry,
        source: &Source,
    ) -> Result<Option<(EngineVariant, LoadedEngine)>, InferenceError> {
        let preference = self.preference(&entry.name);
        for &variant in &preference.variants {
            let started = Instant::now();
            if let Lookup::Ready(found) = self.look_up(entry, variant, false)
                && let Some(made) = self.load(entry, variant, &found, source)
            {
                self.engine_states.serves(entry, variant, Some(found), started.elapsed());
                return Ok(Some((variant, made)));
            }
            // The reference needs no build, whatever the state of its optimized graph.
            if variant == EngineVariant::REFERENCE {
                let made =
                    self.engine_builder.make(variant, source, self.config.plan.session_config(entry.task));
                let made = made.map_err(|what| self.refuse(entry, variant, what))?;
                if self.engine_states.state(&entry.name, variant) == VariantState::Missing {
                    self.engine_states.note(&entry.name, variant, VariantState::Ready);
                }
                self.engine_states.serves(entry, variant, None, started.elapsed());
                return Ok(Some((variant, made)));
            }
        }
        let buildable = |variant: &EngineVariant| {
            let state = self.engine_states.state(&entry.name, *variant);
            matches!(state, VariantState::Missing | VariantState::Failed { slow: false, .. })
        };
        if !self.config.builder_command.is_empty() && preference.variants.iter().any(buildable) {
            return Ok(None);
        }
        Err(self.no_engine(entry))
    }

    /// Builds the least preferred variant that can be built: it is usually the fastest to build, and an opening waits
    /// for it.
    pub(super) fn build_first_engine(&self, model: &ModelName) {
        let Ok(entry) = self.entry(model) else { return };
        for &variant in self.preference(model).variants.iter().rev() {
            match self.look_up(&entry, variant, true) {
                Lookup::Ready(_) => return self.engine_states.note(model, variant, VariantState::Unknown),
                Lookup::Missing if self.build(&entry, variant) => return,
                Lookup::Missing | Lookup::No => {}
            }
        }
    }

    /// Returns the error of a model that no engine serves, with the reason of each variant.
    pub(super) fn no_engine(&self, entry: &ModelEntry) -> InferenceError {
        let status = self.engine_states.status(&entry.name, self.preference(&entry.name));
        let why: Vec<String> = status.variants.iter().map(|one| self.reason(one)).collect();
        InferenceError::NoEngine { model: entry.name.clone(), why: why.join("; ") }
    }

    fn reason(&self, one: &super::VariantStatus) -> String {
        let why = match (&one.state, &one.built) {
            (VariantState::Failed { why, slow: true, .. }, _) => {
                format!("{why} (retries are rare now; `lector engines retry` retries at once)")
            }
            (VariantState::Failed { why, .. } | VariantState::Excluded { why }, _) => why.clone(),
            (VariantState::Refused, Some(built)) => format!("refused: {}", built.summary),
            (VariantState::Missing, _) if self.config.builder_command.is_empty() => {
                "not built, and this server has no builder: run `lector engines build`".to_owned()
            }
            (state, _) => state.as_str().to_owned(),
        };
        format!("{}: {why}", one.variant)
    }

    fn refuse(&self, entry: &ModelEntry, variant: EngineVariant, what: String) -> InferenceError {
        InferenceError::Session { model: entry.name.clone(), variant, what }
    }

    /// Builds an engine in a process of its own. Returns true where an accepted entry is in the cache now.
    fn build(&self, entry: &ModelEntry, variant: EngineVariant) -> bool {
        let (model, session_config) = (&entry.name, self.config.plan.session_config(entry.task));
        if self.config.builder_command.is_empty() {
            return false;
        }
        let order = BuildOrder::new(&self.config, Task::Build, model, variant, session_config);
        let (since, estimate) = (Instant::now(), self.estimate(entry, variant));
        let note =
            |step| self.engine_states.note(model, variant, VariantState::Building { step, since, estimate });
        note(Step::Waiting);
        tracing::info!(%model, %variant, estimate_s = estimate.map(|e| e.as_secs()), "building an engine");
        let command = &self.config.builder_command;
        let outcome =
            carry_out(command, &order, self.config.build_timeout, &self.upgrader.running, |step, detail| {
                tracing::info!(%model, %variant, ?step, detail, "building an engine");
                note(step);
            });
        match outcome {
            Ok(outcome) => {
                // An engine that this host has built does not trigger a retry.
                self.engine_states.depends_on(model, variant, self.input_fingerprint(entry, variant));
                let (accepted, summary) = (outcome.accepted, outcome.summary.clone());
                tracing::info!(
                    %model, %variant, accepted, summary, entry = outcome.entry, bytes = outcome.bytes,
                    build_ms = outcome.build_ms, acceptance_ms = outcome.acceptance_ms, "an engine was built"
                );
                self.engine_states.built(model, variant, outcome.into());
                self.engine_states.note(
                    model,
                    variant,
                    if accepted { VariantState::Ready } else { VariantState::Refused },
                );
                accepted
            }
            Err(_) if self.upgrader.running.is_stopped() => {
                tracing::info!(%model, %variant, "the build of an engine ends with the host; the next start begins it again");
                false
            }
            Err(why) => {
                tracing::warn!(%model, %variant, why, "an engine could not be built");
                self.fail(model, variant, why, Failure::Building);
                false
            }
        }
    }

    /// Returns the duration of the last build of this model for this variant, under any key.
    fn estimate(&self, entry: &ModelEntry, variant: EngineVariant) -> Option<Duration> {
        let entries = self.cache.entries().unwrap_or_default();
        let alike = entries
            .iter()
            .map(|(_, manifest)| manifest)
            .filter(|manifest| manifest.key.model == entry.name.as_str() && manifest.key.variant == variant);
        let latest = alike.max_by_key(|manifest| manifest.built_at_s)?;
        Some(Duration::from_millis(latest.build_ms + latest.acceptance_ms))
    }

    /// Returns the variants that could serve an open model better than the current one. Includes the current one where
    /// it is made directly from the model, because its optimized graph would load faster.
    pub(super) fn wanted(&self, model: &ModelName) -> Vec<EngineVariant> {
        let Some(serving) = self.engine_states.serving(model) else { return Vec::new() };
        let variants = self.preference(model).variants.iter().copied();
        let better = variants.take_while(|variant| *variant != serving.variant);
        better.chain(serving.entry.is_none().then_some(serving.variant)).collect()
    }

    /// Enqueues an upgrade of a model that has just been opened, if a better variant is possible.
    pub(super) fn enqueue_upgrade(&self, model: &ModelName) {
        let Some(serving) = self.engine_states.serving(model) else { return };
        if !serving.variant.provider.is_built() {
            return;
        }
        let wanted = self.wanted(model);
        let in_state = |variant: &EngineVariant| self.engine_states.state(model, *variant);
        let missing: Vec<EngineVariant> =
            wanted.iter().copied().filter(|variant| in_state(variant) == VariantState::Missing).collect();
        // A retry that came due while the lane was being opened found no lane.
        for variant in &wanted {
            if let VariantState::Failed { again, .. } = in_state(variant) {
                self.upgrader.enqueue_at(model, again);
            }
        }
        // A reference made directly from the model loads slower than its optimized graph.
        let own = serving.entry.is_none() && missing.is_empty();
        if self.config.builder_command.is_empty() || (missing.is_empty() && !own) {
            return;
        }
        missing.into_iter().for_each(|variant| self.engine_states.note(model, variant, VariantState::Queued));
        self.upgrader.enqueue(model);
    }

    /// Loads the first available variant of the provider preference list into the lane, and builds it where needed.
    pub(super) fn upgrade_engine(&self, model: &ModelName) {
        // The builder reads the catalog again and reports any error.
        let _ = self.reread();
        self.load_best(model);
        self.engine_states.nothing_queued(model);
    }

    fn load_best(&self, model: &ModelName) {
        let (Ok(entry), Some(serving)) = (self.entry(model), self.engine_states.serving(model)) else {
            return;
        };
        if self.engine_states.model(model).is_some_and(|opened| !opened.computes_as(&entry)) {
            let why = "the model was replaced since its lane was opened: what was built for the new one serves when it is \
                       opened next";
            let wanted = self.wanted(model).into_iter();
            return wanted.for_each(|variant| {
                self.engine_states.note(model, variant, VariantState::Excluded { why: why.to_owned() });
            });
        }
        for &variant in &self.preference(model).variants {
            if variant == serving.variant && serving.entry.is_some() {
                return;
            }
            let found = match self.look_up(&entry, variant, false) {
                Lookup::Missing if self.build(&entry, variant) => self.look_up(&entry, variant, false),
                found => found,
            };
            let Lookup::Ready(found) = found else {
                if variant != serving.variant {
                    continue;
                }
                // It serves directly from the model, which needs no build; what follows in the list is less preferred.
                if self.engine_states.state(model, variant) == VariantState::Missing {
                    self.engine_states.note(model, variant, VariantState::Ready);
                }
                return;
            };
            let started = Instant::now();
            let made = match Source::read(&entry) {
                Ok(source) => self.load(&entry, variant, &found, &source),
                Err(error) => {
                    tracing::warn!(%model, %variant, %error, "the better engine is not loaded: the model cannot be read");
                    None
                }
            };
            let Some(made) = made else {
                if variant == serving.variant {
                    return;
                }
                continue;
            };
            let Some(lane) = self.now().get(model).cloned() else { return };
            let (load, waited) = (started.elapsed(), Instant::now());
            lane.swap(variant, made.engines);
            self.engine_states.serves(&entry, variant, Some(found), load);
            tracing::info!(
                %model, from = %serving.variant, to = %variant, load_ms = load.as_millis() as u64,
                swap_ms = waited.elapsed().as_millis() as u64, "a better engine serves"
            );
            return;
        }
    }
}
