//! The parts of the data plane that a document uses.
//!
//! Owns only the struct that holds them, which the pipeline, the readiness check and the service share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use lector_control::ControlPlane;
use lector_core::Documents;

use crate::admission::Admission;
use crate::config::ServingConfig;
use crate::page_scheduler::PageScheduler;
use crate::shadow_traffic::Shadows;

pub(crate) struct DataPlane {
    pub(crate) control: Arc<ControlPlane>,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) page_scheduler: PageScheduler,
    pub(crate) shadows: Shadows,
    pub(crate) limits: DocumentLimits,
}

/// The limits of one document. They are replaced while documents are in flight.
#[derive(Debug)]
pub(crate) struct DocumentLimits {
    pages_max: AtomicU32,
    result_bytes_max: AtomicU64,
}

impl DocumentLimits {
    pub(crate) fn new(config: &ServingConfig) -> Self {
        Self {
            pages_max: AtomicU32::new(config.pages_per_document_max),
            result_bytes_max: AtomicU64::new(config.document_result_bytes_max),
        }
    }

    pub(crate) fn retune(&self, config: &ServingConfig) {
        self.pages_max.store(config.pages_per_document_max, Relaxed);
        self.result_bytes_max.store(config.document_result_bytes_max, Relaxed);
    }

    /// Returns the most pages that are read of one document.
    pub(crate) fn pages_max(&self) -> u32 {
        self.pages_max.load(Relaxed)
    }

    /// Returns the most bytes of the results of one document.
    pub(crate) fn result_bytes_max(&self) -> u64 {
        self.result_bytes_max.load(Relaxed)
    }
}

impl DataPlane {
    /// Returns whether the server has begun to drain.
    pub(crate) fn is_draining(&self) -> bool {
        self.admission.gate.is_closed()
    }
}
