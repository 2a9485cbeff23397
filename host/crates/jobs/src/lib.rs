//! Durable jobs: documents that are read later, whatever happens to the server meanwhile.
//!
//! Owns the specification of a job, the runner, the stored form of results and events, and the webhooks. Must not know:
//! HTTP, output formats, the storage (reached through the port `JobStore` of `lector-control`), the sending of a webhook
//! (the port [`WebhookTransport`]). Called by the HTTP API of the host.
//!
//! A submission is stored with its inputs before it is answered. The [`Jobs`] runner claims one document of a job at a
//! time, reads some of its pages with the [`DocumentService`](lector_serving::DocumentService), and stores each page in a
//! transaction that also appends its event. After a crash the next claim reads the pages that are not stored. So a page
//! may be read twice, and is once in the result.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod codes;
mod config;
mod deliveries;
mod egress;
mod events;
mod faults;
mod json;
mod reading;
mod results;
mod runner;
mod service;
mod shapes;
mod signature;
mod spec;
mod status;
mod store_access;
mod submit;
#[cfg(test)]
mod tests;
mod transport;

pub use config::{JobsConfig, WebhookConfig};
pub use deliveries::DeliveryView;
pub use egress::{AddressRange, EgressPolicy};
pub use events::JobEvent;
pub use lector_control::store::jobs::{Deleted, JobCounts, JobId, JobState, JobStore, Listed};
pub use results::{Envelope, StoredDocument};
pub use service::{Jobs, Parts};
pub use signature::{sign, verify};
pub use spec::{JobSpec, PRIORITY_MAX, StagedInput, Submission};
pub use status::{JobDocument, JobFilter, JobStatus, Submitted};
pub use transport::{WebhookRequest, WebhookTransport};
