//! The hand-over of an open document from the pipeline to the composer.

use std::sync::Arc;
use std::time::Instant;

use lector_core::port::OpenDocument;

use crate::admission::Permit;

/// An open document with its permit, which the pipeline hands over after the last page.
pub(crate) struct Retained {
    pub(crate) document: Arc<dyn OpenDocument>,
    pub(crate) permit: Permit,
    pub(crate) deadline: Instant,
}
