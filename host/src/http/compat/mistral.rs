//! Mistral OCR: `/v1/ocr`, `/v1/files`, `/v1/models`.
//!
//! Not done, and refused: annotations by a schema. Ignored: options about images, of which the answer has none.

mod files;
mod page;
mod request;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::MethodFilter;
use lector_core::{Fault, Transcript};
use serde_json::{Value, json};

use self::request::{Content, OcrRequest};
use super::answer;
use super::call::{Call, deployment, on};
use super::json_body::JsonBody;
use super::visit::{Ask, Visit};
use crate::config::Dialect;
use crate::http::AppState;
use crate::http::middleware::RequestCtx;

/// The model that every client knows.
const MODEL: &str = "mistral-ocr-latest";

pub(super) fn routes() -> Router<AppState> {
    let get = MethodFilter::GET;
    let mut router = Router::new()
        .route("/v1/models", on(get, error, models))
        .route("/v1/ocr", on(MethodFilter::POST, error, ocr));
    // The second one: LibreChat with an address that ends in `/ocr`.
    for files in ["/v1/files", "/v1/ocr/files"] {
        let of_file = on(get, error, files::get).merge(on(MethodFilter::DELETE, error, files::delete));
        router = router
            .route(files, on(get, error, files::list).merge(on(MethodFilter::POST, error, files::upload)))
            .route(&format!("{files}/{{id}}"), of_file)
            .route(&format!("{files}/{{id}}/url"), on(get, error, files::url))
            .route(&format!("{files}/{{id}}/content"), on(get, error, files::content));
    }
    router
}

/// Returns an error as Mistral's clients read it. 422 has the form of FastAPI, which the SDK parses into a type.
fn error(fault: &Fault, status: StatusCode, ctx: &RequestCtx) -> (StatusCode, Value) {
    let (message, code, id) = (&fault.message, fault.code, ctx.id.as_str());
    let body = match status {
        StatusCode::UNAUTHORIZED => json!({ "message": message, "code": code, "request_id": id }),
        StatusCode::UNPROCESSABLE_ENTITY => json!({
            "detail": [{ "loc": ["body", "document"], "msg": message, "type": code }],
            "message": message,
            "request_id": id,
        }),
        _ => {
            let kind = if status.is_server_error() { "service_unavailable" } else { "invalid_request_error" };
            json!({ "object": "error", "message": message, "type": kind, "code": code, "request_id": id })
        }
    };
    (status, body)
}

async fn models(call: Call) -> Result<Response, Fault> {
    call.principal()?;
    let configured = call.state.config.compat.models.keys();
    let configured =
        configured.filter(|(dialect, _)| *dialect == Dialect::Mistral).map(|(_, name)| name.as_str());
    let names = std::iter::once(MODEL).chain(configured.filter(|name| *name != MODEL));
    // The SDKs of 2026 refuse a model without its type and its capabilities.
    let model = |name| {
        let capabilities = json!({ "ocr": true, "vision": false, "completion_chat": false });
        json!({
            "id": name, "object": "model", "type": "base", "created": 0, "owned_by": "lector",
            "capabilities": capabilities,
        })
    };
    let data: Vec<Value> = names.map(model).collect();
    Ok(answer::json(&json!({ "object": "list", "data": data })))
}

async fn ocr(call: Call) -> Result<Response, Fault> {
    let (mut visit, head, body) = Visit::begin(call)?;
    let (stores, owner) = (visit.state.compat.clone(), visit.principal.tenant().clone());
    let parse = move |body: &JsonBody| {
        let OcrRequest { model, document, pages, look } = OcrRequest::parse(body)?;
        let (name, content) = document.content(body, &stores, &owner)?;
        Ok((model.unwrap_or_else(|| MODEL.to_owned()), pages, look, name, content))
    };
    let (model, pages, look, name, content) = visit.json(&head, body, parse).await?;
    let document = match content {
        Content::Sent(bytes) => bytes,
        Content::Stored(file) => visit.copied(&file.bytes).await?,
    };
    let ask = Ask {
        deployment: deployment(&visit.state, &visit.principal, Dialect::Mistral, Some(&model)),
        pages,
        words: look.word_scores,
        name,
        ..Ask::default()
    };
    let reading = Arc::new(visit.read(ask, document).await?);
    let whole = json!({
        "pages": null,
        "model": model,
        "usage_info": {
            "pages_processed": reading.result.pages.len(),
            "doc_size_bytes": reading.document_bytes,
        },
        "document_annotation": null,
    });
    let [head, tail] = answer::around(whole, "/pages");
    let page = move |index: u32, page: &Transcript| page::json(index, page, look).to_string();
    let between = [format!("{head}["), ",".to_owned(), format!("]{tail}")];
    answer::by_page(reading, "application/json", between, page).await
}
