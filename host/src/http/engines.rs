//! `GET /api/v1/engines`: the engine variant that serves each model, and the state of every variant.
//! `POST /api/v1/admin/engines/retry`: retries failed engines.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use lector_core::ModelName;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::AppState;
use super::auth::{AdminCtx, TenantCtx};
use super::extract::{Body, Query};
use super::json::{JsonBody, SMALL_BYTES_MAX};
use super::paging::PageOptions;
use super::problem::Problem;
use crate::metrics::{EngineSample, VariantSample};

/// Lists the engines: the variant that serves each model, and the state of every variant.
#[utoipa::path(
    get,
    path = "/api/v1/engines",
    operation_id = "listEngines",
    tag = "Operations",
    responses((status = 200, description = "The engines of the loaded models, by model.", body = ref("#/components/schemas/EngineList"))),
    extensions(
        ("x-problems" = json!(["tenant", "query"])),
        ("x-parameters" = json!(["limit", "cursor"]))
    )
)]
pub(super) async fn engines(
    State(state): State<AppState>,
    _: TenantCtx,
    Query(options): Query<PageOptions>,
) -> Result<Json<Value>, Problem> {
    let mut engines = state.metrics.parts().engines();
    let upgrading = engines.iter().any(|engine| engine.upgrading);
    engines.sort_by(|a, b| a.model.cmp(&b.model));
    let (engines, next) = options.page(engines, |engine| engine.model.to_string())?;
    let engines: Vec<Value> = engines.into_iter().map(engine).collect();
    Ok(Json(json!({ "upgrading": upgrading, "engines": engines, "next": next })))
}

/// The body of a retry request.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = EngineRetry)]
pub(super) struct Retry {
    /// The model; without it, all models.
    #[schema(value_type = Option<String>)]
    model: Option<ModelName>,
}

impl JsonBody for Retry {
    const BYTES_MAX: u64 = SMALL_BYTES_MAX;
}

/// Retries the engines that could not be built or loaded.
///
/// Clears the failures. The server retries the engines of a loaded model at once, and those of another model when it is
/// loaded next. The response does not wait for the builds; `GET /api/v1/engines` shows their state.
#[utoipa::path(
    post,
    path = "/api/v1/admin/engines/retry",
    operation_id = "retryEngines",
    tag = "Administration",
    request_body = Retry,
    responses((status = 200, description = "The engines that had failed; the list may be empty.", body = ref("#/components/schemas/RetriedEngines"))),
    extensions(
        ("x-problems" = json!(["admin", "change", "json", "store", "model_name"]))
    )
)]
pub(super) async fn retry(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Body(Retry { model }): Body<Retry>,
) -> Result<Json<Value>, Problem> {
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
        "acceptance": variant.acceptance_summary,
    })
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
