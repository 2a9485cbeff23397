//! Usage, the audit log, the stream of audit events, the background tasks, and the damaged rows.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use lector_control::store::{AuditEntry, DamagedRow, Readable, UsageRow};
use lector_control::{AuditEventStream, AuditEventView, BackgroundTaskStatus, UsageView};
use lector_core::Fault;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::super::AppState;
use super::super::auth::{AdminCtx, TenantCtx};
use super::super::extract::Query;
use super::super::paging::{PageOptions, cursor};
use super::super::problem::{Problem, option_invalid};

/// Maximum number of days in one response.
const DAYS_MAX: u32 = 400;
/// Days of a request that names none.
const DAYS_DEFAULT: u32 = 31;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct UsageOptions {
    days: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
}

impl UsageOptions {
    fn days(&self) -> Result<u32, Fault> {
        let days = self.days.unwrap_or(DAYS_DEFAULT);
        if (1..=DAYS_MAX).contains(&days) {
            return Ok(days);
        }
        Err(option_invalid(format!("`days` is {days}: use 1 to {DAYS_MAX}.")))
    }
}

/// A page of usage.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct UsageList {
    /// The usage by tenant and day.
    usage: Vec<UsageView>,
    /// The cursor of the next page; null on the last page.
    next: Option<String>,
    /// Rows that cannot be read; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<DamagedRow>,
}

#[allow(clippy::result_large_err, reason = "the result of a handler, which axum converts at once")]
fn usage_page(options: UsageOptions, read: Readable<UsageRow>) -> Result<Json<UsageList>, Problem> {
    let Readable { mut rows, damaged } = read;
    rows.sort_by(|a, b| (&a.tenant, a.day).cmp(&(&b.tenant, b.day)));
    let options = PageOptions::new(options.limit, options.cursor);
    let (rows, next) = options.page(rows, |row| (row.tenant.to_string(), row.day))?;
    Ok(Json(UsageList { usage: rows.iter().map(UsageView::from).collect(), next, damaged }))
}

/// Returns the usage of the tenant by day.
#[utoipa::path(
    get,
    path = "/api/v1/usage",
    operation_id = "listUsage",
    tag = "Tenant",
    responses((status = 200, description = "The usage.", body = UsageList)),
    extensions(
        ("x-problems" = json!(["tenant", "query", "store"])),
        ("x-parameters" = json!(["days", "limit", "cursor"]))
    )
)]
pub(in super::super) async fn usage(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Query(options): Query<UsageOptions>,
) -> Result<Json<UsageList>, Problem> {
    let read = state.control.usage(&principal, options.days()?).await?;
    usage_page(options, read)
}

/// Returns the usage of all tenants by tenant and day.
#[utoipa::path(
    get,
    path = "/api/v1/admin/usage",
    operation_id = "listAllUsage",
    tag = "Administration",
    responses((status = 200, description = "The usage.", body = UsageList)),
    extensions(
        ("x-problems" = json!(["admin", "query", "store"])),
        ("x-parameters" = json!(["days", "limit", "cursor"]))
    )
)]
pub(in super::super) async fn all_usage(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Query(options): Query<UsageOptions>,
) -> Result<Json<UsageList>, Problem> {
    let read = state.control.all_usage(&admin, options.days()?).await?;
    usage_page(options, read)
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct AuditList {
    /// The audit events, newest first.
    entries: Vec<AuditEventView>,
    /// The cursor of the next page; null on the last page.
    next: Option<String>,
    /// Entries that cannot be read; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<DamagedRow>,
}

fn audit_page(limit: u32, read: Readable<AuditEntry>) -> Json<AuditList> {
    let Readable { rows, damaged } = read;
    // A damaged entry takes a place in the page, too. The page after a full last page is empty.
    let full = rows.len() + damaged.len() >= limit as usize;
    let oldest = rows.iter().map(|entry| entry.seq).chain(damaged.iter().filter_map(|row| row.number)).min();
    let next = oldest.filter(|oldest| full && *oldest > 1).map(|oldest| cursor(&oldest));
    Json(AuditList { entries: rows.iter().map(AuditEventView::from).collect(), next, damaged })
}

/// Lists the audit events of the tenant, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    operation_id = "listAuditEvents",
    tag = "Tenant",
    responses((status = 200, description = "The audit events.", body = AuditList)),
    extensions(
        ("x-problems" = json!(["tenant", "manage", "query", "store"])),
        ("x-parameters" = json!(["limit", "cursor"]))
    )
)]
pub(in super::super) async fn audit(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Query(options): Query<PageOptions>,
) -> Result<Json<AuditList>, Problem> {
    let limit = options.limit()?;
    Ok(audit_page(limit, state.control.audit(&principal, options.after()?, limit).await?))
}

/// Lists the audit events of all tenants, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/admin/audit",
    operation_id = "listAllAuditEvents",
    tag = "Administration",
    responses((status = 200, description = "The audit events.", body = AuditList)),
    extensions(
        ("x-problems" = json!(["admin", "query", "store"])),
        ("x-parameters" = json!(["limit", "cursor"]))
    )
)]
pub(in super::super) async fn all_audit(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Query(options): Query<PageOptions>,
) -> Result<Json<AuditList>, Problem> {
    let limit = options.limit()?;
    Ok(audit_page(limit, state.control.all_audit(&admin, options.after()?, limit).await?))
}

