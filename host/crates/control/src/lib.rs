//! The control plane: tenants, keys, deployments, revisions and routes, and everything that changes them.
//!
//! Owns: principals and their rights, deployments with their revisions and routes, leases, the deploy pipeline,
//! mutations (audit, write lock), queries, the store port and its SQLite implementation (SQLite is used nowhere else),
//! components by digest, model references, usage counters, revision statistics, canary evaluation and the other
//! background tasks. Must not know: HTTP, the guest sandbox (this crate defines the traits [`Pipeline`] and
//! [`ComponentLoader`]; `lector-serving` implements them), the engines and the renderer (reached through the ports of
//! `lector-core`), and the path of a document through the server. Called by `lector-serving` for every document, and by
//! the HTTP API and the command line of the host.
//!
//! Start with [`ControlPlane::start`]; [`ControlPlane::principal`] turns a key into the right to act for a tenant.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod access;
mod api_types;
mod background_tasks;
mod bootstrap;
mod bounded_count;
mod canary_evaluation;
mod clock;
mod component_collection;
mod config;
mod deploy_pipeline;
mod digest;
mod directory;
mod drain_gate;
mod engine_release;
mod events;
#[cfg(test)]
mod fakes;
mod guest_logs;
mod key;
mod memory;
mod model_references;
mod models;
mod mutations;
mod pipeline;
mod plane;
mod quarantine;
mod queries;
mod revision;
mod revision_cache;
mod route;
mod settings;
mod smoke_test;
mod storage;
pub mod store;
mod tenant;
mod tenant_data;
mod usage_counters;
mod usage_flush;
mod wrapping;

pub use access::{Admin, Credentials, Principal};
pub use api_types::{
    AuditEventView, DeploymentView, KeyView, RevisionParts, RevisionState, RevisionView, TenantView,
    UsageView, WrappedView,
};
pub use background_tasks::{BackgroundTaskStatus, BackgroundTasks, RunOutcome, Trigger};
pub use bounded_count::{BoundedCount, CountGuard};
pub use clock::SystemClock;
pub use config::{ControlConfig, DeploymentConfig};
pub use deploy_pipeline::{DeployFault, Stage};
pub use digest::Digest;
pub use directory::Found;
pub use drain_gate::{DrainGate, DrainGuard, Holder, Refused};
pub use events::{AuditEventStream, CountedStream, Gap, StreamRight};
pub use guest_logs::{GuestLogLine, GuestLogStream, Lagged};
pub use key::{KeyId, KeyText, Scope};
pub use memory::{ByteBudget, DocumentMemory, Held, Reservation};
pub use models::GrantedModel;
pub use mutations::configuration::ConfigReload;
pub use mutations::deploy::{ComponentSource, DeployOutcome, DeployPermit, DeployRequest};
pub use mutations::grants::Grants;
pub use mutations::keys::CreatedKey;
pub use mutations::routes::{Destination, RollbackRequest};
pub use pipeline::{BatchingPolicy, ComponentLoader, Inspected, PageCall, Pipeline, StageParts};
pub use plane::{ControlPlane, Leases};
pub use queries::DeploymentStatus;
pub use revision::{
    CostModel, Lease, Prediction, Revision, RevisionRecord, ShadowComparison, Statistics, WrappedRevision,
};
pub use route::{EntityTags, RollbackPolicy, RoutePrecondition, Shadow, Weight};
pub use settings::{SETTINGS_BYTES_MAX, SETTINGS_DEPTH_MAX, Settings};
pub use smoke_test::{SMOKE_TEST_PNG, SMOKE_TEST_WORD};
pub use storage::StorageLimits;
pub use tenant::{
    BudgetSpec, Capability, Limits, PageMemory, PermitRequest, Tenant, TenantLimits, TenantPermits,
    TenantPolicy, TenantRecord, is_name,
};
pub use tenant_data::ForgetTenant;
pub use usage_counters::{QuotaReservation, UsageCounters, UsageCounts, work_of};
