//! `POST /api/v1/ocr`: reads one document and returns one response.
//!
//! Owns the order of the checks (every check that does not need the body runs before the body is read), and the
//! response to a document with failed pages. `batch.rs` shares the functions before the upload.

use std::io;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use lector_control::Principal;
use lector_core::port::DocumentHint;
use lector_core::{Fault, Kind};
use lector_export::{ExportError, Pieces};
use lector_serving::{DocumentRequest, DocumentResult, Event, Session, TimeoutStart, Upload};

use super::AppState;
use super::auth::TenantCtx;
use super::body::{BodyLimits, LimitedBody, declared_bytes};
use super::middleware::RequestCtx;
use super::options::{Endpoint, Options, Timeouts};
use super::pieces::{self, Piece};
use super::problem::{self, Problem};
use super::upload::{self, Head};
use crate::metrics::Metrics;
use success::{SERVER_TIMING, checked, headers, server_timing};

mod composed;
mod success;

/// Bytes of page results beyond which the response is written page by page, without a `Content-Length`.
const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// The deployment in the path, if the route has one.
pub(super) type NamedDeployment = Result<Option<Path<String>>, PathRejection>;

/// Parses and validates the options of a request.
pub(super) fn options(
    state: &AppState,
    endpoint: Endpoint,
    principal: &Principal,
    parts: &Parts,
    named: NamedDeployment,
) -> Result<Options, Fault> {
    let named = named.map_err(|error| {
        problem::option_invalid(
            "The deployment in the path cannot be decoded: send its name as UTF-8, percent-encoded.",
        )
        .with_detail(error)
    })?;
    let named = named.as_ref().map(|Path(name)| name.as_str());
    let most = state.config.request_timeout;
    let otherwise = match principal.limits().request_timeout_ms {
        0 => most,
        own => Duration::from_millis(own),
    };
    let timeouts = Timeouts { otherwise, most };
    let mut options = Options::parse(endpoint, &parts.uri, &parts.headers, named, timeouts)?;
    options.request.words |= endpoint == Endpoint::Whole && options.format.info().needs_words;
    Ok(options)
}

/// Returns the limits of a body with at most `files` documents of `bytes_max` bytes each. The timeout bounds the time
/// for which the server waits for the client in all, whatever the number of documents; the reading of the documents has
/// as much time for each of them.
pub(super) fn body_limits(
    state: &AppState,
    ctx: &RequestCtx,
    options: &Options,
    bytes_max: u64,
    files: usize,
) -> BodyLimits {
    let until = ctx.began + options.timeout.saturating_mul(u32::try_from(files).unwrap_or(u32::MAX));
    state.body_limits(bytes_max.saturating_mul(files as u64), options.timeout, until)
}

/// Begins a session: the options that apply to each document, and the deployment. Counts the request against the rate
/// limit of the tenant.
pub(super) fn session(
    state: &AppState,
    ctx: &RequestCtx,
    principal: &Principal,
    options: &Options,
    timeout_start: TimeoutStart,
) -> Result<Session, Fault> {
    let request = DocumentRequest {
        request: ctx.id.clone(),
        deployment: options.deployment.clone(),
        key: options.key.clone(),
        name: None,
        hint: DocumentHint { content_type: None, password: options.password.clone() },
        pages: options.pages.clone(),
        options: options.request,
        languages: options.languages.clone(),
        guest_options: options.guest_options.clone(),
        timeout: options.timeout,
        order: options.order,
        background: false,
    };
    state.service.begin(principal, request, timeout_start)
}

/// Returns the upload of a document that was received completely.
pub(super) fn uploaded(head: Head, bytes: Vec<u8>) -> Upload {
    Upload { name: head.name, content_type: head.content_type, bytes }
}

/// Records the metrics of a page event.
pub(super) fn count(metrics: &Metrics, event: &Event) {
    metrics.page_event(event);
}

