//! `lector guest test`: reads golden documents in process and compares the results; with `--bless`, writes new
//! expectations.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::compiler::{self, Purpose};
use super::golden::{Expected, Suite, compare, expectation_of};
use super::pipeline_runner::{Reading, faults_of, text_of};
use super::project::Project;
use crate::cli::failure::Failure;
use crate::cli::runtime::block_on;
use crate::cli::terminal;
use crate::config::Config;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Folder of the project, or with --component a folder of golden documents
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Test this component instead of building the project
    #[arg(long, value_name = "FILE.wasm")]
    component: Option<PathBuf>,
    /// Write the results as the new expectations
    #[arg(long)]
    bless: bool,
}

/// Counts of outcomes.
#[derive(Debug, Default)]
struct Tally {
    ok: usize,
    failed: usize,
    written: usize,
    same: usize,
}

pub(super) fn run(args: &Args, config: &Config) -> Result<ExitCode, Failure> {
    let (component, golden) = match &args.component {
        Some(component) => {
            let inside = args.dir.join("golden");
            let golden = if inside.is_dir() { inside } else { args.dir.clone() };
            (component.clone(), golden)
        }
        None => {
            let project = Project::open(&args.dir)?;
            (compiler::build(&project, Purpose::Deploy)?, project.golden())
        }
    };
    let suites = Suite::all(&golden)?;
    if suites.is_empty() {
        let none = anyhow::anyhow!("there is no document in {}: add one, and use --bless", golden.display());
        return Err(none.into());
    }
    let tally = block_on(config, async {
        let mut tally = Tally::default();
        for suite in &suites {
            let reading = Reading::start(config, &component, suite).await?;
            let outcome = through(&reading, suite, &golden, args.bless, &mut tally).await;
            reading.stop().await;
            outcome?;
        }
        Ok(tally)
    })?;
    if args.bless {
        terminal::print(&format!("{} expectations written, {} unchanged\n", tally.written, tally.same))?;
        return Ok(ExitCode::SUCCESS);
    }
    terminal::print(&format!("{} passed, {} failed\n", tally.ok, tally.failed))?;
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn through(
    reading: &Reading,
    suite: &Suite,
    golden: &Path,
    bless: bool,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    for document in &suite.documents {
        let name = document.strip_prefix(golden).unwrap_or(document).display();
        let answer = reading.document(document).await?;
        let read = Expected::of(&answer);
        let file = expectation_of(document);
        if bless {
            let before = std::fs::read(&file).ok();
            read.write(&file)?;
            let changed = std::fs::read(&file).with_context(|| file.display().to_string())?;
            if before.as_ref() == Some(&changed) {
                tally.same += 1;
            } else {
                tally.written += 1;
                terminal::print(&format!("blessed  {name}\n"))?;
            }
            continue;
        }
        let Some(expected) = Expected::read(&file)? else {
            tally.failed += 1;
            let mut report =
                format!("FAILED   {name}\n  it has no expectation; if this result is right, use --bless\n");
            let text = match &answer {
                Ok(result) => text_of(result)?,
                Err(_) => String::new(),
            };
            text.lines()
                .chain(faults_of(&answer).lines())
                .for_each(|line| report.extend(["  | ", line, "\n"]));
            terminal::print(&report)?;
            continue;
        };
        let outcome = compare(&expected, &read, &suite.tolerance);
        let status = if outcome.differs { "FAILED  " } else { "ok      " };
        let mut report = format!("{status} {name}\n");
        outcome.report.lines().for_each(|line| report.extend(["  ", line, "\n"]));
        if outcome.differs {
            faults_of(&answer).lines().for_each(|line| report.extend(["  ", line, "\n"]));
        }
        terminal::print(&report)?;
        if outcome.differs {
            tally.failed += 1;
        } else {
            tally.ok += 1;
        }
    }
    Ok(())
}
