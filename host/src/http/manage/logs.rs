//! The log lines of guests: the kept ones, and a stream that follows.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use lector_control::{GuestLogLine, GuestLogStream};
use lector_core::DeploymentName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::AppState;
use super::super::auth::TenantCtx;
use super::super::problem::Problem;
use super::queries::time;
use super::query;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LogOptions {
    /// Whether the answer is a stream of server-sent events.
    follow: bool,
    /// Only lines of this revision; 0: of deploys in progress or failed.
    revision: Option<u32>,
}

fn line(line: &GuestLogLine) -> Value {
    let mut value = json!(line);
    if let Some(members) = value.as_object_mut() {
        members.insert("at".to_owned(), time(line.at_ms).into());
    }
    value
}

/// `GET /api/v1/deployments/{name}/logs`: the newest log lines that the deployment's guests wrote for the tenant; with
/// `follow=true` these and the lines to come, as server-sent events.
pub(in super::super) async fn logs(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let LogOptions { follow, revision } = query(&uri)?;
    let name = DeploymentName::from(name);
    if follow {
        let (kept, stream) = state.control.follow_guest_log(&principal, &name, revision)?;
        return Ok(followed(kept, stream));
    }
    let lines = state.control.guest_log(&principal, &name, revision)?;
    let lines: Vec<Value> = lines.iter().map(|one| line(one)).collect();
    Ok(Json(json!({ "lines": lines })).into_response())
}

fn followed(kept: Vec<Arc<GuestLogLine>>, stream: GuestLogStream) -> Response {
    let state = (VecDeque::from(kept), stream);
    let events = futures::stream::unfold(state, async |(mut kept, mut stream)| {
        let next = match kept.pop_front() {
            Some(line) => Ok(line),
            None => stream.next().await?,
        };
        let event = match next {
            Ok(one) => Event::default().event("line").id(one.seq.to_string()).data(line(&one).to_string()),
            Err(missed) => Event::default().event("missed").data(json!({ "lines": missed.0 }).to_string()),
        };
        Some((Ok::<_, std::convert::Infallible>(event), (kept, stream)))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
