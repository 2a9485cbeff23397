//! The data plane: serves documents.
//!
//! Owns: [`DocumentService`], the only entry for documents; admission, the page scheduler, the document pipeline,
//! shadow traffic, the readiness check, the drain; and the implementation of the control plane's guest traits with
//! `lector-runtime`. Must not know: HTTP and the command line, the storage and the mutations of tenants and revisions
//! (`lector-control`), engines and the renderer (reached through the ports of `lector-core`), output formats. Called by
//! the HTTP API and the command line of the host. A crate for asynchronous jobs would call it, too, and would store
//! [`DocumentRequest`]s.
//!
//! A request: [`DocumentService::begin`] makes a [`Session`]; [`Session::receive`] returns an [`UploadSlot`] or a fault
//! with the time to wait; [`ReceivedBytes`] count the body as it arrives; [`Session::admitted`] turns them into a
//! [`Permit`]; [`Session::stream`] takes the permit and the [`Upload`], and returns an [`EventStream`]. If the bytes are
//! complete already, [`DocumentService::stream`] or [`DocumentService::read`] does all of this. Dropping the stream
//! cancels the work.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod admission;
mod collector;
mod composer;
mod config;
mod cost_tracker;
mod event_stream;
mod faults;
mod guests;
mod languages;
mod model_runs;
mod page_scheduler;
mod page_selection;
mod pipeline;
mod plane;
mod readiness_check;
mod request;
mod retained;
mod service;
mod shadow_traffic;
mod status;

#[cfg(any(test, feature = "testing"))]
pub mod fakes;
#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
mod quarantine_tests;
#[cfg(test)]
mod wrapping_tests;

pub use admission::{AnswerMemory, Permit, ReceivedBytes, UploadSlot};
pub use collector::{Collected, Collector, DocumentResult, PageResult};
pub use composer::{Composer, SearchablePdf};
pub use config::ServingConfig;
pub use cost_tracker::PredictionError;
pub use event_stream::EventStream;
pub use guests::GuestLoader;
pub use languages::languages;
pub use model_runs::{ModelOutputs, ModelRun, ModelRunSession};
pub use page_selection::PageSelection;
pub use readiness_check::{CheckedDeployment, ReadinessReport};
pub use request::{DocumentRequest, Event, Order};
pub use service::{DocumentService, Session, TimeoutStart, Upload};
pub use status::{DrainReport, ServingStatus, TenantActivity};
