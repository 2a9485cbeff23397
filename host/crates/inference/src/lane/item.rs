//! A waiting item, and the bounds of its queue.

use std::time::Instant;

use lector_core::Fault;
use lector_core::batching::{Bucket, Planned};
use lector_core::port::{WorkDone, WorkItem};
use tokio::sync::oneshot;

/// A waiting item, with everything that its run and its answer need.
pub(super) struct Ticket {
    pub(super) item: WorkItem,
    pub(super) bucket: Bucket,
    pub(super) rows: u32,
    pub(super) reply: oneshot::Sender<Result<WorkDone, Fault>>,
    pub(super) offered: Instant,
    /// The caller's span, so that the run appears in its trace.
    pub(super) span: tracing::Span,
    /// Identifies the item to its tenant's batching policy; increasing.
    pub(super) id: u64,
    /// The decision of that policy.
    pub(super) planned: Planned,
}

/// Bounds of a queue, from its engines and the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) items_max: usize,
    /// Most rows of one run; 1 where runs cannot be merged.
    pub(super) rows_max: u32,
    pub(super) pixels_max: u64,
    pub(super) sessions: u32,
}
