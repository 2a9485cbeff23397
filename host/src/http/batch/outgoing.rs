//! The response of a batch: its events as NDJSON or as server-sent events.
//!
//! Owns the buffer between the batch and the connection. The buffer is bounded in bytes. It is large, because many HTTP
//! libraries send all documents before they read the first event, and would otherwise deadlock. A client that never
//! reads stalls only its own batch, until the write timeout closes its connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use lector_control::Reservation;
use lector_export::ndjson::Line;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::http::pieces;

/// Maximum bytes of events that wait for the client. A dense page with its lines is about 50 KB.
const WAITING_BYTES_MAX: u32 = 8 << 20;
/// Maximum number of events that wait for the client.
const WAITING_EVENTS_MAX: usize = 4096;
/// Interval of keep-alive comments. Most proxies close a connection that is idle for a minute.
const KEEP_ALIVE_EVERY: Duration =
    if cfg!(test) { Duration::from_millis(20) } else { Duration::from_secs(15) };

struct Chunk {
    bytes: Bytes,
    last: bool,
    budget: OwnedSemaphorePermit,
}

/// The error of a client that is gone.
#[derive(Debug)]
pub(super) struct Gone;

/// The sending half, which the batch holds.
pub(super) struct Outgoing {
    chunks: mpsc::Sender<Chunk>,
    budget: Arc<Semaphore>,
    sse: bool,
}

/// The receiving half, which the connection holds.
pub(super) struct Events {
    chunks: mpsc::Receiver<Chunk>,
    sse: bool,
}

/// Creates a buffer with its two halves.
pub(super) fn channel(sse: bool) -> (Outgoing, Events) {
    let (sender, chunks) = mpsc::channel(WAITING_EVENTS_MAX);
    (
        Outgoing { chunks: sender, budget: Arc::new(Semaphore::new(WAITING_BYTES_MAX as usize)), sse },
        Events { chunks, sse },
    )
}

impl Outgoing {
    /// Sends an event, and waits while the buffer is full. The memory of the event counts as `reservation` until the
    /// connection has accepted it.
    pub(super) async fn send(&self, event: Line, reservation: Reservation) -> Result<(), Gone> {
        self.chunk(event, reservation, false).await
    }

    /// Sends the last event. A response without it ends with an error.
    pub(super) async fn end(&self, event: Line) -> Result<(), Gone> {
        self.chunk(event, Reservation::default(), true).await
    }

    async fn chunk(&self, event: Line, reservation: Reservation, last: bool) -> Result<(), Gone> {
        let Line { event: name, json: mut text } = event;
        if self.sse {
            text.insert_str(0, &format!("event: {name}\ndata: "));
            text.push('\n');
        }
        text.push('\n');
        // An event larger than the buffer waits until the buffer is empty.
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX).min(WAITING_BYTES_MAX);
        let budget = tokio::select! {
            budget = self.budget.clone().acquire_many_owned(bytes) => budget.map_err(|_| Gone)?,
            () = self.chunks.closed() => return Err(Gone),
        };
        let bytes = pieces::held(text, reservation);
        self.chunks.send(Chunk { bytes, last, budget }).await.map_err(|_| Gone)
    }
}

impl Events {
    /// Returns the response. Dropping its body aborts `task`.
    pub(super) fn into_response(self, task: AbortOnDropHandle<()>) -> Response {
        let content_type = if self.sse { "text/event-stream" } else { "application/x-ndjson" };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            // Disables response buffering in nginx.
            (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        ];
        let keep_alive = self.sse.then(|| Box::pin(tokio::time::sleep(KEEP_ALIVE_EVERY)));
        (headers, Body::from_stream(Answer { events: self, task, keep_alive, ended: false })).into_response()
    }

    #[cfg(test)]
    pub(super) async fn text(mut self) -> String {
        let mut text = String::new();
        while let Some(chunk) = self.chunks.recv().await {
            text.push_str(&String::from_utf8_lossy(&chunk.bytes));
        }
        text
    }
}

struct Answer {
    events: Events,
    /// Aborted when the body is dropped.
    task: AbortOnDropHandle<()>,
    /// Timer of the next keep-alive comment; only of server-sent events.
    keep_alive: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Stream for Answer {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match this.events.chunks.poll_recv(cx) {
            Poll::Ready(Some(chunk)) => {
                this.ended |= chunk.last;
                if let Some(keep_alive) = &mut this.keep_alive {
                    keep_alive.as_mut().reset(Instant::now() + KEEP_ALIVE_EVERY);
                }
                drop(chunk.budget);
                Poll::Ready(Some(Ok(chunk.bytes)))
            }
            Poll::Ready(None) if this.ended => Poll::Ready(None),
            Poll::Ready(None) => {
                // An aborted chunked response is an error in every client; a missing `end` alone might go unnoticed.
                tracing::error!(finished = this.task.is_finished(), "the batch ended without its last event");
                this.ended = true;
                Poll::Ready(Some(Err(io::Error::other("the batch ended early"))))
            }
            Poll::Pending => {
                let Some(keep_alive) = &mut this.keep_alive else { return Poll::Pending };
                std::task::ready!(keep_alive.as_mut().poll(cx));
                keep_alive.as_mut().reset(Instant::now() + KEEP_ALIVE_EVERY);
                Poll::Ready(Some(Ok(Bytes::from_static(b": keep-alive\n\n"))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use futures::StreamExt;

    fn event(name: &'static str, text: &str) -> Line {
        Line { event: name, json: format!(r#"{{"event":"{name}","text":"{text}"}}"#) }
    }

    fn idle() -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(std::future::pending()))
    }

    #[tokio::test]
    async fn ndjson_and_sse() {
        for (sse, expect) in [
            (false, "{\"event\":\"end\",\"text\":\"x\"}\n"),
            (true, "event: end\ndata: {\"event\":\"end\",\"text\":\"x\"}\n\n"),
        ] {
            let (out, events) = channel(sse);
            out.end(event("end", "x")).await.unwrap();
            drop(out);
            let body = events.into_response(idle()).into_body();
            assert_eq!(axum::body::to_bytes(body, 1000).await.unwrap(), expect);
        }
    }

    #[tokio::test]
    async fn a_response_without_an_end_is_an_error() {
        let (out, events) = channel(false);
        out.send(event("meta", ""), Reservation::default()).await.unwrap();
        drop(out);
        assert!(axum::body::to_bytes(events.into_response(idle()).into_body(), 1000).await.is_err());
    }

    #[tokio::test]
    async fn keep_alive_comments() {
        let (out, events) = channel(true);
        let mut body = events.into_response(idle()).into_body().into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), ": keep-alive\n\n");
        drop(out);
    }

    #[tokio::test]
    async fn unread_events_are_bounded_and_dropped_with_the_client() {
        let (out, events) = channel(false);
        let text = "x".repeat(3 << 20);
        let large = || event("page", &text);
        out.send(large(), Reservation::default()).await.unwrap();
        out.send(large(), Reservation::default()).await.unwrap();
        let third =
            tokio::time::timeout(Duration::from_millis(20), out.send(large(), Reservation::default())).await;
        assert!(third.is_err(), "the third event waits");
        let last = large();
        let waiting = tokio::spawn(async move { out.send(last, Reservation::default()).await });
        tokio::task::yield_now().await;
        drop(events);
        assert!(waiting.await.unwrap().is_err());
    }
}
