//! `lector doctor`: checks what a server needs from this machine.

use std::process::ExitCode;

use super::failure::Failure;
use super::runtime::block_on;
use super::terminal;
use crate::config::Config;
use crate::doctor::{self, Finding, Level};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the findings. The exit code is 1 if a server could not start or not read documents.
pub(super) fn run(args: &Args, config: &Config) -> Result<ExitCode, Failure> {
    let findings = block_on(config, async { Ok(doctor::findings(config).await) })?;
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    let text = if args.json {
        let text = serde_json::to_string_pretty(&findings).map_err(anyhow::Error::from)?;
        text + "\n"
    } else {
        let lines: String = findings.iter().map(line).collect();
        let end = match worst {
            Level::Ok => "The server can start: lector serve",
            Level::Warning => "The server can start. The warnings say what would be better.",
            Level::Failure => {
                "The server cannot work until the failures are mended; then run `lector doctor` again."
            }
        };
        format!("{lines}\n{end}\n")
    };
    terminal::print(&text)?;
    Ok(if worst == Level::Failure { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn line(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "WARNING",
        Level::Failure => "FAILURE",
    };
    let action = finding.action.as_ref().map_or(String::new(), |action| format!("{:31}-> {action}\n", ""));
    format!("{level:<8} {:<21} {}\n{action}", finding.subject, finding.found)
}
