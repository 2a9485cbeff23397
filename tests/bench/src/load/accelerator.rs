//! The gain of merging items across requests in front of an accelerator: a real lane, and a simulated device with given
//! run times. Its figures are not those of a GPU. The measurement is the example `accelerator` of `lector-inference`.

use std::process::Command;

use anyhow::{Context, Result};
use xtask::shell;

use super::Setting;
use crate::report::Report;
use crate::{example, rows};

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
