//! Webhooks: a message about the end of each job that names a URL, in the form of Standard Webhooks.
//!
//! Owns the messages, their attempts with backoff, and the secrets. A message is sent at least once; its id is the same
//! for every attempt. The [`WebhookTransport`](crate::WebhookTransport) sends one attempt, follows no redirect, and checks the address that it
//! connects to.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lector_control::Principal;
use lector_control::store::jobs::{DeliveryAttempt, DeliveryQuery, DeliveryRow, JobState, Listed};
use lector_core::Fault;
use serde_json::json;

use crate::faults;
use crate::service::Jobs;
use crate::signature::{new_secret, sign};
use crate::transport::WebhookRequest;

/// Deliveries that are read at once, and attempts at once.
const DUE_READ: u32 = 64;
const ATTEMPTS_AT_ONCE: usize = 8;
/// Wait after the first failed attempt; each later wait is four times the one before, up to the longest.
const BACKOFF_MIN: Duration = Duration::from_secs(5);
const BACKOFF_MAX: Duration = Duration::from_secs(6 * 3600);
/// Most bytes of an error in the store.
const ERROR_BYTES_MAX: usize = 300;
/// The receiver wants no more messages at this URL.
const GONE: u16 = 410;

/// A delivery, as callers see it.
pub type DeliveryView = DeliveryRow;

/// Returns the wait after an attempt, from 1.
fn backoff(attempt: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(4_u32.saturating_pow(attempt.saturating_sub(1))).min(BACKOFF_MAX)
}

/// Returns the body of a message: the state, and where to read more.
fn body(row: &DeliveryRow) -> Vec<u8> {
    let at = i64::try_from(row.created_at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let state = row.state.as_str();
    json!({
        "type": format!("job.{state}"),
        "timestamp": at.map(|at| at.to_string()),
        "data": { "job": row.job, "state": state, "url": format!("/api/v1/jobs/{}", row.job) },
    })
    .to_string()
    .into_bytes()
}

fn shortened(mut text: String) -> String {
    let most = (0..=ERROR_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(most);
    text
}

impl Jobs {
    /// Sends the messages that are due.
    pub(crate) async fn deliver_due(self: &Arc<Self>) -> Result<(), Fault> {
        loop {
            let due = self.store().due_deliveries(self.clock.now_ms(), DUE_READ).await;
            let due = due.map_err(faults::stored)?;
            if due.is_empty() {
                return Ok(());
            }
            let attempts = futures::stream::iter(due).map(|row| self.attempt(row));
            let mut attempts = attempts.buffer_unordered(ATTEMPTS_AT_ONCE);
            let mut unrecorded = None;
            while let Some(recorded) = attempts.next().await {
                if let Err(fault) = recorded {
                    unrecorded.get_or_insert(fault);
                }
            }
            // What was not recorded is still due: it is sent again in the next round, and not at once.
            if let Some(fault) = unrecorded {
                return Err(fault);
            }
        }
    }

    /// Returns the message with its signature.
    async fn request(&self, row: &DeliveryRow) -> Result<WebhookRequest, Fault> {
        let (body, at_s) = (body(row), self.clock.now_ms() / 1000);
        let new = new_secret().ok_or_else(faults::no_randomness)?;
        let secrets = self.store().secrets(row.tenant.clone(), new, self.clock.now_ms()).await;
        let signature = sign(&secrets.map_err(faults::stored)?, &row.id, at_s, &body);
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", row.id.clone()),
            ("webhook-timestamp", at_s.to_string()),
            ("webhook-signature", signature),
        ];
        Ok(WebhookRequest { url: row.url.clone(), headers, body })
    }

    /// Attempts to deliver a message, and records the attempt. The fault is that of the record.
    async fn attempt(&self, row: DeliveryRow) -> Result<(), Fault> {
        let sent = match self.request(&row).await {
            Ok(request) => self.parts.webhooks.send(request).await,
            Err(fault) => Err(format!("the message was not signed: {}", fault.message)),
        };
        let number = row.attempts + 1;
        let error = match sent {
            Ok(status) if (200..300).contains(&status) => None,
            Ok(status) => Some((format!("the receiver answered with status {status}"), status == GONE)),
            Err(error) => Some((error, false)),
        };
        let attempt = match error {
            None => DeliveryAttempt { delivered: true, next_at_ms: None, error: None },
            Some((error, last)) => {
                let give_up = last || number >= self.config().webhooks.attempts_max;
                let wait_ms = backoff(number).as_millis() as u64;
                let next_at_ms = (!give_up).then(|| self.clock.now_ms().saturating_add(wait_ms));
                tracing::info!(job = %row.job, tenant = %row.tenant, attempt = number, give_up, %error, "a webhook was not delivered");
                DeliveryAttempt { delivered: false, next_at_ms, error: Some(shortened(error)) }
            }
        };
        let recorded = self.store().attempted(row.seq, attempt).await;
        recorded.map_err(faults::stored).inspect_err(|fault| {
            tracing::error!(job = %row.job, tenant = %row.tenant, %fault, "an attempt at a webhook was not recorded");
        })
    }

    /// Returns deliveries of the principal's tenant, newest first; `dead`: only those that were given up.
    pub async fn deliveries(
        &self,
        principal: &Principal,
        dead: bool,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Listed<DeliveryView>, Fault> {
        let query = DeliveryQuery { tenant: principal.tenant().clone(), dead, before, limit };
        self.store_of(principal).call(move |store| store.deliveries(query)).await
    }

    /// Returns the secret that signs the tenant's webhooks, and makes it if there is none.
    pub async fn webhook_secret(&self, principal: &Principal) -> Result<String, Fault> {
        let new = new_secret().ok_or_else(faults::no_randomness)?;
        let (tenant, now_ms) = (principal.tenant().clone(), self.clock.now_ms());
        let secrets = self.store_of(principal).call(move |store| store.secrets(tenant, new, now_ms)).await?;
        secrets.into_iter().next().ok_or_else(faults::data_damaged)
    }

    /// Makes a new secret for the tenant's webhooks; until the next rotation the former one signs, too.
    pub async fn rotate_webhook_secret(&self, principal: &Principal) -> Result<String, Fault> {
        let new = new_secret().ok_or_else(faults::no_randomness)?;
        let (tenant, secret, now_ms) = (principal.tenant().clone(), new.clone(), self.clock.now_ms());
        self.store_of(principal).call(move |store| store.rotate_secret(tenant, secret, now_ms)).await?;
        Ok(new)
    }

    /// Returns whether a delivery was given up.
    pub fn is_dead(delivery: &DeliveryView) -> bool {
        !delivery.delivered && delivery.next_at_ms.is_none() && delivery.state != JobState::Queued
    }
}
