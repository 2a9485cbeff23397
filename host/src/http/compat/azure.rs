//! Azure Document Intelligence: the models `prebuilt-read` and `prebuilt-layout`, and the searchable PDF of their results.
//!
//! Not done, and refused: other models, add-on features (key-value pairs, barcodes, queries, styles, languages), figures as
//! images, batches.

mod options;
mod result;
mod spans;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use lector_core::{Fault, Kind};
use serde_json::{Value, json};

use self::options::Analyze;
use super::answer;
use super::call::{Call, deployment, on};
use super::reading::Reading;
use super::tasks::{self, TaskState, TaskView, Tasks};
use super::visit::{Ask, Visit};
use crate::config::Dialect;
use crate::http::AppState;
use crate::http::middleware::RequestCtx;
use crate::http::pieces;
use crate::http::problem;

static OPERATION_LOCATION: HeaderName = HeaderName::from_static("operation-location");
static APIM_REQUEST_ID: HeaderName = HeaderName::from_static("apim-request-id");

const MODELS: [&str; 2] = ["prebuilt-read", "prebuilt-layout"];

pub(super) fn routes() -> Router<AppState> {
    let (get, post, delete) = (MethodFilter::GET, MethodFilter::POST, MethodFilter::DELETE);
    let mut router = Router::new();
    // The second one: SDKs of API versions before 2023-10.
    for service in ["/documentintelligence", "/formrecognizer"] {
        let path = |rest: &str| format!("{service}{rest}");
        let of_result = on(get, error, result).merge(on(delete, error, forget));
        router = router
            .route(&path("/info"), on(get, error, info))
            .route(&path("/documentModels/{model}"), on(post, error, analyze))
            .route(&path("/documentModels/{model}/analyzeResults/{id}"), of_result)
            .route(&path("/documentModels/{model}/analyzeResults/{id}/pdf"), on(get, error, pdf));
    }
    router
}

fn error(fault: &Fault, status: StatusCode, _: &RequestCtx) -> (StatusCode, Value) {
    let inner = |code: &str| json!({ "code": code, "message": fault.message });
    let (code, inner): (&str, Option<Value>) = match (status.as_u16(), fault.code) {
        (401, _) => ("401", None),
        (403, _) => ("Forbidden", None),
        (404, "deployment_not_found") => ("NotFound", Some(inner("ModelNotFound"))),
        (404, _) => ("NotFound", None),
        (413, _) => ("InvalidRequest", Some(inner("InvalidContentLength"))),
        (415, _) => ("InvalidRequest", Some(inner("UnsupportedContent"))),
        (429, _) => ("429", None),
        (400, _) => ("InvalidArgument", Some(inner("InvalidParameter"))),
        (408 | 422, _) => ("InvalidRequest", Some(inner("InvalidContent"))),
        (501, _) => ("NotImplemented", None),
        (503, _) => ("ServiceUnavailable", None),
        _ => ("InternalServerError", None),
    };
    // Azure answers to all these with 400.
    let status = if matches!(status.as_u16(), 408 | 415 | 422) { StatusCode::BAD_REQUEST } else { status };
    let mut error = json!({ "code": code, "message": fault.message });
    if let Some(inner) = inner {
        error["innererror"] = inner;
    }
    (status, json!({ "error": error }))
}

async fn info(call: Call) -> Result<Response, Fault> {
    call.principal()?;
    Ok(answer::json(&json!({ "customDocumentModels": { "count": 0, "limit": 0 } })))
}

