//! What gives a rung that waits another try before its time: a change of what it stands on, or an operator's wish.
//!
//! A failure holds for its [`Basis`]. The improver's thread looks now and then at those of open models that something better
//! could serve; whoever opens a model looks anyway.

use std::sync::{Arc, PoisonError};

use lector_core::{Fault, Kind, ModelName};

use super::Plane;
use super::basis::Basis;
use super::board::RungState;
use crate::catalogue::{CatalogueError, ModelEntry};
use crate::error::chain;
use crate::provider::Rung;

impl Plane {
    /// What a try of a rung stands on now.
    pub(super) fn basis(&self, entry: &ModelEntry, rung: Rung) -> Basis {
        let key = self.forge.key(entry, rung, self.config.plan.seats(entry.task));
        Basis::of(entry, &key, &self.cache, Self::excluded(entry, rung), self.trouble())
    }

    /// Has models looked at again whose rungs wait, where what they stand on has changed. Looks at files' sizes and times,
    /// and reads descriptions; nothing at all where nothing waits.
    pub(super) fn look_for_changes(&self) {
        let lanes = self.now();
        let waiting: Vec<(&ModelName, Vec<Rung>)> = lanes
            .keys()
            .map(|model| (model, self.waiting(model)))
            .filter(|(_, rungs)| !rungs.is_empty())
            .collect();
        if waiting.is_empty() {
            return;
        }
        // What is wrong with it is part of what the rungs stand on.
        let _ = self.reread();
        for (model, rungs) in waiting {
            let Ok(entry) = self.entry(model) else { continue };
            let changed = |rung: &Rung| self.board.stands_on(model, *rung, self.basis(&entry, *rung));
            let changed: Vec<Rung> = rungs.into_iter().filter(changed).collect();
            if changed.is_empty() {
                continue;
            }
            tracing::info!(%model, rungs = ?changed, "what an engine stands on has changed: it is tried again");
            self.try_again(model, &changed);
        }
    }

    /// Rungs that could serve an open model better than what does, or as its own engine, and do not.
    fn waiting(&self, model: &ModelName) -> Vec<Rung> {
        let waits = |rung: &Rung| {
            let state = self.board.state(model, *rung);
            !matches!(state, RungState::Ready | RungState::Queued | RungState::Building { .. })
        };
        self.wanted(model).into_iter().filter(waits).collect()
    }

    /// Rungs that failed, of one model or of all: `model_unknown` where the catalogue has none of that name.
    pub(super) fn failed(&self, model: Option<&ModelName>) -> Result<Vec<(ModelName, Rung, String)>, Fault> {
        if let Some(name) = model
            && self.entry(name).is_err()
        {
            let message =
                format!("There is no model `{name}` in the catalogue: `lector models list` shows what is.");
            return Err(Fault::new(Kind::NotFound, "model_unknown", message));
        }
        Ok(self.board.failed(model))
    }

    /// Has rungs tried again as if they had never failed: at once where a lane is open, else when one is opened.
    pub(super) fn try_again(&self, model: &ModelName, rungs: &[Rung]) {
        let open = self.now().contains_key(model);
        for &rung in rungs {
            // Whoever asks may be late.
            if matches!(self.board.state(model, rung), RungState::Building { .. } | RungState::Ready) {
                continue;
            }
            self.board.forget_failures(model, rung);
            self.board.note(model, rung, if open { RungState::Queued } else { RungState::Unknown });
        }
        if open {
            self.improver.enqueue(model);
        }
    }

    /// Why the catalogue could not be read the last time.
    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the catalogue again; where that fails it stays as it was.
    pub(super) fn reread(&self) -> Result<(), CatalogueError> {
        let read = self.config.catalogue();
        let trouble = read.as_ref().err().map(|error| chain(error));
        let mut before = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = trouble.as_ref().filter(|_| *before != trouble) {
            tracing::warn!(error, "the catalogue cannot be read again; it stays as it was");
        }
        *before = trouble;
        drop(before);
        *self.catalogue.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read?);
        Ok(())
    }
}
