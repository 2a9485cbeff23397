//! `lector completions` and `lector man`: what shells and `man` show about this program, made from its arguments.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::failure::Failure;
use super::terminal;

/// Arguments of `lector completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Arguments of `lector man`.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Folder for the pages
    dir: PathBuf,
}

/// Prints the completions of a shell.
pub(super) fn completions(args: &Completions, command: &mut clap::Command) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "lector", &mut script);
    terminal::print(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes `lector.1`, and a page for each command.
pub(super) fn man(args: &Man, command: clap::Command) -> Result<ExitCode, Failure> {
    let writing = || format!("writing manual pages into {}", args.dir.display());
    std::fs::create_dir_all(&args.dir).with_context(writing)?;
    clap_mangen::generate_to(command, &args.dir).with_context(writing)?;
    Ok(ExitCode::SUCCESS)
}
