//! Acceptance of other weights in a model's place: used to derive its thresholds (`examples/noise.rs`).

use lector_core::{ModelName, error_chain};

use super::Inference;
use crate::acceptance::{AcceptanceReport, evaluate};
use crate::config::SessionConfig;
use crate::engine_builder::Source;
use crate::provider::EngineVariant;

impl Inference {
    /// Runs the model's golden batch through its own weights and through `weights`, both on the reference provider, and
    /// compares the outputs as acceptance compares those of a new engine.
    pub fn agreement(&self, model: &ModelName, weights: Vec<u8>) -> Result<AcceptanceReport, String> {
        let plane = &self.0;
        let entry = plane.entry(model).map_err(|error| error_chain(&error))?;
        let acceptance = entry.acceptance.as_ref().ok_or_else(|| format!("{model} has no [acceptance]"))?;
        let own = Source::read(&entry).map_err(|error| error_chain(&error))?;
        let other = Source::of(&entry, weights).map_err(|error| error_chain(&error))?;
        let session_config = SessionConfig { sessions: 1, threads: plane.config.threads };
        let make = |source| plane.engine_builder.make(EngineVariant::REFERENCE, source, session_config);
        evaluate(&entry, acceptance, &own, &mut make(&own)?, &mut make(&other)?)
    }
}
