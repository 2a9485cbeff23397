//! The Job API: submit, poll, read the result by a URL that needs no key.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use lector_control::Principal;
use lector_core::{Fault, Kind as FaultKind};
use lector_serving::{PageResult, PageSelection};
use serde_json::{Value, json};

use super::super::answer;
use super::super::call::{Call, deployment};
use super::super::json_body::JsonBody;
use super::super::tasks::{self, Labels, TaskState, TaskView, Tasks};
use super::super::visit::{Ask, Visit};
use super::page::{self, Kind, Scale};
use super::request::{JobRequest, of_text};
use crate::config::Dialect;
use crate::http::middleware::RequestCtx;
use crate::http::pieces;
use crate::http::problem::option_invalid;
use crate::http::upload::is_form;

/// Time for which a submission waits for a short document: the first poll of the clients comes at once, and the second
/// one three seconds later.
const SUBMIT_WAIT: Duration = Duration::from_secs(2);
/// Validity of the URL of a result.
const RESULT_URL_MS: u64 = 3_600_000;
/// The model of a request that names none: some clients want blocks, and none of them fails on it.
const MODEL: &str = "PaddleOCR-VL";
/// Maximum length of a batch id, in bytes.
const BATCH_BYTES_MAX: usize = 200;

/// Returns an error of the Job API. A `code` other than 0 is an error for its clients, whatever the status.
pub(super) fn error(fault: &Fault, status: StatusCode, ctx: &RequestCtx) -> (StatusCode, Value) {
    let (code, message) = (status.as_u16(), &fault.message);
    let body = json!({ "code": code, "msg": message, "errorMsg": message, "traceId": ctx.id.as_str() });
    (status, body)
}

fn success(data: &Value) -> Response {
    answer::json(&json!({ "code": 0, "msg": "Success", "data": data }))
}

pub(super) async fn submit(call: Call) -> Result<Response, Fault> {
    let (mut visit, head, body) = Visit::begin_task(call)?;
    let (name, document, model, ranges, batch);
    if is_form(&head.headers) {
        let mut form = visit.form(&head, body).await?;
        (model, ranges, batch) = (
            form.field("model").map(str::to_owned),
            form.field("pageRanges").map(str::to_owned),
            form.field("batchId").map(str::to_owned),
        );
        let file = match (form.take_file(), form.field("fileUrl")) {
            (Err(_), Some(url)) => (String::new(), of_text(url)?),
            (file, _) => file?,
        };
        (name, document) = file;
    } else {
        let parse = |body: &JsonBody| {
            let request = JobRequest::parse(body)?;
            Ok((request.document(body)?, request.model, request.page_ranges, request.batch_id))
        };
        name = String::new();
        (document, model, ranges, batch) = visit.json(&head, body, parse).await?;
    }
    let model = model.filter(|model| !model.is_empty()).unwrap_or_else(|| MODEL.to_owned());
    let pages = match ranges.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        None => PageSelection::All,
        Some(text) => {
            PageSelection::parse(text).map_err(|fault| Fault { code: "option_invalid", ..fault })?
        }
    };
    let mut labels = Labels::from([("model", model.chars().take(100).collect())]);
    if let Some(batch) = batch.filter(|batch| !batch.is_empty()) {
        if batch.len() > BATCH_BYTES_MAX {
            return Err(option_invalid(format!("`batchId` has more than {BATCH_BYTES_MAX} bytes.")));
        }
        labels.insert("batch", batch);
    }
    let ask = Ask {
        deployment: deployment(&visit.state, &visit.principal, Dialect::PaddleOcr, Some(&model)),
        pages,
        name: (!name.is_empty()).then_some(name),
        ..Ask::default()
    };
    let (state, principal) = (visit.state.clone(), visit.principal.clone());
    let task = tasks::submit(visit, ask, labels, document).await?;
    Tasks::of(&state, &principal)?.wait(&task.id, SUBMIT_WAIT).await?;
    Ok(success(&json!({ "jobId": task.id })))
}

/// Returns the data of a job. `extractProgress` is absent until the pages are known: a null would fail in some clients.
fn job(task: &TaskView, url: Option<String>) -> Value {
    let time = |at_ms: u64| {
        let at = i64::try_from(at_ms).ok().and_then(|at_ms| jiff::Timestamp::from_millisecond(at_ms).ok());
        at.unwrap_or_default().to_string()
    };
    let progress = |read: u32, all: u32, end: Option<u64>| {
        let mut progress =
            json!({ "totalPages": all, "extractedPages": read, "startTime": time(task.created_ms) });
        if let Some(end) = end {
            progress["endTime"] = time(end).into();
        }
        progress
    };
    let (state, message, progress) = match &task.state {
        TaskState::Pending => ("pending", String::new(), None),
        TaskState::Running(read, all) => ("running", String::new(), Some(progress(*read, *all, None))),
        TaskState::Done(pages) => {
            ("done", String::new(), Some(progress(*pages, *pages, Some(task.updated_ms))))
        }
        TaskState::Failed(fault) => ("failed", fault.message.clone(), None),
    };
    let mut job = json!({ "jobId": task.id, "state": state, "errorMsg": message });
    if let Some(progress) = progress {
        job["extractProgress"] = progress;
    }
    if let Some(url) = url {
        job["resultUrl"] = json!({ "jsonUrl": url });
    }
    job
}

