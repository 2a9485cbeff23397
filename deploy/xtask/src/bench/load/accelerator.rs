//! What merging across requests gains in front of an accelerator: a real lane, a device whose runs take as long as one is
//! told. It stands in for no GPU's figure. The measurement is the example `accelerator` of `lector-inference`.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::super::example;
use super::Setting;
use super::report::Report;
use crate::shell;

pub fn run(setting: &Setting<'_>) -> Result<Report> {
    let seconds = if setting.short { 0.5 } else { setting.seconds.min(10.0) };
    let program = example(setting.places, "accelerator")?;
    let text = shell::output(Command::new(program).arg(format!("seconds={seconds}")))
        .context("the simulated accelerator")?;
    let mut report = Report::default();
    for row in rows(&text)? {
        if let Some(gain) = row["gain"].as_f64() {
            report.at_least(
                "SIMULATED: merged across requests, to merged within each, 20 clients",
                3.0,
                gain,
            );
        }
        report.row(row);
    }
    Ok(report)
}

/// What it printed of JSON, a row a line.
pub fn rows(text: &str) -> Result<Vec<Value>> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).context("a row is no JSON")).collect()
}
