//! `lector backup` and `lector restore`: the data folder, copied consistently while a server serves, and brought back.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use lector_platform::store::backup as copies;

use super::{Failure, terminal};
use crate::config::Config;

/// `lector backup`
#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// A new or empty folder
    to: PathBuf,
}

/// `lector restore`
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// A folder that `lector backup` made; the data folder (platform.data_dir) must be new or empty
    from: PathBuf,
}

fn data_dir(config: &Config) -> anyhow::Result<&Path> {
    config.platform.data_dir.as_deref().context("there is no data folder: name it in platform.data_dir")
}

fn say(what: &str, copied: copies::Copied, to: &Path) -> Result<ExitCode, Failure> {
    let copies::Copied { components, bytes } = copied;
    terminal::print(&format!("{what}: {components} components, {bytes} bytes, in {}\n", to.display()))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn backup(args: &Backup, config: &Config) -> Result<ExitCode, Failure> {
    let copied = copies::backup(data_dir(config)?, &args.to).context("backing up")?;
    say("backed up", copied, &args.to)
}

pub(super) fn restore(args: &Restore, config: &Config) -> Result<ExitCode, Failure> {
    let to = data_dir(config)?;
    let copied = copies::restore(&args.from, to).context("restoring")?;
    say("restored", copied, to)
}
