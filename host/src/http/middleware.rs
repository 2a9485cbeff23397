//! What is around every request: its id, its span, its line in the log, its place in the metrics, and an
//! answer even if the handler panics.
//!
//! Owns the request id (`X-Request-Id`, in and out), the trace context that comes in (W3C `traceparent`),
//! and the end of every answer: a request lasts until the last byte of its body is taken or given up.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::FutureExt;
use hyper::body::{Frame, SizeHint};
use lector_core::RequestId;
use tracing::{Instrument, Span};

use super::AppState;
use super::listen::OnConnection;
use super::problem::{self, Code, Problem};
use crate::metrics::{InFlight, Metrics};

/// Longest request id that is taken over.
const ID_BYTES_MAX: usize = 128;
/// Status in log and metrics of a request whose client left before the answer began (nginx' number).
const CLIENT_LEFT: u16 = 499;
/// A route for requests that found none.
const NO_ROUTE: &str = "none";

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What handlers know of their request beyond what it says.
#[derive(Clone, Debug)]
pub(super) struct RequestCtx {
    pub(super) id: RequestId,
    /// When its head had arrived; deadlines count from here.
    pub(super) began: Instant,
}

/// The outermost layer.
pub(super) async fn handle(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let span = span(&id, request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, |path| path.as_str()).to_owned();
    let mut answer = Answer {
        began: Instant::now(),
        route,
        method: request.method().clone(),
        path: request.uri().path().chars().take(200).collect(),
        status: CLIENT_LEFT,
        code: "",
        sent_bytes: 0,
        complete: false,
        span: span.clone(),
        metrics: state.metrics.clone(),
        _in_flight: state.metrics.request_began(),
        _connection: request.extensions_mut().remove::<OnConnection>(),
    };
    request.extensions_mut().insert(RequestCtx { id: id.clone(), began: answer.began });
    let version = request.version();
    let read_to_end = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let request = request.map(|body| Body::new(Received { body, read_to_end: read_to_end.clone() }));

    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let mut response = answered.unwrap_or_else(|panic| {
        let _in = span.enter();
        Problem::from(problem::internal(format!("panic: {}", panic_text(panic.as_ref())))).into_response()
    });

    if let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() {
        *response.body_mut() = problem.body(Some(&id));
    }
    answer.status = response.status().as_u16();
    answer.code = code_of(&response);
    let refused = response.status().as_u16() >= StatusCode::BAD_REQUEST.as_u16();
    let headers = response.headers_mut();
    if refused && version < Version::HTTP_2 && !read_to_end.load(Relaxed) {
        // The rest of the body will not be read, so the connection cannot be used again: say so.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID.clone(), id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response.map(|body| Body::new(Sent { body, answer }))
}

/// The client's own id where it is fit for logs and headers, else a new one that sorts by time.
fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let fit = |id: &&str| (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    match given.filter(fit) {
        Some(id) => id.into(),
        None => uuid::Uuid::now_v7().to_string().into(),
    }
}

fn span(id: &RequestId, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!("http", request = %id, trace_id = tracing::field::Empty, parent_id = tracing::field::Empty);
    let parent = headers.get(&TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(trace_parent);
    if let Some((trace, parent)) = parent {
        span.record("trace_id", trace);
        span.record("parent_id", parent);
    }
    span
}

/// Trace id and parent id of a `traceparent` (W3C Trace Context, section 3.2). Versions to come may append fields.
fn trace_parent(value: &str) -> Option<(&str, &str)> {
    let mut fields = value.trim().split('-');
    let mut field = |digits: usize| {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        fields.next().filter(|field| field.len() == digits && field.bytes().all(hex))
    };
    let (version, trace, parent, _flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    let zero = |id: &str| id.bytes().all(|b| b == b'0');
    let valid =
        version != "ff" && !zero(trace) && !zero(parent) && (version != "00" || fields.next().is_none());
    valid.then_some((trace, parent))
}

/// The code of a problem; empty for a success.
pub(super) fn code_of(response: &Response) -> &'static str {
    response.extensions().get::<Code>().map_or("", |code| code.0)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "of no text".to_owned())
}

/// A request body that remembers whether it was read to its end.
struct Received {
    body: Body,
    read_to_end: Arc<AtomicBool>,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let middleware = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if middleware.is_none() || self.body.is_end_stream() {
            self.read_to_end.store(true, Relaxed);
        }
        Poll::Ready(middleware)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer on its way; its end, whichever way it comes, is written down.
struct Answer {
    began: Instant,
    route: String,
    method: Method,
    path: String,
    status: u16,
    code: &'static str,
    sent_bytes: u64,
    complete: bool,
    span: Span,
    metrics: Arc<Metrics>,
    _in_flight: InFlight,
    _connection: Option<OnConnection>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.metrics.request_ended(&self.route, method_label(&self.method), self.status, self.code, took);
        let _in = self.span.enter();
        let Self { method, path, status, code, sent_bytes, complete, .. } = self;
        let took_ms = millis(took);
        // Probes ask every second; they would be most of the log.
        if matches!(self.route.as_str(), "/healthz" | "/readyz" | "/metrics") && *status < 400 {
            tracing::debug!(%method, path, status, took_ms, sent_bytes, complete, "answered");
        } else {
            tracing::info!(%method, path, status, code, took_ms, sent_bytes, complete, "answered");
        }
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

/// A bounded set: a method is any token that a client makes up.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The body of an answer.
struct Sent {
    body: Body,
    answer: Answer,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let middleware = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &middleware {
            Some(Ok(middleware)) => {
                self.answer.sent_bytes += middleware.data_ref().map_or(0, |data| data.len() as u64)
            }
            Some(Err(_)) => {}
            None => self.answer.complete = true,
        }
        Poll::Ready(middleware)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        // The answer to a HEAD request has a body only in name.
        self.answer.complete |= self.body.is_end_stream() || self.answer.method == Method::HEAD;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn ids_are_taken_over_or_made() {
        let id = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID.clone(), HeaderValue::from_bytes(value).unwrap());
            request_id(&headers).to_string()
        };
        assert_eq!(id(b"my-own-id-17"), "my-own-id-17");
        for unfit in [&b""[..], b"two words", b"\xc3\xa4", &[b'x'; 129]] {
            assert_eq!(uuid::Uuid::parse_str(&id(unfit)).unwrap().get_version_num(), 7);
        }
        assert!(request_id(&HeaderMap::new()).as_str() <= request_id(&HeaderMap::new()).as_str());
    }

    #[test]
    fn trace_parents() {
        let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        assert_eq!(trace_parent(&format!("00-{trace}-{parent}-01")), Some((trace, parent)));
        assert_eq!(trace_parent(&format!("cc-{trace}-{parent}-01-more")), Some((trace, parent)));
        for bad in [
            format!("00-{trace}-{parent}-01-more"),
            format!("ff-{trace}-{parent}-01"),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{trace}-{parent}"),
            String::new(),
        ] {
            assert_eq!(trace_parent(&bad), None, "{bad}");
        }
    }
}
