//! `POST /api/v1/admin/config/reload`: the running server takes over the changed configuration.

use std::fmt;

use axum::Json;
use axum::extract::State;
use futures::future::BoxFuture;
use lector_control::Admin;
use lector_core::{Fault, Kind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::AppState;
use super::super::auth::AdminCtx;
use super::super::extract::Query;
use super::super::problem::Problem;
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

/// The options of a reload.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct ReloadOptions {
    /// Changes nothing, and says what would be changed.
    dry_run: bool,
}

/// Reloads the configuration.
///
/// The server reads its configuration file again (the environment and the flags are those of its start), takes over what a
/// running server can, and lists the keys that need a restart. An invalid configuration changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/admin/config/reload",
    operation_id = "reloadConfig",
    tag = "Administration",
    params(ReloadOptions),
    responses((status = 200, description = "What was taken over, and what needs a restart.", body = ReloadReport)),
    extensions(
        ("x-problems" = json!(["admin", "query", "store", "config_reload"]))
    )
)]
pub(in super::super) async fn reload(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Query(options): Query<ReloadOptions>,
) -> Result<Json<ReloadReport>, Problem> {
    let reload = state.reload.get().cloned().ok_or_else(|| {
        let message = "This server has no configuration that can be reloaded: restart it.";
        Fault::new(Kind::Unavailable, "config_not_reloadable", message)
    })?;
    Ok(Json(reload.reload(&admin, options.dry_run).await?))
}
