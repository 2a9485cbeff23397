//! Connections: accept, limit, serve, drain.
//!
//! Owns the accept loop and the lifetime of each connection. Does not depend on routes. HTTP/1.1 and HTTP/2 (with prior
//! knowledge) are distinguished by their first bytes. A broken connection affects only itself. A connection beyond the
//! bounds (`connection_table.rs`) may ask for health and readiness, and gets `connections_full` for the rest.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use lector_core::KeyedLimit;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::connection_table::{Activity, ConnectionTable, OnConnection, Peer, Slot, client_address};
use super::delivery::Deliveries;
use super::gateway::Gateway;
use super::proxy;
use super::socket::{Protocol, Socket, sniff};
use super::stream::Stream;
use crate::config::HttpConfig;
use crate::metrics::InFlight;
use crate::tls::ServerTls;

/// Maximum number of connections beyond the table that are answered, in all and of one address; others are closed
/// without a response.
const OVERFLOW_MAX: usize = 64;
const OVERFLOW_PER_ADDRESS_MAX: usize = 8;
/// Maximum time to receive the head of a request on such a connection.
const OVERFLOW_HEAD_MAX: Duration = Duration::from_secs(1);
/// Maximum lifetime of such a connection: a readiness check takes up to 8 s.
const OVERFLOW_MAX_TIME: Duration = Duration::from_secs(10);
/// Maximum number of connections of the listener for metrics.
const METRICS_CONNECTIONS_MAX: usize = 32;
/// Maximum number of concurrent requests on one HTTP/2 connection. Admission bounds their work; this bounds their
/// state.
const STREAMS_MAX: u32 = 64;
/// Maximum size of the head of a request in bytes (both protocols).
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Interval of the checks of a connection: responses that are not read are cut off; idle HTTP/2 connections are closed,
/// dead ones are detected by ping.
const TICK: Duration = Duration::from_secs(5);
/// Number of ticks without a request after which an HTTP/2 connection is closed.
const IDLE_TICKS_MAX: u32 = 12;
/// Pause after a failed accept (no free file descriptors), in which connections may close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The outcome of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Number of connections that were closed at the drain timeout.
    pub cut_off: usize,
}

/// The end of a server, in two steps. The first one is for a socket that another process holds as well, or will hold: the
/// successor of this one, or the service manager.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// No connection is taken any more, and each answer is the last one of its connection.
    handed_over: CancellationToken,
    /// Connections without a request are closed.
    closing: CancellationToken,
}

impl Ending {
    /// Takes no connection from now on. Those in the backlog of the socket are for the process that has it next. Requests
    /// on open connections are served, and their answers ask the clients to connect again: a connection that is closed
    /// instead may be one on which a request is just being sent, which would be lost.
    pub fn hand_over(&self) {
        self.handed_over.cancel();
    }

    /// Closes connections without a request, and the others after their answers.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Returns whether an answer of HTTP/1 is the last one of its connection.
    fn is_last_answer(&self) -> bool {
        self.handed_over.is_cancelled()
    }

    async fn begins(&self) {
        tokio::select! {
            () = self.handed_over.cancelled() => {}
            () = self.closing.cancelled() => {}
        }
    }
}

/// Serves until `ending` begins, then lets the open connections finish within the drain timeout.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    gateway: Arc<Gateway>,
    ending: Ending,
) -> Drained {
    let table = gateway.table.clone();
    accept_all(listener, tls, Address { gateway, private: false }, ending, table).await
}

/// Serves metrics, with tenant labels, and health on a private address without a key.
pub async fn serve_metrics(listener: TcpListener, gateway: Arc<Gateway>, ending: Ending) -> Drained {
    let table = ConnectionTable::new(METRICS_CONNECTIONS_MAX, METRICS_CONNECTIONS_MAX);
    accept_all(listener, None, Address { gateway, private: true }, ending, table).await
}

/// The gateway at one of its addresses.
#[derive(Clone)]
struct Address {
    gateway: Arc<Gateway>,
    private: bool,
}

impl Address {
    /// Returns the routes and the limits for a request that begins now. `overflow`: on a connection beyond the table.
    fn now(&self, overflow: bool) -> (Router, Arc<HttpConfig>) {
        let served = self.gateway.current();
        let router = match (overflow, self.private) {
            (true, _) => &served.overflow,
            (false, true) => &served.private,
            (false, false) => &served.all,
        };
        (router.clone(), served.state.config.clone())
    }
}

async fn accept_all(
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    address: Address,
    ending: Ending,
    table: ConnectionTable,
) -> Drained {
    let acceptor = Acceptor {
        tls,
        address,
        ending,
        table,
        overflow: KeyedLimit::new(OVERFLOW_PER_ADDRESS_MAX, OVERFLOW_MAX),
        connections: TaskTracker::new(),
        cut_off: CancellationToken::new(),
    };
    acceptor.accept_until_the_end(listener).await;
    acceptor.drain().await
}

