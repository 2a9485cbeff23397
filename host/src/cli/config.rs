//! `lector config`: the effective configuration of this machine, and the reload of a running server's.

use std::process::ExitCode;

use reqwest::{Method, RequestBuilder};

use super::failure::Failure;
use super::manage::{ApiCommand, run as run_request};
use super::server_client::Server;
use super::server_flags::ServerFlags;
use super::terminal;
use crate::config::{Config, Effective};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a running server read its configuration again; prints what it took over, and what needs a restart
    Reload(Reload),
}

/// `lector config reload`
#[derive(Debug, clap::Args)]
struct Reload {
    /// Change nothing, and print what would be changed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    flags: ServerFlags,
}

impl Args {
    /// Returns the flags of the command that calls a server.
    pub(super) fn server(&self) -> Option<&ServerFlags> {
        self.command.as_ref().map(|Command::Reload(reload)| &reload.flags)
    }
}

impl ApiCommand for Reload {
    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let request = server.at(Method::POST, "/admin/config/reload");
        Ok(if self.dry_run { request.query(&[("dry_run", "true")]) } else { request })
    }
}

pub(super) fn run(args: Args, config: &Config, effective: &Effective) -> Result<ExitCode, Failure> {
    match args.command {
        Some(Command::Reload(reload)) => run_request(reload, config),
        None => {
            terminal::print(&effective.to_toml()?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
