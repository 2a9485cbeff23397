//! Open Inference Protocol v2 (HTTP), with the extension of binary tensors: the raw models, for clients of Triton and
//! KServe. <https://github.com/kserve/open-inference-protocol>,
//! <https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md>
//!
//! A model is served while a deployment has it loaded, to the tenants whose policy grants it. A model has one version, `1`.
//! What of the protocol's extensions Lector does not have (shared memory, sequences, classification, loading and unloading,
//! compressed bodies, tensors of strings) is refused.

mod datatype;
mod description;
mod numbers;
mod parameters;
mod request;
mod response;

use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use lector_core::{Fault, Kind, ModelInfo, Tensor};
use lector_serving::ModelRun;
use serde_json::{Value, json};

use super::answer;
use super::call::{Call, on, unsupported};
use super::visit::{timeout, whole};
use crate::http::AppState;
use crate::http::body::{LimitedBody, declared_bytes};
use crate::http::health::check_ready;
use crate::http::middleware::RequestCtx;
use crate::http::parsing::apart;
use crate::http::problem;
use datatype::{JSON_LENGTH, VERSION};
use request::Request;

/// Maximum size of the JSON of a request; larger tensors are sent in binary.
const JSON_BYTES_MAX: usize = 8 << 20;
/// Memory of numbers in JSON while they are parsed, for each byte of JSON.
const BYTES_PER_JSON_BYTE: u64 = 12;

pub(super) fn routes() -> Router<AppState> {
    let router = Router::new()
        .route("/v2", on(MethodFilter::GET, error, server))
        .route("/v2/health/live", on(MethodFilter::GET, error, live))
        .route("/v2/repository/index", on(MethodFilter::POST, error, index));
    ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"]
        .into_iter()
        .fold(router, |router, model| {
            router
                .route(model, on(MethodFilter::GET, error, metadata))
                .route(&format!("{model}/ready"), on(MethodFilter::GET, error, model_ready))
                .route(&format!("{model}/config"), on(MethodFilter::GET, error, config))
                .route(&format!("{model}/infer"), on(MethodFilter::POST, error, infer))
        })
        .route("/v2/{*rest}", on(MethodFilter::GET.or(MethodFilter::POST), error, other))
}

pub(super) fn readiness() -> Router<AppState> {
    Router::new().route("/v2/health/ready", on(MethodFilter::GET, error, ready))
}

/// Returns the error of the protocol. A request that cannot be served as it is has the status 400.
fn error(fault: &Fault, status: StatusCode, _ctx: &RequestCtx) -> (StatusCode, Value) {
    let status = if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status };
    (status, json!({ "error": fault.message }))
}

async fn server(call: Call) -> Result<Response, Fault> {
    call.principal()?;
    let extensions = ["binary_tensor_data", "model_configuration", "model_repository"];
    let version = env!("CARGO_PKG_VERSION");
    Ok(answer::json(&json!({ "name": "lector", "version": version, "extensions": extensions })))
}

async fn live(_call: Call) -> Result<Response, Fault> {
    Ok(StatusCode::OK.into_response())
}

async fn ready(call: Call) -> Result<Response, Fault> {
    let ready = check_ready(&call.state).await.is_ok();
    Ok(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }.into_response())
}

async fn index(call: Call) -> Result<Response, Fault> {
    let principal = call.principal()?;
    let models = call.state.control.models(&principal).into_iter().map(|model| {
        let (state, reason) = match model.info {
            Some(_) => ("READY", ""),
            None => ("UNAVAILABLE", "no deployment has the model loaded"),
        };
        json!({ "name": model.name.as_str(), "version": VERSION, "state": state, "reason": reason })
    });
    Ok(answer::json(&models.collect()))
}

async fn other(call: Call) -> Result<Response, Fault> {
    call.principal()?;
    let path = call.head.uri.path();
    Err(unsupported(format!("{} {path} is not supported.", call.head.method)))
}