/// Accepts the connections of a listener.
struct Acceptor {
    tls: Option<Arc<ServerTls>>,
    address: Address,
    ending: Ending,
    table: ConnectionTable,
    /// Connections beyond the table that are being answered, by address.
    overflow: KeyedLimit<IpAddr>,
    connections: TaskTracker,
    /// Closes the connections that are left at the drain timeout.
    cut_off: CancellationToken,
}

impl Acceptor {
    /// Accepts connections until the end begins, and those that wait then, unless they are for another process.
    async fn accept_until_the_end(&self, listener: TcpListener) {
        loop {
            tokio::select! {
                biased;
                () = self.ending.begins() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => self.accept(stream, address.ip()),
                    Err(error) if is_client_error(&error) => tracing::debug!(%error, "a connection broke before it was accepted"),
                    Err(error) => {
                        tracing::warn!(%error, "no connection can be taken");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        if !self.ending.handed_over.is_cancelled() {
            // Clients in the backlog believe that they are connected: they receive a response, not a reset.
            while let Some(Ok((stream, address))) = listener.accept().now_or_never() {
                self.accept(stream, address.ip());
            }
        }
    }

    /// Serves a connection in a task of its own.
    fn accept(&self, stream: TcpStream, peer: IpAddr) {
        let address = client_address(peer);
        let cut_off = self.cut_off.clone();
        let tls = self.tls.as_ref().map(|tls| tls.acceptor());
        let state = self.address.gateway.current().state.clone();
        let origin =
            Origin { peer, tls: tls.is_some(), address: self.address.clone(), ending: self.ending.clone() };
        // All clients of a proxy come from its address.
        let slot = if proxy::is_trusted(&state.config.trusted_proxies, peer) {
            self.table.enter_within(address, usize::MAX, Instant::now())
        } else {
            self.table.enter(address, Instant::now())
        };
        let Some(slot) = slot else {
            state.metrics.connection_refused();
            if let Some(guard) = self.overflow.take(&address) {
                self.connections.spawn(async move {
                    tokio::select! {
                        () = answer_overflow(stream, tls, origin) => {}
                        () = cut_off.cancelled() => {}
                    }
                    drop(guard);
                });
            }
            return;
        };
        let connection = Connection {
            config: state.config.clone(),
            origin,
            tls,
            activity: slot.activity.clone(),
            _open: state.metrics.connection_opened(),
        };
        self.connections.spawn(async move {
            let Slot { evicted, .. } = &slot;
            tokio::select! {
                () = connection.serve(stream) => {}
                () = evicted.cancelled() => tracing::debug!(%address, "an idle connection was closed to make room"),
                () = cut_off.cancelled() => {}
            }
            drop(slot);
        });
    }

    /// Lets the open connections finish, and cuts those off that have not finished within the drain timeout.
    async fn drain(self) -> Drained {
        self.connections.close();
        tokio::select! {
            () = self.connections.wait() => return Drained { cut_off: 0 },
            () = self.ending.closing.cancelled() => {}
        }
        let within = self.address.gateway.config().drain_timeout;
        if tokio::time::timeout(within, self.connections.wait()).await.is_ok() {
            return Drained { cut_off: 0 };
        }
        let left = self.connections.len();
        self.cut_off.cancel();
        self.connections.wait().await;
        Drained { cut_off: left }
    }
}

/// Does the handshake of TLS, if there is TLS, until `until` at the latest.
async fn encrypted(stream: TcpStream, tls: Option<TlsAcceptor>, until: Instant) -> Option<Stream> {
    let Some(tls) = tls else { return Some(Stream::Plain(stream)) };
    match tokio::time::timeout_at(until.into(), tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a handshake of TLS failed");
            None
        }
        Err(_) => None,
    }
}

/// Answers one request of a connection beyond the table.
async fn answer_overflow(stream: TcpStream, tls: Option<TlsAcceptor>, origin: Origin) {
    let Some(stream) = encrypted(stream, tls, Instant::now() + OVERFLOW_HEAD_MAX).await else { return };
    let activity = Activity::detached();
    let io = TokioIo::new(Socket::new(stream, bytes::Bytes::new(), OVERFLOW_HEAD_MAX, activity.clone()));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(OVERFLOW_HEAD_MAX)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX.max(64 << 10))
        .max_headers(100)
        .serve_connection(
            io,
            service_fn(move |request| {
                // The connection has one answer, and a bound of its own on its time.
                answer(request, true, origin.clone(), activity.clone(), Deliveries::default())
            }),
        );
    if let Ok(Err(error)) = tokio::time::timeout(OVERFLOW_MAX_TIME, connection).await {
        tracing::debug!(%error, "a connection beyond http.connections_max broke");
    }
}

fn is_client_error(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Where the requests of a connection come from.
#[derive(Clone)]
struct Origin {
    peer: IpAddr,
    tls: bool,
    address: Address,
    ending: Ending,
}

struct Connection {
    /// The limits of the connection; its requests have those of their time.
    config: Arc<HttpConfig>,
    origin: Origin,
    tls: Option<TlsAcceptor>,
    activity: Arc<Activity>,
    _open: InFlight,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream) {
        // Events are small, and are sent without delay.
        let _ = stream.set_nodelay(true);
        let until = Instant::now() + self.config.header_timeout;
        let handshake = encrypted(stream, self.tls.take(), until);
        let Some(mut stream) = handshake.await else { return };
        let sniffed = tokio::select! {
            sniffed = sniff(&mut stream, until) => sniffed,
            // No request has arrived yet.
            () = self.origin.ending.closing.cancelled() => sniff(&mut stream, Instant::now() + ACCEPT_PAUSE).await,
        };
        let Some((protocol, begun)) = sniffed else { return };
        let (stall_max, activity) = (self.config.body_idle_timeout, self.activity.clone());
        let io = TokioIo::new(Socket::new(stream, begun, stall_max, activity));
        let ended = match protocol {
            Protocol::Http1 => self.http1(io).await,
            Protocol::Http2 => self.http2(io).await,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }

    async fn http1(self, io: TokioIo<Socket>) -> hyper::Result<()> {
        let (origin, activity) = (self.origin.clone(), self.activity.clone());
        let deliveries = Deliveries::default();
        let given = deliveries.clone();
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            // Also bounds the wait between two requests.
            .header_read_timeout(self.config.header_timeout)
            .max_buf_size(HEAD_BYTES_MAX.max(64 << 10))
            .max_headers(100)
            .serve_connection(
                io,
                service_fn(move |request| {
                    answer(request, false, origin.clone(), activity.clone(), given.clone())
                }),
            );
        let mut connection = pin!(connection);
        let mut tick = tokio::time::interval(TICK);
        let mut closing = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = self.origin.ending.closing.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = tick.tick() => if deliveries.cut_slow() > 0 {
                    // It has one response at a time, which cannot be completed.
                    tracing::info!("the client reads its response too slowly: the connection is closed");
                    return Ok(());
                }
            }
        }
    }

