//! `lector healthcheck`: requests `/readyz`, for container images without another HTTP client.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::failure::Failure;
use crate::config::ClientTls;
use crate::tls;

/// The server reads a smoke-test page for its answer; a slower server is not ready.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// URL of the server
    #[arg(default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Authority (PEM) of the server's certificate, beside those of the system
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the async runtime")?;
    let url = format!("{}/readyz", args.url.trim_end_matches('/'));
    let tls = ClientTls { ca_file: args.ca_file.clone(), identity: None };
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::http_client_config(&tls)?)
            .timeout(TIMEOUT)
            .no_proxy()
            .build()
            .context("creating an HTTP client")?;
        let answer = client.get(&url).send().await.with_context(|| format!("asking {url}"))?;
        match answer.status() {
            status if status.is_success() => Ok(ExitCode::SUCCESS),
            status => Err(anyhow!("{url}: status {status}").into()),
        }
    })
}
