//! Deliveries of webhooks, and the secrets that sign them.

use lector_core::TenantName;
use rusqlite::{Connection, Row, Transaction, params};

use super::errors::{failed, is_damage, wrote};
use super::read::{self, parsed};
use crate::store::StoreError;
use crate::store::jobs::{DeliveryAttempt, DeliveryQuery, DeliveryRow, JobId, JobState, Listed};

/// Secrets of a tenant that are kept: the newest, and the one before it.
const SECRETS_KEPT: u32 = 2;
/// Due deliveries of a tenant that are read at once, so that the slow receivers of one do not delay those of another.
const DUE_OF_A_TENANT: u32 = 4;
/// Deletes a delivery that has ended, if its job is deleted.
pub(super) const DELETE_ORPHAN: &str = "DELETE FROM deliveries WHERE seq = ?1 AND next_at_ms IS NULL
     AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = deliveries.job)";
/// The columns of [`row`].
const DELIVERY: &str =
    "seq, id, job, tenant, url, state, created_at_ms, attempts, next_at_ms, delivered, last_error";

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

/// Returns the query of a list, which an index answers.
pub(super) fn list_sql(dead: bool) -> String {
    let dead = if dead { "AND NOT delivered AND next_at_ms IS NULL" } else { "" };
    format!(
        "SELECT {DELIVERY} FROM deliveries WHERE tenant = ?1 AND seq < ?2 {dead} ORDER BY seq DESC LIMIT ?3"
    )
}

pub(super) fn deliveries(
    connection: &Connection,
    query: &DeliveryQuery,
) -> Result<Listed<DeliveryRow>, StoreError> {
    let read = || -> rusqlite::Result<Listed<DeliveryRow>> {
        let mut statement = connection.prepare(&list_sql(query.dead))?;
        let limit = u64::from(query.limit).saturating_add(1);
        let rows = statement.query(params![query.tenant.as_str(), read::before(query.before), limit])?;
        read::listed(rows, "webhook deliveries", query.limit, row, |_| false)
    };
    read().map_err(failed("webhook deliveries"))
}

/// Selects due deliveries by their time: for each tenant that waits for a delivery, the first ones in the index. Only the
/// rows that are returned are read.
pub(super) fn due_sql() -> String {
    format!(
        "WITH RECURSIVE waiting (tenant) AS (
             SELECT min(tenant) FROM deliveries WHERE next_at_ms IS NOT NULL
             UNION ALL SELECT (SELECT min(tenant) FROM deliveries WHERE next_at_ms IS NOT NULL AND tenant > w.tenant)
             FROM waiting w WHERE w.tenant IS NOT NULL)
         SELECT {DELIVERY} FROM deliveries WHERE seq IN (
             SELECT d.seq FROM waiting w CROSS JOIN deliveries d WHERE d.seq IN (
                 SELECT seq FROM deliveries WHERE tenant = w.tenant AND next_at_ms <= ?1 AND seq >= 0
                 ORDER BY next_at_ms LIMIT ?2)
             ORDER BY d.next_at_ms LIMIT ?3)
         ORDER BY next_at_ms"
    )
}

/// Returns due deliveries, and the positions of those that cannot be read.
pub(super) fn due(
    connection: &Connection,
    now_ms: u64,
    limit: u32,
) -> Result<(Vec<DeliveryRow>, Vec<u64>), StoreError> {
    let read = || -> rusqlite::Result<(Vec<DeliveryRow>, Vec<u64>)> {
        let mut statement = connection.prepare(&due_sql())?;
        let mut rows = statement.query(params![now_ms, DUE_OF_A_TENANT, limit])?;
        let (mut due, mut damaged) = (Vec::new(), Vec::new());
        while let Some(found) = rows.next()? {
            match row(found) {
                Ok(delivery) => due.push(delivery),
                Err(error) if is_damage(&error) => {
                    let seq: u64 = found.get(0)?;
                    tracing::error!(position = seq, %error, "a damaged webhook delivery is given up");
                    damaged.push(seq);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((due, damaged))
    };
    read().map_err(failed("webhook deliveries"))
}

/// Gives up a delivery that cannot be read.
pub(super) fn give_up(transaction: &Transaction<'_>, seq: u64) -> Result<(), StoreError> {
    let sql = "UPDATE deliveries SET next_at_ms = NULL, last_error = 'its row is damaged' WHERE seq = ?1";
    or_delete(transaction, seq, transaction.execute(sql, [seq]))
}

pub(super) fn attempted(
    transaction: &Transaction<'_>,
    seq: u64,
    attempt: &DeliveryAttempt,
) -> Result<(), StoreError> {
    let sql = "UPDATE deliveries SET attempts = attempts + 1, delivered = ?2, next_at_ms = ?3, last_error = ?4 WHERE seq = ?1";
    let DeliveryAttempt { delivered, next_at_ms, error } = attempt;
    or_delete(transaction, seq, transaction.execute(sql, params![seq, delivered, next_at_ms, error]))
}

/// Ends the write of a delivery. Deletes one whose row is so damaged that it cannot be written, because it would be due for
/// ever, and one that has ended after its job was deleted.
fn or_delete(
    transaction: &Transaction<'_>,
    seq: u64,
    written: rusqlite::Result<usize>,
) -> Result<(), StoreError> {
    let written = written.or_else(|error| match is_damage(&error) {
        true => {
            tracing::error!(position = seq, %error, "a damaged webhook delivery is deleted");
            transaction.execute("DELETE FROM deliveries WHERE seq = ?1", [seq])
        }
        false => Err(error),
    });
    let written = written.and_then(|_| transaction.execute(DELETE_ORPHAN, [seq]));
    written.map(|_| ()).map_err(|error| wrote("a webhook delivery", error))
}

fn read_secrets(transaction: &Transaction<'_>, tenant: &TenantName) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT secret FROM secrets WHERE tenant = ?1 ORDER BY seq DESC LIMIT ?2";
    let given = params![tenant.as_str(), SECRETS_KEPT];
    let read: Vec<rusqlite::Result<String>> =
        transaction.prepare(sql)?.query_map(given, |row| row.get(0))?.collect();
    // A damaged one signs no more; the other one does. Without another one it is not replaced in silence.
    if read.iter().any(Result::is_ok) {
        return Ok(read.into_iter().flatten().collect());
    }
    read.into_iter().collect()
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
