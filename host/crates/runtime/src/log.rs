//! Log output of a guest, as events of the host's log: target `guest`, with tenant, deployment and request, within the
//! page's budget. Includes the guest's stdout and stderr, line by line.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
pub use lector_core::GuestLogLevel as Level;
use lector_core::{CallCtx, DeploymentName, GuestLogRecord, GuestLogSink, RequestId, TenantName};
use tokio::io::AsyncWrite;
use tracing::{debug, error, info, trace, warn};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes counted for an event in addition to its text, so that empty messages also use up the budget.
const EVENT_BYTES: u64 = 32;
/// Maximum length of a line; the rest becomes the next line.
const LINE_BYTES_MAX: usize = 4096;
/// Maximum bytes of one write to a stream.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// First words of a message of the panic hook of Rust, which the SDK logs.
const PANIC: &str = "panicked at ";
/// Maximum length of a panic's message in a fault, in characters.
const PANIC_CHARS_MAX: usize = 400;

/// The log of one guest call.
#[derive(Debug)]
pub struct GuestLog {
    tenant: TenantName,
    deployment: DeploymentName,
    request: RequestId,
    bytes_max: u64,
    bytes: AtomicU64,
    dropped_events: AtomicU64,
    dropped_bytes: AtomicU64,
    sink: Option<Arc<dyn GuestLogSink>>,
    /// Place and message of the guest's panic.
    panic: Mutex<Option<String>>,
}

impl GuestLog {
    pub fn new(call: &CallCtx) -> Arc<Self> {
        Arc::new(Self {
            tenant: call.tenant.clone(),
            deployment: call.deployment.clone(),
            request: call.request.clone(),
            bytes_max: call.budget.log_bytes,
            bytes: AtomicU64::new(0),
            dropped_events: AtomicU64::new(0),
            dropped_bytes: AtomicU64::new(0),
            sink: call.guest_log.clone(),
            panic: Mutex::default(),
        })
    }

