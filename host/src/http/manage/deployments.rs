//! Deployments: list, get, deploy, route, roll back, delete.

#[cfg(test)]
mod fuzz;

use std::collections::BTreeMap;
use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use lector_control::{
    BudgetSpec, ComponentSource, DeployFault, DeployOutcome, DeployRequest, DeploymentView, Destination,
    Digest, Grants, RevisionView, RollbackPolicy, Settings, Stage,
};
use lector_core::{DeploymentName, Fault, Kind, ModelName};
use lector_export::json::ms;
use multer::{Constraints, Multipart};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::AppState;
use super::super::auth::TenantCtx;
use super::super::body::{LimitedBody, declared_bytes};
use super::super::extract::{Path, Query};
use super::super::json::{self as bounded, JsonBody, OPTIONS_BYTES_MAX, SETTINGS_MAX};
use super::super::paging::{PageOptions, cursor};
use super::super::problem::Problem;
use super::super::upload::{ByteBudget, from_multer};
use super::routes::{Tagged, precondition, tagged};

/// Maximum size of a component.
const COMPONENT_BYTES_MAX: u64 = 64 << 20;
/// Maximum body of a deploy: the component (at most 64 MiB) and the JSON parts.
const DEPLOY_BYTES_MAX: u64 = COMPONENT_BYTES_MAX + 2 * OPTIONS_BYTES_MAX;
/// Maximum bytes of the part `wraps`, the name of a deployment.
const NAME_BYTES_MAX: u64 = 256;
/// Maximum bytes read to find the end of the head of a part.
const HEAD_BYTES_MAX: u64 = 2 << 20;

/// A page of deployments.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct DeploymentList {
    /// The deployments, by name.
    deployments: Vec<DeploymentView>,
    /// The cursor of the next page; null on the last page.
    next: Option<String>,
}

/// Lists the deployments of the tenant and the shared deployments, by name.
///
/// A page ends after 200 revisions, so that it may have fewer deployments than `limit`.
#[utoipa::path(
    get,
    path = "/api/v1/deployments",
    operation_id = "listDeployments",
    tag = "Deploy",
    responses((status = 200, description = "The deployments.", body = DeploymentList)),
    extensions(
        ("x-problems" = json!(["tenant", "query"])),
        ("x-parameters" = json!(["limit", "cursor"]))
    )
)]
pub(in super::super) async fn list(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Query(options): Query<PageOptions>,
) -> Result<Json<DeploymentList>, Problem> {
    let (limit, after) = (options.limit()? as usize, options.after::<String>()?.map(DeploymentName::from));
    let (deployments, more) = state.control.deployments_page(&principal, after.as_ref(), limit);
    let last = deployments.last().filter(|_| more);
    let next = last.map(|deployment| cursor(&deployment.name.as_str()));
    Ok(Json(DeploymentList { deployments, next }))
}

/// Returns a deployment with its revisions, without their settings and option schemas.
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{name}",
    operation_id = "getDeployment",
    tag = "Deploy",
    responses((status = 200, description = "The deployment.", body = DeploymentView, headers(("ETag" = String, description = "Entity tag of the route, for `If-Match`.")))),
    extensions(
        ("x-problems" = json!(["tenant", "path", "deployment"])),
        ("x-parameters" = json!(["name"]))
    )
)]
pub(in super::super) async fn get(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(name): Path<String>,
) -> Result<Tagged, Problem> {
    Ok(tagged(state.control.deployment(&principal, &name.into())?))
}

/// A page of revisions.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct RevisionList {
    /// The revisions, newest first.
    revisions: Vec<RevisionView>,
    /// The cursor of the next page; null on the last page.
    next: Option<String>,
}

/// Lists the revisions of a deployment, newest first, without their settings and option schemas.
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{name}/revisions",
    operation_id = "listRevisions",
    tag = "Deploy",
    responses((status = 200, description = "The revisions, newest first.", body = RevisionList, headers(("ETag" = String, description = "Entity tag of the route, for `If-Match`.")))),
    extensions(
        ("x-problems" = json!(["tenant", "path", "deployment", "query"])),
        ("x-parameters" = json!(["name", "limit", "cursor"]))
    )
)]
pub(in super::super) async fn revisions(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(name): Path<String>,
    Query(options): Query<PageOptions>,
) -> Result<([(header::HeaderName, String); 1], Json<RevisionList>), Problem> {
    let deployment = state.control.deployment(&principal, &name.into())?;
    let newest_first = |revision: &RevisionView| u32::MAX - revision.number;
    let (revisions, next) = options.page(deployment.revisions, newest_first)?;
    Ok(([(header::ETAG, deployment.etag)], Json(RevisionList { revisions, next })))
}

