//! `GET /api/v1/jobs/{job}/events`.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use lector_jobs::JobEvent;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::AppState;
use super::super::auth::TenantCtx;
use super::super::extract::{Path, Query};
use super::super::manage::queries::last_event_id;
use super::super::options::accepts_sse;
use super::super::problem::{Problem, option_invalid};
use super::{job_id, timestamp};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct EventOptions {
    after: Option<u64>,
}

/// Returns the JSON of an event: `seq`, `event`, `at`, and its own members.
fn shape(event: &JobEvent) -> Value {
    let mut shape = json!({ "seq": event.seq, "event": event.event, "at": timestamp(event.at_ms) });
    if let (Some(shape), Value::Object(members)) = (shape.as_object_mut(), &event.data) {
        shape.extend(members.clone());
    }
    shape
}

/// Streams the events of a job.
///
/// `queued`, `running`, `document` (it is open), `page`, `page_error`, `document_end`, `document_error`, and last `end`
/// with the final `state`. Each has a number `seq`, from 1 without gaps. The stream begins after the number in
/// `Last-Event-ID` or `after`, so that a client that reconnects misses no event and gets none twice. It ends after
/// `end`, and without it when the server stops or the key ends. NDJSON, or server-sent events with `Accept: text/event-stream`.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/events",
    operation_id = "streamJobEvents",
    tag = "Jobs",
    responses((status = 200, description = "The events.", content((ref("#/components/schemas/JobEvent") = "application/x-ndjson"), (String = "text/event-stream")))),
    extensions(
        ("x-problems" = json!(["tenant", "jobs", "job", "store", "header", "query", "events"])),
        ("x-parameters" = json!(["job", "after", "last_event_id"]))
    )
)]
pub(in super::super) async fn events(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(id): Path<String>,
    Query(options): Query<EventOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = match (last_event_id(&headers)?, options.after) {
        (Some(header), Some(query)) if header != query => {
            let message = "`after` and the header `Last-Event-ID` differ: send one of them.";
            return Err(option_invalid(message).into());
        }
        (header, query) => header.or(query).unwrap_or(0),
    };
    let events = state.jobs()?.events(&principal, &job_id(&id)?, after).await?;
    // A fault in the middle ends the stream without `end`; the client resumes after its last event.
    let events =
        events.take_while(|event| std::future::ready(event.is_ok())).filter_map(|event| async { event.ok() });
    if accepts_sse(&headers) {
        let events = events.map(|event| {
            let sse = Event::default().event(&event.event).id(event.seq.to_string());
            Ok::<_, Infallible>(sse.data(shape(&event).to_string()))
        });
        return Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response());
    }
    let lines = events.map(|event| Ok::<_, Infallible>(format!("{}\n", shape(&event))));
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(lines)).into_response())
}