/// A page of damaged rows.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct DamagedRowList {
    /// The damaged rows, by table.
    rows: Vec<DamagedRow>,
    /// The cursor of the next page; null on the last page.
    next: Option<String>,
}

/// Lists the damaged rows of the store.
///
/// A damaged row makes one revision, route, tenant, key, day of usage or audit entry unavailable, and nothing else. A row
/// leaves the list when it is replaced (update the tenant, promote a revision) or deleted (the deployment, the tenant,
/// the key).
#[utoipa::path(
    get,
    path = "/api/v1/admin/quarantine",
    operation_id = "listDamagedRows",
    tag = "Administration",
    responses((status = 200, description = "The damaged rows.", body = DamagedRowList)),
    extensions(
        ("x-problems" = json!(["admin", "query"])),
        ("x-parameters" = json!(["limit", "cursor"]))
    )
)]
pub(in super::super) async fn quarantine(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    Query(options): Query<PageOptions>,
) -> Result<Json<DamagedRowList>, Problem> {
    // The place in the list makes the keys of rows unique whose identifying members are damaged.
    let key = |(at, row): &(usize, DamagedRow)| {
        let DamagedRow { table, tenant, deployment, key, number, .. } = row;
        let (tenant, deployment) =
            (tenant.as_ref().map(ToString::to_string), deployment.as_ref().map(ToString::to_string));
        (table.as_str().to_owned(), tenant, deployment, key.clone(), *number, *at)
    };
    let mut rows: Vec<_> = state.control.damaged_rows(&admin).into_iter().enumerate().collect();
    rows.sort_by_key(key);
    let (rows, next) = options.page(rows, key)?;
    Ok(Json(DamagedRowList { rows: rows.into_iter().map(|(_, row)| row).collect(), next }))
}

/// Streams the audit events of the tenant.
///
/// Server-sent events: `audit` with an audit event, whose id is its `seq`; and `gap` with `after` and `before`, if the
/// events between these two numbers are no longer kept: `GET /api/v1/audit` has them. The stream begins now, or after
/// the event that `Last-Event-ID` names. The server keeps the newest 1024 events, until it restarts.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    operation_id = "streamAuditEvents",
    tag = "Tenant",
    responses((status = 200, description = "The events.", body = String, content_type = "text/event-stream")),
    extensions(
        ("x-problems" = json!(["tenant", "manage", "header", "events"])),
        ("x-parameters" = json!(["last_event_id"]))
    )
)]
pub(in super::super) async fn events(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(stream(state.control.subscribe(&principal, last_event_id(&headers)?)?))
}

/// Streams the audit events of all tenants, as `GET /api/v1/events`.
#[utoipa::path(
    get,
    path = "/api/v1/admin/events",
    operation_id = "streamAllAuditEvents",
    tag = "Administration",
    responses((status = 200, description = "The events.", body = String, content_type = "text/event-stream")),
    extensions(
        ("x-problems" = json!(["admin", "header", "events"])),
        ("x-parameters" = json!(["last_event_id"]))
    )
)]
pub(in super::super) async fn all_events(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(stream(state.control.subscribe_all(&admin, last_event_id(&headers)?)?))
}

/// Returns the number in `Last-Event-ID`. An empty header is that of a client without an event.
pub(in super::super) fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| {
        option_invalid("`Last-Event-ID` is not the id of an event: send the id of the last event, a number.")
    })
}

fn stream(events: AuditEventStream) -> Response {
    let events = futures::stream::unfold(events, async |mut events| {
        let event = match events.next().await? {
            Ok(entry) => Event::default()
                .event("audit")
                .id(entry.seq.to_string())
                .data(json!(AuditEventView::from(&*entry)).to_string()),
            // The id is that of the last event of the gap, so that a reconnected client continues after it.
            Err(gap) => Event::default()
                .event("gap")
                .id(gap.before.saturating_sub(1).to_string())
                .data(json!({ "after": gap.after, "before": gap.before }).to_string()),
        };
        Some((Ok::<_, std::convert::Infallible>(event), events))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// The background tasks.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct BackgroundTaskList {
    background_tasks: Vec<BackgroundTaskStatus>,
}

/// Lists the background tasks and their last runs.
#[utoipa::path(
    get,
    path = "/api/v1/admin/background-tasks",
    operation_id = "listBackgroundTasks",
    tag = "Administration",
    responses((status = 200, description = "The tasks.", body = BackgroundTaskList)),
    extensions(
        ("x-problems" = json!(["admin"]))
    )
)]
pub(in super::super) async fn background_tasks(
    State(state): State<AppState>,
    AdminCtx(admin): AdminCtx,
) -> Json<BackgroundTaskList> {
    Json(BackgroundTaskList { background_tasks: state.control.background_task_status(&admin) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_last_event_id_is_a_number() {
        let check = |value: Option<&str>, expect: Result<Option<u64>, ()>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert("last-event-id", value.parse().unwrap());
            }
            assert_eq!(last_event_id(&headers).map_err(|_| ()), expect, "{value:?}");
        };
        check(None, Ok(None));
        check(Some(""), Ok(None));
        check(Some("17"), Ok(Some(17)));
        check(Some("-1"), Err(()));
        check(Some("x"), Err(()));
    }
}
