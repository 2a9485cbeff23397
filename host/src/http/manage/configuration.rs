//! `POST /api/v1/admin/config/reload`: the running server takes over the changed configuration.

use axum::Json;
use axum::extract::State;
use lector_core::{Fault, Kind};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::AppState;
use super::super::auth::AdminCtx;
use super::super::config_reload::ReloadReport;
use super::super::extract::Query;
use super::super::problem::Problem;

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
        ("x-problems" = json!(["admin", "query", "change", "store", "config_reload"]))
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
