//! `/api/v1/files`: documents that a later request names, such as a job in JSON.
//!
//! Owns the routes; `store` keeps the files in memory. Files that clients of other software upload are in the same store, and
//! have the same ids.

pub(super) mod store;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use lector_core::{Fault, Kind};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::auth::TenantCtx;
use super::body::{LimitedBody, declared_bytes};
use super::extract::{Path, Query};
use super::jobs::timestamp;
use super::middleware::RequestCtx;
use super::ocr::file_missing;
use super::paging::PageOptions;
use super::problem::Problem;
use super::upload::Upload;
use store::File;

/// An uploaded file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FileView {
    /// Its id.
    id: String,
    /// The client's name for it.
    name: Option<String>,
    /// Its size.
    bytes: u64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Time at which it is deleted.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl From<&File> for FileView {
    fn from(file: &File) -> Self {
        Self {
            id: file.id.clone(),
            name: Some(file.name.clone()).filter(|name| !name.is_empty()),
            bytes: file.bytes.len() as u64,
            created_at: timestamp(file.created_ms),
            expires_at: timestamp(file.expires_ms),
        }
    }
}

/// A page of files.
#[derive(Serialize, ToSchema)]
pub(super) struct FileList {
    /// The files, oldest first.
    files: Vec<FileView>,
    /// The cursor of the next page; null on the last page.
    next: Option<String>,
}

/// Uploads a document that a later request names by its id.
///
/// The file is kept in memory: it counts against the tenant's limit of held bytes, and is gone after `compat.ttl_s`, or when
/// the server stops.
#[utoipa::path(
    post,
    path = "/api/v1/files",
    operation_id = "uploadFile",
    tag = "Jobs",
    responses((status = 201, description = "The file.", body = FileView, headers(("Location" = String, description = "The path of the file.")))),
    extensions(
        ("x-problems" = json!(["tenant", "upload", "file_upload"])),
        ("x-body" = json!("Document"))
    )
)]
pub(super) async fn upload(
    State(state): State<AppState>,
    Extension(ctx): Extension<RequestCtx>,
    TenantCtx(principal): TenantCtx,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    state.control.enter(&principal)?;
    let bytes_max = state.body_bytes_max(&principal);
    let limits =
        state.body_limits(bytes_max, state.config.request_timeout, ctx.began + state.config.request_timeout);
    let body = LimitedBody::new(&parts.headers, body, limits)?;
    // Not refused for the load of the server: the document is read later.
    let slot = state.service.receive_component(&principal, declared_bytes(&parts.headers))?;
    let mut upload = Upload::new(&parts.headers, body)?;
    let head = upload.next().await?.ok_or_else(file_missing)?;
    let mut received = slot.begin(true)?;
    let bytes = upload.read(&mut received, bytes_max).await?;
    if upload.next().await?.is_some() {
        let message = "The form has more than one file: upload each file in a request of its own.";
        return Err(Fault::new(Kind::Invalid, "too_many_files", message).into());
    }
    if bytes.is_empty() {
        let message = "The file is empty: send the bytes of the document.";
        return Err(Fault::new(Kind::Invalid, "document_empty", message).into());
    }
    state.metrics.document_received(bytes.len());
    let named = (head.name.unwrap_or_default(), String::new());
    let file = state.compat.add_file(&state.control, &principal, named, bytes, received)?;
    state.compat.sweep();
    let mut response = (StatusCode::CREATED, Json(FileView::from(&*file))).into_response();
    if let Ok(path) = HeaderValue::try_from(format!("/api/v1/files/{}", file.id)) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    Ok(response)
}

/// Lists the uploaded files of the tenant, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/files",
    operation_id = "listFiles",
    tag = "Jobs",
    responses((status = 200, description = "The files.", body = FileList)),
    extensions(
        ("x-problems" = json!(["tenant", "query"])),
        ("x-parameters" = json!(["limit", "cursor"]))
    )
)]
pub(super) async fn list(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Query(options): Query<PageOptions>,
) -> Result<Json<FileList>, Problem> {
    // The ids sort by time.
    let all = state.compat.files.list(principal.tenant()).into_iter().rev().collect();
    let (files, next) = options.page(all, |file| file.id.clone())?;
    Ok(Json(FileList { files: files.iter().map(|file| FileView::from(&**file)).collect(), next }))
}

/// Returns an uploaded file, without its bytes.
#[utoipa::path(
    get,
    path = "/api/v1/files/{file}",
    operation_id = "getFile",
    tag = "Jobs",
    responses((status = 200, description = "The file.", body = FileView)),
    extensions(
        ("x-problems" = json!(["tenant", "path", "file"])),
        ("x-parameters" = json!(["file"]))
    )
)]
pub(super) async fn get(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(id): Path<String>,
) -> Result<Json<FileView>, Problem> {
    Ok(Json(FileView::from(&*state.compat.files.get(principal.tenant(), &id)?)))
}

/// Deletes an uploaded file. Jobs that named it keep their document.
#[utoipa::path(
    delete,
    path = "/api/v1/files/{file}",
    operation_id = "deleteFile",
    tag = "Jobs",
    responses((status = 204, description = "The file is deleted.")),
    extensions(
        ("x-problems" = json!(["tenant", "path", "file"])),
        ("x-parameters" = json!(["file"]))
    )
)]
pub(super) async fn delete(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    state.compat.files.delete(principal.tenant(), &id)?;
    Ok(StatusCode::NO_CONTENT)
}
