//! `/api/v1/jobs`: documents that are read later, and their results.
//!
//! Owns the list, the status and the deletion of jobs, and their JSON form. `submit` receives the documents, `results`
//! returns pages and documents, `stream` the events, `webhooks` the deliveries.

pub(super) mod results;
pub(super) mod stream;
pub(super) mod submit;
pub(super) mod webhooks;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use lector_core::Fault;
use lector_jobs::{Deleted, JobDocument, JobFilter, JobId, JobState, JobStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::auth::TenantCtx;
use super::extract::{Path, Query};
use super::options::header_text;
use super::paging::{PageOptions, cursor};
use super::problem::{Problem, option_invalid};

static PREFER: HeaderName = HeaderName::from_static("prefer");
static PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// Longest wait that `Prefer: wait` selects.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Returns a time of the API; times that it cannot tell are the last one.
pub(super) fn timestamp(at_ms: u64) -> Timestamp {
    i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// A fault of a job, a document or an attempt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobError {
    /// The problem code.
    code: String,
    /// What happened, and what to do.
    message: String,
}

impl From<&Fault> for JobError {
    fn from(fault: &Fault) -> Self {
        Self { code: fault.code.to_owned(), message: fault.message.clone() }
    }
}

/// Counts of pages.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobPages {
    /// Pages that were read.
    ok: u32,
    /// Pages that failed.
    failed: u32,
    /// Pages to read; null until every document has been opened.
    total: Option<u32>,
}

/// A document of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobDocumentView {
    /// Its number in the job, from 0.
    document: u32,
    /// The client's name for it.
    name: Option<String>,
    /// Its type, once it is open; before that, the client's.
    content_type: Option<String>,
    /// Its size in bytes.
    bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    sha256: String,
    /// Its pages; null until it is open.
    page_count: Option<u32>,
    pages: JobPages,
    /// Whether it has ended.
    finished: bool,
    /// The fault of a document that failed as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JobError>,
}

