//! The engine state table: the state of each engine variant of each model, and the engine that serves now. Read by the
//! API, the metrics and the upgrader.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use lector_core::ModelName;

use super::input_fingerprint::InputFingerprint;
use crate::build::{Outcome, Step};
use crate::cache::{Entry, Manifest};
use crate::catalog::ModelEntry;
use crate::provider::EngineVariant;
use crate::provider_preference::ProviderPreference;

/// The state of a model on an engine variant.
#[derive(Clone, Debug, PartialEq)]
pub enum VariantState {
    /// Not looked up yet: a better variant serves.
    Unknown,
    /// Not built.
    Missing,
    /// Waits for its build.
    Queued,
    /// A builder runs.
    Building {
        /// The current step.
        step: Step,
        /// The start of the step.
        since: Instant,
        /// Duration of the last build of this kind, including its acceptance.
        estimate: Option<Duration>,
    },
    /// Built and accepted, or the reference, which needs no build.
    Ready,
    /// Built, and refused by acceptance.
    Refused,
    /// The build or the load failed.
    Failed {
        /// The last error.
        why: String,
        /// Number of consecutive failures.
        attempts: usize,
        /// Time of the next attempt.
        again: Instant,
        /// Whether the quick retries are used up.
        slow: bool,
    },
    /// The variant may not serve this model.
    Excluded {
        /// The reason.
        why: String,
    },
}

impl VariantState {
    /// Returns the name of the state for the API and the metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Missing => "missing",
            Self::Queued => "queued",
            Self::Building { step: Step::Waiting, .. } => "waiting",
            Self::Building { step: Step::Building, .. } => "building",
            Self::Building { step: Step::Checking, .. } => "checking",
            Self::Ready => "ready",
            Self::Refused => "refused",
            Self::Failed { .. } => "failed",
            Self::Excluded { .. } => "excluded",
        }
    }
}

/// A built engine.
#[derive(Clone, Debug, PartialEq)]
pub struct BuiltStatus {
    /// Name of the cache entry.
    pub entry: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Duration of the build.
    pub build: Duration,
    /// Duration of the acceptance.
    pub acceptance: Duration,
    /// The result of the acceptance.
    pub summary: String,
}

/// An engine variant of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct VariantStatus {
    /// Provider and precision.
    pub variant: EngineVariant,
    /// The state.
    pub state: VariantState,
    /// The engine in the cache, if any.
    pub built: Option<BuiltStatus>,
}

/// The engine that serves a model now.
#[derive(Clone, Debug, PartialEq)]
pub struct ServingStatus {
    /// Provider and precision.
    pub variant: EngineVariant,
    /// The cache entry that it was loaded from; `None`: made from the model without a build.
    pub entry: Option<String>,
    /// Time since which it serves.
    pub since: SystemTime,
    /// Duration of the load.
    pub load: Duration,
}

/// A model and its engines.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineStatus {
    /// Name of the model.
    pub model: ModelName,
    /// The engine that serves it; `None`: no lane is open.
    pub serving: Option<ServingStatus>,
    /// Whether a better engine is in build or waits for its build.
    pub upgrading: bool,
    /// The provider preference list.
    pub variants: Vec<VariantStatus>,
    /// The reasons for this list.
    pub reasons: Vec<String>,
}

/// The engine that serves; its cache entry is locked against collection.
struct Serving {
    status: ServingStatus,
    /// The description from which the engine was made.
    model: ModelEntry,
    _entry: Option<Entry>,
}

#[derive(Default)]
struct Notes {
    variants: BTreeMap<(ModelName, EngineVariant), (VariantState, Option<BuiltStatus>)>,
    /// Failures of a variant since it was last loaded.
    failures: BTreeMap<(ModelName, EngineVariant), usize>,
    /// The inputs of the last lookup of a variant.
    fingerprints: BTreeMap<(ModelName, EngineVariant), InputFingerprint>,
    serving: BTreeMap<ModelName, Serving>,
}

#[derive(Default)]
pub(super) struct EngineStates(Mutex<Notes>);

impl EngineStates {
    pub(super) fn note(&self, model: &ModelName, variant: EngineVariant, state: VariantState) {
        let mut notes = self.lock();
        let place = notes.variants.entry((model.clone(), variant)).or_insert((VariantState::Unknown, None));
        place.0 = state;
    }

    pub(super) fn built(&self, model: &ModelName, variant: EngineVariant, built: BuiltStatus) {
        let mut notes = self.lock();
        let place = notes.variants.entry((model.clone(), variant)).or_insert((VariantState::Unknown, None));
        place.1 = Some(built);
    }

