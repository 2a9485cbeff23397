//! `POST /api/v1/jobs`: documents in the body, or JSON that names uploaded files.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::StreamExt;
use lector_control::Principal;
use lector_core::port::DocumentHint;
use lector_core::{Fault, Kind};
use lector_jobs::{JobSpec, Jobs, StagedInput, Submission};
use lector_serving::DocumentRequest;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::AppState;
use super::super::auth::TenantCtx;
use super::super::body::{LimitedBody, declared_bytes};
use super::super::json;
use super::super::middleware::RequestCtx;
use super::super::ocr::{body_limits, file_missing, options};
use super::super::options::{Endpoint, Options, header_text};
use super::super::problem::Problem;
use super::super::upload::{Upload, is_form, is_json};
use super::{Job, answer, wait};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Maximum size of a body in JSON: an id has 36 bytes, and a job 256 documents by default.
const JSON_BYTES_MAX: u64 = 64 << 10;

/// The documents of a job that were uploaded before. The options are in the query, as for every other body.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct JobFiles {
    /// Ids of uploaded files (`POST /api/v1/files`), in the order of the documents of the job.
    #[schema(min_items = 1)]
    files: Vec<String>,
}

/// Submits documents that are read later, as one job.
///
/// The response comes when the job is durable: from then on it survives a crash of the server. With `Prefer: wait=30` it
/// comes when the job has ended (200), or after that number of seconds (202). A second submission with the same
/// `Idempotency-Key` and the same documents and options returns the first job. A body of the type `application/json` names uploaded
/// files; the job keeps its own copy of them.
#[utoipa::path(
    post,
    path = "/api/v1/jobs",
    operation_id = "submitJob",
    tag = "Jobs",
    request_body = JobFiles,
    responses(
        (status = 202, description = "The accepted job.", body = Job, headers(("Location" = String, description = "The path of the job."))),
        (status = 200, description = "The job, which has ended.", body = Job, headers(("Location" = String, description = "The path of the job.")))
    ),
    extensions(
        ("x-problems" = json!(["tenant", "jobs", "job_submit", "options", "guest_options", "upload", "json", "file", "admission", "store", "header"])),
        ("x-parameters" = json!(["pages", "dpi", "text_layer", "words", "languages", "guest_options", "deployment", "formats", "webhook", "retention", "priority", "idempotency_key", "prefer", "password", "deployment_header", "routing_key"])),
        ("x-body" = json!("JobDocuments"))
    )
)]
pub(in super::super) async fn submit(
    State(state): State<AppState>,
    Extension(ctx): Extension<RequestCtx>,
    TenantCtx(principal): TenantCtx,
    request: Request,
) -> Result<Response, Problem> {
    let jobs = state.jobs()?;
    let (parts, body) = request.into_parts();
    let options = options(&state, Endpoint::Job, &principal, &parts, Ok(None))?;
    let (waited, key) = (wait(&parts.headers)?, header_text(&parts.headers, &IDEMPOTENCY_KEY)?);
    let idempotency_key = key.map(str::to_owned);
    let routing_key = options.key.as_deref().unwrap_or(ctx.id.as_str());
    // A mistake is the answer to the client, and not the end of a job.
    state.control.begin_request(
        &principal,
        options.deployment.as_ref(),
        routing_key,
        &options.guest_options,
    )?;
    let source = Source { state: &state, ctx: &ctx, principal: &principal, options: &options, jobs };
    let inputs = if is_json(&parts.headers) {
        source.files(&parts, body).await?
    } else {
        source.body(&parts, body).await?
    };
    let submission = Submission { spec: spec(&ctx, options), inputs, idempotency_key };
    let submitted = jobs.submit(&principal, submission).await?;
    let job = match waited {
        Some(time) => jobs.wait(&principal, &submitted.job.id, time).await?,
        None => submitted.job,
    };
    let mut response = answer(&job, StatusCode::ACCEPTED, waited);
    if let Ok(path) = HeaderValue::try_from(format!("/api/v1/jobs/{}", job.id)) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    Ok(response)
}

/// A submission whose inputs are to be stored.
struct Source<'a> {
    state: &'a AppState,
    ctx: &'a RequestCtx,
    principal: &'a Principal,
    options: &'a Options,
    jobs: &'a Jobs,
}

impl Source<'_> {
    /// Stores the documents of the body.
    async fn body(&self, parts: &Parts, body: Body) -> Result<Vec<StagedInput>, Fault> {
        let Self { state, ctx, principal, options, jobs } = self;
        let files = if is_form(&parts.headers) { state.config.batch_files_max } else { 1 };
        let bytes_max = state.body_bytes_max(principal);
        let body =
            LimitedBody::new(&parts.headers, body, body_limits(state, ctx, options, bytes_max, files))?;
        // Not refused for the load of the server: the documents are read later. Only their bytes are bounded.
        let declared = declared_bytes(&parts.headers).filter(|_| files == 1);
        let slot = state.service.receive_component(principal, declared)?;
        let mut upload = Upload::new(&parts.headers, body)?;
        let mut inputs = Vec::new();
        while let Some(head) = upload.next().await? {
            if inputs.len() >= files {
                return Err(too_many_files(files));
            }
            let mut received = slot.begin(inputs.is_empty())?;
            let bytes = upload.read(&mut received, bytes_max).await?;
            state.metrics.document_received(bytes.len());
            // On the disk before the next one arrives: a submission holds one document in memory.
            inputs.push(jobs.stage(principal, head.name, head.content_type, bytes).await?);
        }
        if inputs.is_empty() { Err(file_missing()) } else { Ok(inputs) }
    }

    /// Stores the uploaded files that the body names.
    async fn files(&self, parts: &Parts, body: Body) -> Result<Vec<StagedInput>, Fault> {
        let Self { state, ctx, principal, options, jobs } = self;
        let limits = body_limits(state, ctx, options, JSON_BYTES_MAX, 1);
        let mut body = LimitedBody::new(&parts.headers, body, limits)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        let JobFiles { files } = json::parse("body", &bytes, JSON_BYTES_MAX)?;
        if files.len() > state.config.batch_files_max {
            return Err(too_many_files(state.config.batch_files_max));
        }
        if files.is_empty() {
            let message = "The job names no file: send the ids of uploaded files in `files`.";
            return Err(Fault::new(Kind::Invalid, "file_missing", message));
        }
        // All of them are looked up before the first one is written.
        let named = files.iter().map(|id| state.compat.files.get(principal.tenant(), id));
        let mut inputs = Vec::with_capacity(files.len());
        for file in named.collect::<Result<Vec<_>, _>>()? {
            let name = Some(file.name.clone()).filter(|name| !name.is_empty());
            inputs.push(jobs.stage(principal, name, None, file.bytes.clone()).await?);
        }
        Ok(inputs)
    }
}

fn spec(ctx: &RequestCtx, options: Options) -> JobSpec {
    let request = DocumentRequest {
        deployment: options.deployment,
        key: options.key,
        hint: DocumentHint { content_type: None, password: options.password },
        pages: options.pages,
        options: options.request,
        languages: options.languages,
        guest_options: options.guest_options,
        ..DocumentRequest::new(ctx.id.clone(), options.timeout)
    };
    JobSpec {
        formats: options.job.formats.into_iter().map(str::to_owned).collect(),
        webhook: options.job.webhook,
        retention: options.job.retention,
        priority: options.job.priority,
        ..JobSpec::new(request)
    }
}

fn too_many_files(most: usize) -> Fault {
    let message =
        format!("A job holds at most {most} files, and this one has more: send the rest in another job.");
    Fault::new(Kind::Invalid, "too_many_files", message)
}
