//! `lector serve`: the server, from the socket to the drain.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use lector_jobs::Jobs;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::failure::Failure;
use super::files::write_whole;
use super::runtime::on_runtime;
use crate::app::Host;
use crate::config::{Config, Effective, HttpConfig, Sources};
use crate::handover::{CommandLine, PREPARED_WITHIN, Predecessor, Sockets, Successor};
use crate::http::{Drained, Ending, Gateway};
use crate::reload::{self, Reloader};
use crate::shutdown::{Received, Signals};
use crate::telemetry::LogFilter;
use crate::tls::ServerTls;
use crate::{descriptors, http, memory, telemetry};

/// Time after the drain for answers that are written and not yet sent.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// Time for requests on open connections after a handover. A client that thinks for longer finds its connection closed, as
/// after `http.header_timeout_s`.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// Maximum time of the smoke-test page on a cold machine.
const WARM_UP_MAX: Duration = Duration::from_secs(30);

/// The error of a server whose sockets failed.
const ENDED_ALONE: &str = "the server ended without a stop signal";

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address to listen on; port 0 selects a free port (default: http.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// File to write when the server listens: {"listening":"http://…","pid":…}
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// Set by a server that this process replaces
    #[arg(long, hide = true)]
    successor: bool,
}

impl Args {
    /// Returns the flags that set configuration keys.
    pub(super) fn flags(&self) -> Vec<(String, String, &'static str)> {
        self.listen.iter().map(|listen| ("http.listen".to_owned(), listen.clone(), "--listen")).collect()
    }
}

pub(super) fn run(
    args: Args,
    config: Config,
    sources: Sources,
    effective: Effective,
) -> Result<ExitCode, Failure> {
    on_runtime(async {
        let telemetry = telemetry::init_traced(&config.log, config.traces.as_ref())?;
        let served = Box::pin(serve(&args, &config, telemetry.filter, (sources, effective))).await;
        if let Some(traces) = telemetry.traces {
            // A failure of this thread loses the last spans, and is in the log.
            let _ = tokio::task::spawn_blocking(move || traces.end()).await;
        }
        served
    })
}

async fn serve(
    args: &Args,
    config: &Config,
    filter: LogFilter,
    (sources, effective): (Sources, Effective),
) -> Result<ExitCode, Failure> {
    let mut signals = Signals::catch().context("catching signals")?;
    let command = CommandLine::of_this_process().context("reading the command line of this process")?;
    let http = bounded_by_descriptors(config)?;
    // Before the models are loaded: an address in use, or a certificate that cannot be read, fails at once.
    let (predecessor, listening) = if args.successor {
        let (predecessor, sockets) = Predecessor::of_this_process()?;
        (Some(predecessor), Listening::passed(sockets, config).await?)
    } else {
        (None, Listening::open(config).await?)
    };
    let Listening { public: listener, metrics: metrics_listener, kept } = listening;
    let tls = config.http.tls.clone().map(ServerTls::load).transpose()?;
    let address = listener.local_addr().context("reading the address of the socket")?;

    let Some(host) = started(config, predecessor, address, &mut signals).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let _trimming =
        AbortOnDropHandle::new(tokio::spawn(memory::trim_after_large_documents(host.service.clone())));
    warm_up(&host).await;
    announce(args, &host, address, tls.is_some())?;

    let ending = Ending::default();
    let state = host.app_state(http).await?;
    let jobs = state.all_jobs();
    let gateway = Gateway::new(state.clone());
    let reloader = Reloader::new(
        reload::Parts {
            control: host.control.clone(),
            service: host.service.clone(),
            jobs: jobs.clone(),
            webhooks: host.webhooks(),
            tls: tls.clone(),
            filter,
            gateway: Arc::downgrade(&gateway),
            address,
            bounded: bounded_by_descriptors,
        },
        sources,
        effective,
    );
    state.reload_by(reloader.clone());
    drop(state);
    let sockets =
        Sockets { public: copy(&listener)?, metrics: metrics_listener.as_ref().map(copy).transpose()? };
    if let Some(listener) = metrics_listener {
        let address = listener.local_addr().context("reading the address of the socket")?;
        tracing::info!(listening = %format!("http://{address}"), "metrics, without a key");
        // Ends with the server: no client waits for a scrape.
        tokio::spawn(http::serve_metrics(listener, gateway.clone(), ending.clone()));
    }
    let watching = CancellationToken::new();
    let _watch = watching.clone().drop_guard();
    if let Some(tls) = &tls {
        tokio::spawn(tls.clone().watch(watching));
    }
    let server = http::serve(listener, tls, gateway.clone(), ending.clone());
    tokio::pin!(server);
    notify(NotifyState::Ready);
    let replacement = Replacement { command, sockets };
    let end = until_end(server.as_mut(), &mut signals, &gateway, &reloader, replacement).await?;

    let within = gateway.config().drain_timeout;
    let hands_over = kept || matches!(end, End::Replaced(_));
    hand_over(end, within);
    let drain = Drain { host, jobs, ending, within, hands_over };
    tokio::select! {
        () = drain.run(server) => Ok(ExitCode::SUCCESS),
        signal = signals.stop() => {
            tracing::warn!(signal, "stopped at once, without waiting for documents in flight");
            // The exit code with which a shell reports a program ended by SIGINT.
            Ok(ExitCode::from(130))
        }
    }
}

