//! PaddleOCR: `/ocr` and `/layout-parsing` of PaddleX serving, and the Job API `/api/v2/ocr/jobs`.
//!
//! Coordinates of PDF pages are pixels at 144 dpi, as PaddleX renders them; those of images are the image's own. Not done,
//! and refused: documents by URL. Ignored: options of its models and of images in the answer, of which there are none.

mod jobs;
mod page;
mod request;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::MethodFilter;
use lector_core::{Fault, Transcript};
use serde_json::{Value, json};

use self::page::{Kind, Scale};
use self::request::sync_document;
use super::answer;
use super::call::{Call, deployment, on};
use super::visit::{Ask, Visit};
use crate::config::Dialect;
use crate::http::AppState;
use crate::http::middleware::RequestCtx;

pub(super) fn routes() -> Router<AppState> {
    let (get, post, jobs) = (MethodFilter::GET, MethodFilter::POST, "/api/v2/ocr/jobs");
    Router::new()
        .route("/ocr", on(post, error, |call| read(call, Kind::Ocr)))
        .route("/layout-parsing", on(post, error, |call| read(call, Kind::Layout)))
        .route(jobs, on(post, jobs::error, jobs::submit))
        .route(&format!("{jobs}/{{id}}"), on(get, jobs::error, jobs::status))
        .route(&format!("{jobs}/batch/{{id}}"), on(get, jobs::error, jobs::batch))
        .route(&format!("{jobs}/{{id}}/result"), on(get, jobs::error, jobs::result))
}

fn error(fault: &Fault, status: StatusCode, ctx: &RequestCtx) -> (StatusCode, Value) {
    let body = json!({ "logId": ctx.id.as_str(), "errorCode": status.as_u16(), "errorMsg": fault.message });
    (status, body)
}

async fn read(call: Call, kind: Kind) -> Result<Response, Fault> {
    let (mut visit, head, body) = Visit::begin(call)?;
    let document = visit.json(&head, body, sync_document).await?;
    let model = kind.name();
    let ask = Ask {
        deployment: deployment(&visit.state, &visit.principal, Dialect::PaddleOcr, Some(model)),
        ..Ask::default()
    };
    let id = visit.ctx.id.clone();
    let reading = Arc::new(visit.read(ask, document).await?);
    let whole = json!({
        "logId": id.as_str(),
        "errorCode": 0,
        "errorMsg": "Success",
        "result": { kind.member(): null, "dataInfo": page::data_info(&reading) },
    });
    let [head, tail] = answer::around(whole, &format!("/result/{}", kind.member()));
    let scale = Scale::of(reading.result.content_type);
    let pages = reading.result.pages.len();
    let page = move |index: u32, page: &Transcript| page::json(kind, index, pages, page, scale).to_string();
    let between = [format!("{head}["), ",".to_owned(), format!("]{tail}")];
    answer::by_page(reading, "application/json", between, page).await
}