async fn analyze(mut call: Call) -> Result<Response, Fault> {
    let action = call.path::<String>().await?;
    let Some(model) = action.strip_suffix(":analyze").map(str::to_owned) else {
        let message = "This operation of models is not offered: use `:analyze`.";
        return Err(Fault::new(Kind::NotFound, "route_not_found", message));
    };
    let (base, service) =
        (call.base_url(), call.head.uri.path().split('/').nth(1).unwrap_or_default().to_owned());
    let version = call.query("api-version").unwrap_or_else(|| "2024-11-30".to_owned());
    let options = Analyze::of_query(&call)?;
    let (mut visit, head, body) = Visit::begin_task(call)?;
    let deployment = deployment(&visit.state, &visit.principal, Dialect::Azure, Some(&model));
    if deployment.is_none() && !MODELS.contains(&model.as_str()) {
        let shown: String = model.chars().filter(|c| !c.is_control()).take(60).collect();
        let message = format!("The model `{shown}` does not exist: use prebuilt-read or prebuilt-layout.");
        return Err(Fault::new(Kind::NotFound, "deployment_not_found", message));
    }
    let body = visit.body(&head, body).await?;
    // Whatever type the client states.
    let document = match options::is_json(&body) {
        true => visit.parsed(body, options::base64_document).await?,
        false => body,
    };
    let ask = Ask { deployment, pages: options.pages.clone(), words: true, ..Ask::default() };
    let mut labels = options.labels();
    labels.extend([("model", model.clone()), ("api-version", version.clone())]);
    let task = tasks::submit(visit, ask, labels, document).await?;
    let version: String = version.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let location =
        format!("{base}/{service}/documentModels/{model}/analyzeResults/{}?api-version={version}", task.id);
    let headers = [
        (OPERATION_LOCATION.clone(), HeaderValue::from_str(&location).map_err(problem::internal)?),
        (APIM_REQUEST_ID.clone(), HeaderValue::from_str(&task.id).map_err(problem::internal)?),
        (header::RETRY_AFTER, HeaderValue::from_static("1")),
    ];
    Ok((StatusCode::ACCEPTED, headers).into_response())
}

/// Returns a time as RFC 3339.
fn time(at_ms: u64) -> String {
    let at = i64::try_from(at_ms / 1000).ok().and_then(|at_s| jiff::Timestamp::from_second(at_s).ok());
    at.unwrap_or_default().to_string()
}

async fn result(mut call: Call) -> Result<Response, Fault> {
    let (principal, (_, id)) = (call.principal()?, call.path::<(String, String)>().await?);
    let tasks = Tasks::of(&call.state, &principal)?;
    let TaskView { labels, created_ms, updated_ms, state, .. } = tasks.get(&id).await?;
    let (status, outcome) = match state {
        // Some clients do not know `notStarted`.
        TaskState::Pending | TaskState::Running(..) => ("running", Ok(None)),
        TaskState::Done(_) => ("succeeded", Ok(Some(tasks.reading(&id).await?))),
        TaskState::Failed(fault) => ("failed", Err(fault)),
    };
    let mut operation = json!({
        "status": status,
        "createdDateTime": time(created_ms),
        "lastUpdatedDateTime": time(updated_ms),
    });
    match outcome {
        Ok(None) => {
            let seconds = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
            Ok((seconds, answer::json(&operation)).into_response())
        }
        Ok(Some(reading)) => {
            let json = move |reading: &Reading| {
                Ok(answer::with(&operation, [("analyzeResult", result::json(reading, &labels))]))
            };
            answer::whole(reading, json).await
        }
        Err(fault) => {
            let (_, mut body) = error(&fault, problem::status(&fault), &call.ctx);
            operation["error"] = body["error"].take();
            Ok(answer::json(&operation))
        }
    }
}

async fn forget(mut call: Call) -> Result<Response, Fault> {
    let (principal, (_, id)) = (call.principal()?, call.path::<(String, String)>().await?);
    Tasks::of(&call.state, &principal)?.forget(&id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Returns the document with its text, if the analysis was requested with `output=pdf`.
async fn pdf(mut call: Call) -> Result<Response, Fault> {
    let (principal, (_, id)) = (call.principal()?, call.path::<(String, String)>().await?);
    let tasks = Tasks::of(&call.state, &principal)?;
    let task = tasks.get(&id).await?;
    let message = match task.state {
        TaskState::Failed(fault) => return Err(fault),
        TaskState::Done(_) if task.label("output") == "pdf" => {
            let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/pdf"))];
            return Ok((content_type, pieces::file(tasks.searchable_pdf(&id).await?)).into_response());
        }
        TaskState::Done(_) => "The result has no PDF: analyze the document with `output=pdf`.",
        TaskState::Pending | TaskState::Running(..) => {
            "The analysis is not finished: ask for its state first."
        }
    };
    Err(Fault::new(Kind::NotFound, "compat_task_not_found", message))
}
