//! `lector engines`: lists, builds, verifies, removes, exports and imports engines of the cache, and shows those of a
//! server.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use lector_inference::Step;
use lector_inference::build::Task;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::failure::Failure;
use super::manage::{self, ApiCommand};
use super::server_client::Server;
use super::server_flags::ServerFlags;
use super::terminal;
use crate::app::{self, EngineOrder};
use crate::config::Config;
use crate::telemetry;

/// Commands on engines.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Here(Here),
    #[command(flatten)]
    Server(OfServer),
}

/// Commands on the engines of a running server: each is one request to its HTTP API.
#[derive(Debug, clap::Subcommand)]
pub(super) enum OfServer {
    /// Show the engine that serves each model on a running server, and the state of each engine variant
    Status {
        #[command(flatten)]
        flags: ServerFlags,
    },
    /// Make a running server retry now what could not be built or loaded
    Retry {
        /// Of this model only
        #[arg(long)]
        model: Option<String>,
        #[command(flatten)]
        flags: ServerFlags,
    },
}

impl Command {
    /// Returns the flags of a command that calls a server.
    pub(super) fn server(&self) -> Option<&ServerFlags> {
        match self {
            Self::Here(_) => None,
            Self::Server(OfServer::Status { flags } | OfServer::Retry { flags, .. }) => Some(flags),
        }
    }
}

impl ApiCommand for OfServer {
    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        Ok(match self {
            Self::Status { .. } => server.at(Method::GET, "/engines"),
            Self::Retry { model, .. } => {
                server.at(Method::POST, "/admin/engines/retry").json(&json!({ "model": model }))
            }
        })
    }
}

/// Commands on the engine cache of this machine.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Here {
    /// List the engines in the cache, and quarantined entries
    List,
    /// Build the missing engines of models
    Build(Which),
    /// Compare engines with the reference again; an engine that fails no longer serves
    Verify(Which),
    /// Remove the least recently used engines until the limit is met; never one in use
    Gc {
        /// Maximum bytes to keep (default: engines.cache_bytes_max); 0: remove all
        #[arg(long, value_name = "BYTES")]
        bytes_max: Option<u64>,
    },
    /// Show the GPUs of this machine, the libraries that are installed, and the packages that provide the missing ones
    Preflight {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy an engine out of the cache, for another machine of the same kind
    Export {
        /// Name of the entry in `lector engines list`
        entry: String,
        /// Folder to which the engine's folder is copied
        to: PathBuf,
    },
    /// Copy an exported engine into the cache, if it is complete
    Import {
        /// Folder of the engine
        from: PathBuf,
    },
}

/// Selection of engines.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Models of the catalog
    #[arg(required_unless_present = "all")]
    models: Vec<String>,
    /// All models of the catalog
    #[arg(long, conflicts_with = "models")]
    all: bool,
    /// One engine variant instead of the models' provider preference lists, e.g. openvino/bf16, cuda:1/f32
    #[arg(long, visible_alias = "device", value_name = "PROVIDER/PRECISION")]
    variant: Option<String>,
    /// Build engines again that are in the cache
    #[arg(long)]
    force: bool,
}

pub(super) fn run(command: Command, config: Config) -> Result<ExitCode, Failure> {
    match command {
        Command::Server(command) => manage::run(command, &config),
        Command::Here(command) => {
            telemetry::init(&config.log)?;
            here(command, &config)
        }
    }
}

