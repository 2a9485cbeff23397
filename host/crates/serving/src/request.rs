//! Input and output of the pipeline. Used by the HTTP API and the command line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_control::{Held, Principal};
use lector_core::port::DocumentHint;
use lector_core::{DeploymentName, Fault, PageRequest, RequestId, Summary, Timing, Transcript};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::page_selection::PageSelection;

/// The order in which pages are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Document order. A slow page delays the delivery of the pages after it, and, a bounded number of pages later,
    /// their reading.
    #[default]
    Page,
    /// The order in which the pages are finished.
    Completion,
}

/// A request to read one document, without its bytes.
///
/// It is serializable, and holds everything that the reading depends on except the principal and the bytes. A system
/// that reads documents later or elsewhere (asynchronous jobs) stores the request, the tenant's name and the digest of
/// the bytes, and reads the document with [`DocumentService::stream`](crate::DocumentService::stream). `hint` may hold
/// the password of a PDF: then a stored request is a secret. Times are relative, so that a stored request does not
/// expire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentRequest {
    /// Id of the request in logs and in guest calls.
    pub request: RequestId,
    /// The deployment; `None`: the tenant's default one.
    pub deployment: Option<DeploymentName>,
    /// Routing key: while a canary runs, requests with the same key get the same revision; `None`: the request's id.
    pub key: Option<String>,
    /// The client's name for the document; used only in logs and answers.
    pub name: Option<String>,
    /// The content type and password from the client.
    pub hint: DocumentHint,
    /// The pages to read.
    pub pages: PageSelection,
    /// The reading options.
    pub options: PageRequest,
    /// The languages of the document (tags such as `ru`, `zh-Hant`); empty: those of the deployment's settings.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Options for the guest, which the schema of the revision that reads the document describes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub guest_options: Map<String, Value>,
    /// Time limit of the answer. Pages not read by then become `deadline_exceeded`.
    pub timeout: Duration,
    /// The order in which pages are delivered.
    pub order: Order,
    /// Whether its pages let those of the tenant's other documents go first, up to a bound.
    #[serde(default)]
    pub background: bool,
}

impl DocumentRequest {
    /// Makes a request for all pages, in page order, to the tenant's default deployment.
    pub fn new(request: RequestId, timeout: Duration) -> Self {
        Self {
            request,
            deployment: None,
            key: None,
            name: None,
            hint: DocumentHint::default(),
            pages: PageSelection::All,
            options: PageRequest::default(),
            languages: Vec::new(),
            guest_options: Map::new(),
            timeout,
            order: Order::Page,
            background: false,
        }
    }

    /// Returns the key that chooses the revision while a canary runs.
    pub fn routing_key(&self) -> &str {
        self.key.as_deref().unwrap_or(self.request.as_str())
    }
}

/// One document as input of the pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    /// The principal of the request.
    pub(crate) principal: Principal,
    pub(crate) request: DocumentRequest,
    /// The document.
    pub(crate) bytes: Arc<Vec<u8>>,
    /// The deadline of the request.
    pub(crate) deadline: Instant,
}

/// The events of a document: `Opened`, then one `Page` or `PageError` for each selected page, then `End`. `Failed` may
/// replace the remaining events at any point. The last event is exactly one of `End` and `Failed`.
#[derive(Clone, Debug)]
pub enum Event {
    /// The document is open; reading begins.
    Opened {
        /// `application/pdf`, `image/png`, ...
        content_type: &'static str,
        /// Pages of the document.
        page_count: u32,
        /// Indices of the selected pages, from 0, increasing.
        selected: Vec<u32>,
    },
    /// A page was read.
    Page {
        /// Its position in the document, from 0.
        index: u32,
        /// The transcript. Shared with the pipeline, which keeps it for the summary.
        transcript: Arc<Held<Transcript>>,
        /// Durations of the steps.
        timing: Timing,
    },
    /// A page failed; the other pages continue.
    PageError {
        /// Its position in the document, from 0.
        index: u32,
        /// The fault.
        fault: Fault,
        /// Durations of the steps.
        timing: Timing,
    },
    /// Every selected page was delivered.
    End {
        /// The guest's summary of the pages that were read; `None` if no page was read, or if there is a
        /// `summary_fault`.
        summary: Option<Arc<Held<Summary>>>,
        /// The reason that there is no summary although pages were read. The pages are valid.
        summary_fault: Option<Fault>,
        /// Pages that were read.
        pages_ok: u32,
        /// Pages that failed.
        pages_failed: u32,
        /// Time from the submission to this event.
        total: Duration,
    },
    /// The document could not be opened, or the server is shutting down.
    Failed(Fault),
}

impl Event {
    /// Returns whether this is the last event.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::End { .. } | Self::Failed(_))
    }
}
