//! What gives a rung that waits another try before its time: a change of what it stands on, or an operator's wish.
//!
//! A failure holds for its [`InputFingerprint`]. The improver's thread looks now and then at those of open models that something better
//! could serve; whoever opens a model looks anyway.

use std::sync::{Arc, PoisonError};

use lector_core::{Fault, Kind, ModelName};

use super::Plane;
use super::engine_states::VariantState;
use super::input_fingerprint::InputFingerprint;
use crate::catalog::{CatalogError, ModelEntry};
use crate::error::chain;
use crate::provider::EngineVariant;

impl Plane {
    /// What a try of a rung stands on now.
    pub(super) fn input_fingerprint(&self, entry: &ModelEntry, variant: EngineVariant) -> InputFingerprint {
        let key = self.engine_builder.key(entry, variant, self.config.plan.session_config(entry.task));
        InputFingerprint::of(entry, &key, &self.cache, Self::excluded(entry, variant), self.catalog_error())
    }

    /// Has models looked at again whose rungs wait, where what they stand on has changed. Looks at files' sizes and times,
    /// and reads descriptions; nothing at all where nothing waits.
    pub(super) fn check_for_changes(&self) {
        let lanes = self.now();
        let waiting: Vec<(&ModelName, Vec<EngineVariant>)> = lanes
            .keys()
            .map(|model| (model, self.waiting(model)))
            .filter(|(_, variants)| !variants.is_empty())
            .collect();
        if waiting.is_empty() {
            return;
        }
        // What is wrong with it is part of what the rungs stand on.
        let _ = self.reread();
        for (model, variants) in waiting {
            let Ok(entry) = self.entry(model) else { continue };
            let changed = |variant: &EngineVariant| {
                self.engine_states.depends_on(model, *variant, self.input_fingerprint(&entry, *variant))
            };
            let changed: Vec<EngineVariant> = variants.into_iter().filter(changed).collect();
            if changed.is_empty() {
                continue;
            }
            tracing::info!(%model, variants = ?changed, "what an engine stands on has changed: it is tried again");
            self.retry(model, &changed);
        }
    }

    /// Rungs that could serve an open model better than what does, or as its own engine, and do not.
    fn waiting(&self, model: &ModelName) -> Vec<EngineVariant> {
        let waits = |variant: &EngineVariant| {
            let state = self.engine_states.state(model, *variant);
            !matches!(state, VariantState::Ready | VariantState::Queued | VariantState::Building { .. })
        };
        self.wanted(model).into_iter().filter(waits).collect()
    }

    /// Rungs that failed, of one model or of all: `model_unknown` where the catalog has none of that name.
    pub(super) fn failed(
        &self,
        model: Option<&ModelName>,
    ) -> Result<Vec<(ModelName, EngineVariant, String)>, Fault> {
        if let Some(name) = model
            && self.entry(name).is_err()
        {
            let message =
                format!("There is no model `{name}` in the catalog: `lector models list` shows what is.");
            return Err(Fault::new(Kind::NotFound, "model_unknown", message));
        }
        Ok(self.engine_states.failed(model))
    }

    /// Has rungs tried again as if they had never failed: at once where a lane is open, else when one is opened.
    pub(super) fn retry(&self, model: &ModelName, variants: &[EngineVariant]) {
        let open = self.now().contains_key(model);
        for &variant in variants {
            // Whoever asks may be late.
            if matches!(
                self.engine_states.state(model, variant),
                VariantState::Building { .. } | VariantState::Ready
            ) {
                continue;
            }
            self.engine_states.forget_failures(model, variant);
            self.engine_states.note(
                model,
                variant,
                if open { VariantState::Queued } else { VariantState::Unknown },
            );
        }
        if open {
            self.upgrader.enqueue(model);
        }
    }

    /// Why the catalog could not be read the last time.
    fn catalog_error(&self) -> Option<String> {
        self.catalog_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the catalog again; where that fails it stays as it was.
    pub(super) fn reread(&self) -> Result<(), CatalogError> {
        let read = self.config.catalog();
        let catalog_error = read.as_ref().err().map(|error| chain(error));
        let mut before = self.catalog_error.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = catalog_error.as_ref().filter(|_| *before != catalog_error) {
            tracing::warn!(error, "the catalog cannot be read again; it stays as it was");
        }
        *before = catalog_error;
        drop(before);
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read?);
        Ok(())
    }
}
