//! The middleware of every request: id, span, log line, metrics, and a response even if the handler panics.
//!
//! Owns the request id (`X-Request-Id`, in and out), the incoming trace context (W3C `traceparent`), and the end of
//! every response: a request lasts until the last byte of the response body is sent or abandoned.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::str::FromStr;
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
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::AppState;
use super::connection_table::OnConnection;
use super::delivery::{Deliveries, Delivery, DeliveryLimits};
use super::problem::{self, Code, Problem};
use crate::metrics::{InFlight, Metrics};

/// Maximum length of a request id of the client.
const ID_BYTES_MAX: usize = 128;
/// Status in log and metrics of a request whose client disconnected before the response began (the number of nginx).
const CLIENT_LEFT: u16 = 499;
/// The route label of requests without a route.
const NO_ROUTE: &str = "none";

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Request context for handlers.
#[derive(Clone, Debug)]
pub(super) struct RequestCtx {
    pub(super) id: RequestId,
    /// When the head of the request had arrived; timeouts start here.
    pub(super) began: Instant,
}

/// Runs a request: the outermost layer.
pub(super) async fn handle(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, |path| path.as_str()).to_owned();
    let span = span(&id, request.headers());
    if state.config.traced {
        trace(&span, request.method(), &route, request.headers());
    }
    let connection = request.extensions_mut().remove::<OnConnection>();
    let deliveries = request.extensions_mut().remove::<Deliveries>().unwrap_or_default();
    let mut record = ResponseRecord {
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
        _connection: connection,
    };
    request.extensions_mut().insert(RequestCtx { id: id.clone(), began: record.began });
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
    record.status = response.status().as_u16();
    record.code = code_of(&response);
    let is_error = response.status().as_u16() >= StatusCode::BAD_REQUEST.as_u16();
    let headers = response.headers_mut();
    if is_error && version < Version::HTTP_2 && !read_to_end.load(Relaxed) {
        // The rest of the body is not read, so that the connection cannot be reused.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID.clone(), id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let limits = DeliveryLimits {
        rate_min: state.config.transfer_rate_min,
        idle_max: state.config.body_idle_timeout,
        total_max: state.config.request_timeout,
    };
    // The record is a part of the data: the request ends with it.
    response.map(|body| Body::new(Delivery::new(Body::new(Sent { body, record }), limits, &deliveries)))
}

/// Returns the id of the client if it is valid in logs and headers, otherwise a new one that sorts by time.
pub(super) fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let valid =
        |id: &&str| (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    match given.filter(valid) {
        Some(id) => id.into(),
        None => uuid::Uuid::now_v7().to_string().into(),
    }
}

/// Creates the span of a request.
fn span(id: &RequestId, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "http", request = %id, trace_id = Empty, parent_id = Empty, otel.name = Empty, otel.kind = Empty
    );
    if let Some(parent) = text(headers, &TRACEPARENT).and_then(trace_parent) {
        span.record("trace_id", parent.trace);
        span.record("parent_id", parent.span);
    }
    span
}

/// Makes the span a part of a trace, the client's if it sent one. Named and described by the semantic conventions of
/// OpenTelemetry for HTTP servers.
fn trace(span: &Span, method: &Method, route: &str, headers: &HeaderMap) {
    let method = method_label(method);
    span.record("otel.name", format!("{method} {route}"));
    span.record("otel.kind", "server");
    let parent = text(headers, &TRACEPARENT).and_then(trace_parent);
    if let Some(context) = parent.and_then(|parent| parent.context(text(headers, &TRACESTATE))) {
        // Fails only for a span that has begun.
        let _ = span.set_parent(context);
    } else {
        span.record("trace_id", span.context().span().span_context().trace_id().to_string());
    }
    span.set_attribute("http.request.method", method);
    span.set_attribute("http.route", route.to_owned());
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The caller's place in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceParent<'a> {
    trace: &'a str,
    span: &'a str,
    sampled: bool,
}

impl TraceParent<'_> {
    fn context(self, state: Option<&str>) -> Option<opentelemetry::Context> {
        let (trace, span) = (TraceId::from_hex(self.trace).ok()?, SpanId::from_hex(self.span).ok()?);
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let state = state.and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
        let parent = SpanContext::new(trace, span, flags, true, state);
        Some(opentelemetry::Context::new().with_remote_span_context(parent))
    }
}

