//! The log lines of guests: the kept ones, and a stream that follows.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use lector_control::{GuestLogLine, GuestLogStream};
use lector_core::DeploymentName;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::super::AppState;
use super::super::auth::TenantCtx;
use super::super::extract::{Path, Query};
use super::super::problem::Problem;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct LogOptions {
    /// Whether the answer is a stream of server-sent events.
    follow: bool,
    /// Only lines of this revision; 0: of deploys in progress or failed.
    revision: Option<u32>,
}

/// The log lines of a deployment's guests.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct LogLines {
    /// The lines, oldest first.
    lines: Vec<GuestLogLine>,
}

/// Lists the log lines of a deployment's guests.
///
/// The newest lines that the guests wrote in calls for this tenant, oldest first: at most 131072 bytes a revision and
/// 524288 a tenant. Control characters are escaped. Lines are kept in memory until the server stops, also those of failed
/// deploys and of revisions that were rolled back. With `follow=true` these and the lines to come, as server-sent events:
/// `line` with a line, whose id is its `seq`; and `missed` with the number `lines`, for a client that is too slow. The
/// stream ends with the right of the key.
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{name}/logs",
    operation_id = "listLogLines",
    tag = "Deploy",
    responses((status = 200, description = "The lines.", content((LogLines = "application/json"), (String = "text/event-stream")))),
    extensions(
        ("x-problems" = json!(["tenant", "path", "deployment", "manage", "query", "logs"])),
        ("x-parameters" = json!(["name", "follow", "log_revision"]))
    )
)]
pub(in super::super) async fn logs(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(name): Path<String>,
    Query(LogOptions { follow, revision }): Query<LogOptions>,
) -> Result<Response, Problem> {
    let name = DeploymentName::from(name);
    if follow {
        let (kept, stream) = state.control.follow_guest_log(&principal, &name, revision)?;
        return Ok(followed(kept, stream));
    }
    let lines = state.control.guest_log(&principal, &name, revision)?;
    let lines = lines.iter().map(|line| (**line).clone()).collect();
    Ok(Json(LogLines { lines }).into_response())
}

fn followed(kept: Vec<Arc<GuestLogLine>>, stream: GuestLogStream) -> Response {
    let state = (VecDeque::from(kept), stream);
    let events = futures::stream::unfold(state, async |(mut kept, mut stream)| {
        let next = match kept.pop_front() {
            Some(line) => Ok(line),
            None => stream.next().await?,
        };
        let event = match next {
            Ok(line) => {
                Event::default().event("line").id(line.seq.to_string()).data(json!(*line).to_string())
            }
            Err(missed) => Event::default().event("missed").data(json!({ "lines": missed.0 }).to_string()),
        };
        Some((Ok::<_, std::convert::Infallible>(event), (kept, stream)))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
