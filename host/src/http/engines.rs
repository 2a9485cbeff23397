//! `GET /api/v1/engines`: the engine variant that serves each model, and the state of every variant.
//! `POST /api/v1/admin/engines/retry`: retries failed engines.

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
use crate::metrics::{EngineSample, VariantSample};

/// Handles `GET /api/v1/engines`.
pub(super) async fn engines(State(state): State<AppState>, _: TenantCtx) -> Json<Value> {
    let engines = state.metrics.parts().engines();
    let upgrading = engines.iter().any(|engine| engine.upgrading);
    let engines: Vec<Value> = engines.into_iter().map(engine).collect();
    Json(json!({ "upgrading": upgrading, "engines": engines }))
}

/// The body of a retry request.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Retry {
    /// The model; `None` for all models.
    model: Option<ModelName>,
}

impl JsonBody for Retry {
    const BYTES_MAX: u64 = SMALL_BYTES_MAX;
}

/// Handles `POST /api/v1/admin/engines/retry`: retries the engines that could not be built or loaded.
pub(super) async fn retry(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (_, Retry { model }) = manage::json(&state, request).await?;
    let retried = state.control.retry_engines(&admin, model.as_ref()).await?;
    Ok(Json(json!({ "retried": retried })))
}

fn engine(engine: EngineSample) -> Value {
    json!({
        "model": engine.model,
        "serving": {
            "variant": engine.serving,
            "entry": engine.entry,
            "for_s": seconds(engine.serving_for),
            "load_ms": millis(engine.load),
        },
        "upgrading": engine.upgrading,
        "variants": engine.variants.into_iter().map(variant).collect::<Vec<_>>(),
        "reasons": engine.reasons,
    })
}

fn variant(variant: VariantSample) -> Value {
    json!({
        "variant": variant.variant,
        "state": variant.state,
        "last_error": variant.why,
        "attempts": variant.attempts,
        "slow_retry": variant.slow_retry,
        "retry_in_s": variant.retry_in.map(seconds),
        "building_for_s": variant.building_for.map(seconds),
        "estimate_s": variant.estimate.map(seconds),
        "entry": variant.entry,
        "bytes": variant.bytes,
        "build_ms": variant.build.map(millis),
        "acceptance_ms": variant.acceptance.map(millis),
        "acceptance": variant.verdict,
    })
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
