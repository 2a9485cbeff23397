//! Deliveries of webhooks, and the secrets that sign them.

use lector_core::TenantName;
use rusqlite::{Connection, Row, Transaction, params};

use super::read::{failed, parsed};
use crate::store::StoreError;
use crate::store::jobs::{DeliveryAttempt, DeliveryQuery, DeliveryRow, JobId, JobState};
use crate::store::sqlite::write_error::wrote;

/// Secrets of a tenant that are kept: the newest, and the one before it.
const SECRETS_KEPT: u32 = 2;

fn row(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    Ok(DeliveryRow {
        seq: row.get(0)?,
        id: row.get(1)?,
        job: parsed(row, 2, JobId::parse)?,
        tenant: row.get::<_, String>(3)?.into(),
        url: row.get(4)?,
        state: parsed(row, 5, JobState::parse)?,
        created_at_ms: row.get(6)?,
        attempts: row.get(7)?,
        next_at_ms: row.get(8)?,
        delivered: row.get(9)?,
        last_error: row.get(10)?,
    })
}

pub(super) fn deliveries(
    connection: &Connection,
    query: &DeliveryQuery,
) -> Result<Vec<DeliveryRow>, StoreError> {
    // Of the due ones some of each tenant, so that the slow receivers of one do not delay those of another.
    let (order, share) = match query.due_at_ms {
        Some(_) => ("next_at_ms", "WHERE nth <= 4"),
        None => ("seq DESC", ""),
    };
    let sql = format!(
        "SELECT seq, id, job, tenant, url, state, created_at_ms, attempts, next_at_ms, delivered, last_error FROM (
         SELECT *, row_number() OVER (PARTITION BY tenant ORDER BY next_at_ms) AS nth FROM deliveries
         WHERE (?1 IS NULL OR tenant = ?1) AND (NOT ?2 OR (NOT delivered AND next_at_ms IS NULL))
         AND (?3 IS NULL OR next_at_ms <= ?3) AND (?4 IS NULL OR seq < ?4)) {share} ORDER BY {order} LIMIT ?5"
    );
    let read = || -> rusqlite::Result<Vec<DeliveryRow>> {
        let tenant = query.tenant.as_ref().map(|tenant| tenant.as_str());
        let given = params![tenant, query.dead, query.due_at_ms, query.before, query.limit];
        connection.prepare(&sql)?.query_map(given, row)?.collect()
    };
    read().map_err(failed("webhook deliveries"))
}

pub(super) fn attempted(
    transaction: &Transaction<'_>,
    seq: u64,
    attempt: &DeliveryAttempt,
) -> Result<(), StoreError> {
    let sql = "UPDATE deliveries SET attempts = attempts + 1, delivered = ?2, next_at_ms = ?3, last_error = ?4 WHERE seq = ?1";
    let DeliveryAttempt { delivered, next_at_ms, error } = attempt;
    let written = transaction.execute(sql, params![seq, delivered, next_at_ms, error]);
    written.map(|_| ()).map_err(|error| wrote("a webhook delivery", error))
}

fn read_secrets(transaction: &Transaction<'_>, tenant: &TenantName) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT secret FROM secrets WHERE tenant = ?1 ORDER BY seq DESC LIMIT ?2";
    let given = params![tenant.as_str(), SECRETS_KEPT];
    transaction.prepare(sql)?.query_map(given, |row| row.get(0))?.collect()
}

pub(super) fn secrets(
    transaction: &Transaction<'_>,
    tenant: &TenantName,
    new: &str,
    now_ms: u64,
) -> Result<Vec<String>, StoreError> {
    let known = read_secrets(transaction, tenant).map_err(failed("webhook secrets"))?;
    if !known.is_empty() {
        return Ok(known);
    }
    rotate(transaction, tenant, new, now_ms)?;
    Ok(vec![new.to_owned()])
}

pub(super) fn rotate(
    transaction: &Transaction<'_>,
    tenant: &TenantName,
    new: &str,
    now_ms: u64,
) -> Result<(), StoreError> {
    let write = || -> rusqlite::Result<()> {
        transaction.execute(
            "INSERT INTO secrets SELECT ?1, ifnull(max(seq), 0) + 1, ?2, ?3 FROM secrets WHERE tenant = ?1",
            params![tenant.as_str(), new, now_ms],
        )?;
        transaction.execute(
            "DELETE FROM secrets WHERE tenant = ?1 AND seq <= (SELECT max(seq) FROM secrets WHERE tenant = ?1) - ?2",
            params![tenant.as_str(), SECRETS_KEPT],
        )?;
        Ok(())
    };
    write().map_err(|error| wrote("a webhook secret", error))
}