/// Returns a revision with its settings and the schema of its options.
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{name}/revisions/{number}",
    operation_id = "getRevision",
    tag = "Deploy",
    responses((status = 200, description = "The revision.", body = RevisionView)),
    extensions(
        ("x-problems" = json!(["tenant", "path", "deployment", "revision"])),
        ("x-parameters" = json!(["name", "number"]))
    )
)]
pub(in super::super) async fn revision(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path((name, number)): Path<(String, u32)>,
) -> Result<Json<RevisionView>, Problem> {
    Ok(Json(state.control.revision(&principal, &name.into(), number)?))
}

/// Deletes a deployment with all its revisions.
#[utoipa::path(
    delete,
    path = "/api/v1/deployments/{name}",
    operation_id = "deleteDeployment",
    tag = "Deploy",
    responses((status = 204, description = "The deployment is deleted.")),
    extensions(
        ("x-problems" = json!(["tenant", "path", "deployment", "manage", "change", "store", "deployment_delete"])),
        ("x-parameters" = json!(["name"]))
    )
)]
pub(in super::super) async fn delete(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    state.control.delete_deployment(&principal, &name.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The options of a deploy.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = DeployOptions)]
pub(in super::super) struct DeployBody {
    /// SHA-256 digest of a component that was sent before, in place of a component.
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{64}$")]
    digest: Option<Digest>,
    /// Settings of the guest. At most 1048576 bytes, and at most 31 levels within the options.
    #[schema(value_type = Option<Object>)]
    settings: Option<Value>,
    /// Models that the guest may open, by alias; at most 128. Absent, without `all_models`: those of the newest revision of the
    /// deployment that the tenant still has, for its first revision all models of the tenant.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    grants: Option<BTreeMap<String, ModelName>>,
    /// Whether the guest may open all models of the tenant; without `grants`.
    all_models: bool,
    /// Limits of each guest call.
    budget: Option<BudgetSpec>,
    /// Deployment to wrap, the tenant's own or a shared one, for a component that imports `lector:ocr/pipeline`. Its live
    /// revision is pinned, with its settings, its grants and the revision that it wraps itself. Absent: without a new
    /// component, the revision that the newest revision wraps; otherwise none.
    #[schema(value_type = Option<String>)]
    wraps: Option<DeploymentName>,
    /// Whether to route all requests to the revision. Absent: only the first revision of a deployment is promoted; false
    /// prevents that.
    promote: Option<bool>,
    /// Percentage of the requests to route to the revision.
    #[schema(minimum = 1, maximum = 99)]
    canary: Option<u8>,
    /// Percentage of the documents to mirror to the revision.
    #[schema(minimum = 0, maximum = 100)]
    shadow: Option<u8>,
    /// Limits beyond which the server rolls the route back; with `promote` or `canary`.
    rollback_policy: Option<RollbackPolicy>,
    /// The live revision that the caller expects, 0 for none: with another one, nothing changes.
    expected_revision: Option<u32>,
}

impl JsonBody for DeployBody {
    const BYTES_MAX: u64 = OPTIONS_BYTES_MAX;
}

impl DeployBody {
    fn grants(&mut self) -> Result<Grants, Fault> {
        match (self.grants.take(), self.all_models) {
            (Some(_), true) => {
                let message = "Both `grants` and `all_models` are set: send one of them.";
                Err(Fault::new(Kind::Invalid, "body_invalid", message))
            }
            (Some(named), false) => Ok(Grants::Named(named)),
            (None, true) => Ok(Grants::All),
            (None, false) => Ok(Grants::Inherited),
        }
    }

    fn destination(&self) -> Result<Option<Destination>, Fault> {
        let chosen = [self.promote == Some(true), self.canary.is_some(), self.shadow.is_some()];
        if chosen.into_iter().filter(|chosen| *chosen).count() > 1 {
            let message = "More than one of `promote`, `canary` and `shadow` is set: send one of them.";
            return Err(Fault::new(Kind::Invalid, "body_invalid", message));
        }
        let destination = match (self.canary, self.shadow) {
            (Some(percent), _) => Some(Destination::Canary(percent, self.rollback_policy)),
            (_, Some(percent)) => Some(Destination::Shadow(percent)),
            _ => match self.promote {
                Some(true) => Some(Destination::Promote(self.rollback_policy)),
                Some(false) => Some(Destination::NoTraffic),
                None => None,
            },
        };
        if self.rollback_policy.is_some()
            && !matches!(destination, Some(Destination::Promote(_) | Destination::Canary(..)))
        {
            let message = "`rollback_policy` applies only to a revision that answers requests: send `canary` or `promote` with it.";
            return Err(Fault::new(Kind::Invalid, "body_invalid", message));
        }
        Ok(destination)
    }
}

