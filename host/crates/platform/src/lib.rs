//! The platform: who may ask, which guest reads a document, and the way of a document through the house.
//!
//! Owns: tenants and their keys, deployments and their revisions, routes and leases, the store behind them, admission,
//! the fair order of pages, the document pipeline, the readiness probe, draining. The only home of SQLite. Knows no HTTP,
//! no engine and no renderer: documents come through the port of `lector-core`, guests through `lector-runtime`. Called by
//! the host's HTTP and CLI faces.
//!
//! A request's way: [`Platform::caller`] makes a [`Caller`] of a key, [`Platform::admit`] gives a [`Permit`] (or says when to come back),
//! [`Platform::submit`] takes it together with a [`Submission`] and answers with an [`EventStream`].
//! Dropping the stream ends the work.
#![warn(missing_docs)]

mod access;
mod acts;
mod admission;
mod claims;
mod config;
mod directory;
mod gate;
mod key;
mod load;
mod look;
mod memory;
mod meter;
mod opening;
mod pipeline;
mod platform;
mod probe;
mod quarantine;
mod reader;
mod revision;
mod rounds;
mod route;
mod selection;
mod settings;
mod shadow;
mod shelf;
mod stage;
mod status;
pub mod store;
mod submission;
mod tenant;
mod view;

#[cfg(test)]
mod fakes;

pub use access::{Admin, Caller, Shown};
pub use acts::{ComponentSource, DeployOutcome, DeployPlace, DeployRequest, Destination, MadeKey};
pub use admission::Permit;
pub use config::{DeploymentConfig, PlatformConfig};
pub use gate::Holder;
pub use key::{KeyId, KeyText, Scope};
pub use load::Prediction;
pub use look::{Acts as ActStream, Missed};
pub use memory::{Held, Reservation};
pub use platform::Platform;
pub use probe::{ProbeReport, ProbedDeployment};
pub use revision::{FiguresView, Lease, ShadowView};
pub use route::{Shadow, Watch, Weight};
pub use selection::PageSelection;
pub use settings::{SETTINGS_BYTES_MAX, SETTINGS_DEPTH_MAX, Settings, json_depth};
pub use stage::{Stage, StageFault};
pub use status::{DeploymentStatus, DrainReport, PlatformStatus};
pub use submission::{Event, EventStream, Order, Submission};
pub use tenant::{BudgetSpec, Capability, Limits, TenantRecord, TenantTerms, is_name};
pub use view::{DeploymentView, KeyView, RevisionParts, RevisionState, RevisionView};
