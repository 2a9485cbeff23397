//! `GET /api/v1/admin/status`: the state of the whole server at one moment, for operators and scripts.
//!
//! Owns the shape; a reader gives members that a server does not send their defaults.

use axum::Json;
use axum::extract::State;
use lector_control::Admin;
use lector_jobs::JobCounts;
use lector_serving::{ServingStatus as Serving, TenantActivity};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::AppState;
use super::super::auth::AdminCtx;
use super::super::problem::Problem;
use crate::metrics::{EngineSample, LaneSample};

/// Most tenants in one answer: those with the most pending work.
const TENANTS_MAX: usize = 200;

/// The state of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ServerStatus {
    /// Version of the server.
    pub version: String,
    /// Seconds since its start.
    pub uptime_s: f64,
    /// Whether it drains, and takes no new documents.
    pub draining: bool,
    /// Open connections.
    pub connections: u64,
    /// Requests whose response is not complete.
    pub requests: u64,
    /// Request bodies that are being received.
    pub uploads: u64,
    /// Documents in flight (`platform.documents_max`).
    pub documents: Used,
    /// Page slots in use (`platform.pages_in_flight_max`).
    pub page_slots: Used,
    /// Bytes of documents and results (`platform.held_bytes_max`).
    pub held_bytes: Used,
    /// Pages of open documents that have not ended.
    pub pages_unfinished: u64,
    /// Pending work of the documents in flight, in seconds of work.
    pub pending_work_s: f64,
    /// Seconds of work that the server completes in a second, as learned.
    pub work_rate: f64,
    /// Counts since the start.
    pub totals: Totals,
    /// Tenants with anything in flight or waiting, those with the most pending work first; at most 200.
    pub tenants: Vec<TenantStatus>,
    /// Number of further tenants.
    pub tenants_idle: u64,
    /// The lanes, one in front of the sessions of each model.
    pub lanes: Vec<LaneStatus>,
    /// The engines of the loaded models.
    pub engines: Vec<EngineStatus>,
    /// The render workers.
    pub workers: WorkersStatus,
    /// The guests.
    pub guests: GuestsStatus,
    /// The jobs; absent where they are disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<JobsStatus>,
}

/// A use and its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = StatusUsed)]
pub struct Used {
    /// In use.
    pub now: u64,
    /// The limit.
    pub max: u64,
}

/// Counts since the start of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = StatusTotals)]
pub struct Totals {
    /// Pages that were read.
    pub pages_ok: u64,
    /// Pages that failed.
    pub pages_failed: u64,
    /// Documents that were read to their end.
    pub documents_completed: u64,
    /// Documents that failed.
    pub documents_failed: u64,
    /// Documents refused because of the whole server.
    pub server_overloaded: u64,
    /// Documents refused because of their tenant's share.
    pub tenant_overloaded: u64,
    /// Documents refused because of their tenant's bytes.
    pub tenant_memory_exceeded: u64,
    /// Uploads refused because of their tenant's number of them.
    pub tenant_uploads_exceeded: u64,
}

/// The work of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = TenantWork)]
pub struct TenantStatus {
    /// Its name.
    pub tenant: String,
    /// Its weight.
    pub weight: u32,
    /// Request bodies that are being received.
    pub uploads: u64,
    /// Uploads that wait for memory.
    pub uploads_waiting: u64,
    /// Documents that have arrived and wait for a place.
    pub documents_waiting: u64,
    /// Documents in flight.
    pub documents: u64,
    /// Pages that wait for a page slot, at most one of each document.
    pub pages_waiting: u64,
    /// Page slots in use.
    pub pages_running: u64,
    /// Pending work, in seconds of work.
    pub pending_work_s: f64,
    /// Bytes of its documents and results.
    pub held_bytes: u64,
    /// Pages that have ended since the start of the server.
    pub pages_ended: u64,
}

/// The lane in front of the sessions of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = LaneWork)]
pub struct LaneStatus {
    /// The model.
    pub model: String,
    /// Provider and precision of its engine.
    pub variant: String,
    /// Sessions.
    pub sessions: u64,
    /// Items that wait.
    pub queued: u64,
    /// Runs in progress.
    pub running: u64,
    /// Predicted time until the waiting items have run, in seconds.
    pub backlog_s: f64,
    /// Runs since the start.
    pub runs: u64,
    /// Rows of these runs.
    pub rows: u64,
    /// Time of these runs over all sessions, in seconds.
    pub busy_s: f64,
    /// Waits of all items before their runs, in seconds.
    pub waited_s: f64,
    /// Number of these waits.
    pub waits: u64,
}

/// The engines of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = EngineWork)]
pub struct EngineStatus {
    /// The model.
    pub model: String,
    /// The variant that serves it.
    pub serving: String,
    /// Whether a better one is being built or is queued.
    pub upgrading: bool,
    /// The variants that are not ready: `openvino/bf16 building (12 s)`.
    pub not_ready: Vec<String>,
}

/// The render workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = WorkersWork)]
pub struct WorkersStatus {
    /// Processes alive.
    pub alive: u64,
    /// Idle processes.
    pub idle: u64,
    /// Configured number of processes.
    pub wanted: u64,
    /// Processes replaced after a crash or a hang.
    pub respawns: u64,
    /// Processes replaced because their next document was of another tenant.
    pub recycled: u64,
}

/// The guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = GuestsWork)]
pub struct GuestsStatus {
    /// Components in memory.
    pub components: u64,
    /// Instances alive.
    pub instances: u64,
    /// Most instances; 0: no limit.
    pub instances_max: u64,
    /// Instances started since the start of the server.
    pub started: u64,
    /// Calls that ended in a trap or a limit.
    pub traps: u64,
}