/// Creates a revision from a component and its settings.
///
/// A form with a part `component` (and `settings`, `options`, as JSON, and `wraps`, a name), the bare component, or JSON
/// that names a stored component. Stages: `received`, `validated`, `compiled`, `configured`, `prepared` (the engines are loaded),
/// `smoke_test` (the batching policy, if the guest has one, and a smoke-test page), `ready`. A failed deploy changes
/// nothing, and its problem names the `stage`. Settings without a component create a new revision of the newest
/// component. Settings and grants that are not sent are those of the newest revision; where its grants lack a model that the
/// guest opens, the deploy fails with `grant_missing`.
///
/// Without `promote`, `canary` or `shadow`, no request is routed to the revision, except that the first revision of a
/// deployment is promoted; `"promote": false` prevents that. An administrator must name the tenant (`X-Lector-Tenant`).
#[utoipa::path(
    put,
    path = "/api/v1/deployments/{name}",
    operation_id = "deploy",
    tag = "Deploy",
    request_body = DeployBody,
    responses((status = 201, description = "The revision is created.", body = DeployResult, headers(("Location" = String, description = "Path of the revision."), ("ETag" = String, description = "Entity tag of the route, for `If-Match`.")))),
    extensions(
        ("x-problems" = json!(["tenant", "path", "deployment", "manage", "change", "json", "store", "multipart", "component", "wraps", "route", "revision", "precondition"])),
        ("x-parameters" = json!(["name", "if_match"])),
        ("x-body" = json!("Deploy"))
    )
)]
pub(in super::super) async fn deploy(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let began = Instant::now();
    state.control.may_deploy(&principal)?;
    let (parts, body) = request.into_parts();
    let slot = state.service.receive_component(&principal, declared_bytes(&parts.headers))?;
    let limits = state.body_limits(
        DEPLOY_BYTES_MAX,
        state.config.request_timeout,
        began + state.config.request_timeout,
    );
    let limited_body = LimitedBody::new(&parts.headers, body, limits)?;
    let mut received = Received { bytes: slot.begin(true)?, total: 0 };
    let (mut body, component) = read(&parts, limited_body, &mut received).await?;
    // Everything has arrived: the bytes stay counted until the deploy has ended.
    let _received = received;
    let (destination, grants) = (body.destination()?, body.grants()?);
    // As text while the deploy waits and runs: parsed, settings of small numbers have 36 times the bytes.
    let settings = body.settings.take().as_ref().map(Settings::of).transpose();
    let settings = settings.map_err(|fault| deploy_failed(DeployFault { stage: Stage::Received, fault }))?;
    let precondition = precondition(&parts.headers, body.expected_revision)?;
    let component = match (component, body.digest) {
        (Some(_), Some(_)) => {
            let message = "Both a component and a `digest` are set: send one of them.";
            return Err(Fault::new(Kind::Invalid, "body_invalid", message).into());
        }
        (Some(bytes), None) => ComponentSource::Bytes(bytes),
        (None, Some(digest)) => ComponentSource::Stored(digest),
        (None, None) => ComponentSource::Newest,
    };
    let within = state.config.request_timeout.saturating_sub(began.elapsed());
    let permit = state.control.deploy_permit(&principal, within).await?;
    drop(slot);
    let deployment = DeploymentName::from(name);
    let (budget, wraps) = (body.budget, body.wraps);
    let request =
        DeployRequest { deployment, component, settings, grants, budget, wraps, destination, precondition };
    let outcome = state.control.deploy(permit, &principal, request).await.map_err(deploy_failed)?;
    let DeployOutcome { number, deployment, promoted_as_first, took } = outcome;
    let stages = took.into_iter().map(|(stage, took)| StageTime { stage: stage.as_str(), took_ms: ms(took) });
    let location = format!("/api/v1/deployments/{}/revisions/{number}", deployment.name);
    let promoted = match destination {
        Some(Destination::Promote(_)) => Some(Promoted::Requested),
        _ => promoted_as_first.then_some(Promoted::FirstRevision),
    };
    let headers = [(header::LOCATION, location), (header::ETAG, deployment.etag.clone())];
    let body = DeployResult { revision: number, promoted, stages: stages.collect(), deployment };
    Ok((StatusCode::CREATED, headers, Json(body)).into_response())
}

/// The result of a deploy.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct DeployResult {
    /// Number of the new revision.
    revision: u32,
    /// Why all requests are routed to it; null if they are not.
    promoted: Option<Promoted>,
    /// The time of each stage.
    stages: Vec<StageTime>,
    /// The deployment after the deploy.
    deployment: DeploymentView,
}

/// The reason that a new revision is promoted.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Promoted {
    /// The request has `promote`.
    Requested,
    /// It is the first revision of the deployment.
    FirstRevision,
}

