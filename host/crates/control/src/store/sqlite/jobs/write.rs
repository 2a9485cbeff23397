//! Writes of jobs, documents, pages and events.

use std::collections::BTreeSet;

use lector_core::TenantName;
use rusqlite::{OptionalExtension, Transaction, params};

use super::read::{self, failed};
use crate::digest::Digest;
use crate::store::StoreError;
use crate::store::jobs::{
    Added, ClaimRef, Deleted, DocumentEnd, JobId, JobRow, JobState, NewJob, NewJobDocument, NewPage,
};
use crate::store::sqlite::write_error::wrote;

/// Returns the next number of the counter that orders claims.
pub(super) fn next_number(transaction: &Transaction<'_>) -> rusqlite::Result<u64> {
    let sql = "UPDATE meta SET value = value + 1 WHERE name = 'claims' RETURNING value";
    transaction.query_row(sql, [], |row| row.get(0))
}

/// Returns the position of the job if the claim has not ended. A claim whose time is over holds until another one
/// begins: no other claim works on the job.
pub(super) fn held(transaction: &Transaction<'_>, claim: &ClaimRef) -> Result<u64, StoreError> {
    let sql = "SELECT seq FROM jobs WHERE id = ?1 AND claim = ?2";
    let seq = transaction.prepare(sql).and_then(|mut statement| {
        statement.query_row(params![claim.job.as_str(), claim.token], |row| row.get(0)).optional()
    });
    let ended = || StoreError::Conflict { what: format!("the claim on {}", claim.job) };
    seq.map_err(failed("a claim of a job"))?.ok_or_else(ended)
}

/// Appends an event to a job.
pub(super) fn event(
    transaction: &Transaction<'_>,
    job: u64,
    at_ms: u64,
    name: &str,
    data: &str,
) -> rusqlite::Result<()> {
    let seq: u64 = transaction
        .prepare("UPDATE jobs SET events = events + 1 WHERE seq = ?1 RETURNING events")?
        .query_row([job], |row| row.get(0))?;
    transaction
        .prepare("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![job, seq, name, at_ms, data])?;
    Ok(())
}

pub(super) fn add(transaction: &Transaction<'_>, job: &NewJob) -> Result<Added, StoreError> {
    let tenant = job.tenant.as_str();
    if let Some((key, request)) = &job.idempotency {
        let sql = "SELECT id, request FROM jobs WHERE tenant = ?1 AND idempotency = ?2";
        let row = |row: &rusqlite::Row<'_>| Ok((read::parsed(row, 0, JobId::parse)?, row.get(1)?));
        let known: Option<(JobId, String)> = transaction
            .query_row(sql, params![tenant, key], row)
            .optional()
            .map_err(failed("an idempotency key"))?;
        match known {
            Some((id, known)) if known == *request => return Ok(Added::Same(id)),
            Some((id, _)) => return Ok(Added::Other(id)),
            None => {}
        }
    }
    let own = || -> rusqlite::Result<(u64, u64)> {
        let unfinished = "SELECT count(*) FROM jobs WHERE tenant = ?1 AND finished_at_ms IS NULL";
        let bytes = "SELECT ifnull(sum(bytes), 0) FROM jobs WHERE tenant = ?1";
        Ok((
            transaction.query_row(unfinished, [tenant], |row| row.get(0))?,
            transaction.query_row(bytes, [tenant], |row| row.get(0))?,
        ))
    };
    let (unfinished, bytes) = own().map_err(failed("the jobs of a tenant"))?;
    if unfinished >= job.limits.unfinished {
        return Ok(Added::TooMany(unfinished));
    }
    let inputs: u64 = job.documents.iter().map(|document| document.bytes).sum();
    let bytes = bytes.saturating_add(inputs);
    if bytes > job.limits.bytes {
        return Ok(Added::TooManyBytes(bytes));
    }
    insert(transaction, job, inputs).map_err(|error| wrote("a job", error))?;
    Ok(Added::New)
}

fn insert(transaction: &Transaction<'_>, job: &NewJob, inputs: u64) -> rusqlite::Result<()> {
    let (key, request) = job.idempotency.as_ref().map(|(key, request)| (key, request)).unzip();
    let claimed = next_number(transaction)?;
    transaction.execute(
        "INSERT INTO jobs (id, tenant, state, priority, created_at_ms, retention_ms, spec, idempotency, request, webhook,
             not_before_ms, claimed, events, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, 0, ?12)",
        params![
            job.id.as_str(),
            job.tenant.as_str(),
            JobState::Queued.as_str(),
            job.priority,
            job.created_at_ms,
            job.retention_ms,
            job.spec,
            key,
            request,
            job.webhook,
            claimed,
            inputs,
        ],
    )?;
    let seq = transaction.last_insert_rowid() as u64;
    for (number, document) in job.documents.iter().enumerate() {
        let NewJobDocument { name, content_type, digest, bytes } = document;
        transaction.execute(
            "INSERT INTO documents (job, number, name, content_type, digest, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![seq, number as u64, name, content_type, digest.as_str(), bytes],
        )?;
    }
    event(transaction, seq, job.created_at_ms, "queued", "{}")
}

