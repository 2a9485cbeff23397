//! One document in, one answer out: `POST /api/v1/ocr`.
//!
//! Owns the order of the checks (everything that can be refused is refused before the body is read) and
//! what a document with failed pages is answered with. `batch.rs` shares the first half.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use lector_control::Principal;
use lector_core::port::DocumentHint;
use lector_core::{Fault, Kind};
use lector_serving::{Clock, DocumentRequest, DocumentResult, Event, PageResult, Session, Upload};
use serde_json::json;

use super::AppState;
use super::auth::TenantCtx;
use super::body::{BodyLimits, LimitedBody, declared_bytes};
use super::middleware::RequestCtx;
use super::options::{Endpoint, Options, Timeouts};
use super::pieces;
use super::problem::{self, Problem};
use super::upload::{self, Head};
use crate::format::Format;
use crate::format::pieces::Pieces;
use crate::metrics::Metrics;

/// How many pages were not read, for formats that have no place to say so.
static PAGES_FAILED: HeaderName = HeaderName::from_static("x-lector-pages-failed");
static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// An answer of larger pages is written page by page, without a `Content-Length`.
const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// The path's deployment, where it names one.
pub(super) type NamedDeployment = Result<Option<Path<String>>, PathRejection>;

/// The options of a request, checked.
pub(super) fn options(
    state: &AppState,
    endpoint: Endpoint,
    principal: &Principal,
    parts: &Parts,
    named: NamedDeployment,
) -> Result<Options, Fault> {
    let named = named.map_err(|error| {
        problem::option_invalid("The deployment in the path cannot be read.").with_detail(error)
    })?;
    let named = named.as_ref().map(|Path(name)| name.as_str());
    let most = state.config.request_timeout;
    let otherwise = match principal.limits().request_timeout_ms {
        0 => most,
        own => Duration::from_millis(own),
    };
    let timeouts = Timeouts { otherwise, most };
    let mut options = Options::parse(endpoint, &parts.uri, &parts.headers, named, timeouts)?;
    options.request.words |= endpoint == Endpoint::Whole && options.format.wants_words();
    Ok(options)
}

/// Limits of a body that holds `files` documents at most, each with a limit and a time of its own.
pub(super) fn body_limits(
    state: &AppState,
    ctx: &RequestCtx,
    options: &Options,
    bytes_max: u64,
    files: usize,
) -> BodyLimits {
    BodyLimits {
        bytes_max: bytes_max.saturating_mul(files as u64),
        idle_max: state.config.body_idle_timeout,
        until: ctx.began + options.timeout.saturating_mul(u32::try_from(files).unwrap_or(u32::MAX)),
    }
}

/// What is asked of each document of a request, and the deployment that answers it; counted against the tenant's rate.
pub(super) fn session(
    state: &AppState,
    ctx: &RequestCtx,
    principal: &Principal,
    options: &Options,
    clock: Clock,
) -> Result<Session, Fault> {
    let request = DocumentRequest {
        request: ctx.id.clone(),
        deployment: options.deployment.clone(),
        key: options.key.clone(),
        name: None,
        hint: DocumentHint { content_type: None, password: options.password.clone() },
        pages: options.pages.clone(),
        options: options.request,
        timeout: options.timeout,
        order: options.order,
    };
    state.service.begin(principal, request, clock)
}

/// A document that came in whole.
pub(super) fn uploaded(head: Head, bytes: Vec<u8>) -> Upload {
    Upload { name: head.name, content_type: head.content_type, bytes }
}

/// A page that passes by is counted.
pub(super) fn count(metrics: &Metrics, event: &Event) {
    if let Event::Page { timing, .. } | Event::PageError { timing, .. } = event {
        metrics.page(timing);
    }
}

/// The handler.
pub(super) async fn ocr(
    State(state): State<AppState>,
    Extension(ctx): Extension<RequestCtx>,
    TenantCtx(principal): TenantCtx,
    named: NamedDeployment,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let options = options(&state, Endpoint::Whole, &principal, &parts, named)?;
    let session = session(&state, &ctx, &principal, &options, Clock::Since(ctx.began))?;
    let bytes_max = session.bytes_max(state.config.body_bytes_max);
    let body = LimitedBody::new(&parts.headers, body, body_limits(&state, &ctx, &options, bytes_max, 1))?;
    let mut permit = session.admit(declared_bytes(&parts.headers))?;
    let mut upload = upload::Upload::new(&parts.headers, body)?;
    let head = upload.next().await?.ok_or_else(file_missing)?;
    let bytes = upload.read(&mut permit, bytes_max).await?;
    if upload.next().await?.is_some() {
        let message = "The form has more than one file: send one, or all of them to /api/v1/ocr/batch.";
        return Err(Fault::new(Kind::Invalid, "too_many_files", message).into());
    }
    state.metrics.document_received(bytes.len());
    let see = |event: &Event| count(&state.metrics, event);
    let result = session.read(permit, uploaded(head, bytes), see).await?;
    // Some megabytes of text take some tens of milliseconds to write; other connections shall not wait for it.
    let answered = tokio::task::spawn_blocking(move || answer(&options, result, ctx.began.elapsed())).await;
    answered.map_err(problem::internal)?
}

/// A form without a file in it.
pub(super) fn file_missing() -> Fault {
    Fault::new(
        Kind::Invalid,
        "file_missing",
        "The form holds no file: send the document as a part called `file`.",
    )
}