/// Returns the URL of the result of a finished job.
fn result_url(call: &Call, principal: &Principal, task: &TaskView) -> Result<Option<String>, Fault> {
    if !matches!(task.state, TaskState::Done(_)) {
        return Ok(None);
    }
    let token = call.state.compat.links.issue(principal.tenant(), &task.id, RESULT_URL_MS)?;
    call.state.compat.sweep();
    Ok(Some(format!("{}/api/v2/ocr/jobs/{}/result?token={token}", call.base_url(), task.id)))
}

pub(super) async fn status(mut call: Call) -> Result<Response, Fault> {
    let (principal, id) = (call.principal()?, call.path::<String>().await?);
    let task = Tasks::of(&call.state, &principal)?.get(&id).await?;
    let url = result_url(&call, &principal, &task)?;
    Ok(success(&job(&task, url)))
}

pub(super) async fn batch(mut call: Call) -> Result<Response, Fault> {
    let (principal, id) = (call.principal()?, call.path::<String>().await?);
    let tasks = Tasks::of(&call.state, &principal)?.labeled("batch", &id).await?;
    if tasks.is_empty() {
        return Err(tasks::not_found(&id));
    }
    let jobs = tasks.iter().map(|task| Ok(job(task, result_url(&call, &principal, task)?)));
    let jobs = jobs.collect::<Result<Vec<Value>, Fault>>()?;
    Ok(success(&json!({ "batchId": id, "extractResult": jobs })))
}

/// Returns the result as JSON lines, one a page. The token in the URL is the only credential.
pub(super) async fn result(mut call: Call) -> Result<Response, Fault> {
    let id = call.path::<String>().await?;
    let (state, token) = (&call.state, call.query("token").unwrap_or_default());
    let principal =
        state.compat.links.owner(&token, &id).and_then(|owner| state.jobs().ok()?.by_capability(&owner));
    let principal = principal.ok_or_else(|| {
        let message =
            "The URL of the result is not valid, or has expired: ask for the state of the job again.";
        Fault::new(FaultKind::NotFound, "compat_task_not_found", message)
    })?;
    let tasks = Tasks::of(state, &principal)?;
    let task = tasks.get(&id).await?;
    let TaskState::Done(pages) = task.state else { return Err(tasks::not_found(&id)) };
    let document = Arc::new(tasks.document(&id).await?);
    let id: Arc<str> = id.into();
    let (kind, scale) = (Kind::of_model(task.label("model")), Scale::of(&document.envelope().content_type));
    let line = move |page: PageResult| {
        let (index, page) = (page.index, page.outcome?);
        let held = page.reservation();
        // Counted before there is any.
        let mut reservation = held.another(held.bytes().saturating_mul(answer::MEMORY_PER_HELD));
        let result = json!({
            kind.member(): [page::json(kind, index, pages as usize, &page, scale)],
            // Of this line: the sizes of all pages in each line would grow with the square of their number.
            "dataInfo": page::info_of(&[&**page], scale),
        });
        let line = json!({ "logId": &*id, "errorCode": 0, "errorMsg": "Success", "result": result });
        let line = format!("{}\n", one_line(&line));
        reservation.set(line.len() as u64);
        Ok::<_, Fault>(pieces::held(line, reservation))
    };
    // One page at a time is in memory. Serializing a large one takes tens of milliseconds.
    let lines = document.pages().then(move |page| {
        let line = line.clone();
        async move {
            let line = tokio::task::spawn_blocking(move || page.and_then(line)).await;
            line.map_err(io::Error::other)?.map_err(|fault| io::Error::other(fault.to_string()))
        }
    });
    let content_type = HeaderValue::from_static("application/x-ndjson; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, content_type)], Body::from_stream(lines)).into_response())
}

/// Returns JSON without any character that some readers take for the end of a line.
fn one_line(value: &Value) -> String {
    let mut text = value.to_string();
    for (c, escaped) in [('\u{85}', "\\u0085"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")] {
        if text.contains(c) {
            text = text.replace(c, escaped);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_line_is_one_line_for_every_reader() {
        let value = json!({ "text": "a\u{2028}b\u{85}c\u{2029}d\ne" });
        let line = one_line(&value);
        assert!(line.is_ascii() && !line.contains('\n'), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }
}
