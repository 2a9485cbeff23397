//! The command line: arguments, standard output, and exit codes.
//!
//! Exit codes: 0 success, 1 a failure, 2 invalid arguments or configuration. `app`, the platform and `http` do the
//! work.

mod api_page;
mod backup;
mod bench;
mod config;
mod contexts;
mod doctor;
mod documentation;
mod engines;
mod failure;
mod files;
mod guest;
mod guest_options;
mod healthcheck;
mod init;
mod jobs;
mod keys;
mod lines;
mod manage;
mod mcp;
mod models;
mod ocr;
mod reading_options;
mod release;
mod renamed;
mod runtime;
mod serve;
mod server_client;
mod server_flags;
mod settings;
mod terminal;
mod tesseract;
mod top;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::Config;
use crate::telemetry;
use failure::Failure;
use server_flags::{GroupOnServer, OnServer, ServerFlags};
use settings::{Settings, ephemeral, errors_only, sources_of};

/// OCR server that runs sandboxed pipelines
#[derive(Debug, Parser)]
#[command(name = "lector", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a configuration, create keys and a first tenant
    Init(init::Args),
    /// Check what the server needs from this machine; says what to do about each finding
    Doctor(doctor::Args),
    /// Start the server
    Serve(serve::Args),
    /// Read documents and print their text
    Ocr(ocr::Args),
    /// Read an image with the command line of tesseract; also under the program name `tesseract`
    #[command(disable_version_flag = true)]
    Tesseract(tesseract::Args),
    /// Submit documents to a server that reads them later, follow them, fetch their results
    Jobs(GroupOnServer<jobs::Command>),
    /// Serve tools for agents (Model Context Protocol) on standard input and output
    Mcp(OnServer<mcp::Args>),
    /// Create, build, check and test guests
    #[command(subcommand)]
    Guest(guest::Command),
    /// List, build, verify and remove engines of the cache; show those of a server
    #[command(subcommand)]
    Engines(engines::Command),
    /// List, show, verify and add models
    #[command(subcommand)]
    Models(models::Command),
    /// Create a revision of a component on a server, and route requests to it if asked
    Deploy(OnServer<manage::Deploy>),
    /// Route all requests to a revision
    Promote(OnServer<manage::Promote>),
    /// Route a percentage of requests to a revision
    Canary(OnServer<manage::Canary>),
    /// Mirror a percentage of requests to a revision, and compare its results
    Shadow(OnServer<manage::Shadow>),
    /// Return to an earlier revision, and withdraw the one that is rolled back
    Rollback(OnServer<manage::Rollback>),
    /// Delete a deployment with all its revisions
    Undeploy(OnServer<manage::Undeploy>),
    /// Show deployments and their revisions
    Revisions(OnServer<manage::Revisions>),
    /// Create, list, rotate and revoke API keys
    Keys(GroupOnServer<manage::Keys>),
    /// Create, list, update and delete tenants
    Tenants(GroupOnServer<manage::Tenants>),
    /// Show usage by day
    Usage(OnServer<manage::Usage>),
    /// Show the audit log
    Audit(OnServer<manage::Audit>),
    /// List the rows of the store that cannot be read (administrators only)
    Quarantine(OnServer<manage::Quarantine>),
    /// Show the log lines that a deployment's guest wrote, and follow them
    Logs(OnServer<manage::Logs>),
    /// Show a server live: tenants, queues, lanes, engines, workers, guests, and what waits for what (administrators only)
    Top(OnServer<top::Args>),
    /// Measure a server with your own documents: pages per second and times at a rising number of clients
    Bench(bench::Args),
    /// Store a server with its key as a context, and make it the one that commands call
    Login(contexts::Login),
    /// List, choose, show and remove contexts
    #[command(subcommand)]
    Context(contexts::Command),
    /// Copy the data folder and your own models, also while a server runs
    Backup(backup::Backup),
    /// Restore a data folder and your own models from a backup
    Restore(backup::Restore),
    /// Print the effective configuration and the source of each value; reload that of a running server
    Config(config::Args),
    /// Check whether a running server is ready; for containers
    Healthcheck(healthcheck::Args),
    /// Print the completions of a shell: `lector completions bash > ~/.local/share/bash-completion/completions/lector`
    Completions(documentation::Completions),
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man(documentation::Man),
    /// Compile guests for the archive of a release
    #[command(hide = true)]
    CompileGuests(release::CompileGuests),
    /// Process that opens documents; started by the server
    #[command(hide = true)]
    RenderWorker,
    /// Process that builds one engine; started by the server
    #[command(hide = true)]
    EngineBuilder,
    /// Process that reads lines with libtesseract; started by the server
    #[command(hide = true)]
    TesseractWorker {
        /// Folder of libtesseract, languages
        arguments: Vec<OsString>,
    },
    /// Process that compiles one component; started by the server
    #[command(hide = true)]
    ComponentCompiler,
}

