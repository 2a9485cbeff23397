//! docling-serve: `/v1/convert/{file,source}`, their asynchronous forms, and the polling of tasks.
//!
//! Not done, and refused: results as a ZIP archive or in a client's storage, several documents in one request, office
//! formats. Options of its pipelines (models, images, enrichments) are ignored: there is no image in the answer.

mod options;
mod result;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use lector_core::Fault;
use serde_json::{Value, json};

use self::options::{Formats, Options, Source};
use super::answer;
use super::call::{Call, deployment, on};
use super::tasks::{self, Labels, TaskState, TaskView, Tasks};
use super::visit::{Ask, Visit};
use crate::config::Dialect;
use crate::http::AppState;
use crate::http::health::check_ready;
use crate::http::middleware::RequestCtx;

/// Maximum time that a poll waits for the end of a task.
const POLL_WAIT_MAX: Duration = Duration::from_secs(60);

pub(super) fn routes() -> Router<AppState> {
    let (get, post) = (MethodFilter::GET, MethodFilter::POST);
    let mut router =
        Router::new().route("/health", on(get, error, health)).route("/version", on(get, error, version));
    for version in ["/v1", "/v1alpha"] {
        let path = |rest: &str| format!("{version}{rest}");
        router = router
            .route(&path("/convert/file"), on(post, error, file))
            .route(&path("/convert/file/async"), on(post, error, file_async))
            // A client looks with GET whether there is such a server.
            .route(&path("/convert/source"), on(post, error, source).merge(on(get, error, health)))
            .route(&path("/convert/source/async"), on(post, error, source_async))
            .route(&path("/status/poll/{id}"), on(get, error, poll))
            .route(&path("/result/{id}"), on(get, error, task_result));
    }
    router
}

pub(super) fn readiness() -> Router<AppState> {
    Router::new().route("/ready", on(MethodFilter::GET, error, ready))
}

/// Returns an error in the form of FastAPI. Clients show `detail`.
fn error(fault: &Fault, status: StatusCode, ctx: &RequestCtx) -> (StatusCode, Value) {
    // docling-serve answers to what it cannot convert with 422.
    let status = match fault.code {
        "compat_unsupported" | "compat_url_refused" | "document_unsupported_type" | "too_many_files" => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        _ => status,
    };
    (status, json!({ "detail": fault.message, "code": fault.code, "request_id": ctx.id.as_str() }))
}

/// The process answers: it is alive.
async fn health(_: Call) -> Result<Response, Fault> {
    Ok(answer::json(&json!({ "status": "ok" })))
}

async fn ready(call: Call) -> Result<Response, Fault> {
    Ok(match check_ready(&call.state).await {
        Ok(()) => answer::json(&json!({ "status": "ok" })),
        Err(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, answer::json(&json!({ "detail": why }))).into_response()
        }
    })
}

async fn version(_: Call) -> Result<Response, Fault> {
    Ok(answer::json(&json!({ "lector": env!("CARGO_PKG_VERSION") })))
}

/// A document that was received with its options.
struct Received {
    visit: Visit,
    ask: Ask,
    document: Vec<u8>,
    formats: Formats,
    name: String,
}

impl Received {
    fn new(visit: Visit, options: &Options, name: String, document: Vec<u8>) -> Self {
        let name = if name.is_empty() { "document".to_owned() } else { name };
        let ask = Ask {
            deployment: deployment(
                &visit.state,
                &visit.principal,
                Dialect::Docling,
                options.pipeline.as_deref(),
            ),
            pages: options.pages.clone(),
            text_layer: options.text_layer,
            name: Some(name.clone()),
            words: false,
        };
        Self { visit, ask, document, formats: options.formats, name }
    }

    async fn from_form(mut visit: Visit, head: Parts, body: Body) -> Result<Self, Fault> {
        let mut form = visit.form(&head, body).await?;
        let options = Options::of_form(&form)?;
        let (name, document) = form.take_file()?;
        Ok(Self::new(visit, &options, name, document))
    }

    async fn from_source(mut visit: Visit, head: Parts, body: Body) -> Result<Self, Fault> {
        let Source { options, name, document } = visit.json(&head, body, Source::parse).await?;
        Ok(Self::new(visit, &options, name, document))
    }

    async fn read(self) -> Result<Response, Fault> {
        let Self { visit, ask, document, formats, name } = self;
        let reading = Arc::new(visit.read(ask, document).await?);
        answer::whole(reading, move |reading| result::json(reading, &name, formats)).await
    }

    async fn submit(self) -> Result<Response, Fault> {
        let Self { visit, ask, document, formats, .. } = self;
        let labels = Labels::from([("formats", formats.label()), (DIALECT, "docling".into())]);
        Ok(answer::json(&status(&tasks::submit(visit, ask, labels, document).await?)))
    }
}

const DIALECT: &str = "dialect";

async fn file(call: Call) -> Result<Response, Fault> {
    let (visit, head, body) = Visit::begin(call)?;
    Received::from_form(visit, head, body).await?.read().await
}

async fn file_async(call: Call) -> Result<Response, Fault> {
    let (visit, head, body) = Visit::begin_task(call)?;
    Received::from_form(visit, head, body).await?.submit().await
}

async fn source(call: Call) -> Result<Response, Fault> {
    let (visit, head, body) = Visit::begin(call)?;
    Received::from_source(visit, head, body).await?.read().await
}

async fn source_async(call: Call) -> Result<Response, Fault> {
    let (visit, head, body) = Visit::begin_task(call)?;
    Received::from_source(visit, head, body).await?.submit().await
}

fn status(task: &TaskView) -> Value {
    let (state, message) = match &task.state {
        TaskState::Pending => ("pending", Value::Null),
        TaskState::Running(..) => ("started", Value::Null),
        TaskState::Done(_) => ("success", Value::Null),
        TaskState::Failed(fault) => ("failure", Value::from(fault.message.as_str())),
    };
    json!({
        "task_id": task.id,
        "task_type": "convert",
        "task_status": state,
        "task_position": if matches!(task.state, TaskState::Pending) { json!(1) } else { Value::Null },
        "task_meta": null,
        "error_message": message,
    })
}

async fn poll(mut call: Call) -> Result<Response, Fault> {
    let (principal, id) = (call.principal()?, call.path::<String>().await?);
    let wait = call.query("wait").and_then(|text| text.parse::<f64>().ok());
    let wait = wait.and_then(|wait| Duration::try_from_secs_f64(wait).ok()).unwrap_or_default();
    let task = Tasks::of(&call.state, &principal)?.wait(&id, wait.min(POLL_WAIT_MAX)).await?;
    Ok(answer::json(&status(&task)))
}

async fn task_result(mut call: Call) -> Result<Response, Fault> {
    let (principal, id) = (call.principal()?, call.path::<String>().await?);
    let tasks = Tasks::of(&call.state, &principal)?;
    let task = tasks.get(&id).await?;
    if let TaskState::Failed(fault) = task.state {
        return Err(fault);
    }
    let (formats, name) = (Formats::of_label(task.label("formats")), task.name.unwrap_or_default());
    answer::whole(tasks.reading(&id).await?, move |reading| result::json(reading, &name, formats)).await
}
