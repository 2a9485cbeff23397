//! The port by which the gateway has the configuration reloaded.

use std::fmt;

use futures::future::BoxFuture;
use lector_control::Admin;
use lector_core::Fault;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::ConfigChange;

/// Reloads the configuration of this process. Implemented by the composition root.
pub trait ConfigReload: fmt::Debug + Send + Sync + 'static {
    /// Reads the sources again, and takes over what a running server can, unless `dry_run`. Fault: `config_invalid`; then
    /// nothing has changed.
    fn reload<'a>(&'a self, admin: &'a Admin, dry_run: bool) -> BoxFuture<'a, Result<ReloadReport, Fault>>;
}

/// The result of a reload.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ConfigReloadReport)]
pub struct ReloadReport {
    /// Whether nothing was taken over, because the request asks only what would be.
    pub dry_run: bool,
    /// The changed keys that the server has taken over: requests that begin later find the new values.
    pub applied: Vec<ConfigChange>,
    /// The changed keys that only a restart takes over; the server keeps the values `from`.
    pub needs_restart: Vec<ConfigChange>,
    /// The number of keys with the value in force.
    pub unchanged: u64,
}