/// Starts every part, and checks that the server may be reached at its address. Returns `None` if a signal to stop comes
/// during the start.
async fn started(
    config: &Config,
    predecessor: Option<Predecessor>,
    address: SocketAddr,
    signals: &mut Signals,
) -> anyhow::Result<Option<Host>> {
    let host = tokio::select! {
        host = Host::start_after(config, predecessor) => host?,
        signal = signals.stop() => {
            tracing::info!(signal, "stop signal during start-up");
            return Ok(None);
        }
    };
    if let Err(error) = check_access(&host, config, address).await {
        host.stop().await;
        return Err(error);
    }
    Ok(Some(host))
}

/// Reads the smoke-test page, which warms up everything that is initialized on first use. A failure does not end the server:
/// the page may pass later, and `/readyz` reports it until then.
async fn warm_up(host: &Host) {
    match host.service.check_readiness(WARM_UP_MAX).await {
        Ok(report) => tracing::info!(took_ms = report.took.as_millis() as u64, "read the smoke-test page"),
        Err(fault) => tracing::error!(%fault, "the smoke-test page was not read: /readyz reports not ready"),
    }
}

/// Writes the address into the port file and the log.
fn announce(args: &Args, host: &Host, address: SocketAddr, is_tls: bool) -> anyhow::Result<()> {
    let scheme = if is_tls { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    if let Some(file) = &args.port_file {
        write_port_file(file, &url)?;
    }
    let access = if host.control.is_open() {
        "ready; there are no keys: every client that reaches this address may use the server"
    } else {
        "ready; clients need a key"
    };
    tracing::info!(listening = %url, "{access}");
    Ok(())
}

/// The parts that a successor is started with.
struct Replacement {
    command: CommandLine,
    /// Copies of the sockets.
    sockets: Sockets,
}

/// Acts on signals until one of them ends the server, or a successor is prepared. The copies of the sockets are closed at
/// the end: the successor has its own, and without one clients must not wait in a backlog that no process reads.
async fn until_end(
    mut server: Pin<&mut impl Future<Output = Drained>>,
    signals: &mut Signals,
    gateway: &Gateway,
    reloader: &Arc<Reloader>,
    replacement: Replacement,
) -> anyhow::Result<End> {
    loop {
        let received = tokio::select! {
            _ = &mut server => anyhow::bail!(ENDED_ALONE),
            received = signals.next() => received,
        };
        match received {
            Received::Stop(signal) => return Ok(End::Stop(signal)),
            Received::Reload => {
                let reloader = reloader.clone();
                tokio::spawn(async move { reloader.by_signal().await });
            }
            Received::Replace => {
                let ends_within = ends_within(gateway.config().drain_timeout);
                let replaced = tokio::select! {
                    _ = &mut server => anyhow::bail!(ENDED_ALONE),
                    // The drop of the other future ends the successor.
                    signal = signals.stop() => return Ok(End::Stop(signal)),
                    replaced = successor(&replacement, ends_within) => replaced,
                };
                match replaced {
                    Ok(successor) => return Ok(End::Replaced(successor)),
                    Err(error) => tracing::error!(
                        error = format!("{error:#}"),
                        "the server was not replaced: it goes on to serve"
                    ),
                }
            }
        }
    }
}

/// Tells the service manager, and the successor if there is one, that this server drains.
fn hand_over(end: End, within: Duration) {
    match end {
        End::Stop(signal) => {
            tracing::info!(
                signal,
                within_s = within.as_secs(),
                "draining; send the signal again to stop at once"
            );
            notify(NotifyState::Stopping);
        }
        End::Replaced(successor) => {
            let pid = successor.pid();
            tracing::info!(
                successor = pid,
                within_s = within.as_secs(),
                "the successor is prepared: draining"
            );
            if let Some(pid) = pid {
                notify(NotifyState::MainPid(pid));
            }
            successor.takes_over();
        }
    }
}

/// The end of a server: documents in flight are finished within a time, then its parts stop.
struct Drain {
    host: Host,
    jobs: Option<Arc<Jobs>>,
    ending: Ending,
    within: Duration,
    /// Whether another process holds the socket as well, or will hold it.
    hands_over: bool,
}

impl Drain {
    async fn run(self, mut server: Pin<&mut impl Future<Output = Drained>>) {
        let Self { host, jobs, ending, within, hands_over } = self;
        let mut drained = None;
        if hands_over {
            ending.hand_over();
            // Requests that are being sent on open connections are served.
            drained = tokio::time::timeout(LAST_REQUESTS, &mut server).await.ok();
        }
        ending.close();
        // Pages of jobs in progress are read again after the next start: they do not delay this stop.
        if let Some(jobs) = &jobs {
            jobs.stop().await;
        }
        let report = host.service.drain(within);
        // The server keeps sending responses while the documents in flight finish.
        let served = async {
            match drained {
                Some(drained) => Ok(drained),
                None => tokio::time::timeout(within + LAST_BYTES, &mut server).await,
            }
        };
        let (report, served) = tokio::join!(report, served);
        let in_time = served.is_ok_and(|drained| drained.cut_off == 0);
        for holder in &report.cut_off {
            tracing::warn!(request = %holder.label, held_s = holder.since.elapsed().as_secs(), "cut off");
        }
        host.stop().await;
        tracing::info!(clean = report.clean && in_time, took_ms = report.took.as_millis() as u64, "stopped");
    }
}

/// The reason why a server ends.
enum End {
    /// A signal to stop, by name.
    Stop(&'static str),
    /// The successor waits for the data folder.
    Replaced(Successor),
}

/// Starts a successor, and waits until it is prepared.
async fn successor(replacement: &Replacement, ends_within: Duration) -> anyhow::Result<Successor> {
    anyhow::ensure!(
        std::process::id() != 1,
        "this process is the first one of its container, which ends with it: replace the container"
    );
    let mut successor = Successor::start(&replacement.command, &replacement.sockets, ends_within)?;
    tracing::info!(
        successor = successor.pid(),
        "the successor starts; this server serves until it is prepared"
    );
    successor.prepared(PREPARED_WITHIN).await?;
    Ok(successor)
}

/// Returns the longest time from the report of a successor to the end of this process.
fn ends_within(drain_timeout: Duration) -> Duration {
    LAST_REQUESTS + drain_timeout + LAST_BYTES + Duration::from_secs(30)
}

fn copy(listener: &TcpListener) -> anyhow::Result<std::net::TcpListener> {
    let copied = listener.as_fd().try_clone_to_owned().context("copying the socket")?;
    Ok(copied.into())
}

/// The sockets of a server.
struct Listening {
    public: TcpListener,
    metrics: Option<TcpListener>,
    /// Whether the service manager holds the public one as well: it stays open when this process ends.
    kept: bool,
}

impl Listening {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let (public, kept) = listener(config.http.listen).await?;
        let metrics = match config.http.metrics_listen {
            Some(listen) => Some(
                TcpListener::bind(listen)
                    .await
                    .with_context(|| format!("listening on {listen} (http.metrics_listen)"))?,
            ),
            None => None,
        };
        Ok(Self { public, metrics, kept })
    }

    /// Uses the sockets of the predecessor. Their addresses stay those of its start.
    async fn passed(sockets: Sockets, config: &Config) -> anyhow::Result<Self> {
        let public = of_predecessor("http.listen", sockets.public, config.http.listen)?;
        let metrics = match (sockets.metrics, config.http.metrics_listen) {
            (Some(socket), Some(wanted)) => Some(of_predecessor("http.metrics_listen", socket, wanted)?),
            (None, Some(listen)) => Some(
                TcpListener::bind(listen)
                    .await
                    .with_context(|| format!("listening on {listen} (http.metrics_listen)"))?,
            ),
            (_, None) => None,
        };
        // A service manager that passed the socket to the predecessor holds it still.
        Ok(Self { public, metrics, kept: false })
    }
}

/// Returns the socket of the predecessor for the address of `key`, with a warning if the configuration now has another one.
fn of_predecessor(
    key: &str,
    socket: std::net::TcpListener,
    wanted: SocketAddr,
) -> anyhow::Result<TcpListener> {
    let address = socket.local_addr().context("reading the address of the socket")?;
    if is_another(address, wanted) {
        tracing::warn!(
            key,
            %address,
            %wanted,
            "the address has changed: a replaced server keeps its address until it is stopped and started"
        );
    }
    adopted(socket)
}

/// Returns whether a socket at `address` is not what the configuration wants; port 0 is any port.
fn is_another(address: SocketAddr, wanted: SocketAddr) -> bool {
    address.ip() != wanted.ip() || (wanted.port() != 0 && wanted.port() != address.port())
}

fn adopted(socket: std::net::TcpListener) -> anyhow::Result<TcpListener> {
    socket.set_nonblocking(true).context("preparing a passed socket")?;
    TcpListener::from_std(socket).context("using a passed socket")
}

/// Returns the socket that the service manager passes (`LISTEN_FDS`, as systemd and `systemfd` set it), or one that listens on
/// `http.listen`; and whether the service manager holds it.
async fn listener(listen: SocketAddr) -> anyhow::Result<(TcpListener, bool)> {
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
        return Ok((adopted(socket).context("using the socket of the service manager")?, true));
    }
    let bound = TcpListener::bind(listen).await;
    Ok((bound.with_context(|| format!("listening on {listen} (http.listen)"))?, false))
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
    let content = serde_json::json!({ "listening": url, "pid": std::process::id() });
    write_whole(file, content.to_string().as_bytes()).context("writing the port file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passed_socket_is_compared_with_the_configuration() {
        let check = |address: [u8; 4], port: u16, wanted: [u8; 4], wanted_port: u16, expected: bool| {
            let (address, wanted) =
                (SocketAddr::from((address, port)), SocketAddr::from((wanted, wanted_port)));
            assert_eq!(is_another(address, wanted), expected, "{address} for {wanted}");
        };
        let (loopback, any) = ([127, 0, 0, 1], [0, 0, 0, 0]);
        check(loopback, 8080, loopback, 8080, false);
        check(loopback, 8080, loopback, 9090, true);
        check(loopback, 8080, any, 8080, true);
        check(loopback, 41234, loopback, 0, false);
        check(loopback, 41234, any, 0, true);
    }
}
