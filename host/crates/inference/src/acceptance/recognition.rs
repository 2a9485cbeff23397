//! Recognition: agreement of characters, and difference of their confidence.

use lector_core::{Tensor, TensorData};

use super::report::{Measure, floats, ratio};
use crate::catalog::RecognitionLimits;

/// The class between characters in CTC.
const BLANK: i64 = 0;

pub(super) struct Tally {
    limits: RecognitionLimits,
    characters: u64,
    wrong: u64,
    drift: f64,
    broken: u64,
}

/// A decoded line: classes and their confidence.
type Line = Vec<(i64, f32)>;

impl Tally {
    pub(super) fn new(limits: RecognitionLimits) -> Self {
        Self { limits, characters: 0, wrong: 0, drift: 0.0, broken: 0 }
    }

    pub(super) fn add(&mut self, expected: &[Tensor], found: &[Tensor]) -> Result<(), String> {
        self.broken += found
            .iter()
            .filter_map(Tensor::as_f32)
            .map(|values| values.iter().filter(|value| !value.is_finite()).count() as u64)
            .sum::<u64>();
        for (expected, found) in lines(expected)?.iter().zip(&lines(found)?) {
            self.characters += expected.len() as u64;
            self.wrong += distance(expected, found) as u64;
            self.drift += f64::from((mean(expected) - mean(found)).abs()) * expected.len() as f64;
        }
        Ok(())
    }

    pub(super) fn measures(&self) -> Vec<Measure> {
        let agreement = 1.0 - ratio(self.wrong, self.characters.max(1));
        let drift = self.drift / self.characters.max(1) as f64;
        vec![
            Measure::at_least("character_agreement", agreement, self.limits.character_agreement_min),
            Measure::at_most("confidence_drift", drift, self.limits.confidence_drift_max),
            Measure::at_most("not_finite", self.broken as f64, 0.0),
            // A batch in which the reference reads no character proves nothing.
            Measure::at_least("characters_compared", self.characters as f64, 1.0),
        ]
    }
}

/// Returns the lines of an output: from `ids` and `confidence`, or from the scores of the classes at each step.
fn lines(outputs: &[Tensor]) -> Result<Vec<Line>, String> {
    let first = outputs.first().ok_or_else(|| "there is no output".to_owned())?;
    let steps: Vec<(i64, f32)> = match first.data() {
        TensorData::S64(ids) => ids.iter().copied().zip(floats(outputs, 1)?.iter().copied()).collect(),
        _ => {
            let classes = first.shape().last().copied().unwrap_or(1).max(1);
            floats(outputs, 0)?.chunks_exact(classes).map(best).collect()
        }
    };
    let per_row = first.shape().get(1).copied().unwrap_or(1).max(1);
    Ok(steps.chunks(per_row).map(decoded).collect())
}

fn best(scores: &[f32]) -> (i64, f32) {
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or((BLANK, 0.0), |(class, &score)| (i64::try_from(class).unwrap_or(BLANK), score))
}

/// Decodes the best path (Graves et al. 2006): repetitions are one character, blanks none.
fn decoded(steps: &[(i64, f32)]) -> Line {
    let mut before = BLANK;
    let mut line = Line::new();
    for &(class, score) in steps {
        if class != BLANK && class != before {
            line.push((class, score));
        }
        before = class;
    }
    line
}

fn mean(line: &Line) -> f32 {
    if line.is_empty() { 0.0 } else { line.iter().map(|(_, score)| score).sum::<f32>() / line.len() as f32 }
}

/// Returns the Levenshtein distance of the characters.
fn distance(a: &Line, b: &Line) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, (left, _)) in a.iter().enumerate() {
        let (mut diagonal, mut last) = (i, i + 1);
        let mut next = vec![last];
        for ((right, _), &above) in b.iter().zip(row.iter().skip(1)) {
            last = (diagonal + usize::from(left != right)).min(above + 1).min(last + 1);
            diagonal = above;
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ids: &[i64]) -> Line {
        ids.iter().map(|&id| (id, 0.5)).collect()
    }

    #[test]
    fn repetitions_and_blanks_are_no_characters() {
        let check = |steps: &[i64], expect: &[i64]| assert_eq!(decoded(&line(steps)), line(expect));
        check(&[0, 5, 5, 0, 5, 7, 7], &[5, 5, 7]);
        check(&[0, 0], &[]);
        check(&[], &[]);
    }

    #[test]
    fn distances_are_edits() {
        let check = |a: &[i64], b: &[i64], expect: usize| assert_eq!(distance(&line(a), &line(b)), expect);
        check(&[], &[], 0);
        check(&[1, 2, 3], &[1, 2, 3], 0);
        check(&[1, 2, 3], &[1, 3], 1);
        check(&[1, 2, 3], &[1, 9, 3], 1);
        check(&[1, 2], &[], 2);
        check(&[], &[4], 1);
        check(&[1, 2, 3, 4], &[2, 3, 4, 5], 2);
    }
}