/// Returns the loaded model that the path names.
async fn model(call: &mut Call) -> Result<Arc<ModelInfo>, Fault> {
    let principal = call.principal()?;
    let named: Vec<(String, String)> = call.path().await?;
    let name = named.iter().find(|(key, _)| key == "model").map_or("", |(_, value)| value);
    let version = named.iter().find(|(key, _)| key == "version");
    if let Some((_, version)) = version.filter(|(_, version)| version != VERSION) {
        return Err(not_found(format!(
            "The model `{name}` has no version `{version}`: it has version {VERSION}."
        )));
    }
    let Some(granted) = call.state.control.model(&principal, name) else {
        return Err(not_found(format!(
            "There is no model `{name}` for this tenant: POST /v2/repository/index lists them."
        )));
    };
    granted.info.ok_or_else(|| {
        let message = format!("The model `{name}` is not ready: no deployment has it loaded.");
        Fault::new(Kind::Unavailable, "compat_model_not_ready", message)
    })
}

fn not_found(message: String) -> Fault {
    Fault::new(Kind::NotFound, "compat_model_not_found", message)
}

async fn model_ready(mut call: Call) -> Result<Response, Fault> {
    model(&mut call).await?;
    Ok(StatusCode::OK.into_response())
}

async fn metadata(mut call: Call) -> Result<Response, Fault> {
    Ok(answer::json(&description::metadata(&*model(&mut call).await?)))
}

async fn config(mut call: Call) -> Result<Response, Fault> {
    Ok(answer::json(&description::config(&*model(&mut call).await?)))
}

async fn infer(mut call: Call) -> Result<Response, Fault> {
    let principal = call.principal()?;
    let info = model(&mut call).await?;
    let Call { state, ctx, head, body } = call;
    if let Some(coding) = head.headers.get(header::CONTENT_ENCODING).filter(|coding| *coding != "identity") {
        return Err(unsupported(format!(
            "The content coding {coding:?} is not supported: send the body as it is."
        )));
    }
    let timeout = timeout(&state, &principal);
    let deadline = ctx.began + timeout;
    let session = state.service.begin_model_run(&principal, ctx.id.clone(), deadline)?;
    let slot = session.receive(declared_bytes(&head.headers))?;
    let mut received = slot.begin(true)?;
    let bytes_max = state.body_bytes_max(&principal);
    let limits = state.body_limits(bytes_max, timeout, deadline);
    let body = whole(LimitedBody::new(&head.headers, body, limits)?, &mut received).await?;
    let length = json_length(&head, body.len())?;
    // The tensors are copied, and numbers in JSON are parsed.
    let more = ((body.len() - length) as u64).saturating_add(length as u64 * BYTES_PER_JSON_BYTE);
    received.arrived(received.bytes().saturating_add(more)).await?;
    let model = info.clone();
    let request = apart(body.len(), move || {
        let (json, tensors) = body.split_at(length);
        Request::parse(json, tensors, &model)
    });
    let request = request.await?;
    let run = ModelRun {
        model: info.name.clone(),
        outputs: request.outputs.iter().map(|output| output.name.clone()).collect(),
        inputs: request.inputs,
    };
    let outputs = session.run(slot, received, run).await?;
    let bytes = outputs.tensors.iter().map(Tensor::bytes).sum::<u64>();
    let write = move || response::of(&info, request.id.as_deref(), &request.outputs, outputs);
    apart(usize::try_from(bytes).unwrap_or(usize::MAX), write).await
}

/// Returns the length of the JSON at the beginning of a body.
fn json_length(head: &Parts, body: usize) -> Result<usize, Fault> {
    let length = match head.headers.get(JSON_LENGTH) {
        None => body,
        Some(length) => length.to_str().ok().and_then(|length| length.parse().ok()).ok_or_else(|| {
            problem::option_invalid("Inference-Header-Content-Length is not a number.".to_owned())
        })?,
    };
    if length > body {
        let message = format!("Inference-Header-Content-Length is {length}, and the body has {body} bytes.");
        return Err(problem::option_invalid(message));
    }
    if length > JSON_BYTES_MAX {
        let message = format!(
            "The JSON of the request has {length} bytes, at most {JSON_BYTES_MAX} are allowed: send the tensors as \
             binary data."
        );
        return Err(Fault::new(Kind::TooLarge, "submission_too_large", message));
    }
    Ok(length)
}
