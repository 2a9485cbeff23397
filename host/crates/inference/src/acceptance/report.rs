//! The result of a comparison with the reference: measures and their limits.

use lector_core::Tensor;
use serde::{Deserialize, Serialize};

/// Most processor time, relative to the reference's, of an engine that is said to be faster: less is not worth its memory.
const FASTER_MAX: f64 = 0.95;

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcceptanceReport {
    /// Whether every measure passed.
    pub accepted: bool,
    /// Pictures of the golden batch.
    pub pictures: usize,
    /// Compared runs: each picture alone, and batches.
    pub runs: usize,
    /// The measures.
    pub measures: Vec<Measure>,
    /// Processor time of the golden batch relative to the reference's; where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor_time: Option<f64>,
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
    pub(super) fn at_least(name: &str, value: f64, limit: f64) -> Self {
        Self { name: name.to_owned(), value, limit, at_least: true }
    }

    pub(super) fn at_most(name: &str, value: f64, limit: f64) -> Self {
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

impl AcceptanceReport {
    pub(super) fn of(measures: Vec<Measure>, pictures: usize, runs: usize) -> Self {
        let accepted = measures.iter().all(Measure::passed);
        Self { accepted, pictures, runs, measures, processor_time: None }
    }

    /// Returns why the engine does not serve where it must be faster than the reference; `None`: it is.
    pub(crate) fn slowness(&self) -> Option<String> {
        match self.processor_time {
            Some(ratio) if ratio <= FASTER_MAX => None,
            Some(ratio) => Some(format!(
                "it takes {ratio:.2} of the processor time of cpu/f32 (at most {FASTER_MAX} serves)"
            )),
            None => {
                Some("its processor time was not measured: `lector engines verify` measures it".to_owned())
            }
        }
    }

    /// Returns the report on the reference itself, which has no measures.
    pub(crate) fn reference() -> Self {
        Self::of(Vec::new(), 0, 0)
    }

    /// Returns the failed measures, or all where none failed, in a line.
    pub fn summary(&self) -> String {
        let mut shown: Vec<String> = self
            .measures
            .iter()
            .filter(|measure| self.accepted || !measure.passed())
            .map(ToString::to_string)
            .collect();
        let time = self.processor_time.filter(|_| self.accepted);
        shown.extend(time.map(|ratio| format!("{ratio:.2} of the processor time of cpu/f32")));
        if shown.is_empty() { "the reference itself".to_owned() } else { shown.join(", ") }
    }
}

/// Returns the f32 elements of an output.
pub(super) fn floats(outputs: &[Tensor], at: usize) -> Result<&[f32], String> {
    let output = outputs.get(at).ok_or_else(|| format!("there is no output {at}"))?;
    output.as_f32().ok_or_else(|| format!("output {at} has no f32 elements"))
}

/// Returns a share; 1 where `whole` is 0.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