impl From<&JobDocument> for JobDocumentView {
    fn from(document: &JobDocument) -> Self {
        Self {
            document: document.index,
            name: document.name.clone(),
            content_type: document.content_type.clone(),
            bytes: document.bytes,
            sha256: document.sha256.clone(),
            page_count: document.page_count,
            pages: JobPages {
                ok: document.pages_ok,
                failed: document.pages_failed,
                total: document.pages_selected,
            },
            finished: document.finished,
            error: document.fault.as_ref().map(JobError::from),
        }
    }
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Job {
    /// Its id.
    id: String,
    /// `queued`, `running`, `succeeded` (every document was read to its end; single pages may have failed), `failed` (a
    /// document failed as a whole), `canceled`.
    state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Time at which the first document was begun.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// Time of the end.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// Time at which the job is deleted.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// The deployment that the request named; null: the tenant's default one.
    deployment: Option<String>,
    /// The formats that the request named.
    formats: Vec<String>,
    /// Order among the tenant's own jobs.
    priority: i8,
    /// The URL that gets a message at the end.
    webhook: Option<String>,
    /// Texts that a compatible API keeps with the job.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    pages: JobPages,
    documents: Vec<JobDocumentView>,
    /// Attempts at the current document since its last page.
    attempts: u32,
    /// Number of the last event.
    last_event: u64,
    /// The fault of the first document that failed; while the job runs, of the last attempt that ended without a result.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JobError>,
}

impl From<&JobStatus> for Job {
    fn from(job: &JobStatus) -> Self {
        Self {
            id: job.id.to_string(),
            state: job.state.as_str(),
            created_at: timestamp(job.created_at_ms),
            started_at: job.started_at_ms.map(timestamp),
            finished_at: job.finished_at_ms.map(timestamp),
            expires_at: job.expires_at_ms.map(timestamp),
            deployment: job.spec.request.deployment.as_ref().map(ToString::to_string),
            formats: job.spec.formats.clone(),
            priority: job.spec.priority,
            webhook: job.spec.webhook.clone(),
            labels: job.spec.labels.clone(),
            pages: JobPages { ok: job.pages_ok, failed: job.pages_failed, total: job.pages_total },
            documents: job.documents.iter().map(JobDocumentView::from).collect(),
            attempts: job.attempts,
            last_event: job.events,
            error: job.fault.as_ref().map(JobError::from),
        }
    }
}

/// Parses the id in a path. An id that cannot be one is that of no job.
fn job_id(text: &str) -> Result<JobId, Fault> {
    JobId::parse(text).ok_or_else(|| {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
        option_invalid(format!("`{shown}` is not the id of a job: send the `id` of its submission."))
    })
}

/// Returns the wait that `Prefer: wait=N` (RFC 7240) selects, in seconds; other preferences are ignored.
fn wait(headers: &HeaderMap) -> Result<Option<Duration>, Fault> {
    let Some(text) = header_text(headers, &PREFER)? else { return Ok(None) };
    let mut waits = text.split([',', ';']).filter_map(|part| part.trim().split_once('='));
    let Some((_, value)) = waits.find(|(name, _)| name.trim().eq_ignore_ascii_case("wait")) else {
        return Ok(None);
    };
    let seconds = value.trim().trim_matches('"').parse::<u64>().map_err(|_| {
        option_invalid("`Prefer: wait` is not a number of seconds: send, for example, `Prefer: wait=30`.")
    })?;
    Ok(Some(Duration::from_secs(seconds).min(WAIT_MAX)))
}

/// Returns the response with a job: 200 if it has ended, otherwise `unfinished`.
fn answer(job: &JobStatus, unfinished: StatusCode, waited: Option<Duration>) -> Response {
    let status = if job.state.is_finished() { StatusCode::OK } else { unfinished };
    let mut response = (status, Json(Job::from(job))).into_response();
    let applied = waited.and_then(|waited| HeaderValue::try_from(format!("wait={}", waited.as_secs())).ok());
    if let Some(applied) = applied {
        response.headers_mut().insert(PREFERENCE_APPLIED.clone(), applied);
    }
    response
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ListOptions {
    state: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// A page of jobs.
#[derive(Serialize, ToSchema)]
pub(super) struct JobList {
    /// The jobs, newest first.
    jobs: Vec<Job>,
    /// The cursor of the next page; null on the last page. A page with fewer than `limit` jobs may have a next one.
    next: Option<String>,
}

/// Lists the jobs of the tenant, newest first.
///
/// A page ends with `limit` jobs, with 1000 documents or with 1 MiB of their records, whatever comes first.
#[utoipa::path(
    get,
    path = "/api/v1/jobs",
    operation_id = "listJobs",
    tag = "Jobs",
    responses((status = 200, description = "The jobs.", body = JobList)),
    extensions(
        ("x-problems" = json!(["tenant", "jobs", "query", "store"])),
        ("x-parameters" = json!(["job_state", "limit", "cursor"]))
    )
)]
pub(super) async fn list(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Query(options): Query<ListOptions>,
) -> Result<Json<JobList>, Problem> {
    let wanted = options.state.as_deref().map(|name| {
        JobState::parse(name).ok_or_else(|| {
            let names = JobState::ALL.map(JobState::as_str).join(", ");
            option_invalid(format!("`state` is not a state of a job: use one of {names}."))
        })
    });
    let filter = JobFilter { state: wanted.transpose()? };
    let paging = PageOptions::new(options.limit, options.cursor);
    let limit = paging.limit()?;
    let page = state.jobs()?.list_page(&principal, filter, paging.after()?, limit).await?;
    let jobs = page.rows.iter().map(|(_, job)| Job::from(job)).collect();
    Ok(Json(JobList { jobs, next: page.next.map(|seq| cursor(&seq)) }))
}

/// Returns a job.
///
/// With `Prefer: wait=30` the response comes when the job has ended, or after that number of seconds.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}",
    operation_id = "getJob",
    tag = "Jobs",
    responses((status = 200, description = "The job.", body = Job)),
    extensions(
        ("x-problems" = json!(["tenant", "jobs", "job", "store", "header"])),
        ("x-parameters" = json!(["job", "prefer"]))
    )
)]
pub(super) async fn get(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (id, waited) = (job_id(&id)?, wait(&headers)?);
    let jobs = state.jobs()?;
    let job = match waited {
        Some(time) => jobs.wait(&principal, &id, time).await?,
        None => jobs.status(&principal, &id).await?,
    };
    Ok(answer(&job, StatusCode::OK, waited))
}

/// The outcome of a deletion.
#[derive(Serialize, ToSchema)]
pub(super) struct JobDeletion {
    /// `canceled`: the job was not finished; its pages are kept until its retention is over. `forgotten`: it was finished,
    /// and is deleted with its inputs and results.
    outcome: &'static str,
}

/// Cancels a job that is not finished, or deletes one that is, with its inputs and results.
#[utoipa::path(
    delete,
    path = "/api/v1/jobs/{job}",
    operation_id = "deleteJob",
    tag = "Jobs",
    responses((status = 200, description = "The outcome.", body = JobDeletion)),
    extensions(
        ("x-problems" = json!(["tenant", "jobs", "job", "store"])),
        ("x-parameters" = json!(["job"]))
    )
)]
pub(super) async fn delete(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(id): Path<String>,
) -> Result<Json<JobDeletion>, Problem> {
    let outcome = match state.jobs()?.delete(&principal, &job_id(&id)?).await? {
        Deleted::Canceled => "canceled",
        Deleted::Forgotten => "forgotten",
    };
    Ok(Json(JobDeletion { outcome }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn prefer_wait_is_a_number_of_seconds() {
        let check = |value: Option<&str>, expect: Result<Option<u64>, ()>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(&PREFER, value.parse().unwrap());
            }
            let given = wait(&headers).map(|wait| wait.map(|time| time.as_secs())).map_err(|_| ());
            assert_eq!(given, expect, "{value:?}");
        };
        check(None, Ok(None));
        check(Some("respond-async"), Ok(None));
        check(Some("respond-async, wait=30"), Ok(Some(30)));
        check(Some("Wait = \"5\""), Ok(Some(5)));
        check(Some("wait=100000"), Ok(Some(300)));
        check(Some("wait=soon"), Err(()));
        check(Some("wait=-1"), Err(()));
    }
}
