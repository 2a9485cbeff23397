//! The answer of a batch: events on their way to the client, as NDJSON or as server-sent events.
//!
//! Owns the buffer between the batch and the connection. It is bounded in bytes: a client may send all of
//! its documents before it reads the first event (many HTTP libraries do), and must not be locked out by
//! its own unread answers; one that never reads holds back its own batch, and after a while is given up.

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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::format::ndjson::Line;
use crate::http::pieces;

/// Bytes of events that wait for the client. A dense page is some 50 KB with its lines.
const WAITING_BYTES_MAX: u32 = 8 << 20;
/// Events that wait for the client.
const WAITING_EVENTS_MAX: usize = 4096;
/// Proxies close connections on which nothing happens, most after a minute.
const KEEP_ALIVE_EVERY: Duration =
    if cfg!(test) { Duration::from_millis(20) } else { Duration::from_secs(15) };

struct Chunk {
    bytes: Bytes,
    last: bool,
    budget: OwnedSemaphorePermit,
}

/// Nobody listens any more.
#[derive(Debug)]
pub(super) struct Gone;

/// The batch's end.
pub(super) struct Outgoing {
    chunks: mpsc::Sender<Chunk>,
    budget: Arc<Semaphore>,
    sse: bool,
}

/// The connection's end.
pub(super) struct Events {
    chunks: mpsc::Receiver<Chunk>,
    sse: bool,
}

/// A buffer with its two ends.
pub(super) fn channel(sse: bool) -> (Outgoing, Events) {
    let (sender, chunks) = mpsc::channel(WAITING_EVENTS_MAX);
    (
        Outgoing { chunks: sender, budget: Arc::new(Semaphore::new(WAITING_BYTES_MAX as usize)), sse },
        Events { chunks, sse },
    )
}

impl Outgoing {
    /// Sends an event; waits while too much is unread.
    /// Its memory counts as `reservation` until the client has taken it.
    pub(super) async fn send(&self, event: Line, reservation: Reservation) -> Result<(), Gone> {
        self.chunk(event, reservation, false).await
    }

    /// Sends the last event. An answer without it breaks off instead of ending.
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
        // An event larger than the buffer waits until it is empty.
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
    /// The answer; dropping its body ends `task`.
    pub(super) fn into_response(self, task: AbortOnDropHandle<()>) -> Response {
        let content_type = if self.sse { "text/event-stream" } else { "application/x-ndjson" };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            // Asks nginx to pass events on as they come.
            (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        ];
        let errors_only = self.sse.then(|| Box::pin(tokio::time::sleep(KEEP_ALIVE_EVERY)));
        (headers, Body::from_stream(Answer { events: self, task, errors_only, ended: false })).into_response()
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
    /// Time to the next sign of life.
    errors_only: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Stream for Answer {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match this.events.chunks.poll_recv(cx) {
            Poll::Ready(Some(chunk)) => {
                this.ended |= chunk.last;
                if let Some(errors_only) = &mut this.errors_only {
                    errors_only.as_mut().reset(Instant::now() + KEEP_ALIVE_EVERY);
                }
                drop(chunk.budget);
                Poll::Ready(Some(Ok(chunk.bytes)))
            }
            Poll::Ready(None) if this.ended => Poll::Ready(None),
            Poll::Ready(None) => {
                // A chunked answer that breaks off tells the client what a missing `end` might not.
                tracing::error!(
                    finished = this.task.is_finished(),
                    "the batch broke off without its last event"
                );
                this.ended = true;
                Poll::Ready(Some(Err(io::Error::other("the batch broke off"))))
            }
            Poll::Pending => {
                let Some(errors_only) = &mut this.errors_only else { return Poll::Pending };
                std::task::ready!(errors_only.as_mut().poll(cx));
                errors_only.as_mut().reset(Instant::now() + KEEP_ALIVE_EVERY);
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
    async fn both_forms() {
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
    async fn an_answer_without_an_end_breaks_off() {
        let (out, events) = channel(false);
        out.send(event("meta", ""), Reservation::default()).await.unwrap();
        drop(out);
        assert!(axum::body::to_bytes(events.into_response(idle()).into_body(), 1000).await.is_err());
    }

    #[tokio::test]
    async fn signs_of_life() {
        let (out, events) = channel(true);
        let mut body = events.into_response(idle()).into_body().into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), ": keep-alive\n\n");
        drop(out);
    }

    #[tokio::test]
    async fn what_is_unread_is_bounded_and_what_nobody_reads_is_not_sent() {
        let (out, events) = channel(false);
        let text = "x".repeat(3 << 20);
        let large = || event("page", &text);
        out.send(large(), Reservation::default()).await.unwrap();
        out.send(large(), Reservation::default()).await.unwrap();
        let third =
            tokio::time::timeout(Duration::from_millis(20), out.send(large(), Reservation::default())).await;
        assert!(third.is_err(), "a third one waits");
        let last = large();
        let waiting = tokio::spawn(async move { out.send(last, Reservation::default()).await });
        tokio::task::yield_now().await;
        drop(events);
        assert!(waiting.await.unwrap().is_err());
    }
}
