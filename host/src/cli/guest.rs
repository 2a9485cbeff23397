//! `lector guest`, for authors of guests: `new`, `build`, `check`, `test`, `dev`, `vendor`.
//!
//! Owns the arguments of the commands. `project.rs` is a project on disk, created from the files of `embedded_sdk.rs`;
//! `compiler.rs` builds: `rust.rs` with cargo, `python.rs` with componentize-py, `c.rs` with clang, `typescript.rs` with
//! componentize-qjs, whose tools `tool.rs` keeps in the cache; `pipeline_runner.rs` is the host in this process for `check`, `test`
//! and `dev`; `golden.rs` owns golden documents. Needs no server, except for `dev --server` (`deployed.rs`).

mod c;
mod changes;
mod check;
mod compiler;
mod contract;
mod deployed;
mod dev;
mod embedded_sdk;
mod explained;
mod golden;
mod language;
mod npm_tool;
mod pip_tool;
mod pipeline_runner;
mod project;
mod python;
mod rust;
mod test;
mod tool;
mod typescript;

use std::path::PathBuf;
use std::process::ExitCode;

use lector_core::DeploymentName;

use super::failure::Failure;
use super::server_flags::ServerFlags;
use super::terminal;
use crate::config::Config;
use compiler::Purpose;
use language::Language;
use project::Project;

/// Commands on guests.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create a project: a guest that builds, with tests and golden documents
    New {
        /// Folder to create; its last part is the name of the guest
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// Language of the guest
        #[arg(long, value_enum, default_value_t)]
        lang: Language,
    },
    /// Build the component of a project into target/NAME.wasm
    Build {
        /// Folder of the project
        #[arg(default_value = ".", value_name = "DIR")]
        dir: PathBuf,
    },
    /// Inspect a component, configure it, and read the smoke-test page with it
    Check {
        /// Component
        #[arg(value_name = "FILE.wasm")]
        file: PathBuf,
        /// Settings as JSON or TOML (default: `{}`)
        #[arg(long, value_name = "FILE")]
        settings: Option<PathBuf>,
        /// Deployment of the configuration to wrap, for a guest that imports `lector:ocr/pipeline`
        #[arg(long, value_name = "NAME")]
        wraps: Option<String>,
    },
    /// Read the golden documents of a project and compare the results with the expected ones
    Test(test::Args),
    /// Build and read on every change, and show the differences in the text
    Dev(dev::Args),
    /// Replace the vendored SDK of a project with that of this program
    Vendor {
        /// Folder of the project
        #[arg(default_value = ".", value_name = "DIR")]
        dir: PathBuf,
    },
}

impl Command {
    /// Returns the flags of a command that calls a server: `dev` with a flag that names one.
    pub(super) fn remote(&self) -> Option<&ServerFlags> {
        match self {
            Self::Dev(args) => args.remote(),
            _ => None,
        }
    }
}

pub(super) fn run(command: Command, config: Config) -> Result<ExitCode, Failure> {
    match command {
        Command::New { path, lang } => project::new(&path, lang)?,
        Command::Build { dir } => {
            let project = Project::open(&dir)?;
            let component = compiler::build(&project, Purpose::Deploy)?;
            let bytes = std::fs::metadata(&component).map_or(0, |meta| meta.len());
            terminal::print(&format!("built {} ({} KiB)\n", component.display(), bytes / 1024))?;
        }
        Command::Check { file, settings, wraps } => {
            return check::run(&file, settings.as_deref(), wraps.map(DeploymentName::from), config);
        }
        Command::Test(args) => return test::run(&args, &config),
        Command::Dev(args) => return dev::run(&args, &config),
        Command::Vendor { dir } => project::vendor(&dir)?,
    }
    Ok(ExitCode::SUCCESS)
}
