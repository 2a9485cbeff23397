//! The event stream of one document.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};
use lector_core::{Fault, Kind};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::collector::{Collected, Collector, DocumentResult};
use crate::request::Event;

/// The events of one document. Dropping the stream cancels the work on the document.
///
/// A client that does not poll delays its own document after a bounded number of pages, and no other document.
#[derive(Debug)]
pub struct EventStream {
    events: mpsc::Receiver<Event>,
    work: AbortHandle,
    ended: bool,
    /// Collects the events for a client that wants the whole result.
    collector: Collector,
}

impl EventStream {
    pub(crate) fn new(events: mpsc::Receiver<Event>, work: AbortHandle, collector: Collector) -> Self {
        Self { events, work, ended: false, collector }
    }

    /// Collects the events into the whole result; calls `see` with each of them first.
    pub async fn collected(mut self, mut see: impl FnMut(&Event)) -> Result<Box<DocumentResult>, Fault> {
        let mut collector = self.collector.clone();
        while let Some(event) = self.next().await {
            see(&event);
            match collector.take(event) {
                Collected::More(more) => collector = more,
                Collected::Done(result) => return Ok(result),
                Collected::Failed(fault) => return Err(fault),
            }
        }
        Err(broke_off())
    }
}

pub(crate) fn broke_off() -> Fault {
    let message = "The server failed while it read the document. Try again, and report the request id if it happens again.";
    Fault::new(Kind::Bug, "internal", message)
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.events.poll_recv(cx).map(|event| {
            // The work always ends with a last event; if the task died before, this fault is the last event.
            let event = event.unwrap_or_else(|| Event::Failed(broke_off()));
            self.ended = event.is_last();
            Some(event)
        })
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.work.abort();
    }
}
