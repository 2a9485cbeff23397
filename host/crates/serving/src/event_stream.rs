//! The events of one document on their way to the client.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};
use lector_core::{Fault, Kind};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::collector::{Collected, Collector, DocumentResult};
use crate::request::Event;

/// The events of one document. Dropping it ends the work on the document, wherever it stands.
///
/// A reader that does not poll holds back its own document after a bounded number of pages, and
/// nobody else's.
#[derive(Debug)]
pub struct EventStream {
    events: mpsc::Receiver<Event>,
    work: AbortHandle,
    ended: bool,
    /// Gathers the events, where the answer is wanted as a whole.
    collector: Collector,
}

impl EventStream {
    pub(crate) fn new(events: mpsc::Receiver<Event>, work: AbortHandle, collector: Collector) -> Self {
        Self { events, work, ended: false, collector }
    }

    /// Gathers the events into the whole answer; `see` is shown each of them first.
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

fn broke_off() -> Fault {
    let message =
        "The reading of the document broke off inside Lector. Try again, and report it with the request id.";
    Fault::new(Kind::Bug, "internal", message)
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.events.poll_recv(cx).map(|event| {
            // The work always ends with a last event; if it died before, the reader is told so.
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