/// The time of a stage of a deploy.
#[derive(Serialize, ToSchema)]
struct StageTime {
    /// Name of the stage.
    stage: &'static str,
    /// Its duration in milliseconds.
    took_ms: f64,
}

/// Returns the problem of a failed deploy, with its stage.
fn deploy_failed(failed: DeployFault) -> Problem {
    tracing::info!(stage = failed.stage.as_str(), fault = %failed.fault, "deploy failed");
    Problem::from(failed.fault).with("stage", json!(failed.stage.as_str()))
}

/// The bytes of a deploy that have arrived.
struct Received<B> {
    bytes: B,
    total: u64,
}

impl<B: ByteBudget> Received<B> {
    async fn more(&mut self, bytes: usize) -> Result<(), Fault> {
        self.total += bytes as u64;
        self.bytes.arrived(self.total).await
    }
}

async fn read(
    parts: &Parts,
    limited_body: LimitedBody,
    received: &mut Received<impl ByteBudget>,
) -> Result<(DeployBody, Option<Vec<u8>>), Fault> {
    let content_type =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match essence.as_str() {
        "multipart/form-data" => form(content_type, limited_body, received).await,
        "application/wasm" | "application/octet-stream" => {
            let bytes = up_to("body", DEPLOY_BYTES_MAX, limited_body, received).await?;
            Ok((DeployBody::default(), Some(bytes)))
        }
        "application/json" | "" => {
            let bytes = up_to("body", OPTIONS_BYTES_MAX, limited_body, received).await?;
            let body = if bytes.is_empty() {
                DeployBody::default()
            } else {
                bounded::parse("body", &bytes, OPTIONS_BYTES_MAX)?
            };
            Ok((body, None))
        }
        other => {
            let shown: String = other.chars().take(60).collect();
            let message = format!(
                "The content type of a deploy is `{shown}`: send a form (multipart/form-data), a component (application/wasm) or JSON."
            );
            Err(Fault::new(Kind::Invalid, "content_type_mismatch", message))
        }
    }
}

async fn form(
    content_type: &str,
    limited_body: LimitedBody,
    received: &mut Received<impl ByteBudget>,
) -> Result<(DeployBody, Option<Vec<u8>>), Fault> {
    let boundary = multer::parse_boundary(content_type).map_err(from_multer)?;
    let quota = limited_body.quota();
    let mut form = Multipart::with_constraints(limited_body, boundary, Constraints::new());
    let (mut component, mut settings, mut options, mut wraps) = (None, None, None, None);
    loop {
        quota.give(HEAD_BYTES_MAX);
        let Some(part) = form.next_field().await.map_err(from_multer)? else { break };
        quota.give(u64::MAX);
        let name = part.name().unwrap_or_default().to_owned();
        let (slot, bytes_max) = match name.as_str() {
            "component" => (&mut component, DEPLOY_BYTES_MAX),
            "settings" => (&mut settings, SETTINGS_MAX),
            "options" => (&mut options, OPTIONS_BYTES_MAX),
            "wraps" => (&mut wraps, NAME_BYTES_MAX),
            other => {
                let shown: String = other.chars().filter(|c| !c.is_control()).take(40).collect();
                let message = format!(
                    "The form has an unknown part `{shown}`: its parts are component, settings, options, wraps."
                );
                return Err(Fault::new(Kind::Invalid, "multipart_invalid", message));
            }
        };
        if slot.is_some() {
            let message = format!("The form has more than one part `{name}`: send one.");
            return Err(Fault::new(Kind::Invalid, "multipart_invalid", message));
        }
        let part = part.map_err(from_multer);
        *slot = Some(up_to(&format!("part `{name}`"), bytes_max, part, received).await?);
    }
    let mut body: DeployBody = match options {
        Some(bytes) => bounded::parse("part `options`", &bytes, OPTIONS_BYTES_MAX)?,
        None => DeployBody::default(),
    };
    if let Some(bytes) = settings {
        body.settings = Some(bounded::parse("part `settings`", &bytes, SETTINGS_MAX)?);
    }
    if let Some(bytes) = wraps {
        body.wraps = Some(String::from_utf8_lossy(&bytes).into_owned().into());
    }
    Ok((body, component))
}

/// Reads a part or a body of at most `bytes_max` bytes.
async fn up_to(
    what: &str,
    bytes_max: u64,
    chunks: impl Stream<Item = Result<Bytes, Fault>>,
    received: &mut Received<impl ByteBudget>,
) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let mut chunks = std::pin::pin!(chunks);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if (bytes.len() + chunk.len()) as u64 > bytes_max {
            return Err(bounded::too_large(what, bytes_max));
        }
        received.more(chunk.len()).await?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
