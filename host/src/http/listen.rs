//! Connections: accept, limit, serve, drain.
//!
//! Owns the accept loop and the lifetime of each connection. Does not depend on routes. HTTP/1.1 and HTTP/2 (with prior
//! knowledge) are distinguished by their first bytes. A broken connection affects only itself.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::delivery::Deliveries;
use super::problem::{self, Problem};
use super::socket::{Protocol, Socket, sniff};
use super::{AppState, router};
use crate::config::HttpConfig;
use crate::metrics::InFlight;

/// Maximum number of concurrent rejections; beyond it connections are closed without a response.
const REFUSALS_MAX: usize = 64;
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

/// A token that every request of a connection holds until its end, and the responses of the connection.
#[derive(Clone, Debug)]
pub(super) struct OnConnection {
    pub(super) deliveries: Deliveries,
    token: Arc<()>,
}

/// Serves until `stop` is cancelled, then lets the open connections finish within the drain timeout.
pub async fn serve(listener: TcpListener, state: AppState, stop: CancellationToken) -> Drained {
    let config = state.config.clone();
    let router = router::router(state.clone());
    let slots = Arc::new(Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS)));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let connections = TaskTracker::new();
    let cut_off = CancellationToken::new();

    let accept = |stream: TcpStream| {
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            state.metrics.connection_refused();
            if let Ok(slot) = refusals.clone().try_acquire_owned() {
                connections.spawn(async move {
                    refuse(stream).await;
                    drop(slot);
                });
            }
            return;
        };
        let connection = Connection {
            router: router.clone(),
            config: config.clone(),
            stop: stop.clone(),
            _open: state.metrics.connection_opened(),
        };
        let cut_off = cut_off.clone();
        connections.spawn(async move {
            tokio::select! {
                () = connection.serve(stream) => {}
                () = cut_off.cancelled() => {}
            }
            drop(slot);
        });
    };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => accept(stream),
                Err(error) if is_client_error(&error) => tracing::debug!(%error, "a connection broke before it was accepted"),
                Err(error) => {
                    tracing::warn!(%error, "no connection can be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // Clients in the backlog believe that they are connected: they receive a response, not a reset.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        accept(stream);
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(config.drain_timeout, connections.wait()).await.is_ok() {
        return Drained { cut_off: 0 };
    }
    let left = connections.len();
    cut_off.cancel();
    connections.wait().await;
    Drained { cut_off: left }
}

fn is_client_error(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Sends `connections_full` without reading the request.
async fn refuse(stream: TcpStream) {
    let fault = problem::connections_full();
    let body = problem::bytes(&Problem::from(fault).document(None));
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {}\r\ncontent-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n",
        problem::CONTENT_TYPE,
        body.len()
    );
    let mut socket = Socket::new(stream, Bytes::new(), Duration::from_secs(1));
    if socket.write_all(&[head.as_bytes(), &body].concat()).await.is_ok() {
        let _ = socket.shutdown().await;
    }
}

struct Connection {
    router: Router,
    config: Arc<HttpConfig>,
    stop: CancellationToken,
    _open: InFlight,
}

impl Connection {
    async fn serve(self, mut stream: TcpStream) {
        // Events are small, and are sent without delay.
        let _ = stream.set_nodelay(true);
        let until = Instant::now() + self.config.header_timeout;
        let sniffed = tokio::select! {
            sniffed = sniff(&mut stream, until) => sniffed,
            // No request has arrived yet.
            () = self.stop.cancelled() => sniff(&mut stream, Instant::now() + ACCEPT_PAUSE).await,
        };
        let Some((protocol, begun)) = sniffed else { return };
        let io = TokioIo::new(Socket::new(stream, begun, self.config.body_idle_timeout));
        let ended = match protocol {
            Protocol::Http1 => self.http1(io).await,
            Protocol::Http2 => self.http2(io).await,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }

    async fn http1(self, io: TokioIo<Socket>) -> hyper::Result<()> {
        let on = OnConnection { deliveries: Deliveries::default(), token: Arc::new(()) };
        let (router, given) = (self.router.clone(), on.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            // Also bounds the wait between two requests.
            .header_read_timeout(self.config.header_timeout)
            .max_buf_size(HEAD_BYTES_MAX.max(64 << 10))
            .max_headers(100)
            .serve_connection(io, service_fn(move |request| answer(router.clone(), request, given.clone())));
        let mut connection = pin!(connection);
        let mut tick = tokio::time::interval(TICK);
        let mut closing = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = self.stop.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = tick.tick() => if on.deliveries.cut_slow() > 0 {
                    // It has one response at a time, which cannot be completed.
                    tracing::info!("the client reads its response too slowly: the connection is closed");
                    return Ok(());
                }
            }
        }
    }

    async fn http2(self, io: TokioIo<Socket>) -> hyper::Result<()> {
        let on = OnConnection { deliveries: Deliveries::default(), token: Arc::new(()) };
        let (router, given) = (self.router.clone(), on.clone());
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(TICK * 4)
            .keep_alive_timeout(TICK * 2)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .serve_connection(io, service_fn(move |request| answer(router.clone(), request, given.clone())));
        let mut connection = pin!(connection);
        let mut tick = tokio::time::interval(TICK);
        let (mut idle_ticks, mut closing) = (0, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = self.stop.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = tick.tick() => {
                    let cut = on.deliveries.cut_slow();
                    if cut > 0 {
                        tracing::info!(responses = cut, "the client reads these responses too slowly: they are cut off");
                    }
                    // This function and the service hold the token; every request holds it as well.
                    let idle = Arc::strong_count(&on.token) <= 2;
                    idle_ticks = if idle { idle_ticks + 1 } else { 0 };
                    if closing && idle && self.stop.is_cancelled() {
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
    router: Router,
    request: Request<Incoming>,
    on: OnConnection,
) -> Result<axum::response::Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(on);
    router.oneshot(request).await
}
