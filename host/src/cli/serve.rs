//! `lector serve`: the server, from the socket to the drain.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::failure::Failure;
use super::files::write_whole;
use super::runtime::on_runtime;
use crate::app::Host;
use crate::config::{Config, HttpConfig};
use crate::shutdown::Signals;
use crate::tls::ServerTls;
use crate::{descriptors, http, memory, telemetry};

/// Time after the drain for answers that are written and not yet sent.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// Maximum time of the smoke-test page on a cold machine.
const WARM_UP_MAX: Duration = Duration::from_secs(30);

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address to listen on; port 0 selects a free port (default: http.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// File to write when the server listens: {"listening":"http://…"}
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
}

impl Args {
    /// Returns the flags that set configuration keys.
    pub(super) fn flags(&self) -> Vec<(String, String, &'static str)> {
        self.listen.iter().map(|listen| ("http.listen".to_owned(), listen.clone(), "--listen")).collect()
    }
}

pub(super) fn run(args: Args, config: Config) -> Result<ExitCode, Failure> {
    on_runtime(async {
        let traces = telemetry::init_traced(&config.log, config.traces.as_ref())?;
        let served = serve(&args, &config).await;
        if let Some(traces) = traces {
            // A failure of this thread loses the last spans, and is in the log.
            let _ = tokio::task::spawn_blocking(move || traces.end()).await;
        }
        served
    })
}

async fn serve(args: &Args, config: &Config) -> Result<ExitCode, Failure> {
    let mut signals = Signals::catch().context("catching signals")?;
    let http = bounded_by_descriptors(config)?;
    // Before the models are loaded: an address in use, or a certificate that cannot be read, fails at once.
    let listener = listener(config.http.listen).await?;
    let tls = config.http.tls.clone().map(ServerTls::load).transpose()?;
    let address = listener.local_addr().context("reading the address of the socket")?;
    let metrics_listener = match config.http.metrics_listen {
        Some(listen) => Some(
            TcpListener::bind(listen)
                .await
                .with_context(|| format!("listening on {listen} (http.metrics_listen)"))?,
        ),
        None => None,
    };

    let host = tokio::select! {
        host = Host::start(config) => host?,
        signal = signals.next() => {
            tracing::info!(signal, "stop signal during start-up");
            return Ok(ExitCode::SUCCESS);
        }
    };
    if let Err(error) = check_access(&host, config, address).await {
        host.stop().await;
        return Err(error.into());
    }
    let _trimming =
        AbortOnDropHandle::new(tokio::spawn(memory::trim_after_large_documents(host.service.clone())));
    // The smoke-test page warms up everything that is initialized on first use. A failure does not end the server: it
    // may pass later, and `/readyz` reports it until then.
    match host.service.check_readiness(WARM_UP_MAX).await {
        Ok(report) => tracing::info!(took_ms = report.took.as_millis() as u64, "read the smoke-test page"),
        Err(fault) => tracing::error!(%fault, "the smoke-test page was not read: /readyz reports not ready"),
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    if let Some(file) = &args.port_file {
        write_port_file(file, &url)?;
    }
    let who = if host.control.is_open() {
        "ready; there are no keys: every client that reaches this address may use the server"
    } else {
        "ready; clients need a key"
    };
    tracing::info!(listening = %url, "{who}");

    let stop = CancellationToken::new();
    let state = host.app_state(http)?;
    let jobs = state.all_jobs();
    if let Some(listener) = metrics_listener {
        let address = listener.local_addr().context("reading the address of the socket")?;
        tracing::info!(listening = %format!("http://{address}"), "metrics, without a key");
        // Ends with the server: no client waits for a scrape.
        tokio::spawn(http::serve_metrics(listener, state.clone(), stop.clone()));
    }
    if let Some(tls) = &tls {
        tokio::spawn(tls.clone().watch(stop.clone()));
    }
    let server = http::serve(listener, tls, state, stop.clone());
    tokio::pin!(server);
    notify(NotifyState::Ready);
    let signal = tokio::select! {
        _ = &mut server => {
            return Err(anyhow::anyhow!("the server ended without a stop signal").into());
        }
        signal = signals.next() => signal,
    };

    tracing::info!(
        signal,
        within_s = config.http.drain_timeout.as_secs(),
        "draining; send the signal again to stop at once"
    );
    notify(NotifyState::Stopping);
    stop.cancel();
    let drain = async {
        // Pages of jobs in progress are read again after the next start: they do not delay this stop.
        if let Some(jobs) = &jobs {
            jobs.stop().await;
        }
        let report = host.service.drain(config.http.drain_timeout);
        // The server keeps sending responses while the documents in flight finish.
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
            tracing::warn!(signal, "stopped at once, without waiting for documents in flight");
            // The exit code with which a shell reports a program ended by SIGINT.
            Ok(ExitCode::from(130))
        }
    }
}

/// Returns the socket that the service manager passes (`LISTEN_FDS`, as systemd and `systemfd` set it), or one that listens on
/// `http.listen`.
async fn listener(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let mut passed = ListenFd::from_env();
    if passed.len() > 1 {
        anyhow::bail!("the service manager passes {} sockets: pass one, for http.listen", passed.len());
    }
    if passed.len() == 1 {
        let socket = passed.take_tcp_listener(0).context("taking the socket of the service manager")?;
        let socket = socket.context("the service manager passes no TCP socket")?;
        // Not for the processes that this one starts.
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)
            .context("preparing the socket of the service manager")?;
        socket.set_nonblocking(true).context("preparing the socket of the service manager")?;
        return TcpListener::from_std(socket).context("using the socket of the service manager");
    }
    TcpListener::bind(listen).await.with_context(|| format!("listening on {listen} (http.listen)"))
}

/// Tells a service manager the state of this process, if there is one (`NOTIFY_SOCKET`).
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager was not told the state of the server");
    }
}

/// Returns the gateway's limits, with connections limited by the number of files that the process may open.
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
        // The share of one address stays the same.
        let share = http.connections_per_address_max.saturating_mul(connections) / http.connections_max;
        http.connections_per_address_max = share.max(1);
        http.connections_max = connections;
    }
    Ok(http)
}

/// Refuses a server without keys on an address that is not loopback, unless the configuration allows it. Creates the
/// first administrator's key if the configuration names a file for it and there is no key.
async fn check_access(host: &Host, config: &Config, address: SocketAddr) -> anyhow::Result<()> {
    let control = &host.control;
    if let (true, Some(file)) = (control.is_open(), &config.admin_key_file) {
        super::keys::first_admin_key(control, file).await?;
    }
    if let (true, Some(file)) = (control.lost_admin_key(), &config.admin_key_file) {
        if file.exists() {
            tracing::error!(
                file = %file.display(),
                "no administrator's key can be read from the store: move this file away and restart to create a new key"
            );
        } else {
            super::keys::first_admin_key(control, file).await?;
        }
    }
    if control.is_open() && !address.ip().is_loopback() && !config.http.allow_insecure_public {
        anyhow::bail!(
            "{address} (http.listen) is not a loopback address, and there are no keys: every client that reaches it could use the \
             server. Set a file for an administrator's key (platform.admin_key_file), listen on 127.0.0.1, or set http.allow_insecure_public = true"
        );
    }
    Ok(())
}

/// Writes the file atomically: a process that waits for it may read it as soon as it exists.
fn write_port_file(file: &Path, url: &str) -> anyhow::Result<()> {
    let content = serde_json::json!({ "listening": url });
    write_whole(file, content.to_string().as_bytes()).context("writing the port file")
}
