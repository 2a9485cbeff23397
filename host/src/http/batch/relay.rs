//! The relaying side of a batch: merges the events of several documents into one stream. Each event carries the index
//! of its document.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::SelectAll;
use futures::{Stream, StreamExt};
use lector_control::Reservation;
use lector_core::Fault;
use lector_export::ndjson::{self, Line, Totals};
use lector_serving::Event;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::super::parsing::apart;
use super::outgoing::{Gone, Outgoing};
use crate::events;

/// The outcome of receiving one file.
pub(super) enum Arrival<S> {
    /// The document is being read.
    Reading(Reading<S>),
    /// The document was not received completely.
    Failed { index: usize, name: Option<String>, fault: Fault },
}

/// A document being read.
pub(super) struct Reading<S> {
    pub(super) index: usize,
    pub(super) name: Option<Arc<str>>,
    pub(super) events: S,
    /// The slot of the document in the batch; released at its end.
    pub(super) slot: Option<OwnedSemaphorePermit>,
}

impl<S: Stream<Item = Event> + Unpin> Stream for Reading<S> {
    /// The event, with the index and the name of the document.
    type Item = (usize, Option<Arc<str>>, Event);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = this.events.poll_next_unpin(cx);
        if let Poll::Ready(None) = polled {
            this.slot = None;
        }
        polled.map(|event| event.map(|event| (this.index, this.name.clone(), event)))
    }
}

fn add(totals: &mut Totals, event: &Event) {
    match event {
        Event::Opened { .. } => {}
        // Pages are counted one by one, because a document that fails halfway has pages that were read.
        Event::Page { .. } => totals.pages_ok += 1,
        Event::PageError { .. } => totals.pages_failed += 1,
        Event::End { .. } => totals.documents_ok += 1,
        Event::Failed(_) => totals.documents_failed += 1,
    }
}

/// Returns the memory of a result, on the account of its document.
fn held(event: &Event) -> Option<&Reservation> {
    match event {
        Event::Page { transcript, .. } => Some(transcript.reservation()),
        Event::End { summary: Some(summary), .. } => Some(summary.reservation()),
        _ => None,
    }
}

/// Writes an event of the document at `index`; on a blocking thread if it is large. Its result is freed before the line waits,
/// so that it is not in memory twice.
async fn written(index: usize, name: Option<Arc<str>>, event: Event) -> Result<(Line, Reservation), Gone> {
    let bytes = held(&event).map_or(0, Reservation::bytes);
    let written = apart(usize::try_from(bytes).unwrap_or(usize::MAX), move || {
        let line = events::line(index, name.as_deref(), &event);
        let reservation = held(&event).map(|held| held.another(line.json.len() as u64));
        Ok((line, reservation.unwrap_or_default()))
    });
    written.await.map_err(|fault| {
        tracing::error!(%fault, "an event of a batch was not written");
        Gone
    })
}

/// Forwards the events of the arriving documents until no more arrive and all are finished. Returns the totals.
pub(super) async fn relay<S: Stream<Item = Event> + Unpin>(
    mut arrivals: mpsc::Receiver<Arrival<S>>,
    outgoing: &Outgoing,
    see: impl Fn(&Event),
) -> Result<Totals, Gone> {
    let mut totals = Totals::default();
    let mut readings = SelectAll::new();
    let mut arriving = true;
    loop {
        tokio::select! {
            arrival = arrivals.recv(), if arriving => match arrival {
                None => arriving = false,
                Some(Arrival::Reading(reading)) => readings.push(reading),
                Some(Arrival::Failed { index, name, fault }) => {
                    totals.documents_failed += 1;
                    tracing::info!(document = index, %fault, "document not received");
                    outgoing.send(ndjson::document_error(index, name.as_deref(), &fault), Reservation::default()).await?;
                }
            },
            Some((index, name, event)) = readings.next(), if !readings.is_empty() => {
                see(&event);
                add(&mut totals, &event);
                let (line, reservation) = written(index, name, event).await?;
                outgoing.send(line, reservation).await?;
            }
            else => return Ok(totals),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::Duration;

    use futures::stream;
    use lector_core::{Kind, Timing};
    use tokio::sync::Semaphore;

    use super::super::outgoing;
    use super::*;

    fn fault(code: &'static str) -> Fault {
        Fault::new(Kind::Invalid, code, "It failed.")
    }

    fn events(pages: u32) -> Vec<Event> {
        let opened =
            Event::Opened { content_type: "image/tiff", page_count: pages, selected: (0..pages).collect() };
        let page = |index| Event::PageError { index, fault: fault("page_bad"), timing: Timing::default() };
        let total = Duration::from_secs(1);
        let end = Event::End { summary: None, summary_fault: None, pages_ok: 0, pages_failed: pages, total };
        std::iter::once(opened).chain((0..pages).map(page)).chain([end]).collect()
    }

    #[tokio::test]
    async fn every_document_has_its_events_and_releases_its_slot() {
        let slots = Arc::new(Semaphore::new(2));
        let (sender, arrivals) = mpsc::channel(8);
        for (index, pages) in [(0, 2), (2, 1)] {
            let slot = Some(slots.clone().try_acquire_owned().unwrap());
            let reading = Reading {
                index,
                name: Some(format!("{index}.tif").into()),
                events: stream::iter(events(pages)),
                slot,
            };
            sender.send(Arrival::Reading(reading)).await.ok().unwrap();
        }
        sender
            .send(Arrival::Failed { index: 1, name: None, fault: fault("body_too_large") })
            .await
            .ok()
            .unwrap();
        drop(sender);
        let (out, body) = outgoing::channel(false);
        let totals = relay(arrivals, &out, |_| {}).await.ok().unwrap();
        assert_eq!((totals.documents_ok, totals.documents_failed, totals.pages_failed), (2, 1, 3));
        assert_eq!(slots.available_permits(), 2);
        out.end(ndjson::end(totals, Duration::ZERO)).await.ok().unwrap();
        drop(out);
        let text = body.text().await;
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |document: usize| -> Vec<&str> {
            lines.iter().filter(|e| e["document"] == document).map(|e| e["event"].as_str().unwrap()).collect()
        };
        assert_eq!(of(0), ["document", "page_error", "page_error", "document_end"]);
        assert_eq!(of(1), ["document_error"]);
        assert_eq!(of(2), ["document", "page_error", "document_end"]);
        assert_eq!(
            lines.iter().find(|e| e["event"] == "document").unwrap()["page_count"].as_u64().unwrap().min(2),
            lines.iter().find(|e| e["event"] == "document").unwrap()["pages"].as_array().unwrap().len()
                as u64
        );
    }

    #[tokio::test]
    async fn stops_when_the_client_is_gone() {
        let (sender, arrivals) = mpsc::channel(1);
        let endless = stream::repeat_with(|| Event::PageError {
            index: 0,
            fault: fault("x"),
            timing: Timing::default(),
        });
        sender
            .send(Arrival::Reading(Reading { index: 0, name: None, events: endless, slot: None }))
            .await
            .ok()
            .unwrap();
        let (out, body) = outgoing::channel(false);
        drop(body);
        assert!(relay(arrivals, &out, |_| {}).await.is_err());
    }
}
