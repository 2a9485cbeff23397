//! Acceptance: the check of an engine against the reference before it serves.
//!
//! A model's golden batch runs on the reference (ONNX Runtime's f32 kernels on the CPU) and on the new engine. The
//! outputs are compared by their meaning for the task, and the measures are checked against the thresholds of the
//! model's description. Pure except for the runs. Called by builds and by `lector engines verify`.

mod classification;
mod detection;
mod golden;
mod recognition;
mod report;

use std::time::Duration;

use lector_core::Tensor;

use crate::catalog::{Acceptance, ModelEntry, Reduce, Thresholds};
use crate::ctc;
use crate::engine::Engine;
use crate::engine_builder::{LoadedEngine, Source};

use golden::Golden;
pub use golden::Picture;
pub use report::{AcceptanceReport, Measure};

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
) -> Result<AcceptanceReport, String> {
    let (Some(reference), Some(candidate), Some(input)) =
        (reference.engines.first_mut(), candidate.engines.first_mut(), source.inputs.first())
    else {
        return Err("the model has no engine or no input".to_owned());
    };
    let outputs = compared_outputs(entry, &source.outputs);
    let golden = Golden::read(entry, &acceptance.golden)?;
    compare(acceptance, &golden, input, &outputs, reference.as_mut(), candidate.as_mut())
}

/// Returns the processor time of the golden batch on a candidate, relative to the reference's, in a process that computes
/// nothing else. Both must have run the batch before: they prepare themselves for each shape.
pub(crate) fn relative_processor_time(
    entry: &ModelEntry,
    acceptance: &Acceptance,
    source: &Source,
    reference: &mut LoadedEngine,
    candidate: &mut LoadedEngine,
) -> Result<f64, String> {
    let input = source.inputs.first().ok_or_else(|| "the model has no input".to_owned())?;
    let outputs = compared_outputs(entry, &source.outputs);
    let mut times = [Duration::ZERO; 2];
    for tensor in Golden::read(entry, &acceptance.golden)?.runs {
        let inputs = [(input.clone(), tensor)];
        for (made, time) in [&mut *reference, &mut *candidate].into_iter().zip(&mut times) {
            let started = processor_time();
            if let Some(engine) = made.engines.first_mut() {
                engine.run(&inputs, &outputs)?;
            }
            *time += processor_time().saturating_sub(started);
        }
    }
    let [of_reference, of_candidate] = times.map(|time| time.as_secs_f64());
    Ok(of_candidate / of_reference.max(f64::MIN_POSITIVE))
}

/// Returns the processor time of all threads of this process so far.
fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}

/// Runs the golden batch on both and compares. The error names the failed run and its engine.
fn compare(
    acceptance: &Acceptance,
    golden: &Golden,
    input: &str,
    outputs: &[String],
    reference: &mut dyn Engine,
    candidate: &mut dyn Engine,
) -> Result<AcceptanceReport, String> {
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
    Ok(AcceptanceReport::of(tally.measures(), golden.pictures, golden.runs.len()))
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
