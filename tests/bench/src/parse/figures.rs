//! Figures of scorers beside those that are asked for.

use serde_json::{Value, json};

/// What is asked of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Asked {
    /// At least this.
    Least(f64),
    /// At most this.
    Most(f64),
    /// The figure is for comparison.
    Nothing,
}

/// One figure of a set.
#[derive(Debug)]
pub struct Figure {
    set: String,
    measure: String,
    asked: Asked,
    /// Not a number: the scorer did not print it.
    got: f64,
}

impl Figure {
    /// Makes a figure.
    pub fn new(set: &str, measure: &str, asked: Asked, got: f64) -> Self {
        Self { set: set.to_owned(), measure: measure.to_owned(), asked, got }
    }

    /// Returns whether something is asked of it.
    pub fn is_asked(&self) -> bool {
        self.asked != Asked::Nothing
    }

    /// Returns whether it is not what was asked; a figure that is missing is missed.
    pub fn is_missed(&self) -> bool {
        match self.asked {
            Asked::Least(wanted) => self.got.is_nan() || self.got < wanted,
            Asked::Most(wanted) => self.got.is_nan() || self.got > wanted,
            Asked::Nothing => self.got.is_nan(),
        }
    }

    /// Returns the row of the table.
    pub fn row(&self) -> Value {
        let asked = match self.asked {
            Asked::Least(wanted) => format!(">= {wanted}"),
            Asked::Most(wanted) => format!("<= {wanted}"),
            Asked::Nothing => String::new(),
        };
        let result = match (self.is_missed(), self.is_asked()) {
            (true, _) => "MISSED",
            (false, true) => "ok",
            (false, false) => "",
        };
        json!({ "set": self.set, "measure": self.measure, "asked": asked, "got": self.got, "result": result })
    }
}

/// Returns the figures of a scorer's output, by JSON pointers.
pub fn figures<'a>(
    set: &'a str,
    scores: &'a Value,
    asked: &'a [(&'a str, Asked)],
) -> impl Iterator<Item = Figure> + 'a {
    asked.iter().map(move |(pointer, asked)| {
        let got = scores.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
        Figure::new(set, &pointer.trim_start_matches('/').replace('/', " "), *asked, got)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_figure_is_missed_by_what_was_asked() {
        let scores = json!({ "teds": 0.9, "heading": { "f1": 0.85 }, "order": 0.06, "passed": 63 });
        let asked = [
            ("/teds", Asked::Least(0.92)),
            ("/heading/f1", Asked::Least(0.85)),
            ("/order", Asked::Most(0.06)),
            ("/passed", Asked::Nothing),
            ("/none", Asked::Nothing),
            ("/none", Asked::Most(1.0)),
        ];
        let found: Vec<Figure> = figures("set", &scores, &asked).collect();
        let missed: Vec<bool> = found.iter().map(Figure::is_missed).collect();
        assert_eq!(missed, [true, false, false, false, true, true]);
        assert_eq!(found[1].measure, "heading f1");
        assert_eq!(found[0].row()["result"], "MISSED");
        assert_eq!(found[3].row()["asked"], "");
    }
}
