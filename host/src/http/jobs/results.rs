//! `GET /api/v1/jobs/{job}/result` and `…/pages/{page}`.
//!
//! A result is written page by page from the store: neither the pages nor the output are in memory as a whole, except
//! for formats that cannot be written so (`xlsx`), which have a limit. Pages and output count against the tenant.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use lector_control::Reservation;
use lector_core::Fault;
use lector_export::json::Page;
use lector_export::{ExportError, Format, Writer};
use lector_jobs::{JobStatus, StoredDocument};
use lector_serving::PageResult;
use serde::Deserialize;

use super::super::AppState;
use super::super::auth::TenantCtx;
use super::super::extract::{Path, Query};
use super::super::pieces;
use super::super::problem::{self, Problem, option_invalid};
use super::job_id;

/// Most bytes of stored pages for a format that is not written page by page.
const WHOLE_BYTES_MAX: u64 = 64 << 20;
/// Memory of a whole output while it is made, for each byte of its pages: its cells, and the file.
const MEMORY_PER_HELD: u64 = 4;
/// Output that is collected before it is sent.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct ResultOptions {
    format: Option<String>,
    document: Option<u32>,
    partial: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct PageOfJobOptions {
    document: Option<u32>,
}

/// Returns the number of the document: it may be left out for a job of one.
fn document(job: &JobStatus, given: Option<u32>) -> Result<u32, Fault> {
    match given {
        Some(number) => Ok(number),
        None if job.documents.len() == 1 => Ok(0),
        None => {
            let most = job.documents.len().saturating_sub(1);
            Err(option_invalid(format!(
                "The job has several documents: name one with `document`, 0 to {most}."
            )))
        }
    }
}

fn format(options: &ResultOptions, headers: &HeaderMap) -> Result<&'static dyn Format, Fault> {
    match &options.format {
        Some(name) => lector_export::by_name(name).map_err(|fault| Fault { code: "option_invalid", ..fault }),
        None => {
            let accept = headers.get_all(header::ACCEPT).iter();
            lector_export::by_accept(accept.map(|value| value.to_str().unwrap_or_default()))
        }
    }
}

/// The output of a document, written on threads where blocking is allowed.
struct Output {
    document: Arc<StoredDocument>,
    writer: Box<dyn Writer>,
    has_preface: bool,
    step: Step,
}

#[derive(Clone, Copy)]
enum Step {
    Head,
    Preface(usize),
    Page(usize),
    End,
}

impl Output {
    fn new(document: Arc<StoredDocument>, format: &dyn Format) -> Self {
        Self { document, writer: format.writer(), has_preface: format.info().has_preface, step: Step::Head }
    }

    /// Returns the next piece; `None` after the last one.
    async fn next(self) -> Result<Option<(Bytes, Self)>, Fault> {
        let (mut this, mut out) = (self, Vec::new());
        // Counts the output as it grows, beside the page that is written.
        let mut reservation = Reservation::default();
        while out.len() < CHUNK_BYTES {
            let page = match this.step {
                Step::Preface(at) | Step::Page(at) if at < this.document.envelope().selected.len() => {
                    Some(this.document.page(at).await?)
                }
                Step::End => break,
                _ => None,
            };
            if let Some(page) = page.as_ref().and_then(|page| page.outcome.as_ref().ok()) {
                reservation = page.reservation().another(0);
            }
            let work = move || {
                let written = this.write(page.as_ref(), &mut out);
                written.map(|()| (this, out))
            };
            (this, out) = tokio::task::spawn_blocking(work).await.map_err(problem::internal)??;
            reservation.set(out.len() as u64);
        }
        Ok((!out.is_empty()).then(|| (pieces::held(out, reservation), this)))
    }

    fn write(&mut self, page: Option<&PageResult>, out: &mut Vec<u8>) -> Result<(), ExportError> {
        let document = self.document.clone();
        let view = document.envelope().view();
        self.step = match (self.step, page) {
            (Step::Head, _) => {
                self.writer.head(&view, out)?;
                if self.has_preface { Step::Preface(0) } else { Step::Page(0) }
            }
            (Step::Preface(at), Some(page)) => {
                self.writer.preface(&view, &page.view(), out)?;
                Step::Preface(at + 1)
            }
            (Step::Preface(_), None) => {
                self.writer.preface_end(&view, out)?;
                Step::Page(0)
            }
            (Step::Page(at), Some(page)) => {
                self.writer.page(&view, &page.view(), out)?;
                Step::Page(at + 1)
            }
            (Step::Page(_), None) => {
                self.writer.tail(&view, out)?;
                Step::End
            }
            (Step::End, _) => Step::End,
        };
        Ok(())
    }
}

