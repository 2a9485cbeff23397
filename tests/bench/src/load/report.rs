//! The report of a workload: rows of figures, and targets that were met or missed.

use serde_json::{Value, json};

/// Figures and verdicts of one workload.
#[derive(Default)]
pub struct Report {
    rows: Vec<Value>,
    targets: Vec<Target>,
}

struct Target {
    what: String,
    wanted: String,
    got: String,
    met: bool,
}

impl Report {
    /// One row of figures: printed at once, for a measurement can take minutes.
    pub fn row(&mut self, row: Value) {
        let cells = row.as_object().into_iter().flatten().map(|(name, value)| match value.as_f64() {
            Some(number) if value.is_f64() => format!("{name} {number:.3}"),
            _ => format!("{name} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        });
        println!("  {}", cells.collect::<Vec<_>>().join("  "));
        self.rows.push(row);
    }

    /// `got` is to be at most so much.
    pub fn at_most(&mut self, what: &str, wanted: f64, got: f64) {
        self.target(what, format!("at most {wanted:.3}"), format!("{got:.3}"), got <= wanted);
    }

    /// `got` is to be at least so much.
    pub fn at_least(&mut self, what: &str, wanted: f64, got: f64) {
        self.target(what, format!("at least {wanted:.3}"), format!("{got:.3}"), got >= wanted);
    }

    /// There is to be none of it.
    pub fn none(&mut self, what: &str, got: usize) {
        self.target(what, "none".into(), got.to_string(), got == 0);
    }

    fn target(&mut self, what: &str, wanted: String, got: String, met: bool) {
        self.targets.push(Target { what: what.into(), wanted, got, met });
    }

    /// Verdicts, for people.
    pub fn print(&self) {
        for Target { what, wanted, got, met } in &self.targets {
            println!("  {} {what}: {got} (wanted: {wanted})", if *met { "ok    " } else { "MISSED" });
        }
    }

    /// Targets that were missed.
    pub fn missed(&self) -> impl Iterator<Item = String> {
        self.targets
            .iter()
            .filter(|target| !target.met)
            .map(|Target { what, wanted, got, .. }| format!("{what}: {got}, wanted {wanted}"))
    }

    /// For the file.
    pub fn into_json(self) -> Value {
        let targets = self.targets.into_iter().map(|Target { what, wanted, got, met }| {
            json!({ "what": what, "wanted": wanted, "got": got, "met": met })
        });
        json!({ "targets": targets.collect::<Vec<_>>(), "rows": self.rows })
    }
}
