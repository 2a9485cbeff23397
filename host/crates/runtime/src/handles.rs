//! The resources behind a guest's handles. Each carries its reservation; dropping it releases the reservation.

use std::sync::Arc;
use std::time::Instant;

use lector_core::batching::BatchingHints;
use lector_core::port::PageInfo;
use lector_core::{Image, ModelInfo, PageSource, SharedTranscript, Tensor};

use crate::resource_accounting::Reservation;

/// An image.
pub struct ImageHandle {
    pub image: Image,
    pub charge: Reservation,
}

/// A tensor.
pub struct TensorHandle {
    pub tensor: Tensor,
    /// Fraction of it that is content, 0 to 1; the rest is padding added by `stack`.
    pub content: f32,
    pub charge: Reservation,
}

/// A model that the deployment was granted.
pub struct ModelHandle {
    pub info: Arc<ModelInfo>,
    /// Batching hints of the revision for it.
    pub hints: BatchingHints,
    pub charge: Reservation,
}

/// The page that the guest was called for.
#[derive(Clone)]
pub struct PageHandle {
    pub source: Arc<dyn PageSource>,
    pub info: PageInfo,
    /// Resolution that the client requested.
    pub dpi_asked: Option<f32>,
}

/// A span of the guest's work in progress.
pub struct SpanHandle {
    pub name: String,
    pub began: Instant,
    pub charge: Reservation,
}

/// Transcripts of one document, passed to the guest one at a time.
pub struct HeldTranscripts {
    pub pages: std::collections::VecDeque<SharedTranscript>,
    pub charge: Reservation,
}