fn here(command: Here, config: &Config) -> Result<ExitCode, Failure> {
    match command {
        Here::List => list(config),
        Here::Build(which) => {
            let task = if which.force { Task::Rebuild } else { Task::Build };
            order(config, which, task)
        }
        Here::Verify(which) => order(config, which, Task::Verify),
        Here::Gc { bytes_max } => {
            let done = app::engines_collect(&config.engines, bytes_max)?;
            let mut out: String = done.removed.iter().map(|name| format!("removed {name}\n")).collect();
            let _ = writeln!(
                out,
                "{:.1} MB freed; {} engines of {:.1} MB stay, {} of them only because they are in use",
                megabytes(done.freed_bytes),
                done.kept,
                megabytes(done.kept_bytes),
                done.in_use
            );
            terminal::print(&out)?;
            Ok(ExitCode::SUCCESS)
        }
        Here::Preflight { json } => preflight(config, json),
        Here::Export { entry, to } => {
            let dir = app::engines_export(&config.engines, &entry, &to)?;
            terminal::print(&format!("{}\n", dir.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        Here::Import { from } => {
            let entry = app::engines_import(&config.engines, &from)?;
            terminal::print(&format!("{entry}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn preflight(config: &Config, json: bool) -> Result<ExitCode, Failure> {
    let found = app::engines_preflight(&config.engines);
    if json {
        let text = serde_json::to_string_pretty(&found).context("writing the preflight as JSON")?;
        terminal::print(&(text + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = String::new();
    for device in &found.devices {
        let _ = writeln!(out, "device {}: {}, driver {}", device.number, device.architecture, device.driver);
    }
    if found.devices.is_empty() {
        out += "no device: NVML (part of the driver) reports none\n";
    }
    for provider in &found.providers {
        if provider.missing.is_empty() {
            let _ = writeln!(out, "{}: all libraries found, {:?}", provider.provider, provider.versions);
        }
        for library in &provider.missing {
            let (file, from, why) = (&library.file, &library.from, &library.why);
            let _ = writeln!(out, "{} lacks {file}, from {from}: {why}", provider.provider);
        }
    }
    terminal::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

fn list(config: &Config) -> Result<ExitCode, Failure> {
    let app::EngineLines { engines, quarantine } = app::engines_list(&config.engines)?;
    let mut out = format!("cache: {}\n", config.engines.cache_dir.display());
    if !engines.is_empty() {
        let _ = writeln!(
            out,
            "{:<24} {:<16} {:<9} {:>7} {:>8} {:>9} {:>9}  ENTRY AND ACCEPTANCE",
            "MODEL", "VARIANT", "STATE", "MB", "BUILD S", "AGE H", "UNUSED H"
        );
    }
    let hours = |seconds: u64| seconds as f64 / 3600.0;
    for engine in &engines {
        let unused = engine.unused_s.map_or_else(|| "never".to_owned(), |s| format!("{:.1}", hours(s)));
        let _ = writeln!(
            out,
            "{:<24} {:<16} {:<9} {:>7.1} {:>8.1} {:>9.1} {:>9}  {}: {}",
            engine.model,
            engine.variant,
            if engine.accepted { "accepted" } else { "refused" },
            megabytes(engine.bytes),
            engine.build_s,
            hours(engine.age_s),
            unused,
            engine.entry,
            engine.summary,
        );
    }
    for (name, reason) in quarantine {
        let _ = writeln!(out, "quarantined: {name}: {reason}");
    }
    terminal::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a task on engines. Exit code 1 if an engine is refused or cannot be built.
fn order(config: &Config, which: Which, task: Task) -> Result<ExitCode, Failure> {
    let (mut lines, mut bad) = (Ok(()), 0);
    let order = EngineOrder { models: which.models, variant: which.variant, task };
    let on_progress = |model: &str, variant: &str, step: Step| {
        terminal::print_error(&format!(
            "{model} {variant}: {}",
            match step {
                Step::Waiting => "waits for another build",
                Step::Building => "is being built",
                Step::Checking => "is compared with the reference",
            }
        ));
    };
    app::engines_order(&config.engines, &order, on_progress, |model, variant, outcome| {
        let line = match outcome {
            Ok(done) => {
                bad += usize::from(!done.accepted);
                let outcome = if done.accepted { "accepted" } else { "refused" };
                let how = if done.found { "was there" } else { "built" };
                format!(
                    "{model} {variant}: {outcome}, {how}, {:.1} MB, build {:.1} s, acceptance {:.1} s: {}\n",
                    megabytes(done.bytes),
                    done.build_ms as f64 / 1e3,
                    done.acceptance_ms as f64 / 1e3,
                    done.summary
                )
            }
            Err(why) => {
                bad += 1;
                format!("{model} {variant}: failed: {why}\n")
            }
        };
        if lines.is_ok() {
            lines = terminal::print(&line);
        }
    })?;
    lines?;
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
