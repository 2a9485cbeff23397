//! `/api/v1/webhooks`: the messages about jobs that have ended, and the secret that signs them.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use lector_jobs::{DeliveryView, Jobs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::AppState;
use super::super::auth::TenantCtx;
use super::super::extract::{Body, Query};
use super::super::json::{JsonBody, SMALL_BYTES_MAX};
use super::super::paging::{PageOptions, cursor};
use super::super::problem::Problem;
use super::timestamp;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct DeliveryOptions {
    dead: bool,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// The rotation of the secret; it has no options.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct RotateSecretBody {}

impl JsonBody for RotateSecretBody {
    const BYTES_MAX: u64 = SMALL_BYTES_MAX;
}

/// A message about a job that has ended.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct WebhookDelivery {
    /// Its id, the header `webhook-id` of every attempt.
    id: String,
    /// The job.
    job: String,
    /// The final state of the job.
    job_state: &'static str,
    /// The destination.
    url: String,
    /// `waiting`, `delivered`, or `dead`: all attempts failed, or the receiver answered 410.
    state: &'static str,
    /// Attempts so far.
    attempts: u32,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Time of the next attempt.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_at: Option<Timestamp>,
    /// The error of the last attempt.
    last_error: Option<String>,
}

impl From<&DeliveryView> for WebhookDelivery {
    fn from(row: &DeliveryView) -> Self {
        let state = match row {
            row if row.delivered => "delivered",
            row if Jobs::is_dead(row) => "dead",
            _ => "waiting",
        };
        Self {
            id: row.id.clone(),
            job: row.job.to_string(),
            job_state: row.state.as_str(),
            url: row.url.clone(),
            state,
            attempts: row.attempts,
            created_at: timestamp(row.created_at_ms),
            next_at: row.next_at_ms.map(timestamp),
            last_error: row.last_error.clone(),
        }
    }
}

/// A page of deliveries.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct WebhookDeliveryList {
    /// The deliveries, newest first.
    deliveries: Vec<WebhookDelivery>,
    /// The cursor of the next page; null on the last page.
    next: Option<String>,
}

/// Lists the webhook deliveries of the tenant, newest first; with `dead=true` those that were given up.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/deliveries",
    operation_id = "listWebhookDeliveries",
    tag = "Jobs",
    responses((status = 200, description = "The deliveries.", body = WebhookDeliveryList)),
    extensions(
        ("x-problems" = json!(["tenant", "jobs", "query", "store"])),
        ("x-parameters" = json!(["dead", "limit", "cursor"]))
    )
)]
pub(in super::super) async fn deliveries(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Query(options): Query<DeliveryOptions>,
) -> Result<Json<WebhookDeliveryList>, Problem> {
    let paging = PageOptions::new(options.limit, options.cursor);
    let limit = paging.limit()?;
    let page = state.jobs()?.deliveries(&principal, options.dead, paging.after()?, limit).await?;
    let deliveries = page.rows.iter().map(WebhookDelivery::from).collect();
    Ok(Json(WebhookDeliveryList { deliveries, next: page.next.map(|seq| cursor(&seq)) }))
}

/// The secret that signs webhooks.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct WebhookSecret {
    /// `whsec_` and base64, as Standard Webhooks defines it.
    secret: String,
}

/// Returns the secret that signs the tenant's webhooks.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/secret",
    operation_id = "getWebhookSecret",
    tag = "Jobs",
    responses((status = 200, description = "The secret.", body = WebhookSecret)),
    extensions(("x-problems" = json!(["tenant", "jobs", "manage", "store", "webhook_secret"])))
)]
pub(in super::super) async fn secret(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
) -> Result<Json<WebhookSecret>, Problem> {
    state.control.may_see_secrets(&principal)?;
    Ok(Json(WebhookSecret { secret: state.jobs()?.webhook_secret(&principal).await? }))
}

/// Makes a new secret for the tenant's webhooks. Until the next rotation messages are signed with the former one, too.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/secret",
    operation_id = "rotateWebhookSecret",
    tag = "Jobs",
    request_body = RotateSecretBody,
    responses((status = 200, description = "The new secret.", body = WebhookSecret)),
    extensions(("x-problems" = json!(["tenant", "jobs", "manage", "json", "store", "webhook_secret"])))
)]
pub(in super::super) async fn rotate(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Body(RotateSecretBody {}): Body<RotateSecretBody>,
) -> Result<Json<WebhookSecret>, Problem> {
    state.control.may_see_secrets(&principal)?;
    Ok(Json(WebhookSecret { secret: state.jobs()?.rotate_webhook_secret(&principal).await? }))
}
