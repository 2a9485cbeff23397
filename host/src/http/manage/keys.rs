//! Keys: those of the own tenant, and all keys for administrators.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lector_control::store::{DamagedRow, Table};
use lector_control::{CreatedKey, KeyId, KeyView, Scope};
use lector_core::{Fault, Kind, TenantName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::AppState;
use super::super::auth::{AdminCtx, TenantCtx};
use super::super::extract::{Body, Path, Query};
use super::super::json::{JsonBody, SMALL_BYTES_MAX};
use super::super::paging::PageOptions;
use super::super::problem::Problem;

/// A new key.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct NewKeyBody {
    /// Label for people.
    #[schema(max_length = 100)]
    label: String,
    /// The tenant of the key; only in the administrator API.
    #[schema(value_type = Option<String>, max_length = 63)]
    tenant: Option<TenantName>,
    /// Whether to create an administrator's key; only in the administrator API.
    admin: bool,
}

/// The rotation of a key.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct RotateBody {
    /// Time in seconds for which the old key remains valid.
    #[schema(maximum = 2592000)]
    grace_s: u64,
}

/// A new key with its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedKey)]
pub(in super::super) struct CreatedKeyBody {
    /// The key with its secret. It is returned once; the server stores only a hash.
    key: String,
    /// The key as later lists show it.
    record: KeyView,
}

/// A page of keys.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct KeyList {
    /// The keys without their secrets, by time of creation.
    keys: Vec<KeyView>,
    /// The cursor of the next page; null on the last page.
    next: Option<String>,
}

#[allow(clippy::result_large_err, reason = "the result of a handler, which axum converts at once")]
fn page(options: &PageOptions, keys: Vec<KeyView>) -> Result<Json<KeyList>, Problem> {
    let (keys, next) = options.page(keys, |key| (key.created_at.as_millisecond(), key.id.to_string()))?;
    Ok(Json(KeyList { keys, next }))
}

impl JsonBody for NewKeyBody {
    const BYTES_MAX: u64 = SMALL_BYTES_MAX;
}

impl JsonBody for RotateBody {
    const BYTES_MAX: u64 = SMALL_BYTES_MAX;
}

/// Returns the response with a new key. Its text is shown only here.
fn created(key: &CreatedKey) -> (StatusCode, Json<CreatedKeyBody>) {
    let body = CreatedKeyBody { key: key.text.reveal().to_owned(), record: key.view.clone() };
    (StatusCode::CREATED, Json(body))
}

/// Lists the keys of the tenant, by time of creation.
#[utoipa::path(
    get,
    path = "/api/v1/keys",
    operation_id = "listKeys",
    tag = "Keys",
    responses((status = 200, description = "The keys, without their secrets.", body = KeyList)),
    extensions(
        ("x-problems" = json!(["tenant", "manage", "query"])),
        ("x-parameters" = json!(["limit", "cursor"]))
    )
)]
pub(in super::super) async fn list(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Query(options): Query<PageOptions>,
) -> Result<Json<KeyList>, Problem> {
    page(&options, state.control.keys(&principal)?)
}

/// Creates a key for the tenant.
#[utoipa::path(
    post,
    path = "/api/v1/keys",
    operation_id = "createKey",
    tag = "Keys",
    request_body = NewKeyBody,
    responses((status = 201, description = "The new key.", body = CreatedKeyBody)),
    extensions(
        ("x-problems" = json!(["tenant", "manage", "json", "change", "store", "key_create"]))
    )
)]
pub(in super::super) async fn create(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Body(body): Body<NewKeyBody>,
) -> Result<(StatusCode, Json<CreatedKeyBody>), Problem> {
    if body.admin || body.tenant.is_some() {
        let message = "`tenant` and `admin` are not allowed here: omit them, or use /api/v1/admin/keys.";
        return Err(Fault::new(Kind::Invalid, "body_invalid", message).into());
    }
    Ok(created(&state.control.create_key(&principal, &body.label).await?))
}

