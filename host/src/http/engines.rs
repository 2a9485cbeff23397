//! Who serves which model, and what stands on each rung of its ladder: `GET /api/v1/engines`. What failed tried again:
//! `POST /api/v1/admin/engines/retry`.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use lector_core::ModelName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AppState;
use super::auth::{AdminCtx, TenantCtx};
use super::json::{JsonBody, SMALL_BYTES_MAX};
use super::manage;
use super::problem::Problem;
use crate::metrics::{EngineReading, RungReading};

/// All engines of this host.
pub(super) async fn engines(State(state): State<AppState>, _: TenantCtx) -> Json<Value> {
    let engines = state.metrics.parts().engines();
    let improving = engines.iter().any(|engine| engine.improving);
    let engines: Vec<Value> = engines.into_iter().map(engine).collect();
    Json(json!({ "improving": improving, "engines": engines }))
}

/// Which engines to try again.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Retry {
    /// Of this model; `None`: of all.
    model: Option<ModelName>,
}

impl JsonBody for Retry {
    const BYTES_MAX: u64 = SMALL_BYTES_MAX;
}

/// Has the engines tried again that could not be built or loaded.
pub(super) async fn retry(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (_, Retry { model }) = manage::json(&state, request).await?;
    let retried = state.platform.retry_engines(&admin, model.as_ref()).await?;
    Ok(Json(json!({ "retried": retried })))
}

fn engine(engine: EngineReading) -> Value {
    json!({
        "model": engine.model,
        "serving": {
            "rung": engine.serving,
            "entry": engine.entry,
            "for_s": seconds(engine.serving_for),
            "load_ms": millis(engine.load),
        },
        "improving": engine.improving,
        "ladder": engine.rungs.into_iter().map(rung).collect::<Vec<_>>(),
        "reasons": engine.reasons,
    })
}

fn rung(rung: RungReading) -> Value {
    json!({
        "rung": rung.rung,
        "state": rung.state,
        "why": rung.why,
        "tries": rung.tries,
        "tried_rarely": rung.tried_rarely,
        "retry_in_s": rung.retry_in.map(seconds),
        "working_for_s": rung.working_for.map(seconds),
        "estimate_s": rung.estimate.map(seconds),
        "entry": rung.entry,
        "bytes": rung.bytes,
        "build_ms": rung.build.map(millis),
        "acceptance_ms": rung.acceptance.map(millis),
        "verdict": rung.verdict,
    })
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
