//! Health and metrics: liveness (`/healthz`), readiness (`/readyz`), OpenMetrics text (`/metrics`).

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use lector_core::Fault;
use lector_serving::ReadinessReport;
use serde_json::{Value, json};

use super::AppState;
use super::problem::{self, Problem};
use crate::format::json as shapes;
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

/// Checks readiness: every shared deployment has read the smoke-test page, every lane has a session, and a render worker
/// is alive.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "checkReadiness",
    tag = "Operations",
    responses((status = 200, description = "Ready.", body = ref("#/components/schemas/Readiness")), (status = 503, description = "Not ready; `error` and `parts` give the reason.", body = ref("#/components/schemas/Readiness"))),
    extensions(
        ("x-problems" = json!([]))
    ),
    security(())
)]
pub(super) async fn readyz(State(state): State<AppState>) -> Response {
    let checked = state.service.check_readiness(CHECK_MAX).await;
    let (engines, engines_ok) = engines(&state);
    let (workers, workers_ok) = workers(&state);
    let ready = checked.is_ok() && engines_ok && workers_ok;
    let mut body = json!({
        "status": if ready { "ready" } else { "unready" },
        "parts": { "engines": engines, "workers": workers, "guests": guests(&checked) },
    });
    if let (Err(fault), Value::Object(members)) = (&checked, &mut body) {
        members.insert("error".to_owned(), shapes::fault(fault));
        tracing::warn!(%fault, "not ready");
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
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
        "sandbox": workers.sandbox,
    });
    (body, ok)
}

fn guests(checked: &Result<ReadinessReport, Fault>) -> Value {
    let Ok(report) = checked else { return json!({ "ok": false }) };
    let deployments: Vec<Value> = report
        .deployments
        .iter()
        .map(|d| json!({ "deployment": d.name.as_str(), "smoke_test_page_ms": shapes::ms(d.took), "word_found": d.word_found }))
        .collect();
    json!({ "ok": true, "from_recent_page": report.from_recent_page, "deployments": deployments })
}

/// Returns all metrics as OpenMetrics text.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "Operations",
    responses((status = 200, description = "OpenMetrics text.", body = String, content_type = "application/openmetrics-text")),
    extensions(
        ("x-problems" = json!([]))
    ),
    security(())
)]
pub(super) async fn metrics(State(state): State<AppState>) -> Result<Response, Problem> {
    let text = state.metrics.text().map_err(problem::internal)?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
