//! Usage, the audit log, the stream of audit events, the background tasks, and the damaged rows.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use lector_control::store::{AuditEntry, Readable, UsageRow};
use lector_control::{AuditEventStream, BackgroundTaskStatus};
use lector_core::{Fault, Kind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::AppState;
use super::super::auth::{AdminCtx, TenantCtx};
use super::super::problem::Problem;
use super::{query, with_damaged};

/// Maximum number of days in one response.
const DAYS_MAX: u32 = 400;
/// Maximum number of entries in one response.
const ENTRIES_MAX: u32 = 1000;
/// Seconds per day.
const DAY_S: u64 = 86_400;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UsageOptions {
    days: u32,
}

impl Default for UsageOptions {
    fn default() -> Self {
        Self { days: 31 }
    }
}

fn days(uri: &Uri) -> Result<u32, Fault> {
    let UsageOptions { days } = query(uri)?;
    if (1..=DAYS_MAX).contains(&days) {
        return Ok(days);
    }
    Err(Fault::new(Kind::Invalid, "option_invalid", format!("`days` is {days}: use 1 to {DAYS_MAX}.")))
}

fn usage_json(usage: &Readable<UsageRow>) -> Json<Value> {
    let row = |row: &UsageRow| {
        let counts = &row.counts;
        json!({
            "tenant": row.tenant, "day": date(row.day), "requests": counts.requests, "pages_ok": counts.pages_ok,
            "pages_failed": counts.pages_failed, "pixels": counts.pixels, "engine_ms": counts.engine_us / 1000,
            "guest_ms": counts.guest_us / 1000, "rejections": counts.rejections,
        })
    };
    let rows: Vec<Value> = usage.rows.iter().map(row).collect();
    Json(with_damaged(json!({ "usage": rows }), &usage.damaged))
}

/// Formats a day since 1970 as `2026-11-25` (Howard Hinnant's algorithm, "chrono-compatible low-level date
/// algorithms").
fn date(day: u32) -> String {
    let shifted = u64::from(day) + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Formats milliseconds since 1970 as `2026-11-25T10:20:30.123Z`.
fn time(at_ms: u64) -> String {
    let (seconds, ms) = (at_ms / 1000, at_ms % 1000);
    let (day, of_day) = (seconds / DAY_S, seconds % DAY_S);
    let date = date(u32::try_from(day).unwrap_or(u32::MAX));
    format!("{date}T{:02}:{:02}:{:02}.{ms:03}Z", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// `GET /api/v1/usage`.
pub(in super::super) async fn usage(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Ok(usage_json(&state.control.usage(&principal, days(&uri)?).await?))
}

/// `GET /api/v1/admin/usage`.
pub(in super::super) async fn all_usage(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Ok(usage_json(&state.control.all_usage(&admin, days(&uri)?).await?))
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AuditOptions {
    before: Option<u64>,
    limit: u32,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { before: None, limit: 100 }
    }
}

fn page(uri: &Uri) -> Result<AuditOptions, Fault> {
    let options: AuditOptions = query(uri)?;
    if (1..=ENTRIES_MAX).contains(&options.limit) {
        return Ok(options);
    }
    let message = format!("`limit` is {}: use 1 to {ENTRIES_MAX}.", options.limit);
    Err(Fault::new(Kind::Invalid, "option_invalid", message))
}

fn entry(entry: &AuditEntry) -> Value {
    json!({
        "seq": entry.seq, "at": time(entry.at_ms), "tenant": entry.tenant, "actor": entry.actor, "action": entry.action,
        "target": entry.target, "from": entry.from, "to": entry.to, "request": entry.request,
    })
}

fn entries(list: &Readable<AuditEntry>) -> Json<Value> {
    let entries: Vec<Value> = list.rows.iter().map(entry).collect();
    Json(with_damaged(json!({ "entries": entries }), &list.damaged))
}

/// `GET /api/v1/admin/quarantine`: the damaged rows of the store.
pub(in super::super) async fn quarantine(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
) -> Json<Value> {
    Json(json!({ "rows": state.control.damaged_rows(&admin) }))
}

/// `GET /api/v1/audit`.
pub(in super::super) async fn audit(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let AuditOptions { before, limit } = page(&uri)?;
    Ok(entries(&state.control.audit(&principal, before, limit).await?))
}

/// `GET /api/v1/admin/audit`.
pub(in super::super) async fn all_audit(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let AuditOptions { before, limit } = page(&uri)?;
    Ok(entries(&state.control.all_audit(&admin, before, limit).await?))
}

/// `GET /api/v1/events`: the audit events of the tenant as server-sent events, from now on.
pub(in super::super) async fn events(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
) -> Result<Response, Problem> {
    Ok(stream(state.control.subscribe(&principal)?))
}

/// `GET /api/v1/admin/events`: the audit events of all tenants as server-sent events.
pub(in super::super) async fn all_events(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
) -> Result<Response, Problem> {
    Ok(stream(state.control.subscribe_all(&admin)?))
}

/// `GET /api/v1/admin/background-tasks`: the background tasks and their last runs.
pub(in super::super) async fn background_tasks(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
) -> Json<Value> {
    let tasks = state.control.background_task_status(&admin);
    let task = |task: BackgroundTaskStatus| {
        json!({
            "name": task.name, "trigger": task.trigger, "period_ms": task.period_ms, "runs": task.runs,
            "failures": task.failures, "panics": task.panics, "running": task.running,
            "last_started_at": task.last_started_at_ms.map(time), "last_duration_ms": task.last_duration_ms,
            "last_outcome": task.last_outcome, "last_error": task.last_error,
        })
    };
    Json(json!({ "background_tasks": tasks.into_iter().map(task).collect::<Vec<_>>() }))
}

fn stream(events: AuditEventStream) -> Response {
    let events = futures::stream::unfold(events, async |mut events| {
        let event = match events.next().await? {
            Ok(event) => {
                Event::default().event("audit").id(event.seq.to_string()).data(entry(&event).to_string())
            }
            // The client can read the missed events from the audit log.
            Err(missed) => Event::default().event("missed").data(json!({ "acts": missed.0 }).to_string()),
        };
        Some((Ok::<_, std::convert::Infallible>(event), events))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times() {
        let check = |at_ms: u64, expect: &str| assert_eq!(time(at_ms), expect);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_827_696_789, "2000-02-29T12:34:56.789Z");
        check(1_795_602_000_001, "2026-11-25T10:20:00.001Z");
        check(4_102_444_799_999, "2099-12-31T23:59:59.999Z");
    }
}
