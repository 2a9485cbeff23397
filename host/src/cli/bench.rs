//! `lector bench`: the load that a server bears, with the user's own documents, at a rising number of clients.
//!
//! A closed loop: each client sends its next document when it has the answer to the one before. The figures are of this
//! command's side, network included.

mod figures;
mod load;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use serde_json::Value;

use super::failure::Failure;
use super::files::{bytes_of, name_of};
use super::runtime::block_on;
use super::server_client::{accepted, client};
use super::terminal;
use crate::config::Config;
use figures::{Level, Report};
use load::{Document, Load};

/// Most bytes of all documents, which are held in memory.
const DOCUMENT_BYTES_MAX: u64 = 2 << 30;
/// Most clients: each one has a connection.
const CLIENTS_MAX: usize = 1024;
/// Most requests of a level: their times are held in memory.
const REQUESTS_MAX: u64 = 1_000_000;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// URL of the server, e.g. http://127.0.0.1:8080; the key is that of the configuration (client.key)
    url: String,
    /// Documents, sent in turn
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Numbers of concurrent clients, one level after the other
    #[arg(long, value_delimiter = ',', value_name = "N,N,...", default_value = "1,2,4,8,16")]
    clients: Vec<usize>,
    /// Seconds of each level; requests that have begun by then are finished
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    seconds: f64,
    /// Requests of each level, where they end before its time
    #[arg(long, value_name = "N", default_value_t = REQUESTS_MAX)]
    requests: u64,
    /// Deployment that reads the documents
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// Option of the requests, e.g. `--option text_layer=never`; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE")]
    options: Vec<String>,
    /// Longest time of a request, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 310.0)]
    timeout: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, mut config: Config) -> Result<ExitCode, Failure> {
    let options = args.checked().map_err(Failure::Usage)?;
    args.url.trim_end_matches('/').clone_into(&mut config.client.server);
    block_on(&config, async {
        let load = args.load(&config, options).await?;
        let report = measure(&args, &config, &load).await?;
        let read: u64 = report.levels.iter().map(|level| level.documents).sum();
        if args.json {
            terminal::print(&(serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)? + "\n"))?;
        }
        Ok(if read == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

impl Args {
    /// Checks the arguments; returns the options of the requests.
    fn checked(&self) -> anyhow::Result<Vec<(String, String)>> {
        let time = |name: &str, value: f64| {
            ensure!(value > 0.0 && value <= 86_400.0, "{name} {value}: write seconds, up to a day");
            Ok(())
        };
        time("--seconds", self.seconds)?;
        time("--timeout", self.timeout)?;
        ensure!(
            (1..=REQUESTS_MAX).contains(&self.requests),
            "--requests: write a number from 1 to {REQUESTS_MAX}"
        );
        for clients in &self.clients {
            ensure!(
                (1..=CLIENTS_MAX).contains(clients),
                "--clients {clients}: write numbers from 1 to {CLIENTS_MAX}"
            );
        }
        ensure!(
            self.url.starts_with("http://") || self.url.starts_with("https://"),
            "{}: the first argument is the address of the server, e.g. http://127.0.0.1:8080",
            self.url
        );
        let option = |text: &String| {
            let (name, value) = text
                .split_once('=')
                .with_context(|| format!("--option {text}: write it like --option text_layer=never"))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        self.options.iter().map(option).collect()
    }

    async fn load(&self, config: &Config, options: Vec<(String, String)>) -> anyhow::Result<Load> {
        let (mut documents, mut left) = (Vec::new(), DOCUMENT_BYTES_MAX);
        for file in &self.files {
            let bytes = bytes_of(file, left).await.with_context(|| name_of(file))?;
            left = left.saturating_sub(bytes.len() as u64);
            documents.push(Document { name: name_of(file), bytes: Bytes::from(bytes) });
        }
        let server = &config.client.server;
        let path = match &self.deployment {
            Some(name) => format!("/api/v1/deployments/{name}/ocr"),
            None => "/api/v1/ocr".to_owned(),
        };
        Ok(Load {
            client: client(&config.client)?,
            url: format!("{server}{path}"),
            options,
            documents,
            time: Duration::from_secs_f64(self.seconds),
            requests: self.requests,
            timeout: Duration::from_secs_f64(self.timeout),
        })
    }
}

/// Sends each document once, then measures the levels; prints each as it ends.
async fn measure(args: &Args, config: &Config, load: &Load) -> anyhow::Result<Report> {
    let server = &config.client.server;
    let health = load.client.get(format!("{server}/healthz")).timeout(load.timeout).send().await;
    let health = accepted(health.with_context(|| format!("asking {server}"))?).await?;
    let health: Value =
        health.json().await.context("the answer of /healthz is not JSON: is this a Lector server?")?;
    // Also loads engines that no request has used so far. A wrong key or option is reported before any figure.
    if let Some(refused) = load.warm_up().await {
        bail!("{refused}");
    }
    let mut report = Report {
        server: server.clone(),
        version: health["version"].as_str().unwrap_or("unknown").to_owned(),
        documents: load.documents.len(),
        bytes: load.documents.iter().map(|document| document.bytes.len() as u64).sum(),
        seconds: args.seconds,
        levels: Vec::new(),
    };
    if !args.json {
        terminal::print(&report.head())?;
    }
    for clients in &args.clients {
        let level = Level::of(*clients, load.level(*clients).await);
        if !args.json {
            terminal::print(&level.row())?;
        }
        report.levels.push(level);
    }
    if !args.json {
        terminal::print(&report.summary())?;
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