/// Parses a `traceparent` (W3C Trace Context, section 3.2). Later versions may append fields.
pub(super) fn trace_parent(value: &str) -> Option<TraceParent<'_>> {
    let mut fields = value.trim().split('-');
    let mut field = |digits: usize| {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        fields.next().filter(|field| field.len() == digits && field.bytes().all(hex))
    };
    let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    let zero = |id: &str| id.bytes().all(|b| b == b'0');
    let valid =
        version != "ff" && !zero(trace) && !zero(span) && (version != "00" || fields.next().is_none());
    let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
    valid.then_some(TraceParent { trace, span, sampled })
}

/// Returns the code of a problem; empty for a success.
pub(super) fn code_of(response: &Response) -> &'static str {
    response.extensions().get::<Code>().map_or("", |code| code.0)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a text".to_owned())
}

/// A request body that records whether it was read to its end.
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
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.read_to_end.store(true, Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The record of a response. Dropping it, at the end of the response or of its connection, writes log and metrics.
struct ResponseRecord {
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

/// Health checks and scrapes are frequent, and would be most of the log.
const PROBES: [&str; 8] =
    ["/healthz", "/livez", "/readyz", "/metrics", "/health", "/ready", "/v2/health/live", "/v2/health/ready"];

impl Drop for ResponseRecord {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.metrics.request_ended(&self.route, method_label(&self.method), self.status, self.code, took);
        let _in = self.span.enter();
        let Self { method, path, status, code, sent_bytes, complete, .. } = self;
        let took_ms = millis(took);
        self.span.set_attribute("http.response.status_code", i64::from(*status));
        if *status >= 500 {
            self.span.set_status(opentelemetry::trace::Status::error(*code));
        }
        if PROBES.contains(&self.route.as_str()) && *status < 400 {
            tracing::debug!(%method, path, status, took_ms, sent_bytes, complete, "answered");
        } else {
            tracing::info!(%method, path, status, code, took_ms, sent_bytes, complete, "answered");
        }
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

/// Returns the metric label of a method. The set is bounded, because a client may send any token.
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

/// A response body with its record.
struct Sent {
    body: Body,
    record: ResponseRecord,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.record.sent_bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => {}
            None => self.record.complete = true,
        }
        Poll::Ready(frame)
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
        // The body of a response to HEAD is not sent.
        self.record.complete |= self.body.is_end_stream() || self.record.method == Method::HEAD;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn valid_ids_are_kept_and_others_generated() {
        let id = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID.clone(), HeaderValue::from_bytes(value).unwrap());
            request_id(&headers).to_string()
        };
        assert_eq!(id(b"my-own-id-17"), "my-own-id-17");
        for invalid in [&b""[..], b"two words", b"\xc3\xa4", &[b'x'; 129]] {
            assert_eq!(uuid::Uuid::parse_str(&id(invalid)).unwrap().get_version_num(), 7);
        }
        assert!(request_id(&HeaderMap::new()).as_str() <= request_id(&HeaderMap::new()).as_str());
    }

    #[test]
    fn trace_parents_are_parsed() {
        let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let sampled = |sampled| Some(TraceParent { trace, span: parent, sampled });
        assert_eq!(trace_parent(&format!("00-{trace}-{parent}-01")), sampled(true));
        assert_eq!(trace_parent(&format!("00-{trace}-{parent}-02")), sampled(false));
        assert_eq!(trace_parent(&format!("cc-{trace}-{parent}-01-more")), sampled(true));
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
