//! The platform: which guest reads a document, who gets in, and the way of a document through the house.
//!
//! Owns: deployments and their revisions, leases, admission, the fair order of pages, the document
//! pipeline, the readiness probe, draining. Knows no HTTP, no engine and no renderer: documents come
//! through the port of `lector-core`, guests through `lector-runtime`. Called by the host's HTTP and CLI faces.
//!
//! A request's way: [`Platform::admit`] gives a [`Permit`] (or says when to come back),
//! [`Platform::submit`] takes it together with a [`Submission`] and answers with an [`EventStream`].
//! Dropping the stream ends the work.
#![warn(missing_docs)]

mod admission;
mod config;
mod gate;
mod pace;
mod pipeline;
mod platform;
mod probe;
mod reader;
mod revision;
mod selection;
mod status;
mod submission;

#[cfg(test)]
mod fakes;

pub use admission::Permit;
pub use config::{DeploymentConfig, PlatformConfig};
pub use gate::Holder;
pub use platform::Platform;
pub use probe::{ProbeReport, ProbedDeployment};
pub use revision::Lease;
pub use selection::PageSelection;
pub use status::{DeploymentStatus, DrainReport, PlatformStatus};
pub use submission::{Event, EventStream, Order, Submission};