/// What a document that was read to its end is answered with.
///
/// Read in part, it is a success where the answer can say so (JSON) or the client asked for what there is
/// (`partial=true`); a deadline is a problem all the same, for then the client allowed too little time.
fn answer(options: &Options, result: Box<DocumentResult>, took: Duration) -> Result<Response, Problem> {
    let timing = server_timing(&result, took);
    let with_timing = |problem: Problem| problem.with_header(SERVER_TIMING.clone(), timing.clone());
    let faults = |result: &DocumentResult| -> Vec<Fault> {
        result.pages.iter().filter_map(|page| page.outcome.as_ref().err()).cloned().collect()
    };
    let faults = faults(&result);
    // A page that was being read when the time was over says so in words of its own.
    let late = faults
        .iter()
        .any(|f| f.code == "deadline_exceeded" || (f.kind == Kind::Deadline && took >= options.timeout));
    if late && !(options.partial && result.pages_ok > 0) {
        let time_s = options.timeout.as_secs_f64();
        let message = format!(
            "The {time_s} s allowed for the request were over after {} of {} pages: allow more time, or ask for fewer pages.",
            result.pages_ok,
            result.pages.len()
        );
        let fault = Fault::new(Kind::Deadline, "deadline_exceeded", message);
        return Err(with_timing(in_part(fault, result, |_| true)));
    }
    match faults.into_iter().next() {
        Some(fault) if result.pages_ok == 0 => {
            return Err(with_timing(in_part(fault, result, |_| true)));
        }
        Some(fault) if options.format != Format::Json && !options.partial => {
            let message = format!(
                "{} of {} pages could not be read ({}), and {} has no place to say so: ask for JSON, or add partial=true to have the rest.",
                result.pages_failed,
                result.pages.len(),
                fault.message.trim_end_matches('.'),
                options.format.name(),
            );
            let fault = Fault::new(Kind::Invalid, "pages_failed", message).blaming(fault.blame);
            // The pages that were read would be most of the answer, in a format that was not asked for.
            return Err(with_timing(in_part(fault, result, |page| page.outcome.is_err())));
        }
        _ => {}
    }
    let (pages_failed, bytes) = (result.pages_failed, held_bytes(&result));
    let pieces = Pieces::new(options.format, result);
    let body = if bytes <= WHOLE_BYTES_MAX {
        Body::from(pieces.map(|piece| piece.bytes).collect::<String>())
    } else {
        pieces::body(pieces)
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(options.format.content_type())),
        (PAGES_FAILED.clone(), pages_failed.into()),
        (SERVER_TIMING.clone(), timing),
    ];
    Ok((headers, body).into_response())
}

/// A problem that tells what was done.
fn in_part(fault: Fault, result: Box<DocumentResult>, tell: impl Fn(&PageResult) -> bool) -> Problem {
    Problem::from(fault)
        .with("page_count", json!(result.page_count))
        .with("pages_ok", json!(result.pages_ok))
        .with("pages_failed", json!(result.pages_failed))
        .with_pages(result.pages.into_iter().filter(tell).collect())
}

/// Bytes of memory that the pages take.
fn held_bytes(result: &DocumentResult) -> u64 {
    result.pages.iter().flat_map(|page| &page.outcome).map(|page| page.reservation().bytes()).sum()
}

/// `Server-Timing` (W3C): work summed over pages, which overlap; only `total` is by the clock.
fn server_timing(result: &DocumentResult, took: Duration) -> HeaderValue {
    let sum = |part: fn(&lector_core::Timing) -> Duration| -> Duration {
        result.pages.iter().map(|page| part(&page.timing)).sum()
    };
    let mut models: std::collections::BTreeMap<&str, Duration> = std::collections::BTreeMap::new();
    for (name, model) in result.pages.iter().flat_map(|page| &page.timing.models) {
        *models.entry(name.as_str()).or_default() += model.run;
    }
    let mut parts = vec![
        ("render".to_owned(), sum(|t| t.render)),
        ("text-layer".to_owned(), sum(|t| t.text_layer)),
        ("image".to_owned(), sum(|t| t.image)),
        ("queue".to_owned(), sum(|t| t.models.values().map(|model| model.queue).sum())),
    ];
    parts.extend(models.into_iter().map(|(name, time)| (format!("inference-{}", token(name)), time)));
    parts.push(("guest".to_owned(), sum(|t| t.guest)));
    parts.push(("total".to_owned(), took));
    let text: Vec<String> =
        parts.iter().map(|(name, time)| format!("{name};dur={:.1}", time.as_secs_f64() * 1e3)).collect();
    HeaderValue::from_str(&text.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

/// Model names are the operator's; a metric's name in this header is a token.
fn token(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use axum::http::HeaderMap;
    use lector_core::call::ModelTime;
    use lector_core::{Size, Timing, Transcript};
    use lector_serving::{Collected, Collector};
    use serde_json::Value;

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
        Event::PageError {
            index,
            fault: Fault::new(kind, code, "It did not work."),
            timing: Timing::default(),
        }
    }

    /// What becomes of a document with these events.
    fn collect(mut collector: Collector, events: Vec<Event>) -> Result<Box<DocumentResult>, Fault> {
        for event in events {
            match collector.take(event) {
                Collected::More(more) => collector = more,
                Collected::Done(result) => return Ok(result),
                Collected::Failed(fault) => return Err(fault),
            }
        }
        panic!("the events end without an end");
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
        answer(&options, result, Duration::from_secs(2)).unwrap_or_else(IntoResponse::into_response)
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
    async fn documents_read_in_part() {
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
    async fn server_timing_sums_up() {
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
    fn a_document_that_fails_is_its_fault() {
        let events = vec![Event::Failed(Fault::new(Kind::Invalid, "pdf_invalid", "x"))];
        let collector = Collector::new("r".into(), "d".into(), None);
        let fault = collect(collector, events).unwrap_err();
        assert_eq!(fault.code, "pdf_invalid");
    }
}