impl Command {
    /// Returns the flags of a command that calls a server; `None` if it calls none.
    fn server(&self) -> Option<&ServerFlags> {
        match self {
            Self::Ocr(args) => args.remote(),
            Self::Guest(command) => command.remote(),
            Self::Engines(command) => command.server(),
            Self::Jobs(group) => Some(&group.flags),
            Self::Mcp(on) => Some(&on.flags),
            Self::Deploy(on) => Some(&on.flags),
            Self::Promote(on) => Some(&on.flags),
            Self::Canary(on) => Some(&on.flags),
            Self::Shadow(on) => Some(&on.flags),
            Self::Rollback(on) => Some(&on.flags),
            Self::Undeploy(on) => Some(&on.flags),
            Self::Revisions(on) => Some(&on.flags),
            Self::Keys(group) => Some(&group.flags),
            Self::Tenants(group) => Some(&group.flags),
            Self::Usage(on) => Some(&on.flags),
            Self::Audit(on) => Some(&on.flags),
            Self::Quarantine(on) => Some(&on.flags),
            Self::Logs(on) => Some(&on.flags),
            Self::Top(on) => Some(&on.flags),
            Self::Config(args) => args.server(),
            _ => None,
        }
    }
}

/// Runs the command of the arguments, and returns the exit code of the process.
pub fn run() -> ExitCode {
    crate::memory::return_large_blocks();
    if let Some(arguments) = tesseract::called_as_tesseract(std::env::args_os()) {
        let settings = Settings { config: None, set: Vec::new() };
        return code_of(tesseract::run(&tesseract::Args::new(arguments), settings));
    }
    let cli = Cli::try_parse().unwrap_or_else(|error| renamed::exit(&error));
    // Before any thread exists: the sandbox of a worker applies to the thread that enters it.
    if matches!(cli.command, Command::RenderWorker) {
        return crate::app::render_worker();
    }
    if let Command::TesseractWorker { arguments } = &cli.command {
        return crate::app::tesseract_worker(arguments);
    }
    // The compiler sets its own limits and owns its standard output.
    if matches!(cli.command, Command::ComponentCompiler) {
        return crate::app::component_compiler();
    }
    // The builder receives its whole configuration with its job.
    if matches!(cli.command, Command::EngineBuilder) {
        telemetry::init_plain();
        return crate::app::engine_builder();
    }
    code_of(dispatch(cli))
}

