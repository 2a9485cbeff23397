//! The data plane: the way of a document through the server.
//!
//! Owns: [`DocumentService`], the one entry for documents; admission, the page scheduler, the document pipeline, shadow
//! traffic, the readiness check, the drain; and the control plane's view of guests, implemented with `lector-runtime`. Must not
//! know: HTTP and the command line, where tenants and revisions are stored and how they change (`lector-control`), engines and
//! the renderer (they come through the ports of `lector-core`), output formats. Called by the host's HTTP and CLI faces; a crate for
//! jobs would stand above it: [`DocumentRequest`] is what it would store.
//!
//! A request's way: [`DocumentService::begin`] makes a [`Session`], [`Session::admit`] gives a [`Permit`] (or says when to come
//! back), [`Session::stream`] takes it together with the [`Upload`] and answers with an [`EventStream`]. Where the bytes are
//! there already, [`DocumentService::stream`] and [`DocumentService::read`] are all of it. Dropping the stream ends the work.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod admission;
mod collector;
mod config;
mod cost_tracker;
mod event_stream;
mod faults;
mod guests;
mod page_scheduler;
mod page_selection;
mod pipeline;
mod plane;
mod readiness_check;
mod request;
mod service;
mod shadow_traffic;
mod status;

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
mod quarantine_tests;

pub use admission::Permit;
pub use collector::{Collected, Collector, DocumentResult, PageResult};
pub use config::ServingConfig;
pub use cost_tracker::PredictionError;
pub use event_stream::EventStream;
pub use guests::GuestLoader;
pub use page_selection::PageSelection;
pub use readiness_check::{CheckedDeployment, ReadinessReport};
pub use request::{DocumentRequest, Event, Order};
pub use service::{Clock, DocumentService, Session, Upload};
pub use status::{DrainReport, ServingStatus};
