//! The queue: claims, their renewal and their end.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::read::{self, failed, parsed};
use super::write::{self, event, held};
use crate::store::StoreError;
use crate::store::jobs::{Claim, ClaimQuery, ClaimRef, JobId, JobState, Release};
use crate::store::sqlite::write_error::wrote;

/// Selects the job to claim next: see [`JobStore::claim`](crate::store::jobs::JobStore::claim).
const NEXT: &str = "SELECT j.id FROM jobs j LEFT JOIN tenants t ON t.tenant = j.tenant
     WHERE j.finished_at_ms IS NULL AND j.not_before_ms <= ?1 AND (j.claim IS NULL OR j.claim_until_ms <= ?1)
     AND (SELECT count(*) FROM jobs c WHERE c.tenant = j.tenant AND c.claim IS NOT NULL AND c.claim_until_ms > ?1) < ?2
     ORDER BY (SELECT count(*) FROM jobs c WHERE c.tenant = j.tenant AND c.claim IS NOT NULL AND c.claim_until_ms > ?1),
         ifnull(t.claimed, 0), j.tenant, j.priority DESC, j.claimed, j.seq LIMIT 1";

pub(super) fn claim(transaction: &Transaction<'_>, query: &ClaimQuery) -> Result<Option<Claim>, StoreError> {
    let next = || -> rusqlite::Result<Option<JobId>> {
        let mut statement = transaction.prepare(NEXT)?;
        let limits = params![query.now_ms, query.tenant_claims_max];
        statement.query_row(limits, |row| parsed(row, 0, JobId::parse)).optional()
    };
    let Some(id) = next().map_err(failed("the queue of jobs"))? else { return Ok(None) };
    let Some(job) = read::job(transaction, &id)? else { return Ok(None) };
    // A job without an unfinished document is finished.
    let Some(number) = job.documents.iter().find(|of| of.ended.is_none()).map(|of| of.number) else {
        return Ok(None);
    };
    let take = || -> rusqlite::Result<()> {
        let claimed = write::next_number(transaction)?;
        transaction.execute(
            "UPDATE jobs SET claim = ?2, claim_until_ms = ?3, claimed = ?4, state = ?5, started_at_ms = ifnull(started_at_ms, ?6)
             WHERE seq = ?1",
            params![job.seq, query.token, query.until_ms, claimed, JobState::Running.as_str(), query.now_ms],
        )?;
        transaction.execute(
            "INSERT INTO tenants VALUES (?1, ?2) ON CONFLICT DO UPDATE SET claimed = excluded.claimed",
            params![job.tenant.as_str(), claimed],
        )?;
        transaction.execute(
            "UPDATE documents SET attempts = attempts + 1 WHERE job = ?1 AND number = ?2",
            params![job.seq, number],
        )?;
        if job.state == JobState::Queued {
            event(transaction, job.seq, query.now_ms, "running", "{}")?;
        }
        Ok(())
    };
    take().map_err(|error| wrote("a claim of a job", error))?;
    let done = read::done(transaction, job.seq, number)?;
    let job = read::job(transaction, &id)?;
    Ok(job.map(|job| Claim { token: query.token.clone(), job, document: number, done }))
}

pub(super) fn renew(
    transaction: &Transaction<'_>,
    job: &JobId,
    token: &str,
    until_ms: u64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE jobs SET claim_until_ms = ?3 WHERE id = ?1 AND claim = ?2";
    let changed = transaction.execute(sql, params![job.as_str(), token, until_ms]);
    Ok(changed.map_err(|error| wrote("a claim of a job", error))? > 0)
}

pub(super) fn release(
    transaction: &Transaction<'_>,
    claim: &ClaimRef,
    release: &Release,
) -> Result<(), StoreError> {
    let seq = held(transaction, claim)?;
    let write = || -> rusqlite::Result<()> {
        transaction.execute(
            "UPDATE jobs SET claim = NULL, claim_until_ms = NULL, not_before_ms = ?2 WHERE seq = ?1",
            params![seq, release.not_before_ms],
        )?;
        transaction.execute(
            "UPDATE documents SET attempts = max(0, attempts - ?3), last_fault = ifnull(?4, last_fault)
             WHERE job = ?1 AND number = ?2",
            params![seq, claim.document, u32::from(!release.attempted), release.fault],
        )?;
        Ok(())
    };
    write().map_err(|error| wrote("a claim of a job", error))
}

/// Returns the time of the next job or delivery.
pub(super) fn next_due(connection: &Connection) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT min(at) FROM (
         SELECT min(max(not_before_ms, ifnull(claim_until_ms, 0))) AS at FROM jobs WHERE finished_at_ms IS NULL
         UNION ALL SELECT min(next_at_ms) FROM deliveries)";
    connection.query_row(sql, [], |row| row.get(0)).map_err(failed("the queue of jobs"))
}
