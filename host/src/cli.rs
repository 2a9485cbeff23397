//! The command line: what can be said to `lector`, and the exit code that answers.
//!
//! Owns arguments, standard output and exit codes: 0 all well, 1 something failed, 2 not understood
//! (arguments or configuration). The work is done by `app`, the platform and `http`.

mod backup;
mod config;
mod engines;
mod guest;
mod healthcheck;
mod keys;
mod lines;
mod manage;
mod models;
mod ocr;
mod renamed;
mod serve;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError, Effective, Origin, Sources};
use crate::telemetry;

/// Reads documents: a host for sandboxed OCR guests.
#[derive(Debug, Parser)]
#[command(name = "lector", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration comes from. Every command knows these.
#[derive(Clone, Debug, clap::Args)]
struct Settings {
    /// Configuration file (default: $LECTOR_CONFIG, else ./lector.toml where there is one)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one configuration key, e.g. `--set platform.documents_max=8`; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the gateway
    Serve(serve::Args),
    /// Reads documents and prints what they say
    Ocr(ocr::Args),
    /// Looks at guests
    #[command(subcommand)]
    Guest(guest::Command),
    /// Lists, builds, verifies and collects engines
    #[command(subcommand)]
    Engines(engines::Command),
    /// Lists, shows, verifies and adds models
    #[command(subcommand)]
    Models(models::Command),
    /// Makes a revision of a component on a server, and routes to it if asked
    Deploy(manage::Deploy),
    /// Routes everything to a revision
    Promote(manage::Promote),
    /// Routes a part to a revision
    Canary(manage::Canary),
    /// Lets a revision read along with a part, and compares
    Shadow(manage::Shadow),
    /// Goes back to what a deployment's route was before
    Rollback(manage::Rollback),
    /// Drops a deployment with all its revisions
    Undeploy(manage::Undeploy),
    /// Shows deployments and their revisions
    Revisions(manage::Revisions),
    /// Makes, lists, rotates and revokes keys
    #[command(subcommand)]
    Keys(manage::Keys),
    /// Makes, lists, changes and deletes tenants
    #[command(subcommand)]
    Tenants(manage::Tenants),
    /// Shows usage by day
    Usage(manage::Usage),
    /// Shows who did what
    Audit(manage::Audit),
    /// Lists the rows of the store that cannot be read, as an administrator
    Quarantine(manage::Quarantine),
    /// Copies the data folder and models of your own while a server serves from them
    Backup(backup::Backup),
    /// Makes a data folder of a backup, and brings the models back
    Restore(backup::Restore),
    /// Prints the effective configuration and where each value comes from
    Config,
    /// Asks a running server whether it can read; for containers
    Healthcheck(healthcheck::Args),
    /// A process that opens documents; started by the host, not by people
    #[command(hide = true)]
    RenderWorker,
    /// A process that builds one engine; started by the host, not by people
    #[command(hide = true)]
    EngineBuilder,
    /// A process that compiles one component; started by the host, not by people
    #[command(hide = true)]
    ComponentCompiler,
}

/// What failed, as far as the exit code is concerned.
enum Failure {
    /// The arguments or the configuration make no sense.
    Usage(anyhow::Error),
    /// The work failed.
    Work(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Work(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.into())
    }
}

/// Runs what the process was called for.
pub fn run() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| renamed::exit(&error));
    // Before any thread exists: the worker's sandbox binds the thread that enters it.
    if matches!(cli.command, Command::RenderWorker) {
        return crate::app::render_worker();
    }
    // Its limits are its own, and nothing else writes to its standard output.
    if matches!(cli.command, Command::ComponentCompiler) {
        return crate::app::component_compiler();
    }
    // Everything that it must know comes with its order.
    if matches!(cli.command, Command::EngineBuilder) {
        telemetry::init_plain();
        return crate::app::engine_builder();
    }
    let (code, error) = match dispatch(cli) {
        Ok(code) => return code,
        Err(Failure::Work(error)) if error.is::<terminal::Satisfied>() => return ExitCode::SUCCESS,
        Err(Failure::Work(error)) => (1, error),
        Err(Failure::Usage(error)) => (2, error),
    };
    terminal::complain(&format!("{error:#}"));
    ExitCode::from(code)
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let mut sources = Sources { file: cli.settings.config, flags: Vec::new() };
    for pair in cli.settings.set {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Failure::Usage(anyhow::anyhow!("--set {pair}: write it like --set platform.documents_max=8"))
        })?;
        sources.flags.push((key.trim().to_owned(), value.trim().to_owned(), "--set"));
    }
    if let Command::Serve(args) = &cli.command {
        sources.flags.extend(args.flags());
    }
    // It runs beside a server whose configuration may be none of its business.
    if let Command::Healthcheck(args) = &cli.command {
        return healthcheck::run(args);
    }
    let (config, effective) = Config::load(&sources)?;
    match cli.command {
        Command::Healthcheck(args) => healthcheck::run(&args),
        Command::Serve(args) => serve::run(args, config),
        Command::Ocr(args) => ocr::run(args, ephemeral(errors_only(config, &effective))),
        Command::Guest(command) => guest::run(command, ephemeral(errors_only(config, &effective))),
        Command::Engines(command) => engines::run(command, errors_only(config, &effective)),
        Command::Models(command) => models::run(command, &errors_only(config, &effective)),
        Command::Deploy(args) => manage::run(args, &config),
        Command::Promote(args) => manage::run(args, &config),
        Command::Canary(args) => manage::run(args, &config),
        Command::Shadow(args) => manage::run(args, &config),
        Command::Undeploy(args) => manage::run(args, &config),
        Command::Rollback(args) => manage::run(args, &config),
        Command::Revisions(args) => manage::revisions(args, &config),
        Command::Keys(command) => manage::run(command, &config),
        Command::Tenants(command) => manage::run(command, &config),
        Command::Usage(args) => manage::run(args, &config),
        Command::Audit(args) => manage::run(args, &config),
        Command::Quarantine(args) => manage::run(args, &config),
        Command::Backup(args) => backup::backup(&args, &config),
        Command::Restore(args) => backup::restore(&args, &config),
        Command::Config => config::run(&effective),
        Command::RenderWorker => Ok(crate::app::render_worker()),
        Command::EngineBuilder => Ok(crate::app::engine_builder()),
        Command::ComponentCompiler => Ok(crate::app::component_compiler()),
    }
}

/// Commands for people say what failed themselves: without other orders the log holds only warnings.
fn errors_only(mut config: Config, effective: &Effective) -> Config {
    if effective.origin("log.filter") == Origin::Default {
        "error".clone_into(&mut config.log.filter);
    }
    config
}

/// A host within a command keeps nothing, and does not touch what a server keeps.
fn ephemeral(mut config: Config) -> Config {
    config.control.data_dir = None;
    // One tenant alone has all of the memory.
    config.serving.tenant_held_bytes_max = config.serving.held_bytes_max;
    config.control.tenant_images_bytes_max = 0;
    config
}

/// Runs a command's work on a runtime of its own, with the log started.
fn block_on<T>(config: &Config, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    telemetry::init(&config.log, None)?;
    on_runtime(work)
}

/// The same without a log of its own making.
fn on_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| anyhow::Error::from(error).context("starting the async runtime"))?;
    let answer = runtime.block_on(work);
    // What still blocks a thread of the runtime (a guest that computes) does not hold up the exit.
    runtime.shutdown_background();
    answer
}
