//! Tenants: the management of all tenants for administrators, and the policy of the own tenant.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use lector_control::{TenantPolicy, TenantRecord};
use lector_core::TenantName;
use serde_json::{Value, json};

use super::super::AppState;
use super::super::auth::{AdminCtx, TenantCtx};
use super::super::json::{JsonBody, POLICY_BYTES_MAX};
use super::super::problem::Problem;

impl JsonBody for TenantPolicy {
    const BYTES_MAX: u64 = POLICY_BYTES_MAX;
}

/// `GET /api/v1/tenant`.
pub(in super::super) async fn own(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
) -> Json<TenantRecord> {
    Json(state.control.policy(&principal))
}

/// `GET /api/v1/admin/tenants`.
pub(in super::super) async fn list(State(state): State<AppState>, AdminCtx(admin): AdminCtx) -> Json<Value> {
    Json(json!({ "tenants": state.control.tenants(&admin) }))
}

/// `GET /api/v1/admin/tenants/{tenant}`.
pub(in super::super) async fn get(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Path(tenant): Path<String>,
) -> Result<Json<TenantRecord>, Problem> {
    Ok(Json(state.control.tenant(&admin, &tenant.into())?))
}

/// `PUT /api/v1/admin/tenants/{tenant}`: replaces the whole policy; omitted members have their defaults. With
/// `If-None-Match: *` an existing tenant is not changed.
pub(in super::super) async fn update(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Path(tenant): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<TenantRecord>), Problem> {
    let only_new = request.headers().get(header::IF_NONE_MATCH).is_some_and(|value| value == "*");
    let (_, policy): (_, TenantPolicy) = super::json(&state, request).await?;
    let name = TenantName::from(tenant);
    let (record, new) = match only_new {
        true => (state.control.create_tenant(&admin, name, policy).await?, true),
        false => state.control.put_tenant(&admin, name, policy).await?,
    };
    Ok((if new { StatusCode::CREATED } else { StatusCode::OK }, Json(record)))
}

/// `DELETE /api/v1/admin/tenants/{tenant}`.
pub(in super::super) async fn delete(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Path(tenant): Path<String>,
) -> Result<StatusCode, Problem> {
    state.control.delete_tenant(&admin, &tenant.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}
