//! `lector models list`: the catalogue, and which of its weights are there.

use std::fmt::Write;
use std::process::ExitCode;

use super::{Failure, terminal};
use crate::app;
use crate::config::Config;

/// What to do with models.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists the catalogue
    List,
}

pub(super) fn run(command: Command, config: &Config) -> Result<ExitCode, Failure> {
    let Command::List = command;
    let models = app::models(&config.engines)?;
    let mut out = format!(
        "{:<24} {:<15} {:>9}  {:<8} {:<14} {}\n",
        "NAME", "TASK", "MB", "WEIGHTS", "LICENCE", "DESCRIPTION"
    );
    for model in &models {
        let _ = writeln!(
            out,
            "{:<24} {:<15} {:>9.1}  {:<8} {:<14} {}",
            model.name,
            model.task,
            model.bytes as f64 / 1e6,
            if model.present { "present" } else { "missing" },
            model.licence,
            model.description,
        );
    }
    terminal::print(&out)?;
    if models.iter().any(|model| !model.present) {
        terminal::complain("some weights are missing: `cargo xtask setup` fetches them");
    }
    Ok(ExitCode::SUCCESS)
}
