//! What acceptance would say of other weights in a model's place: for those who derive its thresholds (`examples/noise.rs`).

use lector_core::ModelName;

use super::Inference;
use crate::acceptance::{Verdict, judge};
use crate::config::Seats;
use crate::error::chain;
use crate::forge::Source;
use crate::provider::Rung;

impl Inference {
    /// Runs the model's golden batch through its own weights and through these, both on the reference's kernels, and holds
    /// the one against the other as it would hold a new engine.
    pub fn agreement(&self, model: &ModelName, weights: Vec<u8>) -> Result<Verdict, String> {
        let plane = &self.0;
        let entry = plane.entry(model).map_err(|error| chain(&error))?;
        let acceptance = entry.acceptance.as_ref().ok_or_else(|| format!("{model} has no [acceptance]"))?;
        let own = Source::read(&entry).map_err(|error| chain(&error))?;
        let other = Source::of(&entry, weights).map_err(|error| chain(&error))?;
        let seats = Seats { sessions: 1, threads: plane.config.threads };
        let make = |source| plane.forge.make(Rung::REFERENCE, source, seats);
        judge(&entry, acceptance, &own, &mut make(&own)?, &mut make(&other)?)
    }
}