    async fn http2(self, io: TokioIo<Socket>) -> hyper::Result<()> {
        let (origin, activity) = (self.origin.clone(), self.activity.clone());
        let deliveries = Deliveries::default();
        let given = deliveries.clone();
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(TICK * 4)
            .keep_alive_timeout(TICK * 2)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .serve_connection(
                io,
                service_fn(move |request| {
                    answer(request, false, origin.clone(), activity.clone(), given.clone())
                }),
            );
        let mut connection = pin!(connection);
        let mut tick = tokio::time::interval(TICK);
        let (mut idle_ticks, mut closing) = (0, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended,
                // A client of HTTP/2 is told which requests are served before the connection ends.
                () = self.origin.ending.begins(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = tick.tick() => {
                    let cut = deliveries.cut_slow();
                    if cut > 0 {
                        tracing::info!(responses = cut, "the client reads these responses too slowly: they are cut off");
                    }
                    let idle = self.activity.is_idle();
                    idle_ticks = if idle { idle_ticks + 1 } else { 0 };
                    if closing && idle && self.origin.ending.closing.is_cancelled() {
                        // No response is pending: a shutdown does not wait for the client to close.
                        return Ok(());
                    }
                    if idle_ticks > IDLE_TICKS_MAX {
                        if closing {
                            // The client ignored the GOAWAY frame and has no pending response.
                            return Ok(());
                        }
                        (closing, idle_ticks) = (true, 0);
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    overflow: bool,
    origin: Origin,
    activity: Arc<Activity>,
    deliveries: Deliveries,
) -> Result<axum::response::Response, Infallible> {
    let (router, config) = origin.address.now(overflow);
    let mut request = request.map(Body::new);
    let one_by_one = request.version() < Version::HTTP_2;
    request.extensions_mut().insert(OnConnection::begin(&activity));
    request.extensions_mut().insert(deliveries);
    let forwarded = proxy::forwarded(&config.trusted_proxies, origin.peer, origin.tls, request.headers());
    request.extensions_mut().insert(Peer(client_address(forwarded.client)));
    request.extensions_mut().insert(forwarded);
    let mut response = router.oneshot(request).await?;
    if one_by_one && origin.ending.is_last_answer() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
