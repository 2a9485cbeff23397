//! Early retries of failed engine variants: after a change of their inputs, or at an operator's request.
//!
//! A failure is valid for its [`InputFingerprint`]. The upgrader thread periodically compares the fingerprints of open
//! models that a better variant could serve; an opening always compares them.

use std::sync::{Arc, PoisonError};

use lector_core::{Fault, Kind, ModelName, error_chain};

use super::Plane;
use super::engine_states::VariantState;
use super::input_fingerprint::InputFingerprint;
use crate::catalog::{CatalogError, ModelEntry};
use crate::provider::EngineVariant;

impl Plane {
    /// Returns the current inputs of an attempt at an engine variant.
    pub(super) fn input_fingerprint(&self, entry: &ModelEntry, variant: EngineVariant) -> InputFingerprint {
        let key = self.engine_builder.key(entry, variant, self.config.plan.session_config(entry.task));
        InputFingerprint::of(entry, &key, &self.cache, Self::excluded(entry, variant), self.catalog_error())
    }

    /// Retries failed variants whose inputs have changed. Stats files and reads descriptions; does nothing where no
    /// variant waits.
    pub(super) fn check_inputs(&self) {
        let lanes = self.now();
        let waiting: Vec<(&ModelName, Vec<EngineVariant>)> = lanes
            .keys()
            .map(|model| (model, self.waiting(model)))
            .filter(|(_, variants)| !variants.is_empty())
            .collect();
        if waiting.is_empty() {
            return;
        }
        // An error is part of the fingerprint.
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
            tracing::info!(%model, variants = ?changed, "the inputs of an engine variant have changed: it is tried again");
            self.retry(model, &changed);
        }
    }

    /// Returns the wanted variants of an open model that are neither ready nor queued nor in build.
    fn waiting(&self, model: &ModelName) -> Vec<EngineVariant> {
        let waits = |variant: &EngineVariant| {
            let state = self.engine_states.state(model, *variant);
            !matches!(state, VariantState::Ready | VariantState::Queued | VariantState::Building { .. })
        };
        self.wanted(model).into_iter().filter(waits).collect()
    }

    /// Returns the failed variants of one model or of all; `model_unknown` where the catalog has no such model.
    pub(super) fn failed(
        &self,
        model: Option<&ModelName>,
    ) -> Result<Vec<(ModelName, EngineVariant, String)>, Fault> {
        if let Some(name) = model
            && self.entry(name).is_err()
        {
            let message =
                format!("Model `{name}` is not in the catalog; `lector models list` shows the models.");
            return Err(Fault::new(Kind::NotFound, "model_unknown", message));
        }
        Ok(self.engine_states.failed(model))
    }

    /// Resets the failures of variants: they are tried at once where a lane is open, else at the next opening.
    pub(super) fn retry(&self, model: &ModelName, variants: &[EngineVariant]) {
        let open = self.now().contains_key(model);
        for &variant in variants {
            // The state may have changed since the caller read it.
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

    /// Returns the error of the last read of the catalog.
    fn catalog_error(&self) -> Option<String> {
        self.catalog_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the catalog again; after an error the previous catalog stays in use.
    pub(super) fn reread(&self) -> Result<(), CatalogError> {
        // Taken before the read, so that an earlier read does not replace a later one.
        let mut before = self.catalog_error.lock().unwrap_or_else(PoisonError::into_inner);
        let read = self.config.catalog();
        let catalog_error = read.as_ref().err().map(|error| error_chain(error));
        if let Some(error) = catalog_error.as_ref().filter(|_| *before != catalog_error) {
            tracing::warn!(error, "the catalog cannot be read again; the previous one stays in use");
        }
        *before = catalog_error;
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read?);
        Ok(())
    }
}
