//! `lector models`: lists, shows, verifies and adds models.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use super::failure::Failure;
use super::terminal;
use crate::app::{self, ModelOrder};
use crate::config::Config;
use crate::telemetry;

/// Commands on models.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the catalog
    List,
    /// Show the description, files and engines of a model
    Get {
        /// Name of the model in `lector models list`
        model: String,
    },
    /// Check the files of models, and run their golden images on every engine variant of their provider preference
    /// lists
    Verify(Verify),
    /// Verify an ONNX file and add it to the catalog
    Add(Add),
}

/// Selection of models.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// Models of the catalog
    #[arg(required_unless_present = "all")]
    models: Vec<String>,
    /// All models of the catalog
    #[arg(long, conflicts_with = "models")]
    all: bool,
}

/// A model to add.
#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// ONNX file; it is copied
    weights: PathBuf,
    /// Name in the catalog: a-z, 0-9, `-` and `.`
    #[arg(long)]
    name: String,
    /// detection, recognition or classification (default: that of --like)
    #[arg(long, required_unless_present = "like")]
    task: Option<String>,
    /// Catalog model from which the settings are copied that no file contains: preprocessing, shapes, golden images
    /// and limits. Without it preprocessing is not described, and only cpu/f32 serves the model
    #[arg(long, value_name = "MODEL")]
    like: Option<String>,
    /// Class labels, one per line (default: from the file's metadata)
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Description, one sentence
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
            telemetry::init(&config.log)?;
            print_results(|report| app::models_verify(&config.engines, &models, report))
        }
        Command::Add(add) => {
            telemetry::init(&config.log)?;
            let order = ModelOrder {
                name: &add.name,
                task: add.task.as_deref(),
                weights: &add.weights,
                labels: add.labels.as_deref(),
                like: add.like.as_deref(),
                description: add.description.as_deref(),
                license: &add.license,
            };
            let code = print_results(|report| app::models_add(&config.engines, &order, report))?;
            let place = config.engines.own_models_dir.join(&add.name).join("model.toml");
            terminal::print(&format!("{}: description in {}\n", add.name, place.display()))?;
            Ok(code)
        }
    }
}

/// Prints each result as it arrives. Exit code 1 if a check failed.
fn print_results(work: impl FnOnce(app::OnResult<'_>) -> anyhow::Result<bool>) -> Result<ExitCode, Failure> {
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
        terminal::print_error("some weights are missing: run `cargo xtask setup`");
    }
    Ok(ExitCode::SUCCESS)
}
