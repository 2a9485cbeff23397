//! Keys: those of the own tenant, and all keys for administrators.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lector_control::store::{DamagedRow, Table};
use lector_control::{CreatedKey, KeyId, KeyView, Scope};
use lector_core::{Fault, Kind, TenantName};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::AppState;
use super::super::auth::{AdminCtx, TenantCtx};
use super::super::json::{JsonBody, SMALL_BYTES_MAX};
use super::super::problem::Problem;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewKeyBody {
    label: String,
    /// The tenant of the key; only in the administrator API.
    tenant: Option<TenantName>,
    /// Whether to create an administrator's key; only in the administrator API.
    admin: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RotateBody {
    grace_s: u64,
}

impl JsonBody for NewKeyBody {
    const BYTES_MAX: u64 = SMALL_BYTES_MAX;
}

impl JsonBody for RotateBody {
    const BYTES_MAX: u64 = SMALL_BYTES_MAX;
}

/// Returns the response with a new key. Its text is shown only here.
fn created(key: &CreatedKey) -> Response {
    let body = json!({ "key": key.text.reveal(), "record": key.view });
    (StatusCode::CREATED, Json(body)).into_response()
}

/// `GET /api/v1/keys`.
pub(in super::super) async fn list(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "keys": state.control.keys(&principal)? })))
}

/// `POST /api/v1/keys`.
pub(in super::super) async fn create(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    request: Request,
) -> Result<Response, Problem> {
    let (_, body): (_, NewKeyBody) = super::json(&state, request).await?;
    if body.admin || body.tenant.is_some() {
        let message = "`tenant` and `admin` are not allowed here: omit them, or use /api/v1/admin/keys.";
        return Err(Fault::new(Kind::Invalid, "body_invalid", message).into());
    }
    Ok(created(&state.control.create_key(&principal, &body.label).await?))
}

/// `POST /api/v1/keys/{id}/rotate`.
pub(in super::super) async fn rotate(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (_, body): (_, RotateBody) = super::json(&state, request).await?;
    let grace = Duration::from_secs(body.grace_s);
    Ok(created(&state.control.rotate_key(&principal, &KeyId::from(id.as_str()), grace).await?))
}

/// `DELETE /api/v1/keys/{id}`.
pub(in super::super) async fn revoke(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(id): Path<String>,
) -> Result<Json<KeyView>, Problem> {
    Ok(Json(state.control.revoke_key(&principal, &KeyId::from(id.as_str())).await?))
}

/// `GET /api/v1/admin/keys`.
pub(in super::super) async fn list_all(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
) -> Json<Value> {
    Json(json!({ "keys": state.control.all_keys(&admin) }))
}

/// `POST /api/v1/admin/keys`.
pub(in super::super) async fn create_any(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    request: Request,
) -> Result<Response, Problem> {
    let (_, body): (_, NewKeyBody) = super::json(&state, request).await?;
    let scope = match (body.tenant, body.admin) {
        (Some(tenant), false) => Scope::Tenant(tenant),
        (None, true) => Scope::Admin,
        _ => {
            let message = "The owner of the key is missing or ambiguous: send either `tenant` with a name, or `admin: true`.";
            return Err(Fault::new(Kind::Invalid, "body_invalid", message).into());
        }
    };
    Ok(created(&state.control.create_key_for(&admin, scope, &body.label).await?))
}

/// `POST /api/v1/admin/keys/{id}/rotate`.
pub(in super::super) async fn rotate_any(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (_, body): (_, RotateBody) = super::json(&state, request).await?;
    let grace = Duration::from_secs(body.grace_s);
    Ok(created(&state.control.rotate_any_key(&admin, &KeyId::from(id.as_str()), grace).await?))
}

/// `DELETE /api/v1/admin/keys/{id}`. A key that cannot be read from the store is deleted; the response is then 204.
pub(in super::super) async fn revoke_any(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let damaged = |row: &DamagedRow| row.table == Table::Keys && row.key.as_deref() == Some(id.as_str());
    let key = KeyId::from(id.as_str());
    if state.control.damaged_rows(&admin).iter().any(damaged) {
        state.control.drop_damaged_key(&admin, &key).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Json(state.control.revoke_any_key(&admin, &key).await?).into_response())
}
