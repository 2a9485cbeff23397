//! The queue: claims, their renewal and their end.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::errors::{failed, wrote};
use super::read;
use super::write::{self, event, held};
use crate::store::StoreError;
use crate::store::jobs::{Claim, ClaimQuery, ClaimRef, JobId, JobState, Release};

/// Selects the job to claim next: see [`JobStore::claim`](crate::store::jobs::JobStore::claim). The `+` keeps SQLite from a
/// search by position, which reads the finished jobs of all tenants.
pub(super) const NEXT: &str = "SELECT j.seq FROM jobs j LEFT JOIN tenants t ON t.tenant = j.tenant
     WHERE +j.seq >= 0 AND j.finished_at_ms IS NULL AND j.not_before_ms <= ?1 AND (j.claim IS NULL OR j.claim_until_ms <= ?3)
     AND (SELECT count(*) FROM jobs c WHERE c.tenant = j.tenant AND c.claim IS NOT NULL AND c.claim_until_ms > ?3) < ?2
     ORDER BY (SELECT count(*) FROM jobs c WHERE c.tenant = j.tenant AND c.claim IS NOT NULL AND c.claim_until_ms > ?3),
         ifnull(t.claimed, 0), j.tenant, j.priority DESC, j.claimed, j.seq LIMIT 1";

pub(super) fn next(connection: &Connection, query: &ClaimQuery) -> Result<Option<u64>, StoreError> {
    let limits = params![query.now_ms, query.tenant_claims_max, query.claims_now_ms];
    let next = || connection.prepare(NEXT)?.query_row(limits, |row| row.get(0)).optional();
    next().map_err(failed("the queue of jobs"))
}

/// Claims the job at a position. `None`: all its documents have ended, and it is finished now. Fails with
/// [`StoreError::Damaged`] if a row of the job cannot be read or written.
pub(super) fn claim(
    transaction: &Transaction<'_>,
    seq: u64,
    query: &ClaimQuery,
) -> Result<Option<Claim>, StoreError> {
    let job = read::job_at(transaction, seq)?;
    let Some(number) = job.documents.iter().find(|of| of.ended.is_none()).map(|of| of.number) else {
        let failed = job.documents.is_empty() || job.documents.iter().any(|of| of.failed);
        let state = if failed { JobState::Failed } else { JobState::Succeeded };
        write::finish(transaction, seq, state, query.now_ms)?;
        return Ok(None);
    };
    let claimed = write::next_number(transaction)?;
    let take = || -> rusqlite::Result<()> {
        transaction.execute(
            "UPDATE jobs SET claim = ?2, claim_until_ms = ?3, claimed = ?4, state = ?5, started_at_ms = ifnull(started_at_ms, ?6)
             WHERE seq = ?1",
            params![job.seq, query.token, query.until_ms, claimed, JobState::Running.as_str(), query.now_ms],
        )?;
        transaction.execute(
            "INSERT OR REPLACE INTO tenants VALUES (?1, ?2)",
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
    let job = read::job_at(transaction, seq)?;
    Ok(Some(Claim { token: query.token.clone(), job, document: number, done }))
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
    let sql = "SELECT max(0, min(at)) FROM (
         SELECT min(max(not_before_ms, ifnull(claim_until_ms, 0))) AS at FROM jobs WHERE finished_at_ms IS NULL
         UNION ALL SELECT min(next_at_ms) FROM deliveries WHERE next_at_ms IS NOT NULL) WHERE typeof(at) = 'integer'";
    connection.query_row(sql, [], |row| row.get(0)).map_err(failed("the queue of jobs"))
}
