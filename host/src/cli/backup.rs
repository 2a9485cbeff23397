//! `lector backup` and `lector restore`: copies the data folder and an operator's own models consistently while a
//! server runs, and restores them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use lector_control::store::backup as copies;

use super::failure::Failure;
use super::terminal;
use crate::app;
use crate::config::Config;

/// Exit code if the copy lacks files that the store names and that could not be read.
const INCOMPLETE: u8 = 3;
/// Folder of the models in a backup.
const MODELS: &str = "models";

/// `lector backup`
#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// A new or empty folder
    to: PathBuf,
    /// Leave out the models that were added with `lector models add`; the output names them
    #[arg(long)]
    without_models: bool,
}

/// `lector restore`
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// A folder created by `lector backup`; the data folder (platform.data_dir) must be new or empty
    from: PathBuf,
    /// Do not restore the models
    #[arg(long)]
    without_models: bool,
}

fn data_dir(config: &Config) -> anyhow::Result<&Path> {
    config.control.data_dir.as_deref().context("there is no data folder: set platform.data_dir")
}

fn print_summary(what: &str, copied: copies::Copied, models: &str, to: &Path) -> Result<ExitCode, Failure> {
    let copies::Copied { components, bytes, left_out } = copied;
    let to = to.display();
    terminal::print(&format!("{what}: {components} components, {bytes} bytes, in {to}\n{models}\n"))?;
    if left_out.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let lost: Vec<String> = left_out.iter().map(ToString::to_string).collect();
    terminal::print(&format!(
        "components that are missing or damaged in the source, LEFT OUT: {}\n",
        lost.join(", ")
    ))?;
    Ok(ExitCode::from(INCOMPLETE))
}

/// Returns a line that lists models.
fn listed(what: &str, names: &[String]) -> String {
    if names.is_empty() { format!("{what}: none") } else { format!("{what}: {}", names.join(", ")) }
}

/// Copies the database first, then the models: every model that a revision names is on disk before the revision is.
pub(super) fn backup(args: &Backup, config: &Config) -> Result<ExitCode, Failure> {
    let copied = copies::backup(data_dir(config)?, &args.to).context("backing up")?;
    let models = if args.without_models {
        listed("models of your own that were LEFT OUT", &app::own_models(&config.engines)?)
    } else {
        let kept = app::models_backup(&config.engines, &args.to.join(MODELS)).context("backing up")?;
        format!("{}; {} files, {} bytes", listed("models of your own", &kept.models), kept.files, kept.bytes)
    };
    print_summary("backed up", copied, &models, &args.to)
}

pub(super) fn restore(args: &Restore, config: &Config) -> Result<ExitCode, Failure> {
    let to = data_dir(config)?;
    let mut models = "models of your own: not restored (--without-models)".to_owned();
    let restore = || -> anyhow::Result<()> {
        if !args.without_models {
            let kept = app::models_restore(&config.engines, &args.from.join(MODELS))?;
            let to = config.engines.own_models_dir.display();
            models = format!("{}, in {to}", listed("models of your own", &kept.models));
        }
        Ok(())
    };
    let copied = copies::restore(&args.from, to, restore).context("restoring")?;
    print_summary("restored", copied, &models, to)
}