/// Returns the fault of a result that the format cannot report.
async fn failed_pages(
    document: &StoredDocument,
    format: &dyn Format,
    partial: bool,
) -> Result<Option<Fault>, Fault> {
    let envelope = document.envelope();
    if envelope.pages_failed == 0 || partial || format.info().reports_failures {
        return Ok(None);
    }
    let failed = document.failed_page().await?.and_then(|page| page.outcome.err());
    let first =
        failed.ok_or_else(|| problem::internal("a job counts a failed page that it does not have"))?;
    let (failed, selected) = (envelope.pages_failed, envelope.selected.len());
    Ok(Some(problem::pages_failed(failed, selected, &first, format.info().name)))
}

/// Returns the result of a document of a job that has been read to its end.
///
/// The formats are those of `POST /api/v1/ocr`. A format with words needs a job with `words=true`, or with that format
/// in `formats`. The response is written page by page, whatever the number of pages.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/result",
    operation_id = "getJobResult",
    tag = "Jobs",
    responses((status = 200, description = "The result of the document.", content((ref("#/components/schemas/DocumentResult") = "application/json"), (String = "text/plain"), (String = "text/markdown"), (String = "text/html"), (String = "text/vnd.hocr+html"), (String = "application/alto+xml"), (String = "application/vnd.prima.page+xml"), (String = "text/tab-separated-values"), (String = "text/csv"), (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"), (String = "application/x-ndjson")))),
    extensions(
        ("x-problems" = json!(["tenant", "jobs", "job", "job_result", "options", "whole", "document", "guest", "engine", "store"])),
        ("x-parameters" = json!(["job", "format", "document", "partial"]))
    )
)]
pub(in super::super) async fn result(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(id): Path<String>,
    Query(options): Query<ResultOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (id, format, jobs) = (job_id(&id)?, format(&options, &headers)?, state.jobs()?);
    let job = jobs.status(&principal, &id).await?;
    let number = document(&job, options.document)?;
    if format.info().needs_words && !job.spec.request.options.words {
        let name = format.info().name;
        let message = format!(
            "The format `{name}` needs words, and the job was submitted without them: submit it with `words=true` or \
             `formats={name}`."
        );
        return Err(option_invalid(message).into());
    }
    let document = jobs.result(&principal, &id, number).await?;
    if let Some(fault) = failed_pages(&document, format, options.partial).await? {
        return Err(fault.into());
    }
    let body = if format.info().streams {
        let output = Output::new(Arc::new(document), format);
        // Until the first piece is written, an error can still be a problem response.
        let first = output.next().await?;
        let rest = |output: Output| {
            let pieces = futures::stream::try_unfold(output, Output::next);
            pieces.map_err(|fault| io::Error::other(fault.to_string()))
        };
        match first {
            Some((first, output)) => {
                Body::from_stream(futures::stream::iter([Ok(first)]).chain(rest(output)))
            }
            None => Body::empty(),
        }
    } else {
        let whole = document.collect(WHOLE_BYTES_MAX).await?;
        let held: u64 =
            whole.pages.iter().flat_map(|page| &page.outcome).map(|page| page.reservation().bytes()).sum();
        let mut reservation = document.memory().reserve(held.saturating_mul(MEMORY_PER_HELD)).await?;
        let written = tokio::task::spawn_blocking(move || lector_export::document(format, &whole)).await;
        let file = written.map_err(problem::internal)?.map_err(Fault::from)?;
        reservation.set(file.len() as u64);
        Body::from(pieces::held(file, reservation))
    };
    let content_type = HeaderValue::from_static(format.info().content_type);
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

/// Returns a page of a job, read or failed, also while the job runs. Pages count from 1.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/pages/{page}",
    operation_id = "getJobPage",
    tag = "Jobs",
    responses((status = 200, description = "The page.", content((ref("#/components/schemas/Page") = "application/json")))),
    extensions(
        ("x-problems" = json!(["tenant", "jobs", "job", "job_page", "path", "query", "store"])),
        ("x-parameters" = json!(["job", "page_number", "document"]))
    )
)]
pub(in super::super) async fn page(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path((id, number)): Path<(String, u32)>,
    Query(options): Query<PageOfJobOptions>,
) -> Result<Response, Problem> {
    let (id, jobs) = (job_id(&id)?, state.jobs()?);
    let index = number.checked_sub(1).ok_or_else(|| option_invalid("Pages are counted from 1."))?;
    let document = document(&jobs.status(&principal, &id).await?, options.document)?;
    let page = jobs.page(&principal, &id, document, index).await?;
    // Writing a page of 50,000 words takes tens of milliseconds and must not block other connections.
    let written = tokio::task::spawn_blocking(move || {
        let text = serde_json::to_vec(&Page::from(page.view())).map_err(problem::internal)?;
        let reservation = page.outcome.as_ref().map(|page| page.reservation().another(text.len() as u64));
        Ok::<_, Fault>(Body::from(pieces::held(text, reservation.unwrap_or_default())))
    });
    let content_type = HeaderValue::from_static("application/json");
    let body = written.await.map_err(problem::internal)??;
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}