/// Reads one document and returns one response.
///
/// If some pages fail, JSON reports the failure of each page (`pages[].error`); the other formats return 422
/// `pages_failed` unless `partial=true`. If every page fails, the response is the problem of the first page.
#[utoipa::path(
    post,
    path = "/api/v1/ocr",
    operation_id = "ocr",
    tag = "OCR",
    responses((status = 200, description = "The result of the document.", content((ref("#/components/schemas/DocumentResult") = "application/json"), (String = "text/plain"), (String = "text/markdown"), (String = "text/html"), (String = "text/vnd.hocr+html"), (String = "application/alto+xml"), (String = "application/vnd.prima.page+xml"), (String = "text/tab-separated-values"), (String = "text/csv"), (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"), (Vec<u8> = "application/pdf"), (String = "application/x-ndjson")), headers(("Server-Timing" = String, description = "Work in milliseconds, summed over the pages, which overlap: render, text-layer, image, queue, inference-<model>, guest; and total, the elapsed time."), ("X-Lector-Pages-Failed" = u32, description = "Number of pages that failed.")))),
    extensions(
        ("x-problems" = json!(["tenant", "options", "guest_options", "upload", "admission", "document", "guest", "engine", "whole"])),
        ("x-parameters" = json!(["pages", "dpi", "text_layer", "words", "languages", "guest_options", "explain", "deployment", "timeout", "request_timeout", "password", "deployment_header", "routing_key", "format", "partial"])),
        ("x-body" = json!("Document"))
    )
)]
pub(super) async fn ocr(
    State(state): State<AppState>,
    Extension(ctx): Extension<RequestCtx>,
    TenantCtx(principal): TenantCtx,
    named: NamedDeployment,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let options = options(&state, Endpoint::Whole, &principal, &parts, named)?;
    let session = session(&state, &ctx, &principal, &options, TimeoutStart::Since(ctx.began))?;
    let bytes_max = session.bytes_max(state.config.body_bytes_max);
    let body = LimitedBody::new(&parts.headers, body, body_limits(&state, &ctx, &options, bytes_max, 1))?;
    let slot = session.receive(declared_bytes(&parts.headers))?;
    let mut upload = upload::Upload::new(&parts.headers, body)?;
    let head = upload.next().await?.ok_or_else(file_missing)?;
    let mut received = slot.begin(true)?;
    let bytes = upload.read(&mut received, bytes_max).await?;
    if upload.next().await?.is_some() {
        let message = "The form has more than one file: send one file, or send several to /api/v1/ocr/batch.";
        return Err(Fault::new(Kind::Invalid, "too_many_files", message).into());
    }
    state.metrics.document_received(bytes.len());
    let permit = session.admitted(&slot, received).await?;
    drop((slot, upload));
    let see = |event: &Event| count(&state.metrics, event);
    if let Some(standard) = options.format.info().composed {
        let (result, composer) = session.read_composing(permit, uploaded(head, bytes), see).await?;
        return composed::answer(options, result, (composer, standard), ctx.began).await;
    }
    let result = session.read(permit, uploaded(head, bytes), see).await?;
    // Serializing some megabytes takes tens of milliseconds and must not block other connections.
    let answered = tokio::task::spawn_blocking(move || answer(&options, result, ctx.began.elapsed())).await;
    answered.map_err(problem::internal)?.map_err(|problem| *problem)
}

/// Reads one document and returns one response.
///
/// If some pages fail, JSON reports the failure of each page (`pages[].error`); the other formats return 422
/// `pages_failed` unless `partial=true`. If every page fails, the response is the problem of the first page.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{name}/ocr",
    operation_id = "ocrByDeployment",
    tag = "OCR",
    responses((status = 200, description = "The result of the document.", content((ref("#/components/schemas/DocumentResult") = "application/json"), (String = "text/plain"), (String = "text/markdown"), (String = "text/html"), (String = "text/vnd.hocr+html"), (String = "application/alto+xml"), (String = "application/vnd.prima.page+xml"), (String = "text/tab-separated-values"), (String = "text/csv"), (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"), (Vec<u8> = "application/pdf"), (String = "application/x-ndjson")), headers(("Server-Timing" = String, description = "Work in milliseconds, summed over the pages, which overlap: render, text-layer, image, queue, inference-<model>, guest; and total, the elapsed time."), ("X-Lector-Pages-Failed" = u32, description = "Number of pages that failed.")))),
    extensions(
        ("x-problems" = json!(["tenant", "options", "guest_options", "upload", "admission", "document", "guest", "engine", "whole"])),
        ("x-parameters" = json!(["name", "pages", "dpi", "text_layer", "words", "languages", "guest_options", "explain", "deployment", "timeout", "request_timeout", "password", "deployment_header", "routing_key", "format", "partial"])),
        ("x-body" = json!("Document"))
    )
)]
pub(super) async fn ocr_by_deployment(
    state: State<AppState>,
    ctx: Extension<RequestCtx>,
    tenant: TenantCtx,
    named: NamedDeployment,
    request: Request,
) -> Result<Response, Problem> {
    ocr(state, ctx, tenant, named, request).await
}

/// Returns the fault of a form without a file.
pub(super) fn file_missing() -> Fault {
    Fault::new(
        Kind::Invalid,
        "file_missing",
        "The form contains no file: send the document as a part named `file`.",
    )
}

/// Builds the response of a document.
///
/// If some pages failed, the response is a success in JSON, which reports them, or with `partial=true`; otherwise it is
/// `pages_failed`. If the timeout expired, it is `deadline_exceeded`, unless `partial=true` and a page was read.
fn answer(options: &Options, result: Box<DocumentResult>, took: Duration) -> Result<Response, Box<Problem>> {
    let result = checked(options, result, took)?;
    let headers = headers(options, &result, took);
    let bytes = held_bytes(&result);
    let timing = server_timing(&result, took);
    match body(options, result, bytes) {
        Ok(body) => Ok((headers, body).into_response()),
        Err(error) => {
            Err(Box::new(Problem::from(Fault::from(error)).with_header(SERVER_TIMING.clone(), timing)))
        }
    }
}

/// Returns the body of a document whose page results hold `bytes` of memory.
///
/// A large one is written page by page if its format allows it. The part before the pages is written here in any case:
/// a document that the format cannot hold is a problem, and not a response that ends early.
fn body(options: &Options, result: Box<DocumentResult>, bytes: u64) -> Result<Body, ExportError> {
    let mut pieces = Pieces::new(options.format, result).map(|piece| piece.map(Piece::from));
    if bytes <= WHOLE_BYTES_MAX {
        return pieces::whole(pieces);
    }
    if options.format.info().streams {
        let head = pieces.next().transpose()?;
        return Ok(pieces::body(
            head.into_iter().map(Ok).chain(pieces.map(|piece| piece.map_err(io::Error::other))),
        ));
    }
    let pieces: Vec<Piece> = pieces.collect::<Result<_, _>>()?;
    Ok(pieces::body(pieces.into_iter().map(Ok)))
}

/// Returns the bytes that the page results hold in memory.
fn held_bytes(result: &DocumentResult) -> u64 {
    result.pages.iter().flat_map(|page| &page.outcome).map(|page| page.reservation().bytes()).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::HeaderMap;
    use lector_core::call::ModelTime;
    use lector_core::{Size, Timing, Transcript};
    use lector_serving::{Collected, Collector};
    use serde_json::{Value, json};

    use super::*;
    use crate::http::middleware;

    fn read(index: u32) -> Event {
        let transcript = Transcript::blank(Size { width: 10, height: 10 }, 72.0);
        let ms = Duration::from_millis;
        let run = ModelTime { runs: 1, rows: 2, pixels: 0, queue: ms(3), run: ms(40), own: ms(40) };
        let timing = Timing {
            render: Duration::from_millis(7),
            models: [("det".into(), run)].into(),
            ..Timing::default()
        };
        Event::Page { index, transcript: Arc::new(transcript.into()), timing }
    }

    fn failed(index: u32, kind: Kind, code: &'static str) -> Event {
        Event::PageError { index, fault: Fault::new(kind, code, "It failed."), timing: Timing::default() }
    }

    /// Collects the events of a document.
    fn collect(mut collector: Collector, events: Vec<Event>) -> Result<Box<DocumentResult>, Fault> {
        for event in events {
            match collector.take(event) {
                Collected::More(more) => collector = more,
                Collected::Done(result) => return Ok(result),
                Collected::Failed(fault) => return Err(fault),
            }
        }
        panic!("no `End` event");
    }

    async fn answered(query: &str, pages: Vec<Event>) -> Response {
        let uri = format!("/x?{query}").parse().unwrap();
        let timeouts = Timeouts { otherwise: Duration::from_secs(9), most: Duration::from_secs(9) };
        let options = Options::parse(Endpoint::Whole, &uri, &HeaderMap::new(), None, timeouts).unwrap();
        let pages_failed = pages.iter().filter(|e| matches!(e, Event::PageError { .. })).count() as u32;
        let (count, selected) = (pages.len() as u32, (0..pages.len() as u32).collect());
        let pages_ok = count - pages_failed;
        let mut events = vec![Event::Opened { content_type: "application/pdf", page_count: count, selected }];
        events.extend(pages);
        events.push(Event::End {
            summary: None,
            summary_fault: None,
            pages_ok,
            pages_failed,
            total: Duration::from_secs(1),
        });
        let collector = Collector::new("r".into(), "d".into(), None);
        let result = collect(collector, events).unwrap();
        answer(&options, result, Duration::from_secs(2)).unwrap_or_else(|problem| problem.into_response())
    }

    async fn json_of(body: Body) -> Value {
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    }

    async fn check(query: &str, pages: Vec<Event>, status: u16, code: &str) -> Value {
        let mut response = answered(query, pages).await;
        assert_eq!((response.status().as_u16(), middleware::code_of(&response)), (status, code), "{query}");
        assert!(response.headers().contains_key("server-timing"));
        match response.extensions_mut().remove::<Arc<Problem>>() {
            Some(problem) => json_of(problem.body(Some(&"r".into()))).await,
            None => json_of(response.into_body()).await,
        }
    }

    #[tokio::test]
    async fn documents_with_failed_pages() {
        let trap = || failed(1, Kind::GuestFault, "guest_trap");
        let late = || failed(2, Kind::Deadline, "deadline_exceeded");
        check("", vec![read(0)], 200, "").await;
        let json = check("", vec![read(0), trap()], 200, "").await;
        assert_eq!(
            (&json["pages"][1]["error"]["code"], &json["pages"][0]["page"]),
            (&json!("guest_trap"), &json!(1))
        );
        check("format=text", vec![read(0)], 200, "").await;
        let json = check("format=text", vec![read(0), trap()], 422, "pages_failed").await;
        assert_eq!((json["pages"].as_array().unwrap().len(), &json["pages_ok"]), (1, &json!(1)));
        check("format=text&partial=true", vec![read(0), trap()], 200, "").await;
        check(
            "",
            vec![failed(0, Kind::TooLarge, "page_too_many_pixels"), trap()],
            413,
            "page_too_many_pixels",
        )
        .await;
        check("partial=true", vec![trap()], 500, "guest_trap").await;
        let json = check("", vec![read(0), trap(), late()], 504, "deadline_exceeded").await;
        assert_eq!((json["pages"].as_array().unwrap().len(), &json["pages_ok"]), (3, &json!(1)));
        check("partial=true", vec![read(0), late()], 200, "").await;
        check("partial=true", vec![late()], 504, "deadline_exceeded").await;
    }

    #[tokio::test]
    async fn server_timing_sums_the_pages() {
        let response = answered("", vec![read(0), read(1)]).await;
        let timing = response.headers()["server-timing"].to_str().unwrap();
        for part in [
            "render;dur=14.0",
            "queue;dur=6.0",
            "inference-det;dur=80.0",
            "guest;dur=0.0",
            "total;dur=2000.0",
        ] {
            assert!(timing.contains(part), "no {part}: {timing}");
        }
    }

    #[test]
    fn a_failed_document_returns_its_fault() {
        let events = vec![Event::Failed(Fault::new(Kind::Invalid, "pdf_invalid", "x"))];
        let collector = Collector::new("r".into(), "d".into(), None);
        let fault = collect(collector, events).unwrap_err();
        assert_eq!(fault.code, "pdf_invalid");
    }
}
