//! Tenants: the management of all tenants for administrators, and the policy of the own tenant.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use lector_control::{TenantPolicy, TenantView};
use lector_core::{Fault, TenantName};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::AppState;
use super::super::auth::{AdminCtx, TenantCtx};
use super::super::extract::{Body, Path, Query};
use super::super::json::{JsonBody, POLICY_BYTES_MAX};
use super::super::paging::PageOptions;
use super::super::problem::{Problem, option_invalid};

impl JsonBody for TenantPolicy {
    const BYTES_MAX: u64 = POLICY_BYTES_MAX;
}

/// Returns the tenant of the key, with its policy.
#[utoipa::path(
    get,
    path = "/api/v1/tenant",
    operation_id = "getOwnTenant",
    tag = "Tenant",
    responses((status = 200, description = "The tenant and its policy.", body = TenantView)),
    extensions(
        ("x-problems" = json!(["tenant"]))
    )
)]
pub(in super::super) async fn own(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
) -> Json<TenantView> {
    Json(state.control.policy(&principal))
}

/// A page of tenants.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct TenantList {
    /// The tenants, by name.
    tenants: Vec<TenantView>,
    /// The cursor of the next page; null on the last page.
    next: Option<String>,
}

/// Lists all tenants, by name.
#[utoipa::path(
    get,
    path = "/api/v1/admin/tenants",
    operation_id = "listTenants",
    tag = "Administration",
    responses((status = 200, description = "The tenants.", body = TenantList)),
    extensions(
        ("x-problems" = json!(["admin", "query"])),
        ("x-parameters" = json!(["limit", "cursor"]))
    )
)]
pub(in super::super) async fn list(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Query(options): Query<PageOptions>,
) -> Result<Json<TenantList>, Problem> {
    let (tenants, next) = options.page(state.control.tenants(&admin), |tenant| tenant.name.to_string())?;
    Ok(Json(TenantList { tenants, next }))
}

/// Returns a tenant.
#[utoipa::path(
    get,
    path = "/api/v1/admin/tenants/{tenant}",
    operation_id = "getTenant",
    tag = "Administration",
    responses((status = 200, description = "The tenant.", body = TenantView)),
    extensions(
        ("x-problems" = json!(["admin", "path", "tenant_name"])),
        ("x-parameters" = json!(["tenant"]))
    )
)]
pub(in super::super) async fn get(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Path(tenant): Path<String>,
) -> Result<Json<TenantView>, Problem> {
    Ok(Json(state.control.tenant(&admin, &tenant.into())?))
}

/// Creates a tenant, or replaces its policy.
///
/// The body is the whole policy; omitted members have their defaults. At most 262144 bytes and 32 levels. Ends the
/// quarantine of a tenant whose policy cannot be read. With `If-None-Match: *` an existing tenant is not changed.
#[utoipa::path(
    put,
    path = "/api/v1/admin/tenants/{tenant}",
    operation_id = "updateTenant",
    tag = "Administration",
    request_body = TenantPolicy,
    responses((status = 200, description = "The tenant with its new policy.", body = TenantView), (status = 201, description = "The new tenant.", body = TenantView)),
    extensions(
        ("x-problems" = json!(["admin", "path", "header", "json", "change", "store", "tenant_policy"])),
        ("x-parameters" = json!(["tenant", "if_none_match"]))
    )
)]
pub(in super::super) async fn update(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    Body(policy): Body<TenantPolicy>,
) -> Result<(StatusCode, Json<TenantView>), Problem> {
    let name = TenantName::from(tenant);
    let (record, new) = match only_new(&headers)? {
        true => (state.control.create_tenant(&admin, name, policy).await?, true),
        false => state.control.put_tenant(&admin, name, policy).await?,
    };
    Ok((if new { StatusCode::CREATED } else { StatusCode::OK }, Json(record)))
}

/// Returns whether the tenant must be new: `If-None-Match: *`. Error: another value, because a tenant has no entity tag.
fn only_new(headers: &HeaderMap) -> Result<bool, Fault> {
    let mut values = headers.get_all(header::IF_NONE_MATCH).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(any), None) if any == "*" => Ok(true),
        _ => {
            Err(option_invalid("`If-None-Match` is not `*`: send `*` to create a tenant only if it is new."))
        }
    }
}

/// Deletes a tenant, its keys and its deployments.
///
/// Its jobs with their documents and results, its webhook deliveries and secrets, its uploaded files and its capability
/// URLs are deleted as well; running jobs are canceled. Its usage and its audit log stay.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/tenants/{tenant}",
    operation_id = "deleteTenant",
    tag = "Administration",
    responses((status = 204, description = "The tenant is deleted.")),
    extensions(
        ("x-problems" = json!(["admin", "path", "change", "store", "tenant_name", "tenant_delete"])),
        ("x-parameters" = json!(["tenant"]))
    )
)]
pub(in super::super) async fn delete(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Path(tenant): Path<String>,
) -> Result<StatusCode, Problem> {
    state.control.delete_tenant(&admin, &tenant.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}
