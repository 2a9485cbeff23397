//! `lector serve`: the gateway, from the socket to the drain.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Failure, on_runtime};
use crate::app::Host;
use crate::config::{Config, HttpConfig};
use crate::shutdown::Signals;
use crate::{descriptors, http, memory, telemetry};

/// After the drain: for answers that are written but not yet on the wire.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// The golden page on a cold machine.
const WARM_UP_MAX: Duration = Duration::from_secs(30);

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen; port 0 takes any free one (default: http.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Written when the server listens: {"listening":"http://…"}
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// Draws what is done into this file, for Perfetto or chrome://tracing: documents, pages, renderings, guests, runs
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

impl Args {
    /// Flags that are configuration keys.
    pub(super) fn flags(&self) -> Vec<(String, String, &'static str)> {
        self.listen.iter().map(|listen| ("http.listen".to_owned(), listen.clone(), "--listen")).collect()
    }
}

pub(super) fn run(args: Args, config: Config) -> Result<ExitCode, Failure> {
    telemetry::init(&config.log, args.trace.as_deref())?;
    on_runtime(serve(&args, &config))
}

async fn serve(args: &Args, config: &Config) -> Result<ExitCode, Failure> {
    let mut signals = Signals::catch().context("catching signals")?;
    let http = bounded_by_descriptors(config)?;
    // Before the models are loaded: an address that is taken should not cost a start.
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("listening on {} (http.listen)", config.http.listen))?;
    let address = listener.local_addr().context("asking where the socket listens")?;

    let host = tokio::select! {
        host = Host::start(config) => host?,
        signal = signals.next() => {
            tracing::info!(signal, "asked to stop during the start");
            return Ok(ExitCode::SUCCESS);
        }
    };
    if let Err(error) = who_may_come(&host, config, address).await {
        host.stop().await;
        return Err(error.into());
    }
    let _trimming =
        AbortOnDropHandle::new(tokio::spawn(memory::trim_after_large_documents(host.service.clone())));
    // The first page pays for everything that is lazy: let it be ours. What it cannot do now it may be
    // able to do later, and `/readyz` says so until then.
    match host.service.check_readiness(WARM_UP_MAX).await {
        Ok(report) => tracing::info!(took_ms = report.took.as_millis() as u64, "read the golden page"),
        Err(fault) => tracing::error!(%fault, "the golden page was not read: /readyz will say no"),
    }
    if let Some(file) = &args.port_file {
        write_port_file(file, address)?;
    }
    let who = if host.control.is_open() {
        "ready; there are no keys: everybody who reaches this address may use it"
    } else {
        "ready; keys are asked for"
    };
    tracing::info!(listening = %format!("http://{address}"), "{who}");

    let stop = CancellationToken::new();
    let server = http::serve(listener, host.app_state(http), stop.clone());
    tokio::pin!(server);
    let signal = tokio::select! {
        _ = &mut server => {
            return Err(anyhow::anyhow!("the server ended without being asked to").into());
        }
        signal = signals.next() => signal,
    };

    tracing::info!(
        signal,
        within_s = config.http.drain_timeout.as_secs(),
        "draining; the same signal again ends at once"
    );
    stop.cancel();
    let drain = async {
        let report = host.service.drain(config.http.drain_timeout);
        // The server goes on writing answers while the house empties.
        let served =
            async { tokio::time::timeout(config.http.drain_timeout + LAST_BYTES, &mut server).await };
        let (report, served) = tokio::join!(report, served);
        let in_time = served.is_ok_and(|drained| drained.cut_off == 0);
        for holder in &report.cut_off {
            tracing::warn!(request = %holder.label, held_s = holder.since.elapsed().as_secs(), "cut off");
        }
        host.stop().await;
        tracing::info!(clean = report.clean && in_time, took_ms = report.took.as_millis() as u64, "stopped");
    };
    tokio::select! {
        () = drain => Ok(ExitCode::SUCCESS),
        signal = signals.next() => {
            tracing::warn!(signal, "ended at once, without waiting for what was being read");
            // As a shell reports a program that SIGINT ended.
            Ok(ExitCode::from(130))
        }
    }
}

/// The gateway's limits, with connections no more than the process may have open files for.
fn bounded_by_descriptors(config: &Config) -> anyhow::Result<HttpConfig> {
    let (mut http, open_files) = (config.http.clone(), descriptors::raise());
    let documents_max = config.serving.documents_max;
    let connections = descriptors::connections_within(open_files, http.connections_max, documents_max)?;
    if connections < http.connections_max {
        tracing::warn!(
            connections,
            wanted = http.connections_max,
            open_files,
            "fewer connections than http.connections_max: the process may not open more files (ulimit -n, LimitNOFILE)"
        );
        http.connections_max = connections;
    }
    Ok(http)
}

/// A house without keys listens on loopback alone, unless its operator insists. Where the configuration names a file for
/// a first administrator's key, and there is no key yet, one is made.
async fn who_may_come(host: &Host, config: &Config, address: SocketAddr) -> anyhow::Result<()> {
    let control = &host.control;
    if let (true, Some(file)) = (control.is_open(), &config.admin_key_file) {
        super::keys::first_admin_key(control, file).await?;
    }
    if let (true, Some(file)) = (control.lost_admin_key(), &config.admin_key_file) {
        if file.exists() {
            tracing::error!(
                file = %file.display(),
                "no administrator's key can be read from the store: move this file away and restart, and a new key is made"
            );
        } else {
            super::keys::first_admin_key(control, file).await?;
        }
    }
    if control.is_open() && !address.ip().is_loopback() && !config.http.allow_insecure_public {
        anyhow::bail!(
            "{address} (http.listen) is no loopback address, and there are no keys: whoever reaches it could use the \
             server. Name a file for an administrator's key (platform.admin_key_file), listen on 127.0.0.1, or set http.allow_insecure_public = true"
        );
    }
    Ok(())
}

/// Whole or not at all: who waits for the file may read it as soon as it is there.
fn write_port_file(file: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let content = serde_json::json!({ "listening": format!("http://{address}") });
    super::ocr::write_whole(file, content.to_string().as_bytes()).context("writing the port file")
}