pub(super) fn opened(
    transaction: &Transaction<'_>,
    claim: &ClaimRef,
    now_ms: u64,
    opened: &str,
    data: String,
) -> Result<(), StoreError> {
    let seq = held(transaction, claim)?;
    let write = || -> rusqlite::Result<()> {
        let changed = transaction.execute(
            "UPDATE documents SET opened = ?3 WHERE job = ?1 AND number = ?2 AND opened IS NULL",
            params![seq, claim.document, opened],
        )?;
        if changed > 0 {
            event(transaction, seq, now_ms, "document", &data)?;
        }
        Ok(())
    };
    write().map_err(|error| wrote("a document of a job", error))
}

pub(super) fn page(
    transaction: &Transaction<'_>,
    claim: &ClaimRef,
    now_ms: u64,
    page: &NewPage,
    digest: &Digest,
) -> Result<bool, StoreError> {
    let seq = held(transaction, claim)?;
    let bytes = page.result.len() as u64;
    let write = || -> rusqlite::Result<bool> {
        let new = transaction
            .prepare("INSERT OR IGNORE INTO pages VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![seq, claim.document, page.index, page.ok, digest.as_str(), bytes])?;
        if new == 0 {
            return Ok(false);
        }
        transaction
            .prepare(
                "UPDATE documents SET pages_ok = pages_ok + ?3, pages_failed = pages_failed + ?4, attempts = 0
                 WHERE job = ?1 AND number = ?2",
            )?
            .execute(params![seq, claim.document, u32::from(page.ok), u32::from(!page.ok)])?;
        transaction
            .prepare("UPDATE jobs SET bytes = bytes + ?2 WHERE seq = ?1")?
            .execute(params![seq, bytes])?;
        event(transaction, seq, now_ms, if page.ok { "page" } else { "page_error" }, &page.event)?;
        Ok(true)
    };
    write().map_err(|error| wrote("a page of a job", error))
}

pub(super) fn end_document(
    transaction: &Transaction<'_>,
    claim: &ClaimRef,
    end: &DocumentEnd,
) -> Result<(), StoreError> {
    let seq = held(transaction, claim)?;
    let write = || -> rusqlite::Result<()> {
        transaction.execute(
            "UPDATE documents SET ended = ?3, failed = ?4 WHERE job = ?1 AND number = ?2",
            params![seq, claim.document, end.ended, end.failed],
        )?;
        let (name, data) = &end.event;
        event(transaction, seq, end.now_ms, name, data)?;
        let (waiting, failed): (u64, u64) = transaction.query_row(
            "SELECT count(*) - count(ended), sum(failed) FROM documents WHERE job = ?1",
            [seq],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if waiting == 0 {
            let state = if failed == 0 { JobState::Succeeded } else { JobState::Failed };
            finish(transaction, seq, state, end.now_ms)?;
        }
        Ok(())
    };
    write().map_err(|error| wrote("a document of a job", error))
}

/// Ends a job, and adds the message about it.
fn finish(transaction: &Transaction<'_>, job: u64, state: JobState, now_ms: u64) -> rusqlite::Result<()> {
    transaction.execute(
        "UPDATE jobs SET state = ?2, finished_at_ms = ?3, expires_at_ms = ?3 + retention_ms, claim = NULL,
             claim_until_ms = NULL WHERE seq = ?1",
        params![job, state.as_str(), now_ms],
    )?;
    event(transaction, job, now_ms, "end", &format!("{{\"state\":\"{}\"}}", state.as_str()))?;
    transaction.execute(
        "INSERT INTO deliveries (id, job, tenant, url, state, created_at_ms, next_at_ms)
         SELECT 'msg_' || substr(id, 5), id, tenant, webhook, ?2, ?3, ?3 FROM jobs WHERE seq = ?1 AND webhook IS NOT NULL",
        params![job, state.as_str(), now_ms],
    )?;
    Ok(())
}

type DeletedWith<T> = (T, BTreeSet<Digest>);

pub(super) fn delete(
    transaction: &Transaction<'_>,
    id: &JobId,
    now_ms: u64,
) -> Result<DeletedWith<Option<Deleted>>, StoreError> {
    let Some(JobRow { seq, state, .. }) = read::job(transaction, id)? else {
        return Ok((None, BTreeSet::new()));
    };
    if !state.is_finished() {
        finish(transaction, seq, JobState::Canceled, now_ms).map_err(|error| wrote("a job", error))?;
        return Ok((Some(Deleted::Canceled), BTreeSet::new()));
    }
    let digests = read::blobs_of(transaction, seq)?;
    remove(transaction, seq)?;
    Ok((Some(Deleted::Forgotten), digests))
}

pub(super) fn expire(
    transaction: &Transaction<'_>,
    now_ms: u64,
    limit: u32,
) -> Result<DeletedWith<u64>, StoreError> {
    let due = || -> rusqlite::Result<Vec<u64>> {
        let sql = "SELECT seq FROM jobs WHERE expires_at_ms <= ?1 ORDER BY expires_at_ms LIMIT ?2";
        transaction.prepare(sql)?.query_map(params![now_ms, limit], |row| row.get(0))?.collect()
    };
    let due = due().map_err(failed("expired jobs"))?;
    let mut digests = BTreeSet::new();
    let ended = "DELETE FROM deliveries WHERE next_at_ms IS NULL AND job NOT IN (SELECT id FROM jobs)";
    transaction.execute(ended, []).map_err(|error| wrote("webhook deliveries", error))?;
    for seq in &due {
        digests.extend(read::blobs_of(transaction, *seq)?);
        remove(transaction, *seq)?;
    }
    Ok((due.len() as u64, digests))
}

/// Deletes a job with its rows, and its delivery if that has ended.
fn remove(transaction: &Transaction<'_>, seq: u64) -> Result<(), StoreError> {
    let write = || -> rusqlite::Result<()> {
        transaction.execute(
            "DELETE FROM deliveries WHERE job = (SELECT id FROM jobs WHERE seq = ?1) AND next_at_ms IS NULL",
            [seq],
        )?;
        transaction.execute("DELETE FROM jobs WHERE seq = ?1", [seq])?;
        Ok(())
    };
    write().map_err(|error| wrote("a deletion of a job", error))
}

/// Deletes jobs of a tenant in any state; with the last one the other rows of the tenant.
pub(super) fn forget_tenant(
    transaction: &Transaction<'_>,
    tenant: &TenantName,
    limit: u32,
) -> Result<DeletedWith<Vec<JobId>>, StoreError> {
    let tenant = tenant.as_str();
    let jobs = || -> rusqlite::Result<Vec<(u64, JobId)>> {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, read::parsed(row, 1, JobId::parse)?));
        let sql = "SELECT seq, id FROM jobs WHERE tenant = ?1 ORDER BY seq LIMIT ?2";
        transaction.prepare(sql)?.query_map(params![tenant, limit], row)?.collect()
    };
    let jobs = jobs().map_err(failed("the jobs of a tenant"))?;
    let mut digests = BTreeSet::new();
    for (seq, _) in &jobs {
        digests.extend(read::blobs_of(transaction, *seq)?);
        remove(transaction, *seq)?;
    }
    if jobs.len() < limit as usize {
        for table in ["deliveries", "secrets", "tenants"] {
            let deleted = transaction.execute(&format!("DELETE FROM {table} WHERE tenant = ?1"), [tenant]);
            deleted.map_err(|error| wrote("the rows of a tenant", error))?;
        }
    }
    Ok((jobs.into_iter().map(|(_, id)| id).collect(), digests))
}