/// Reports a failure, and returns the exit code of the process.
fn code_of(outcome: Result<ExitCode, Failure>) -> ExitCode {
    let (code, error) = match outcome {
        Ok(code) => return code,
        Err(Failure::Work(error)) if error.is::<terminal::Satisfied>() => return ExitCode::SUCCESS,
        Err(Failure::Work(error)) => (1, error),
        Err(Failure::Usage(error)) => (2, error),
    };
    terminal::print_error(&format!("{error:#}"));
    ExitCode::from(code)
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    // It adds sources of its own.
    if let Command::Tesseract(args) = &cli.command {
        return tesseract::run(args, cli.settings);
    }
    let mut sources = sources_of(cli.settings)?;
    if let Some(flags) = cli.command.server() {
        flags.add_to(&mut sources);
    }
    if let Command::Serve(args) = &cli.command {
        sources.flags.extend(args.flags());
    }
    // Before the configuration is read: that of the server need not be readable here.
    if let Command::Healthcheck(args) = &cli.command {
        return healthcheck::run(args);
    }
    match &cli.command {
        Command::Init(args) => return init::run(args, sources.flags),
        Command::Completions(args) => return documentation::completions(args, &mut Cli::command()),
        Command::Man(args) => return documentation::man(args, Cli::command()),
        Command::CompileGuests(args) => return release::compile_guests(args),
        Command::Context(command) => return contexts::run(command),
        _ => {}
    }
    let (config, effective) = Config::load(&sources)?;
    match cli.command {
        Command::Init(args) => init::run(&args, sources.flags),
        Command::Doctor(args) => doctor::run(&args, &errors_only(config, &effective)),
        Command::Healthcheck(args) => healthcheck::run(&args),
        Command::Serve(args) => serve::run(args, config, sources, effective),
        // Handled above.
        Command::Tesseract(args) => tesseract::run(&args, Settings { config: None, set: Vec::new() }),
        Command::Ocr(args) => ocr::run(args, ephemeral(errors_only(config, &effective))),
        Command::Jobs(group) => jobs::run(group.command, &config),
        Command::Mcp(on) => mcp::run(&on.command, errors_only(config, &effective)),
        Command::Guest(command) => guest::run(command, ephemeral(errors_only(config, &effective))),
        Command::Engines(command) => engines::run(command, errors_only(config, &effective)),
        Command::Models(command) => models::run(command, &errors_only(config, &effective)),
        Command::Deploy(on) => manage::run(on.command, &config),
        Command::Promote(on) => manage::run(on.command, &config),
        Command::Canary(on) => manage::run(on.command, &config),
        Command::Shadow(on) => manage::run(on.command, &config),
        Command::Undeploy(on) => manage::run(on.command, &config),
        Command::Rollback(on) => manage::run(on.command, &config),
        Command::Revisions(on) => manage::revisions(on.command, &config),
        Command::Keys(group) => manage::run(group.command, &config),
        Command::Tenants(group) => manage::run(group.command, &config),
        Command::Usage(on) => manage::run(on.command, &config),
        Command::Audit(on) => manage::run(on.command, &config),
        Command::Quarantine(on) => manage::run(on.command, &config),
        Command::Logs(on) => manage::logs(on.command, &config),
        Command::Bench(args) => bench::run(args, errors_only(config, &effective)),
        Command::Login(args) => contexts::login(&args, &errors_only(config, &effective)),
        Command::Context(command) => contexts::run(&command),
        Command::Top(on) => top::run(&on.command, &config),
        Command::Backup(args) => backup::backup(&args, &config),
        Command::Restore(args) => backup::restore(&args, &config),
        Command::Config(args) => config::run(args, &config, &effective),
        Command::Completions(args) => documentation::completions(&args, &mut Cli::command()),
        Command::Man(args) => documentation::man(&args, Cli::command()),
        Command::CompileGuests(args) => release::compile_guests(&args),
        Command::RenderWorker => Ok(crate::app::render_worker()),
        Command::TesseractWorker { arguments } => Ok(crate::app::tesseract_worker(&arguments)),
        Command::EngineBuilder => Ok(crate::app::engine_builder()),
        Command::ComponentCompiler => Ok(crate::app::component_compiler()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_command_is_well_formed() {
        // clap checks all subcommands: names, short forms and conflicts.
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_that_call_a_server_take_its_flags() {
        let of = |line: &str| {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let mut sources = crate::config::Sources::default();
            if let Some(flags) = cli.command.server() {
                flags.add_to(&mut sources);
            }
            let flags = sources.flags.into_iter().map(|(key, value, _)| format!("{key}={value}"));
            (sources.context.is_some(), flags.collect::<Vec<_>>().join(" "))
        };
        for line in [
            "lector usage --server http://a",
            "lector keys --server http://a list",
            "lector keys list --server http://a",
            "lector revisions watch mine --server http://a",
            "lector engines status --server http://a",
            "lector jobs list --server http://a",
            "lector top --once --server http://a",
            "lector ocr a.pdf --server http://a",
            "lector guest dev --server http://a",
        ] {
            assert_eq!(of(line), (true, "client.server=http://a".to_owned()), "{line}");
        }
        assert_eq!(of("lector usage"), (true, String::new()));
        assert_eq!(of("lector ocr a.pdf"), (false, String::new()));
        assert_eq!(of("lector engines list"), (false, String::new()));
        assert!(Cli::try_parse_from(["lector", "engines", "list", "--server", "http://a"]).is_err());
    }
}