    pub(super) fn state(&self, model: &ModelName, variant: EngineVariant) -> VariantState {
        let notes = self.lock();
        notes
            .variants
            .get(&(model.clone(), variant))
            .map_or(VariantState::Unknown, |(state, _)| state.clone())
    }

    /// Counts one more failure, and returns the number of failures.
    pub(super) fn count_failure(&self, model: &ModelName, variant: EngineVariant) -> usize {
        let mut notes = self.lock();
        let count = notes.failures.entry((model.clone(), variant)).or_default();
        *count += 1;
        *count
    }

    pub(super) fn forget_failures(&self, model: &ModelName, variant: EngineVariant) {
        self.lock().failures.remove(&(model.clone(), variant));
    }

    /// Records the inputs of a lookup. Returns true where they differ from the previous ones so that the outcome may
    /// differ.
    pub(super) fn depends_on(
        &self,
        model: &ModelName,
        variant: EngineVariant,
        input_fingerprint: InputFingerprint,
    ) -> bool {
        let before = self.lock().fingerprints.insert((model.clone(), variant), input_fingerprint.clone());
        before.is_some_and(|before| input_fingerprint.is_other_than(&before))
    }

    /// Returns the failed variants with their errors, of one model or of all that were looked up.
    pub(super) fn failed(&self, of: Option<&ModelName>) -> Vec<(ModelName, EngineVariant, String)> {
        let notes = self.lock();
        let of_it = notes.variants.iter().filter(|((model, _), _)| of.is_none_or(|of| of == model));
        of_it
            .filter_map(|((model, variant), (state, _))| match state {
                VariantState::Failed { why, .. } => Some((model.clone(), *variant, why.clone())),
                _ => None,
            })
            .collect()
    }

    /// Clears the queued state of the variants that the finished upgrade did not reach because a better one serves.
    pub(super) fn nothing_queued(&self, model: &ModelName) {
        for ((of, _), (state, _)) in &mut self.lock().variants {
            if of == model && *state == VariantState::Queued {
                *state = VariantState::Missing;
            }
        }
    }

    pub(super) fn serves(
        &self,
        model: &ModelEntry,
        variant: EngineVariant,
        entry: Option<Entry>,
        load: Duration,
    ) {
        let name = entry.as_ref().map(|entry| folder_name(&entry.dir));
        let status = ServingStatus { variant, entry: name, since: SystemTime::now(), load };
        let serving = Serving { status, model: model.clone(), _entry: entry };
        self.lock().serving.insert(model.name.clone(), serving);
    }

    /// Returns the model behind the open lane, as described when its engine was made.
    pub(super) fn model(&self, model: &ModelName) -> Option<ModelEntry> {
        self.lock().serving.get(model).map(|serving| serving.model.clone())
    }

    pub(super) fn closed(&self, model: &ModelName) {
        self.lock().serving.remove(model);
    }

    pub(super) fn serving(&self, model: &ModelName) -> Option<ServingStatus> {
        self.lock().serving.get(model).map(|serving| serving.status.clone())
    }

    pub(super) fn status(&self, model: &ModelName, preference: &ProviderPreference) -> EngineStatus {
        let notes = self.lock();
        let variants: Vec<VariantStatus> = preference
            .variants
            .iter()
            .map(|&variant| {
                let known = notes.variants.get(&(model.clone(), variant)).cloned();
                let (state, built) = known.unwrap_or((VariantState::Unknown, None));
                VariantStatus { variant, state, built }
            })
            .collect();
        let serving = notes.serving.get(model).map(|serving| serving.status.clone());
        let at_work =
            |one: &VariantStatus| matches!(one.state, VariantState::Queued | VariantState::Building { .. });
        EngineStatus {
            model: model.clone(),
            upgrading: serving.is_some() && variants.iter().any(at_work),
            serving,
            variants,
            reasons: preference.reasons.clone(),
        }
    }

    /// No code panics while it holds the lock, so the state of a poisoned lock is consistent.
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Entry> for BuiltStatus {
    fn from(entry: &Entry) -> Self {
        let manifest: &Manifest = &entry.manifest;
        Self {
            entry: folder_name(&entry.dir),
            bytes: manifest.bytes(),
            build: Duration::from_millis(manifest.build_ms),
            acceptance: Duration::from_millis(manifest.acceptance_ms),
            summary: manifest.acceptance.summary(),
        }
    }
}

impl From<Outcome> for BuiltStatus {
    fn from(outcome: Outcome) -> Self {
        Self {
            entry: outcome.entry,
            bytes: outcome.bytes,
            build: Duration::from_millis(outcome.build_ms),
            acceptance: Duration::from_millis(outcome.acceptance_ms),
            summary: outcome.summary,
        }
    }
}

fn folder_name(dir: &std::path::Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
