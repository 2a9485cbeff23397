//! Log output of a guest, as events of the host's log: target `guest`, with tenant, deployment and request. Includes the
//! guest's stdout and stderr, line by line.
//!
//! A guest cannot forge lines or send escape codes to a terminal ([`printable`]). The output is bounded by the budget of
//! the page, by the length of a line, and by a rate for each tenant (`log_rate.rs`). What is dropped is counted.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
pub use lector_core::GuestLogLevel as Level;
use lector_core::{CallCtx, DeploymentName, GuestLogRecord, GuestLogSink, RequestId, TenantName};
use tokio::io::AsyncWrite;
use tracing::{debug, error, info, trace, warn};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::log_rate::LogRates;

/// Bytes counted for an event in addition to its text, so that empty messages also use up the budget.
const EVENT_BYTES: u64 = 32;
/// Maximum length of a line. The rest of a line of a stream becomes the next line; the rest of a message is dropped.
const LINE_BYTES_MAX: usize = 4096;
/// Maximum length of the panic message that is remembered, in bytes.
const PANIC_BYTES_MAX: usize = 1024;
/// Begin of a panic message, with the place and the sentence after it.
const PANICKED: &str = "panicked at ";
/// Maximum bytes of one write to a stream.
const WRITE_BYTES_MAX: usize = 64 << 10;

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
    /// Receiver of the lines for the tenant.
    sink: Option<Arc<dyn GuestLogSink>>,
    rates: Arc<LogRates>,
    /// The last panic message: place and sentence.
    panic: Mutex<Option<String>>,
}

/// Returns the text on one line, without characters that a terminal or a reader of the log takes for something else:
/// control characters, line separators and changes of the writing direction are escaped. Cut at `bytes_max` bytes.
pub fn printable(text: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes_max));
    for char in text.chars() {
        let before = out.len();
        if char.is_control() || is_invisible(char) {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
        if out.len() > bytes_max {
            out.truncate(before);
            out.push_str("...");
            break;
        }
    }
    out
}

