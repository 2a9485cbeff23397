//! The start configuration of the data plane. Built and checked by the host's `config/`; independent of the file
//! format.

use std::time::Duration;

/// Configuration of the data plane.
#[derive(Clone, Debug)]
pub struct ServingConfig {
    /// Most documents admitted at once. A document is admitted when it has arrived.
    pub documents_max: usize,
    /// Longest predicted wait for which a document is admitted; requests beyond it are rejected.
    pub wait_max: Duration,
    /// Most guest calls at once. Tenants without a page in flight may use extra slots, up to the same number again in
    /// all.
    pub pages_in_flight_max: usize,
    /// Most pages read of one document.
    pub pages_per_document_max: u32,
    /// Most bytes of submitted documents and of their results held at once.
    pub held_bytes_max: u64,
    /// The part of these that a tenant without a limit of its own may hold.
    pub tenant_held_bytes_max: u64,
    /// Request bodies that a tenant without a limit of its own may send at once.
    pub tenant_uploads_max: u64,
    /// Most bytes of the results of one document: its pages and its summary together.
    pub document_result_bytes_max: u64,
}
