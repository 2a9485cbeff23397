//! The request for each document, and its outcome.

use lector_core::{DeploymentName, PageRequest};
use lector_export::Format;
use lector_serving::PageSelection;
use serde_json::{Map, Value};

use super::super::terminal;
use super::progress::Progress;

/// The options for every document.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) format: &'static dyn Format,
    pub(super) pages: PageSelection,
    pub(super) options: PageRequest,
    pub(super) languages: Vec<String>,
    pub(super) guest_options: Map<String, Value>,
    pub(super) deployment: Option<DeploymentName>,
    pub(super) password: Option<String>,
    /// The same options for a server, but for the format and the password.
    pub(super) query: Vec<(&'static str, String)>,
}

/// The outcome of one document.
pub(super) struct Read {
    /// Output in the requested format; `None` if there is nothing to write, or it was written already.
    pub(super) bytes: Option<Vec<u8>>,
    /// Failures, one message each.
    pub(super) failures: Vec<String>,
}

/// Prints the failures of a document. Returns whether there were any.
pub(super) fn report(read: &Read, progress: &Progress) -> bool {
    for failure in &read.failures {
        progress.pause(|| terminal::print_error(failure));
    }
    !read.failures.is_empty()
}
