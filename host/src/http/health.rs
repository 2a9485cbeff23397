//! Health and metrics: liveness (`/healthz`), readiness (`/readyz`), OpenMetrics text (`/metrics`).

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use lector_core::{DeploymentName, Fault};
use lector_export::json::{FaultShape, ms};
use lector_serving::ReadinessReport;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::AppState;
use super::auth;
use super::extract::Query;
use super::problem::{self, Problem};
use crate::metrics;

/// Maximum time of a readiness check. Orchestrators time out after 1 to 10 s. A smoke-test page takes a tenth of a
/// second on an idle server; on a busy server, a page read moments ago replaces it.
const CHECK_MAX: Duration = Duration::from_secs(8);

/// Checks liveness: the process answers.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "checkLiveness",
    tag = "Operations",
    responses((status = 200, description = "The process is alive.", body = ref("#/components/schemas/Liveness"))),
    extensions(
        ("x-problems" = json!([]))
    ),
    security(())
)]
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// Checks liveness under the name that Kubernetes uses: as `/healthz`.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "checkLivez",
    tag = "Operations",
    responses((status = 200, description = "The process is alive.", body = ref("#/components/schemas/Liveness"))),
    extensions(
        ("x-problems" = json!([]))
    ),
    security(())
)]
pub(super) async fn livez() -> Json<Value> {
    healthz().await
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReadinessOptions {
    /// The shared deployment that must be ready; by default, one is enough.
    deployment: Option<String>,
}

/// Checks readiness: a shared deployment (with `?deployment=`, the named one) has read the smoke-test page, every lane
/// has a session, and a render worker is alive.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "checkReadiness",
    tag = "Operations",
    params(ReadinessOptions),
    responses((status = 200, description = "Ready.", body = ref("#/components/schemas/Readiness")), (status = 503, description = "Not ready; `error` and `parts` give the reason.", body = ref("#/components/schemas/Readiness"))),
    extensions(
        ("x-problems" = json!(["query", "deployment"]))
    ),
    security(())
)]
pub(super) async fn readyz(
    State(state): State<AppState>,
    Query(options): Query<ReadinessOptions>,
) -> Result<Response, Problem> {
    let named = options.deployment.map(DeploymentName::from);
    // A name that does not exist is an error of the probe, and no state of the server.
    named.iter().try_for_each(|name| state.control.expect_shared_deployment(name))?;
    let checked = state.service.check_readiness(CHECK_MAX).await;
    let checked = match (checked, &named) {
        (Ok(report), Some(name)) => ready(report, name),
        (checked, _) => checked,
    };
    let (engines, engines_ok) = engines(&state);
    let (workers, workers_ok) = workers(&state);
    let ready = checked.is_ok() && engines_ok && workers_ok;
    let mut body = json!({
        "status": if ready { "ready" } else { "unready" },
        "parts": { "engines": engines, "workers": workers, "guests": guests(&checked) },
    });
    if let (Err(fault), Value::Object(members)) = (&checked, &mut body) {
        members.insert("error".to_owned(), json!(FaultShape::from(fault)));
        tracing::warn!(%fault, "not ready");
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(body)).into_response())
}

/// Checks readiness as `/readyz` does, for an API that has no place for its parts. The error says what is not ready.
pub(super) async fn check_ready(state: &AppState) -> Result<(), String> {
    state.service.check_readiness(CHECK_MAX).await.map_err(|fault| {
        tracing::warn!(%fault, "not ready");
        fault.message
    })?;
    let ((_, engines_ok), (_, workers_ok)) = (engines(state), workers(state));
    match (engines_ok, workers_ok) {
        (false, _) => Err("A model has no session.".to_owned()),
        (_, false) => Err("No render worker is alive.".to_owned()),
        (true, true) => Ok(()),
    }
}

/// Returns the report, or the fault of the deployment in it.
fn ready(report: ReadinessReport, name: &DeploymentName) -> Result<ReadinessReport, Fault> {
    match report.failed.iter().find(|(failed, _)| failed == name) {
        Some((_, fault)) => Err(fault.clone()),
        None => Ok(report),
    }
}

fn engines(state: &AppState) -> (Value, bool) {
    let lanes = state.metrics.parts().lanes();
    let ok = lanes.iter().all(|lane| lane.sessions > 0);
    let lanes: Vec<Value> = lanes
        .into_iter()
        .map(|lane| json!({ "model": lane.model, "provider": lane.provider, "precision": lane.precision, "sessions": lane.sessions, "queue_depth": lane.queue_depth }))
        .collect();
    // An engine upgrade does not affect readiness.
    let upgrading = state.metrics.parts().engines().iter().any(|engine| engine.upgrading);
    (json!({ "ok": ok, "upgrading": upgrading, "lanes": lanes }), ok)
}

fn workers(state: &AppState) -> (Value, bool) {
    let workers = state.metrics.parts().workers();
    let ok = workers.alive > 0;
    let body = json!({
        "ok": ok,
        "alive": workers.alive,
        "wanted": workers.wanted,
        "respawns": workers.respawns,
        "recycled": workers.recycled,
        "gave_way": workers.gave_way,
        "sandbox": workers.sandbox,
        "sandbox_missing": workers.sandbox_missing,
    });
    (body, ok)
}

fn guests(checked: &Result<ReadinessReport, Fault>) -> Value {
    let Ok(report) = checked else { return json!({ "ok": false }) };
    let deployments: Vec<Value> = report
        .deployments
        .iter()
        .map(|d| json!({ "deployment": d.name.as_str(), "smoke_test_page_ms": ms(d.took), "word_found": d.word_found }))
        .collect();
    let failed: Vec<Value> = report
        .failed
        .iter()
        .map(|(name, fault)| json!({ "deployment": name.as_str(), "error": FaultShape::from(fault) }))
        .collect();
    json!({ "ok": failed.is_empty(), "from_recent_page": report.from_recent_page, "deployments": deployments, "failed": failed })
}

/// Returns metrics as OpenMetrics text. Series with tenant labels need an administrator's key, or a local request to a
/// server without keys.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "Operations",
    responses((status = 200, description = "OpenMetrics text.", body = String, content_type = "application/openmetrics-text")),
    extensions(
        ("x-problems" = json!(["admin"]))
    ),
    security((), ("key" = []))
)]
pub(super) async fn metrics(State(state): State<AppState>, parts: Parts) -> Result<Response, Problem> {
    let tenants = auth::may_see_tenants(&parts, &state)?;
    text(&state, tenants).await
}

/// Handles `GET /metrics` on the private address: all metrics.
pub(super) async fn private_metrics(State(state): State<AppState>) -> Result<Response, Problem> {
    text(&state, true).await
}

async fn text(state: &AppState, tenants: bool) -> Result<Response, Problem> {
    if let Some(jobs) = &state.jobs {
        // Metrics of other parts are served although the store of jobs cannot be read.
        match jobs.counts().await {
            Ok(counts) => state.metrics.jobs(&counts),
            Err(fault) => tracing::warn!(%fault, "jobs were not counted"),
        }
    }
    let text = state.metrics.text(tenants).map_err(problem::internal)?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