/// The jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = JobsWork)]
pub struct JobsStatus {
    /// Jobs that wait.
    pub queued: u64,
    /// Jobs in progress.
    pub running: u64,
    /// Webhooks that wait for an attempt.
    pub webhooks_waiting: u64,
}

/// Returns the state of the whole server: admission, tenants, page slots, lanes, engines, workers, guests.
#[utoipa::path(
    get,
    path = "/api/v1/admin/status",
    operation_id = "getServerStatus",
    tag = "Administration",
    responses((status = 200, description = "The state at one moment.", body = ServerStatus)),
    extensions(
        ("x-problems" = json!(["admin", "store"]))
    )
)]
pub(in super::super) async fn status(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
) -> Result<Json<ServerStatus>, Problem> {
    let jobs = match &state.jobs {
        Some(jobs) => Some(jobs.counts().await?),
        None => None,
    };
    Ok(Json(of(&state, &admin, jobs)))
}

fn of(state: &AppState, _: &Admin, jobs: Option<JobCounts>) -> ServerStatus {
    let serving = state.service.status();
    let parts = state.metrics.parts();
    let (connections, requests) = state.metrics.open_now();
    let all = state.service.tenant_activity();
    let count = all.len();
    let mut active: Vec<TenantActivity> = all.into_iter().filter(TenantActivity::is_active).collect();
    active.sort_by(|a, b| b.pending_work.cmp(&a.pending_work).then_with(|| a.tenant.cmp(&b.tenant)));
    active.truncate(TENANTS_MAX);
    let (workers, guests) = (parts.workers(), parts.guests());
    ServerStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: tenths(state.started.elapsed().as_secs_f64()),
        draining: serving.draining,
        connections: u64::try_from(connections).unwrap_or(0),
        requests: u64::try_from(requests).unwrap_or(0),
        uploads: serving.uploads,
        documents: Used { now: serving.documents_admitted as u64, max: serving.documents_max as u64 },
        page_slots: Used { now: serving.pages_running as u64, max: serving.pages_in_flight_max as u64 },
        held_bytes: Used { now: serving.held_bytes, max: serving.held_bytes_max },
        pages_unfinished: serving.pages_waiting,
        pending_work_s: tenths(serving.pending_work.as_secs_f64()),
        work_rate: tenths(serving.work_rate),
        totals: totals(&serving),
        tenants_idle: (count - active.len()) as u64,
        tenants: active.into_iter().map(TenantStatus::from).collect(),
        lanes: parts.lanes().iter().map(LaneStatus::from).collect(),
        engines: parts.engines().iter().map(EngineStatus::from).collect(),
        workers: WorkersStatus {
            alive: workers.alive as u64,
            idle: workers.idle as u64,
            wanted: workers.wanted as u64,
            respawns: workers.respawns,
            recycled: workers.recycled,
        },
        guests: GuestsStatus {
            components: guests.components,
            instances: guests.live,
            instances_max: guests.live_max,
            started: guests.started,
            traps: guests.traps.iter().map(|(_, count)| count).sum(),
        },
        jobs: jobs.map(|counts| {
            let [queued, running, ..] = counts.jobs;
            JobsStatus { queued, running, webhooks_waiting: counts.deliveries.0 }
        }),
    }
}

fn totals(serving: &Serving) -> Totals {
    Totals {
        pages_ok: serving.pages_ok,
        pages_failed: serving.pages_failed,
        documents_completed: serving.documents_done,
        documents_failed: serving.documents_failed,
        server_overloaded: serving.documents_refused,
        tenant_overloaded: serving.documents_over_share,
        tenant_memory_exceeded: serving.documents_over_bytes,
        tenant_uploads_exceeded: serving.documents_over_uploads,
    }
}

impl From<TenantActivity> for TenantStatus {
    fn from(of: TenantActivity) -> Self {
        Self {
            tenant: of.tenant.to_string(),
            weight: of.weight,
            uploads: of.uploads,
            uploads_waiting: of.uploads_waiting as u64,
            documents_waiting: of.documents_waiting as u64,
            documents: of.documents as u64,
            pages_waiting: of.pages_waiting as u64,
            pages_running: of.pages_running as u64,
            pending_work_s: tenths(of.pending_work.as_secs_f64()),
            held_bytes: of.held_bytes,
            pages_ended: of.pages_ended,
        }
    }
}

impl From<&LaneSample> for LaneStatus {
    fn from(lane: &LaneSample) -> Self {
        Self {
            model: lane.model.clone(),
            variant: format!("{}/{}", lane.provider, lane.precision),
            sessions: lane.sessions as u64,
            queued: lane.queue_depth as u64,
            running: lane.in_flight as u64,
            backlog_s: (lane.backlog.as_secs_f64() * 1e3).round() / 1e3,
            runs: lane.runs,
            rows: lane.rows,
            busy_s: lane.busy.as_secs_f64(),
            waited_s: lane.queue_wait.sum,
            waits: lane.queue_wait.buckets.iter().map(|(_, count)| count).sum(),
        }
    }
}

impl From<&EngineSample> for EngineStatus {
    fn from(engine: &EngineSample) -> Self {
        let not_ready = engine.variants.iter().filter(|variant| variant.state != "ready").map(|variant| {
            let time = match (variant.building_for, variant.retry_in) {
                (Some(time), _) => format!(" ({} s)", time.as_secs()),
                (None, Some(time)) => format!(" (retry in {} s)", time.as_secs()),
                (None, None) => String::new(),
            };
            format!("{} {}{time}", variant.variant, variant.state)
        });
        Self {
            model: engine.model.clone(),
            serving: engine.serving.clone(),
            upgrading: engine.upgrading,
            not_ready: not_ready.collect(),
        }
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
