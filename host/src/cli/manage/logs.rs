//! `lector logs`: prints the log lines that a deployment's guests wrote.

use std::process::ExitCode;

use anyhow::{Context, bail};
use reqwest::{Method, Response};
use serde_json::Value;

use super::super::failure::Failure;
use super::super::lines::Lines;
use super::super::runtime::block_on;
use super::super::server_client::Server;
use super::super::terminal;
use crate::config::Config;

/// `lector logs`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Logs {
    /// Name of the deployment
    deployment: String,
    /// Print new lines as they are written, until the server stops or the command is interrupted
    #[arg(long, short)]
    follow: bool,
    /// Only lines of this revision; 0 for deploys in progress or failed
    #[arg(long)]
    revision: Option<u32>,
    /// Print each line as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the lines.
pub(in crate::cli) fn logs(args: Logs, config: &Config) -> Result<ExitCode, Failure> {
    block_on(config, async {
        let server = Server::of(&config.client)?;
        let mut path = format!("/deployments/{}/logs?follow={}", args.deployment, args.follow);
        if let Some(revision) = args.revision {
            path.push_str(&format!("&revision={revision}"));
        }
        let answer = server.answer(server.at(Method::GET, &path)).await?;
        if args.follow {
            return Ok(follow(answer, args.json).await?);
        }
        let body: Value = answer.json().await.context("the response of the server is not JSON")?;
        for line in body.get("lines").and_then(Value::as_array).into_iter().flatten() {
            print(line, args.json)?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn follow(answer: Response, json: bool) -> anyhow::Result<ExitCode> {
    let mut lines = Lines::of(answer);
    loop {
        let Some(line) = lines.next().await? else {
            bail!("the server ended the stream of log lines: run the command again")
        };
        // Only the data of an event is used.
        let Some(data) = line.strip_prefix(b"data:") else { continue };
        print(&serde_json::from_slice(data).context("parsing an event of the server")?, json)?;
    }
}

fn print(line: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        return terminal::print(&format!("{line}\n"));
    }
    let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
    if let Some(missed) = line.get("lines").and_then(Value::as_u64) {
        return terminal::print(&format!("-- {missed} lines were skipped: this client is too slow\n"));
    }
    let revision = match line.get("revision").and_then(Value::as_u64) {
        Some(number) => format!("revision {number}"),
        None => "deploy".to_owned(),
    };
    let level = text("level").to_uppercase();
    let printed = format!("{} {level:<5} {revision} {}: {}\n", text("at"), text("request"), text("message"));
    terminal::print(&printed)
}