    /// Writes one event. If the budget is used up, drops and counts it.
    pub fn write(&self, level: Level, message: &str) {
        if level == Level::Error && message.starts_with(PANIC) {
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic_of(message));
        }
        let cost = message.len() as u64 + EVENT_BYTES;
        if self.bytes.fetch_add(cost, Ordering::Relaxed).saturating_add(cost) > self.bytes_max {
            self.bytes.fetch_sub(cost, Ordering::Relaxed);
            self.dropped_events.fetch_add(1, Ordering::Relaxed);
            self.dropped_bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
            return;
        }
        let message = escaped(message);
        if let Some(sink) = &self.sink {
            let (tenant, deployment, request) = (&self.tenant, &self.deployment, &self.request);
            sink.write(GuestLogRecord { tenant, deployment, request, level, message: &message });
        }
        let (tenant, deployment, request) =
            (self.tenant.as_str(), self.deployment.as_str(), self.request.as_str());
        match level {
            Level::Trace => trace!(target: "guest", tenant, deployment, request, "{message}"),
            Level::Debug => debug!(target: "guest", tenant, deployment, request, "{message}"),
            Level::Info => info!(target: "guest", tenant, deployment, request, "{message}"),
            Level::Warn => warn!(target: "guest", tenant, deployment, request, "{message}"),
            Level::Error => error!(target: "guest", tenant, deployment, request, "{message}"),
        }
    }

    /// Returns place and message of the guest's panic, if it logged one: `panicked at src/lib.rs:3:5: no lines`.
    pub fn panic(&self) -> Option<String> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the bytes of messages so far.
    pub fn used(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Adds the bytes of messages of an inner guest.
    pub fn charge(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the bytes of messages that are left.
    pub fn remaining(&self) -> u64 {
        self.bytes_max.saturating_sub(self.bytes.load(Ordering::Relaxed))
    }

    /// Logs the number of dropped messages once, at the end of the call; returns their bytes.
    pub fn close(&self) -> u64 {
        let (events, bytes) =
            (self.dropped_events.load(Ordering::Relaxed), self.dropped_bytes.load(Ordering::Relaxed));
        if events > 0 {
            let (tenant, deployment, request) =
                (self.tenant.as_str(), self.deployment.as_str(), self.request.as_str());
            warn!(
                target: "guest", tenant, deployment, request, events, bytes,
                "messages of the guest beyond its log budget were dropped"
            );
        }
        bytes
    }
}

/// Escapes control characters and line separators, so that a guest cannot forge lines of a log or control a terminal.
fn escaped(message: &str) -> Cow<'_, str> {
    let unsafe_in_logs = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if !message.contains(unsafe_in_logs) {
        return Cow::Borrowed(message);
    }
    let mut out = String::with_capacity(message.len() + 16);
    for c in message.chars() {
        if unsafe_in_logs(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Returns place and message of a panic on one line.
fn panic_of(message: &str) -> String {
    let line = message.trim_end().replacen(":\n", ": ", 1);
    let short: String = line.chars().take(PANIC_CHARS_MAX).collect();
    escaped(&short).into_owned()
}

/// One output stream of a guest.
#[derive(Clone)]
pub struct LogStream {
    log: Arc<GuestLog>,
    /// The current line, not yet ended.
    line: Arc<Mutex<Vec<u8>>>,
    name: &'static str,
}

impl LogStream {
    pub fn new(log: &Arc<GuestLog>, name: &'static str) -> Self {
        Self { log: Arc::clone(log), line: Arc::default(), name }
    }

    fn take(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            for part in piece.chunks(LINE_BYTES_MAX) {
                line.extend_from_slice(part);
                if line.last() == Some(&b'\n') || line.len() >= LINE_BYTES_MAX {
                    self.end(&mut line);
                }
            }
        }
    }

    fn end(&self, line: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if !text.is_empty() {
            self.log.write(Level::Info, &format!("{}: {text}", self.name));
        }
        line.clear();
    }
}

impl Drop for LogStream {
    fn drop(&mut self) {
        // The last holder writes a line without a line end; at most a panic message whose last byte is missing.
        if Arc::strong_count(&self.line) == 1 {
            let mut line = std::mem::take(&mut *self.line.lock().unwrap_or_else(PoisonError::into_inner));
            self.end(&mut line);
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::Instant;

    use super::*;

    #[derive(Debug, Default)]
    struct Lines(Mutex<Vec<String>>);

    impl GuestLogSink for Lines {
        fn write(&self, record: GuestLogRecord<'_>) {
            self.0.lock().unwrap().push(format!("{} {:?} {}", record.tenant, record.level, record.message));
        }
    }

    #[test]
    fn control_characters_are_escaped_and_a_panic_is_remembered() {
        let lines = Arc::new(Lines::default());
        let call = CallCtx { guest_log: Some(lines.clone()), ..CallCtx::new("acme", "{}", Instant::now()) };
        let log = GuestLog::new(&call);
        log.write(Level::Info, "a\nERROR forged\u{1b}[2J\u{2028}b");
        log.write(Level::Warn, "panicked at nothing");
        assert_eq!(log.panic(), None);
        log.write(Level::Error, "panicked at src/lib.rs:3:5:\nno lines\nhere");
        assert_eq!(log.panic().unwrap(), "panicked at src/lib.rs:3:5: no lines\\nhere");
        let written = lines.0.lock().unwrap().clone();
        assert_eq!(written[0], "acme Info a\\nERROR forged\\u{1b}[2J\\u{2028}b");
        assert_eq!(written[2], "acme Error panicked at src/lib.rs:3:5:\\nno lines\\nhere");
    }

    #[test]
    fn lines_beyond_the_budget_reach_no_log() {
        let lines = Arc::new(Lines::default());
        let mut call =
            CallCtx { guest_log: Some(lines.clone()), ..CallCtx::new("acme", "{}", Instant::now()) };
        call.budget.log_bytes = EVENT_BYTES + 3;
        let log = GuestLog::new(&call);
        log.write(Level::Info, "abc");
        log.write(Level::Info, "d");
        assert_eq!((lines.0.lock().unwrap().len(), log.close()), (1, 1));
    }
}
