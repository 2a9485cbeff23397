//! The report of a workload: rows of figures, and targets that were met or missed.

use serde_json::{Value, json};

/// Figures and targets of a workload.
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
    /// Adds a row of figures and prints it at once, because a measurement can take minutes.
    pub fn row(&mut self, row: Value) {
        let cells = row.as_object().into_iter().flatten().map(|(name, value)| match value.as_f64() {
            Some(number) if value.is_f64() => format!("{name} {number:.3}"),
            _ => format!("{name} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        });
        println!("  {}", cells.collect::<Vec<_>>().join("  "));
        self.rows.push(row);
    }

    /// Adds a target: `got` is at most `wanted`.
    pub fn at_most(&mut self, what: &str, wanted: f64, got: f64) {
        self.target(what, format!("at most {wanted:.3}"), format!("{got:.3}"), got <= wanted);
    }

    /// Adds a target: `got` is at least `wanted`.
    pub fn at_least(&mut self, what: &str, wanted: f64, got: f64) {
        self.target(what, format!("at least {wanted:.3}"), format!("{got:.3}"), got >= wanted);
    }

    /// Adds a target: `got` is zero.
    pub fn none(&mut self, what: &str, got: usize) {
        self.target(what, "none".into(), got.to_string(), got == 0);
    }

    fn target(&mut self, what: &str, wanted: String, got: String, met: bool) {
        self.targets.push(Target { what: what.into(), wanted, got, met });
    }

    /// Prints the targets.
    pub fn print(&self) {
        for Target { what, wanted, got, met } in &self.targets {
            println!("  {} {what}: {got} (wanted: {wanted})", if *met { "ok    " } else { "MISSED" });
        }
    }

    /// Returns the missed targets.
    pub fn missed(&self) -> impl Iterator<Item = String> {
        self.targets
            .iter()
            .filter(|target| !target.met)
            .map(|Target { what, wanted, got, .. }| format!("{what}: {got}, wanted {wanted}"))
    }

    /// Returns the report for the result file.
    pub fn into_json(self) -> Value {
        let targets = self.targets.into_iter().map(|Target { what, wanted, got, met }| {
            json!({ "what": what, "wanted": wanted, "got": got, "met": met })
        });
        json!({ "targets": targets.collect::<Vec<_>>(), "rows": self.rows })
    }
}
