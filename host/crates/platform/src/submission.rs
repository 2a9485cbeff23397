//! What goes into the pipeline and what comes out of it. Called by every face of the host.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::Stream;
use lector_core::port::DocumentHint;
use lector_core::{DeploymentName, Fault, Kind, PageRequest, RequestId, Summary, Timing, Transcript};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::access::Caller;
use crate::memory::Held;
use crate::selection::PageSelection;

/// In which order pages are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As in the document. A slow page holds back the ones behind it, and so, a bounded number of
    /// pages later, their reading.
    #[default]
    Page,
    /// As they are read.
    Completion,
}

/// One document to read.
#[derive(Clone, Debug)]
pub struct Submission {
    /// For whom; the right to ask at all.
    pub caller: Caller,
    /// Names the request in logs and to the guest.
    pub request: RequestId,
    /// Which pipeline; `None`: the default one.
    pub deployment: Option<DeploymentName>,
    /// Requests with the same key come to the same revision while a candidate is tried; `None`: the request's id.
    pub key: Option<String>,
    /// The document's name as the client knows it; for logs only.
    pub name: Option<String>,
    /// The document.
    pub bytes: Arc<Vec<u8>>,
    /// What the client says of it.
    pub hint: DocumentHint,
    /// Which pages.
    pub pages: PageSelection,
    /// How to read them.
    pub options: PageRequest,
    /// When the answer is of no more use. Pages not read by then become `deadline_exceeded`.
    pub deadline: Instant,
    /// In which order to answer.
    pub order: Order,
}

/// What happens to a document, as it happens: `Opened`, then one `Page` or `PageError` for each
/// selected page, then `End`. `Failed` may come at any point instead of the rest. Exactly one of
/// `End` and `Failed` comes, as the last event.
#[derive(Clone, Debug)]
pub enum Event {
    /// The document is open; reading begins.
    Opened {
        /// `application/pdf`, `image/png`, ...
        content_type: &'static str,
        /// Pages of the document.
        page_count: u32,
        /// Pages that will be answered: indices from 0, rising.
        selected: Vec<u32>,
    },
    /// A page was read.
    Page {
        /// Its position in the document, from 0.
        index: u32,
        /// What it says. Shared with the pipeline, which keeps it for the summary.
        transcript: Arc<Held<Transcript>>,
        /// Where its time went.
        timing: Timing,
    },
    /// A page was not read; the others go on.
    PageError {
        /// Its position in the document, from 0.
        index: u32,
        /// Why.
        fault: Fault,
        /// Where its time went.
        timing: Timing,
    },
    /// Every selected page was answered.
    End {
        /// The guest's summary of the pages that were read; `None` where no page was, or where
        /// `summary_fault` says why.
        summary: Option<Arc<Held<Summary>>>,
        /// Why the summary is missing though pages were read. The pages are good all the same.
        summary_fault: Option<Fault>,
        /// Pages read.
        pages_ok: u32,
        /// Pages not read.
        pages_failed: u32,
        /// From the submission to this event.
        total: Duration,
    },
    /// The document could not be opened, or the house is closing.
    Failed(Fault),
}

impl Event {
    /// Whether nothing comes after this event.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::End { .. } | Self::Failed(_))
    }
}

/// The events of one document. Dropping it ends the work on the document, wherever it stands.
///
/// A reader that does not poll holds back its own document after a bounded number of pages, and
/// nobody else's.
#[derive(Debug)]
pub struct EventStream {
    events: mpsc::Receiver<Event>,
    work: AbortHandle,
    ended: bool,
}

impl EventStream {
    pub(crate) fn new(events: mpsc::Receiver<Event>, work: AbortHandle) -> Self {
        Self { events, work, ended: false }
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.events.poll_recv(cx).map(|event| {
            // The work always ends with a last event; if it died before, the reader is told so.
            let event = event.unwrap_or_else(|| {
                Event::Failed(Fault::new(
                    Kind::Bug,
                    "internal",
                    "The reading of the document broke off inside Lector. Try again, and report it with the request id.",
                ))
            });
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
