//! Log output of a guest, as events of the host's log: target `guest`, with tenant, deployment and request, within the
//! page's budget. Includes the guest's stdout and stderr, line by line.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use lector_core::CallCtx;
use lector_core::{DeploymentName, RequestId, TenantName};
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

/// Level of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

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
        })
    }

    /// Writes one event. If the budget is used up, drops and counts it.
    pub fn write(&self, level: Level, message: &str) {
        let cost = message.len() as u64 + EVENT_BYTES;
        if self.bytes.fetch_add(cost, Ordering::Relaxed).saturating_add(cost) > self.bytes_max {
            self.bytes.fetch_sub(cost, Ordering::Relaxed);
            self.dropped_events.fetch_add(1, Ordering::Relaxed);
            self.dropped_bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
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