/// Returns whether the character breaks a line or reorders the text around it.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl GuestLog {
    pub fn new(call: &CallCtx, rates: &Arc<LogRates>) -> Arc<Self> {
        Arc::new(Self {
            tenant: call.tenant.clone(),
            deployment: call.deployment.clone(),
            request: call.request.clone(),
            bytes_max: call.budget.log_bytes,
            bytes: AtomicU64::new(0),
            dropped_events: AtomicU64::new(0),
            dropped_bytes: AtomicU64::new(0),
            sink: call.guest_log.clone(),
            rates: Arc::clone(rates),
            panic: Mutex::default(),
        })
    }

    /// Writes one event, escaped and cut. If the budget of the page or the rate of the tenant is used up, drops and
    /// counts it.
    pub fn write(&self, level: Level, message: &str) {
        self.note_panic(message);
        let cost = message.len() as u64 + EVENT_BYTES;
        if self.bytes.fetch_add(cost, Ordering::Relaxed).saturating_add(cost) > self.bytes_max {
            self.bytes.fetch_sub(cost, Ordering::Relaxed);
            self.dropped(message);
            return;
        }
        let message = printable(message, LINE_BYTES_MAX);
        if let Some(sink) = &self.sink {
            let (tenant, deployment, request) = (&self.tenant, &self.deployment, &self.request);
            sink.write(GuestLogRecord { tenant, deployment, request, level, message: &message });
        }
        if !self.rates.admit(&self.tenant, message.len() as u64, Instant::now()) {
            self.dropped(&message);
            return;
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

    fn dropped(&self, message: &str) {
        self.dropped_events.fetch_add(1, Ordering::Relaxed);
        self.dropped_bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
    }

    /// Remembers a panic message: of the SDK's panic hook, in one event, or of Rust's own on stderr, in two lines.
    fn note_panic(&self, message: &str) {
        let mut noted = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = message.find(PANICKED).filter(|at| *at == 0 || message.starts_with("stderr: thread "));
        if let Some(text) = begun.and_then(|at| message.get(at..)) {
            *noted = Some(printable(&text.trim_end().replace('\n', " "), PANIC_BYTES_MAX));
        } else if let Some(place) = noted.as_mut().filter(|text| text.ends_with(':')) {
            let sentence = message.strip_prefix("stderr: ").unwrap_or(message);
            *place = printable(&format!("{place} {sentence}"), PANIC_BYTES_MAX);
        }
    }

    /// Returns the guest's last panic message, on one line: `panicked at FILE:LINE:COLUMN: SENTENCE`.
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
                "messages of the guest beyond its log budget or its tenant's log rate were dropped"
            );
        }
        bytes
    }
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
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    #[derive(Debug, Default)]
    struct Lines(Mutex<Vec<String>>);

    impl GuestLogSink for Lines {
        fn write(&self, record: GuestLogRecord<'_>) {
            self.0.lock().unwrap().push(format!("{} {:?} {}", record.tenant, record.level, record.message));
        }
    }

    fn log() -> Arc<GuestLog> {
        let call = CallCtx::new("t", "{}", Instant::now() + Duration::from_secs(60));
        GuestLog::new(&call, &Arc::default())
    }

    #[test]
    fn nothing_that_a_guest_writes_ends_a_line_or_moves_a_cursor() {
        assert_eq!(printable("Grüße, 世界 \\ \"x\"", 100), "Grüße, 世界 \\ \"x\"");
        assert_eq!(printable("a\n2026-01-01 ERROR forged\r\n", 100), "a\\n2026-01-01 ERROR forged\\r\\n");
        assert_eq!(printable("\u{1b}[2Jx\u{9b}31m\u{7f}\0", 100), "\\u{1b}[2Jx\\u{9b}31m\\u{7f}\\u{0}");
        assert_eq!(printable("a\u{2028}b\u{202e}c\u{2066}d", 100), "a\\u{2028}b\\u{202e}c\\u{2066}d");
        assert_eq!(printable(&"é".repeat(10), 5), "éé...");
        assert_eq!(printable(&"\u{1b}".repeat(10), 7), "\\u{1b}...", "an escape is not cut in two");
    }

    #[test]
    fn a_panic_is_remembered_from_the_hook_and_from_stderr() {
        let of_sdk = log();
        of_sdk.write(Level::Error, "it was panicked at nothing");
        assert_eq!(of_sdk.panic(), None);
        of_sdk.write(Level::Error, "panicked at src/lib.rs:7:9:\nno \u{1b}[31mline\n");
        assert_eq!(of_sdk.panic().unwrap(), "panicked at src/lib.rs:7:9: no \\u{1b}[31mline");

        let of_wasi = log();
        let mut stderr = LogStream::new(&of_wasi, "stderr");
        let text =
            "\nthread 'main' (1) panicked at src/main.rs:3:5:\nboom\nnote: run with `RUST_BACKTRACE=1`\n";
        stderr.write(Bytes::from(text)).unwrap();
        assert_eq!(of_wasi.panic().unwrap(), "panicked at src/main.rs:3:5: boom");
    }

    #[test]
    fn the_sink_of_the_tenant_gets_escaped_lines_within_the_budget() {
        let lines = Arc::new(Lines::default());
        let mut call =
            CallCtx { guest_log: Some(lines.clone()), ..CallCtx::new("acme", "{}", Instant::now()) };
        call.budget.log_bytes = 2 * EVENT_BYTES + 20;
        let log = GuestLog::new(&call, &Arc::default());
        log.write(Level::Info, "a\nforged\u{1b}[2J");
        log.write(Level::Error, "b");
        log.write(Level::Error, "beyond the budget");
        assert_eq!(*lines.0.lock().unwrap(), ["acme Info a\\nforged\\u{1b}[2J", "acme Error b"]);
        assert_eq!(log.close(), 17);
    }

    #[test]
    fn a_flood_of_one_page_ends_at_its_budget() {
        let log = log();
        for _ in 0..10_000 {
            log.write(Level::Info, &"x".repeat(100));
        }
        assert!(log.used() <= log.bytes_max && log.close() > 0);
    }
}
