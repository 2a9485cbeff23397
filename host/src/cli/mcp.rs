//! `lector mcp`: tools for agents on standard input and output.
//!
//! This process reads the files of its user, below one folder, and sends them to the configured server. Standard output
//! belongs to the protocol; errors of the process are on standard error.

mod files;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use rmcp::transport::async_rw::AsyncRwTransport;

use super::failure::Failure;
use super::runtime::block_on;
use crate::config::Config;
use crate::mcp::Tools;
use files::Root;
use server::Remote;

/// Longest message of the client: the arguments of a call.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Arguments of `lector mcp`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder whose files the agent may read, with all folders in it
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    root: PathBuf,
}

pub(super) fn run(args: &Args, config: Config) -> Result<ExitCode, Failure> {
    let root = Root::new(&args.root).map_err(Failure::Usage)?;
    let tools = Tools::new(Remote::new(root, &config.client)?);
    block_on(&config, async {
        let transport = AsyncRwTransport::new_server(tokio::io::stdin(), tokio::io::stdout())
            .with_max_line_length(LINE_BYTES_MAX);
        let serving = rmcp::serve_server(tools, transport).await;
        let serving = serving.context("beginning the protocol: is the client one of MCP?")?;
        serving.waiting().await.context("serving the client")?;
        Ok(ExitCode::SUCCESS)
    })
}
