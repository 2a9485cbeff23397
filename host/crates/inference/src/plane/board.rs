//! The board: what is known of each model on each rung of its ladder, and what serves now. For people, metrics and the
//! decisions of the improver.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use lector_core::ModelName;

use super::basis::Basis;
use crate::build::{Outcome, Step};
use crate::cache::{Entry, Manifest};
use crate::catalogue::ModelEntry;
use crate::ladder::Ladder;
use crate::provider::Rung;

/// What is known of a model's engine on a rung.
#[derive(Clone, Debug, PartialEq)]
pub enum RungState {
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
        tries: usize,
        /// When it is tried again.
        again: Instant,
        /// Whether the tries that come soon are used up.
        rarely: bool,
    },
    /// It may not serve this model.
    Excluded {
        /// Why.
        why: String,
    },
}

impl RungState {
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
pub struct RungStatus {
    /// Which one.
    pub rung: Rung,
    /// How it stands.
    pub state: RungState,
    /// What is in the cache for it.
    pub built: Option<BuiltStatus>,
}

/// Who serves a model now.
#[derive(Clone, Debug, PartialEq)]
pub struct ServingStatus {
    /// Provider and precision.
    pub rung: Rung,
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
    pub improving: bool,
    /// Its ladder.
    pub rungs: Vec<RungStatus>,
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
    rungs: BTreeMap<(ModelName, Rung), (RungState, Option<BuiltStatus>)>,
    /// How often a rung failed since it was last loaded.
    failures: BTreeMap<(ModelName, Rung), usize>,
    /// What the last look at a rung stood on.
    bases: BTreeMap<(ModelName, Rung), Basis>,
    serving: BTreeMap<ModelName, Serving>,
}

#[derive(Default)]
pub(super) struct Board(Mutex<Notes>);

impl Board {
    pub(super) fn note(&self, model: &ModelName, rung: Rung, state: RungState) {
        let mut notes = self.lock();
        let place = notes.rungs.entry((model.clone(), rung)).or_insert((RungState::Unknown, None));
        place.0 = state;
    }

    pub(super) fn built(&self, model: &ModelName, rung: Rung, built: BuiltStatus) {
        let mut notes = self.lock();
        let place = notes.rungs.entry((model.clone(), rung)).or_insert((RungState::Unknown, None));
        place.1 = Some(built);
    }

    pub(super) fn state(&self, model: &ModelName, rung: Rung) -> RungState {
        let notes = self.lock();
        notes.rungs.get(&(model.clone(), rung)).map_or(RungState::Unknown, |(state, _)| state.clone())
    }

    /// Counts one more failure, and answers how many there are.
    pub(super) fn count_failure(&self, model: &ModelName, rung: Rung) -> usize {
        let mut notes = self.lock();
        let count = notes.failures.entry((model.clone(), rung)).or_default();
        *count += 1;
        *count
    }

    pub(super) fn forget_failures(&self, model: &ModelName, rung: Rung) {
        self.lock().failures.remove(&(model.clone(), rung));
    }

    /// Notes what a look at a rung stands on. True: it may have another end than the last one.
    pub(super) fn stands_on(&self, model: &ModelName, rung: Rung, basis: Basis) -> bool {
        let before = self.lock().bases.insert((model.clone(), rung), basis.clone());
        before.is_some_and(|before| basis.is_other_than(&before))
    }

    /// Rungs that failed, and why; of one model, or of all that were looked at.
    pub(super) fn failed(&self, of: Option<&ModelName>) -> Vec<(ModelName, Rung, String)> {
        let notes = self.lock();
        let of_it = notes.rungs.iter().filter(|((model, _), _)| of.is_none_or(|of| of == model));
        of_it
            .filter_map(|((model, rung), (state, _))| match state {
                RungState::Failed { why, .. } => Some((model.clone(), *rung, why.clone())),
                _ => None,
            })
            .collect()
    }

    /// A look is over: what it did not come to, as something better serves, waits for nothing.
    pub(super) fn nothing_queued(&self, model: &ModelName) {
        for ((of, _), (state, _)) in &mut self.lock().rungs {
            if of == model && *state == RungState::Queued {
                *state = RungState::Missing;
            }
        }
    }

    pub(super) fn serves(&self, model: &ModelEntry, rung: Rung, entry: Option<Entry>, load: Duration) {
        let name = entry.as_ref().map(|entry| folder_name(&entry.dir));
        let status = ServingStatus { rung, entry: name, since: SystemTime::now(), load };
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

    pub(super) fn status(&self, model: &ModelName, ladder: &Ladder) -> EngineStatus {
        let notes = self.lock();
        let rungs: Vec<RungStatus> = ladder
            .rungs
            .iter()
            .map(|&rung| {
                let known = notes.rungs.get(&(model.clone(), rung)).cloned();
                let (state, built) = known.unwrap_or((RungState::Unknown, None));
                RungStatus { rung, state, built }
            })
            .collect();
        let serving = notes.serving.get(model).map(|serving| serving.status.clone());
        let at_work = |one: &RungStatus| matches!(one.state, RungState::Queued | RungState::Building { .. });
        EngineStatus {
            model: model.clone(),
            improving: serving.is_some() && rungs.iter().any(at_work),
            serving,
            rungs,
            reasons: ladder.reasons.clone(),
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
