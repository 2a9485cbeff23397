//! The parts of the data plane that a document uses.
//!
//! Owns only the struct that holds them, which the pipeline, the readiness check and the service share.

use std::sync::Arc;

use lector_control::ControlPlane;
use lector_core::Documents;

use crate::admission::Admission;
use crate::page_scheduler::PageScheduler;
use crate::shadow_traffic::Shadows;

pub(crate) struct DataPlane {
    pub(crate) control: Arc<ControlPlane>,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) page_scheduler: PageScheduler,
    pub(crate) shadows: Shadows,
    pub(crate) pages_per_document_max: u32,
    pub(crate) document_result_bytes_max: u64,
}

impl DataPlane {
    /// Returns whether the server has begun to drain.
    pub(crate) fn is_draining(&self) -> bool {
        self.admission.gate.is_closed()
    }
}
