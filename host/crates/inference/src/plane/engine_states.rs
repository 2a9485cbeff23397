//! The board: what is known of each model on each rung of its ladder, and what serves now. For people, metrics and the
//! decisions of the improver.

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

/// What is known of a model's engine on a rung.
#[derive(Clone, Debug, PartialEq)]
pub enum VariantState {
    /// Nothing was looked for yet: better rungs served.
    Unknown,
    /// Not built.
    Missing,
    /// Its turn to be built will come.
    Queued,
    /// A builder is at work.
    Building {
        /// At which step.
        step: Step,
        /// Since when.
        since: Instant,
        /// How long the last build of this kind took, its acceptance included.
        estimate: Option<Duration>,
    },
    /// Built and accepted, or the reference, which needs no build.
    Ready,
    /// Built, and not right enough to serve.
    Refused,
    /// It could not be built or loaded.
    Failed {
        /// Why.
        why: String,
        /// How many tries failed one after another.
        attempts: usize,
        /// When it is tried again.
        again: Instant,
        /// Whether the tries that come soon are used up.
        slow: bool,
    },
    /// It may not serve this model.
    Excluded {
        /// Why.
        why: String,
    },
}

impl VariantState {
    /// For the API and the metrics.
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

/// An engine that was built.
#[derive(Clone, Debug, PartialEq)]
pub struct BuiltStatus {
    /// Name of its entry in the cache.
    pub entry: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Time of its build.
    pub build: Duration,
    /// Time of its acceptance.
    pub acceptance: Duration,
    /// What acceptance said.
    pub summary: String,
}

/// One rung of a model's ladder.
#[derive(Clone, Debug, PartialEq)]
pub struct VariantStatus {
    /// Which one.
    pub variant: EngineVariant,
    /// How it stands.
    pub state: VariantState,
    /// What is in the cache for it.
    pub built: Option<BuiltStatus>,
}

/// Who serves a model now.
#[derive(Clone, Debug, PartialEq)]
pub struct ServingStatus {
    /// Provider and precision.
    pub variant: EngineVariant,
    /// The entry that it was loaded from; `None`: straight from the model.
    pub entry: Option<String>,
    /// Since when.
    pub since: SystemTime,
    /// How long loading took.
    pub load: Duration,
}

/// A model and its engines.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineStatus {
    /// Which one.
    pub model: ModelName,
    /// Who serves it; `None`: no lane is open.
    pub serving: Option<ServingStatus>,
    /// Whether a better engine is being built or waits for it.
    pub upgrading: bool,
    /// Its ladder.
    pub variants: Vec<VariantStatus>,
    /// Why it is this ladder.
    pub reasons: Vec<String>,
}

/// What serves, held against collection.
struct Serving {
    status: ServingStatus,
    /// As it was described when the engine was made.
    model: ModelEntry,
    _entry: Option<Entry>,
}

#[derive(Default)]
struct Notes {
    variants: BTreeMap<(ModelName, EngineVariant), (VariantState, Option<BuiltStatus>)>,
    /// How often a rung failed since it was last loaded.
    failures: BTreeMap<(ModelName, EngineVariant), usize>,
    /// What the last look at a rung stood on.
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

    /// Counts one more failure, and answers how many there are.
    pub(super) fn count_failure(&self, model: &ModelName, variant: EngineVariant) -> usize {
        let mut notes = self.lock();
        let count = notes.failures.entry((model.clone(), variant)).or_default();
        *count += 1;
        *count
    }

    pub(super) fn forget_failures(&self, model: &ModelName, variant: EngineVariant) {
        self.lock().failures.remove(&(model.clone(), variant));
    }

    /// Notes what a look at a rung stands on. True: it may have another end than the last one.
    pub(super) fn depends_on(
        &self,
        model: &ModelName,
        variant: EngineVariant,
        input_fingerprint: InputFingerprint,
    ) -> bool {
        let before = self.lock().fingerprints.insert((model.clone(), variant), input_fingerprint.clone());
        before.is_some_and(|before| input_fingerprint.is_other_than(&before))
    }

    /// Rungs that failed, and why; of one model, or of all that were looked at.
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

    /// A look is over: what it did not come to, as something better serves, waits for nothing.
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

    /// The model behind the open lane, as it was described when its engine was made.
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

    /// Nothing panics while it is held, so a poisoned lock holds a sound state.
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
            summary: manifest.verdict.summary(),
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