/// Creates a key that replaces one of the tenant.
#[utoipa::path(
    post,
    path = "/api/v1/keys/{id}/rotate",
    operation_id = "rotateKey",
    tag = "Keys",
    request_body = RotateBody,
    responses((status = 201, description = "The new key.", body = CreatedKeyBody)),
    extensions(
        ("x-problems" = json!(["tenant", "manage", "path", "json", "change", "store", "key_create", "key_id"])),
        ("x-parameters" = json!(["id"]))
    )
)]
pub(in super::super) async fn rotate(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(id): Path<String>,
    Body(body): Body<RotateBody>,
) -> Result<(StatusCode, Json<CreatedKeyBody>), Problem> {
    let grace = Duration::from_secs(body.grace_s);
    Ok(created(&state.control.rotate_key(&principal, &KeyId::from(id.as_str()), grace).await?))
}

/// Revokes a key of the tenant.
#[utoipa::path(
    delete,
    path = "/api/v1/keys/{id}",
    operation_id = "revokeKey",
    tag = "Keys",
    responses((status = 200, description = "The revoked key.", body = KeyView)),
    extensions(
        ("x-problems" = json!(["tenant", "manage", "path", "change", "store", "key_id"])),
        ("x-parameters" = json!(["id"]))
    )
)]
pub(in super::super) async fn revoke(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(id): Path<String>,
) -> Result<Json<KeyView>, Problem> {
    Ok(Json(state.control.revoke_key(&principal, &KeyId::from(id.as_str())).await?))
}

/// Lists all keys, by time of creation.
#[utoipa::path(
    get,
    path = "/api/v1/admin/keys",
    operation_id = "listAllKeys",
    tag = "Administration",
    responses((status = 200, description = "The keys, without their secrets.", body = KeyList)),
    extensions(
        ("x-problems" = json!(["admin", "query"])),
        ("x-parameters" = json!(["limit", "cursor"]))
    )
)]
pub(in super::super) async fn list_all(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Query(options): Query<PageOptions>,
) -> Result<Json<KeyList>, Problem> {
    page(&options, state.control.all_keys(&admin))
}

/// Creates a key for a tenant or an administrator.
#[utoipa::path(
    post,
    path = "/api/v1/admin/keys",
    operation_id = "createAnyKey",
    tag = "Administration",
    request_body = NewKeyBody,
    responses((status = 201, description = "The new key.", body = CreatedKeyBody)),
    extensions(
        ("x-problems" = json!(["admin", "json", "change", "store", "key_create", "tenant_name"]))
    )
)]
pub(in super::super) async fn create_any(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Body(body): Body<NewKeyBody>,
) -> Result<(StatusCode, Json<CreatedKeyBody>), Problem> {
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

/// Creates a key that replaces any key.
#[utoipa::path(
    post,
    path = "/api/v1/admin/keys/{id}/rotate",
    operation_id = "rotateAnyKey",
    tag = "Administration",
    request_body = RotateBody,
    responses((status = 201, description = "The new key.", body = CreatedKeyBody)),
    extensions(
        ("x-problems" = json!(["admin", "path", "json", "change", "store", "key_create", "key_id"])),
        ("x-parameters" = json!(["id"]))
    )
)]
pub(in super::super) async fn rotate_any(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Path(id): Path<String>,
    Body(body): Body<RotateBody>,
) -> Result<(StatusCode, Json<CreatedKeyBody>), Problem> {
    let grace = Duration::from_secs(body.grace_s);
    Ok(created(&state.control.rotate_any_key(&admin, &KeyId::from(id.as_str()), grace).await?))
}

/// Revokes any key.
///
/// A key that cannot be read from the store is deleted; the response is then 204.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/keys/{id}",
    operation_id = "revokeAnyKey",
    tag = "Administration",
    responses((status = 200, description = "The revoked key.", body = KeyView), (status = 204, description = "The key could not be read from the store, and is deleted.")),
    extensions(
        ("x-problems" = json!(["admin", "path", "change", "store", "key_id"])),
        ("x-parameters" = json!(["id"]))
    )
)]
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
