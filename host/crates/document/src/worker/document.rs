//! A document that is open in the worker.

use super::{pdf, raster};
use crate::faults::Refusal;
use crate::wire::PageFacts;

/// An open document.
#[allow(clippy::large_enum_variant, reason = "a worker holds a few documents")]
pub(super) enum Document {
    Pdf(pdf::Document),
    Raster(raster::Document),
}

impl Document {
    pub(super) fn facts(&mut self, index: u32) -> Result<PageFacts, Refusal> {
        match self {
            Document::Pdf(pdf) => pdf.facts(index),
            Document::Raster(raster) => raster.facts(index),
        }
    }
}

/// Returns the refusal of a request that the host never sends.
pub(super) fn internal(detail: &str) -> Refusal {
    Refusal::Internal { detail: detail.to_owned() }
}
