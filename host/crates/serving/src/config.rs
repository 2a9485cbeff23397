//! What the data plane is started with. Made and checked by the host's `config/`; knows no file format.

use std::time::Duration;

/// Configuration of the data plane.
#[derive(Clone, Debug)]
pub struct ServingConfig {
    /// Documents admitted at once, bodies that are still being received included.
    pub documents_max: usize,
    /// The longest wait for which a document is admitted; beyond it requests are refused.
    pub wait_max: Duration,
    /// Guest calls at once; tenants that have none get a slot beyond it, as many again in all.
    pub pages_in_flight_max: usize,
    /// Most pages read of one document.
    pub pages_per_document_max: u32,
    /// Bytes of submitted documents and of their results held at once.
    pub held_bytes_max: u64,
    /// Of them, those of a tenant that has no bound of its own.
    pub tenant_held_bytes_max: u64,
    /// Bytes of the results of one document, its pages and its summary together.
    pub document_result_bytes_max: u64,
}
