//! The external document loader of Open WebUI: `PUT /process`.
//!
//! Every file that its user uploads arrives here, whatever its type. Documents are read, one item a page; plain text is
//! returned as it is; other files are refused. Its user sees the status and the body of an error as text.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::MethodFilter;
use lector_core::{Fault, Transcript};
use serde_json::{Value, json};

use super::answer;
use super::call::{Call, deployment, on};
use super::inline::{percent_decoded, plain_text};
use super::visit::{Ask, Visit};
use crate::config::Dialect;
use crate::http::AppState;
use crate::http::middleware::RequestCtx;
use crate::http::parsing::apart;
use crate::http::upload::clean_name;

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/process", on(MethodFilter::PUT, error, process))
}

fn error(fault: &Fault, status: StatusCode, ctx: &RequestCtx) -> (StatusCode, Value) {
    (status, json!({ "detail": fault.message, "code": fault.code, "request_id": ctx.id.as_str() }))
}

async fn process(call: Call) -> Result<Response, Fault> {
    let (mut visit, head, body) = Visit::begin(call)?;
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let name = text("x-filename").map(|name| clean_name(&percent_decoded(name))).unwrap_or_default();
    let document = visit.body(&head, body).await?;
    // Whatever type the client states: many browsers state none.
    let described = metadata(&name, 0, 1);
    let (document, text) = apart(document.len(), move || {
        let text = plain_text(&document)
            .map(|text| answer::json(&json!([{ "page_content": text, "metadata": described }])));
        Ok((document, text))
    })
    .await?;
    if let Some(text) = text {
        return Ok(text);
    }
    let ask = Ask {
        deployment: deployment(&visit.state, &visit.principal, Dialect::OpenWebUi, Some("default")),
        name: (!name.is_empty()).then(|| name.clone()),
        ..Ask::default()
    };
    let reading = Arc::new(visit.read(ask, document).await?);
    let pages = reading.result.page_count;
    let page = move |index: u32, page: &Transcript| item(&name, index, pages, page).to_string();
    answer::by_page(reading, "application/json", ["[".into(), ",".into(), "]".into()], page).await
}

fn item(name: &str, index: u32, pages: u32, page: &Transcript) -> Value {
    let text = lector_export::parts::page_markdown(page);
    json!({ "page_content": text.trim_end(), "metadata": metadata(name, index, pages) })
}

/// Returns flat metadata, which is all that its vector stores accept. `page` is from 0, because Open WebUI adds 1 when it
/// cites.
fn metadata(name: &str, index: u32, pages: u32) -> Value {
    json!({
        "page": index,
        "page_label": u64::from(index) + 1,
        "total_pages": pages,
        "source": name,
        "processing_engine": "lector",
    })
}
