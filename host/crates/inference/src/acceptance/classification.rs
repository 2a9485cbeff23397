//! Classification: agreement of labels, and difference of their confidence.

use lector_core::Tensor;

use super::report::{Measure, floats, ratio};
use crate::catalog::ClassificationLimits;

pub(super) struct Tally {
    limits: ClassificationLimits,
    rows: u64,
    same: u64,
    drift: f64,
    broken: u64,
}

impl Tally {
    pub(super) fn new(limits: ClassificationLimits) -> Self {
        Self { limits, rows: 0, same: 0, drift: 0.0, broken: 0 }
    }

    pub(super) fn add(&mut self, expected: &[Tensor], found: &[Tensor]) -> Result<(), String> {
        let classes = expected.first().and_then(|output| output.shape().last().copied()).unwrap_or(1).max(1);
        let (expected, found) = (floats(expected, 0)?, floats(found, 0)?);
        for (expected, found) in expected.chunks_exact(classes).zip(found.chunks_exact(classes)) {
            let (label, score) = best(expected);
            self.rows += 1;
            self.same += u64::from(best(found).0 == label);
            self.drift += f64::from((score - found.get(label).copied().unwrap_or(0.0)).abs());
            self.broken += found.iter().filter(|value| !value.is_finite()).count() as u64;
        }
        Ok(())
    }

    pub(super) fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::at_least(
                "label_agreement",
                ratio(self.same, self.rows),
                self.limits.label_agreement_min,
            ),
            Measure::at_most(
                "confidence_drift",
                self.drift / self.rows.max(1) as f64,
                self.limits.confidence_drift_max,
            ),
            Measure::at_most("not_finite", self.broken as f64, 0.0),
            Measure::at_least("rows_compared", self.rows as f64, 1.0),
        ]
    }
}

fn best(scores: &[f32]) -> (usize, f32) {
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or((0, 0.0), |(label, &score)| (label, score))
}
