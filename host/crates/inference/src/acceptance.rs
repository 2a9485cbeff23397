//! Acceptance: the check of an engine against the reference before it serves.
//!
//! A model's golden batch runs on the reference (ONNX Runtime's f32 kernels on the CPU) and on the new engine. The
//! outputs are compared by their meaning for the task, and the measures are checked against the thresholds of the
//! model's description. Pure except for the runs. Called by builds and by `lector engines verify`.

mod classification;
mod detection;
mod golden;
mod recognition;

use lector_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::catalog::{Acceptance, ModelEntry, Reduce, Thresholds};
use crate::ctc;
use crate::engine::Engine;
use crate::engine_builder::{LoadedEngine, Source};

use golden::Golden;
pub use golden::Picture;

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether every measure passed.
    pub accepted: bool,
    /// Pictures of the golden batch.
    pub pictures: usize,
    /// Compared runs: each picture alone, and batches.
    pub runs: usize,
    /// The measures.
    pub measures: Vec<Measure>,
}

/// One measure and its limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// As in `model.toml`, e.g. `mask_agreement`.
    pub name: String,
    /// The measured value.
    pub value: f64,
    /// The limit.
    pub limit: f64,
    /// Whether the limit is a minimum. Otherwise it is a maximum.
    pub at_least: bool,
}

impl Measure {
    fn at_least(name: &str, value: f64, limit: f64) -> Self {
        Self { name: name.to_owned(), value, limit, at_least: true }
    }

    fn at_most(name: &str, value: f64, limit: f64) -> Self {
        Self { name: name.to_owned(), value, limit, at_least: false }
    }

    /// Returns whether the value is within its limit. NaN never is.
    pub fn passed(&self) -> bool {
        if self.at_least { self.value >= self.limit } else { self.value <= self.limit }
    }
}

impl std::fmt::Display for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.at_least { "at least" } else { "at most" };
        write!(f, "{} {:.5} ({sign} {})", self.name, self.value, self.limit)
    }
}

impl Verdict {
    fn of(measures: Vec<Measure>, pictures: usize, runs: usize) -> Self {
        Self { accepted: measures.iter().all(Measure::passed), pictures, runs, measures }
    }

    /// Returns the verdict on the reference itself, which has no measures.
    pub(crate) fn reference() -> Self {
        Self::of(Vec::new(), 0, 0)
    }

    /// Returns the failed measures, or all where none failed, in a line.
    pub fn summary(&self) -> String {
        let shown: Vec<String> = self
            .measures
            .iter()
            .filter(|measure| self.accepted || !measure.passed())
            .map(ToString::to_string)
            .collect();
        if shown.is_empty() { "the reference itself".to_owned() } else { shown.join(", ") }
    }
}

/// Returns the outputs to compare, by the model's task.
fn compared_outputs(entry: &ModelEntry, outputs: &[String]) -> Vec<String> {
    match entry.engine.reduce {
        Some(Reduce::Ctc) => vec![ctc::IDS.to_owned(), ctc::CONFIDENCE.to_owned()],
        None => outputs.first().cloned().into_iter().collect(),
    }
}

/// Compares engines of a model with engines of its reference, on its golden batch.
pub(crate) fn evaluate(
    entry: &ModelEntry,
    acceptance: &Acceptance,
    source: &Source,
    reference: &mut LoadedEngine,
    candidate: &mut LoadedEngine,
) -> Result<Verdict, String> {
    let (Some(reference), Some(candidate), Some(input)) =
        (reference.engines.first_mut(), candidate.engines.first_mut(), source.inputs.first())
    else {
        return Err("the model has no engine or no input".to_owned());
    };
    let outputs = compared_outputs(entry, &source.outputs);
    let golden = Golden::read(entry, &acceptance.golden)?;
    compare(acceptance, &golden, input, &outputs, reference.as_mut(), candidate.as_mut())
}

/// Runs the golden batch on both and compares. The error names the failed run and its engine.
fn compare(
    acceptance: &Acceptance,
    golden: &Golden,
    input: &str,
    outputs: &[String],
    reference: &mut dyn Engine,
    candidate: &mut dyn Engine,
) -> Result<Verdict, String> {
    let mut tally = Tally::new(&acceptance.thresholds);
    for (number, tensor) in golden.runs.iter().enumerate() {
        let inputs = [(input.to_owned(), tensor.clone())];
        let run = |engine: &mut dyn Engine, engine_name: &str| {
            engine.run(&inputs, outputs).map_err(|e| {
                format!("golden run {number} of shape {:?} on {engine_name}: {e}", tensor.shape())
            })
        };
        let (expected, found) = (run(reference, "the reference")?, run(candidate, "the new engine")?);
        tally.add(&expected, &found)?;
    }
    Ok(Verdict::of(tally.measures(), golden.pictures, golden.runs.len()))
}

/// Sums over the runs, by task.
enum Tally {
    Detection(detection::Tally),
    Recognition(recognition::Tally),
    Classification(classification::Tally),
}

impl Tally {
    fn new(thresholds: &Thresholds) -> Self {
        match thresholds {
            Thresholds::Detection(limits) => Self::Detection(detection::Tally::new(*limits)),
            Thresholds::Recognition(limits) => Self::Recognition(recognition::Tally::new(*limits)),
            Thresholds::Classification(limits) => Self::Classification(classification::Tally::new(*limits)),
        }
    }

    fn add(&mut self, expected: &[Tensor], found: &[Tensor]) -> Result<(), String> {
        for (expected, found) in expected.iter().zip(found) {
            if expected.shape() != found.shape() {
                let (is, must) = (found.shape(), expected.shape());
                return Err(format!("an output has shape {is:?}, and that of the reference {must:?}"));
            }
        }
        match self {
            Self::Detection(tally) => tally.add(expected, found),
            Self::Recognition(tally) => tally.add(expected, found),
            Self::Classification(tally) => tally.add(expected, found),
        }
    }

    fn measures(&self) -> Vec<Measure> {
        match self {
            Self::Detection(tally) => tally.measures(),
            Self::Recognition(tally) => tally.measures(),
            Self::Classification(tally) => tally.measures(),
        }
    }
}

/// Returns the f32 elements of an output.
fn floats(outputs: &[Tensor], at: usize) -> Result<&[f32], String> {
    let output = outputs.get(at).ok_or_else(|| format!("there is no output {at}"))?;
    output.as_f32().ok_or_else(|| format!("output {at} has no f32 elements"))
}

/// Returns a share; 1 where `whole` is 0.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
