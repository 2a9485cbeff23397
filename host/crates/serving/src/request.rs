//! What goes into the pipeline and what comes out of it. Called by every face of the host.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_control::{Held, Principal};
use lector_core::port::DocumentHint;
use lector_core::{DeploymentName, Fault, PageRequest, RequestId, Summary, Timing, Transcript};
use serde::{Deserialize, Serialize};

use crate::page_selection::PageSelection;

/// In which order pages are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As in the document. A slow page holds back the ones behind it, and so, a bounded number of
    /// pages later, their reading.
    #[default]
    Page,
    /// As they are read.
    Completion,
}

/// What is asked of one document, apart from its bytes.
///
/// It is serializable, and holds everything but the caller and the bytes that the reading of a document depends on: what
/// runs documents later or elsewhere (jobs) stores the request, the tenant's name and the digest of the bytes, and reads the
/// document from these with [`DocumentService::stream`](crate::DocumentService::stream). `hint` may hold the password of a
/// PDF: what stores a request stores a secret. Times are relative, so that a stored request does not expire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentRequest {
    /// Names the request in logs and to the guest.
    pub request: RequestId,
    /// Which pipeline; `None`: the tenant's default one.
    pub deployment: Option<DeploymentName>,
    /// Requests with the same key come to the same revision while a candidate is tried; `None`: the request's id.
    pub key: Option<String>,
    /// The document's name as the client knows it; for logs and answers only.
    pub name: Option<String>,
    /// What the client says of it.
    pub hint: DocumentHint,
    /// Which pages.
    pub pages: PageSelection,
    /// How to read them.
    pub options: PageRequest,
    /// How long the answer is of use. Pages not read by then become `deadline_exceeded`.
    pub timeout: Duration,
    /// In which order to answer.
    pub order: Order,
}

impl DocumentRequest {
    /// A request for all pages, in page order, by the tenant's default deployment.
    pub fn new(request: RequestId, timeout: Duration) -> Self {
        Self {
            request,
            deployment: None,
            key: None,
            name: None,
            hint: DocumentHint::default(),
            pages: PageSelection::All,
            options: PageRequest::default(),
            timeout,
            order: Order::Page,
        }
    }
}

/// One document on its way into the pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    /// The principal that asks.
    pub(crate) principal: Principal,
    pub(crate) request: DocumentRequest,
    /// The document.
    pub(crate) bytes: Arc<Vec<u8>>,
    /// When the answer is of no more use.
    pub(crate) deadline: Instant,
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
