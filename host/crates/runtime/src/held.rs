//! What a guest's handles stand for. Each carries the charge that it is under; dropping it pays back.

use std::sync::Arc;
use std::time::Instant;

use lector_core::port::PageInfo;
use lector_core::{Image, ModelInfo, PageSource, Tensor};

use crate::ledger::Charge;

/// An image.
pub struct HeldImage {
    pub image: Image,
    pub charge: Charge,
}

/// A tensor.
pub struct HeldTensor {
    pub tensor: Tensor,
    pub charge: Charge,
}

/// A model that the deployment was granted.
pub struct HeldModel {
    pub info: Arc<ModelInfo>,
    pub charge: Charge,
}

/// The page that the guest was called for.
pub struct HeldPage {
    pub source: Arc<dyn PageSource>,
    pub info: PageInfo,
    /// Resolution that the client asked for.
    pub dpi_asked: Option<f32>,
}

/// A stretch of the guest's work, still going on.
pub struct HeldSpan {
    pub name: String,
    pub began: Instant,
    pub charge: Charge,
}
