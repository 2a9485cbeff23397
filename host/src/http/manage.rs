//! The management API: deployments and their routes, keys, tenants, usage, the audit log.
//!
//! Owns the shapes of these requests; the responses are the API types of the control plane as JSON. Does not depend on
//! the store or on guests. Every handler first takes a proof of access (`auth.rs`).

pub(super) mod configuration;
pub(super) mod deployments;
pub(super) mod keys;
pub(super) mod logs;
pub(super) mod queries;
pub(super) mod routes;
pub mod status;
pub(super) mod tenants;
