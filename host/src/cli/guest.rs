//! `lector guest`: what an author of guests works with: `new`, `build`, `check`, `test`, `dev`, `vendor`.
//!
//! Owns the commands' arguments. A project is `project.rs`, made of what `embedded_sdk.rs` carries; `compiler.rs` calls cargo;
//! `reading.rs` is the host in this process that `check`, `test` and `dev` read with; `golden.rs` knows golden
//! documents. Needs no server, unless `dev` is told of one (`deployed.rs`).

mod changes;
mod check;
mod compiler;
mod deployed;
mod dev;
mod embedded_sdk;
mod golden;
mod pipeline_runner;
mod project;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Failure, terminal};
use crate::config::Config;
use project::Project;

/// What to do with guests.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Makes a project: a guest that builds, with tests and golden documents
    New {
        /// Its folder; the last part is the guest's name
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
    /// Builds a project's component into target/NAME.wasm
    Build {
        /// The project
        #[arg(default_value = ".", value_name = "DIR")]
        dir: PathBuf,
    },
    /// Inspects a component, configures it and lets it read a golden page
    Check {
        /// The component
        #[arg(value_name = "FILE.wasm")]
        file: PathBuf,
        /// Settings to configure it with, as JSON or TOML; `{}` otherwise
        #[arg(long, value_name = "FILE")]
        settings: Option<PathBuf>,
    },
    /// Reads a project's golden documents and holds the result against what is expected
    Test(test::Args),
    /// Builds and reads on every change, and shows what it changes in the text
    Dev(dev::Args),
    /// Renews the SDK that a project carries by the one of this program
    Vendor {
        /// The project
        #[arg(default_value = ".", value_name = "DIR")]
        dir: PathBuf,
    },
}

pub(super) fn run(command: Command, config: Config) -> Result<ExitCode, Failure> {
    match command {
        Command::New { path } => project::new(&path)?,
        Command::Build { dir } => {
            let project = Project::open(&dir)?;
            let component = compiler::build(&project)?;
            let bytes = std::fs::metadata(&component).map_or(0, |meta| meta.len());
            terminal::print(&format!("built {} ({} KiB)\n", component.display(), bytes / 1024))?;
        }
        Command::Check { file, settings } => return check::run(&file, settings.as_deref(), config),
        Command::Test(args) => return test::run(&args, &config),
        Command::Dev(args) => return dev::run(&args, &config),
        Command::Vendor { dir } => project::vendor(&dir)?,
    }
    Ok(ExitCode::SUCCESS)
}
