//! `lector models`: the catalog, what is known of a model, whether it is what it says, and models of one's own.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Failure, terminal};
use crate::app::{self, ModelOrder};
use crate::config::Config;
use crate::telemetry;

/// What to do with models.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists the catalog
    List,
    /// Shows a model's description, its files, its engines
    Get {
        /// As `lector models list` names it
        model: String,
    },
    /// Holds models against their files, and runs their golden batches on every rung of their ladders
    Verify(Verify),
    /// Takes an ONNX file of one's own into the catalog, if it is what it is said to be
    Add(Add),
}

/// Which models.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// Models of the catalog
    #[arg(required_unless_present = "all")]
    models: Vec<String>,
    /// Every model of the catalog
    #[arg(long, conflicts_with = "models")]
    all: bool,
}

/// A model of one's own.
#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// The ONNX file; it is copied
    weights: PathBuf,
    /// Name in the catalog: a-z, 0-9, `-` and `.`
    #[arg(long)]
    name: String,
    /// detection, recognition or classification (default: that of --like)
    #[arg(long, required_unless_present = "like")]
    task: Option<String>,
    /// A model of the catalog that it is like: it takes over what no file tells, preprocessing, shapes, golden batch and
    /// limits. Without it the description says nothing of preprocessing, and only cpu/f32 may serve it
    #[arg(long, value_name = "MODEL")]
    like: Option<String>,
    /// Texts of its classes, a line each (default: from the file's metadata)
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// What it does, in a sentence
    #[arg(long)]
    description: Option<String>,
    /// License of the weights, an SPDX expression
    #[arg(long, default_value = "LicenseRef-own")]
    license: String,
}

pub(super) fn run(command: Command, config: &Config) -> Result<ExitCode, Failure> {
    match command {
        Command::List => list(config),
        Command::Get { model } => {
            let sheet = app::model_sheet(&config.engines, &model)?;
            let text: String = sheet.iter().map(|(key, value)| format!("{key:<12} {value}\n")).collect();
            terminal::print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify(Verify { models, .. }) => {
            telemetry::init(&config.log, None)?;
            told(|tell| app::models_verify(&config.engines, &models, tell))
        }
        Command::Add(add) => {
            telemetry::init(&config.log, None)?;
            let order = ModelOrder {
                name: &add.name,
                task: add.task.as_deref(),
                weights: &add.weights,
                labels: add.labels.as_deref(),
                like: add.like.as_deref(),
                description: add.description.as_deref(),
                license: &add.license,
            };
            let code = told(|tell| app::models_add(&config.engines, &order, tell))?;
            let place = config.engines.own_models_dir.join(&add.name).join("model.toml");
            terminal::print(&format!("{}: described in {}\n", add.name, place.display()))?;
            Ok(code)
        }
    }
}

/// Prints what is told as it comes. Exit code 1 where something was wrong.
fn told(work: impl FnOnce(app::Told<'_>) -> anyhow::Result<bool>) -> Result<ExitCode, Failure> {
    let mut printed = Ok(());
    let good = work(&mut |model, about, outcome| {
        let line = match outcome {
            Ok(what) => format!("{model} {about}: ok: {what}\n"),
            Err(why) => format!("{model} {about}: WRONG: {why}\n"),
        };
        if printed.is_ok() {
            printed = terminal::print(&line);
        }
    })?;
    printed?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list(config: &Config) -> Result<ExitCode, Failure> {
    let models = app::models(&config.engines)?;
    let mut out = format!(
        "{:<24} {:<15} {:>9}  {:<8} {:<14} {}\n",
        "NAME", "TASK", "MB", "WEIGHTS", "LICENSE", "DESCRIPTION"
    );
    for model in &models {
        let _ = writeln!(
            out,
            "{:<24} {:<15} {:>9.1}  {:<8} {:<14} {}",
            model.name,
            model.task,
            model.bytes as f64 / 1e6,
            if model.present { "present" } else { "missing" },
            model.license,
            model.description,
        );
    }
    terminal::print(&out)?;
    if models.iter().any(|model| !model.present) {
        terminal::complain("some weights are missing: `cargo xtask setup` fetches them");
    }
    Ok(ExitCode::SUCCESS)
}
