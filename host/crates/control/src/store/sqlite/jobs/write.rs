//! Writes of jobs, documents, pages and events.

use std::collections::BTreeSet;

use lector_core::TenantName;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::errors::{failed, wrote};
use super::read;
use crate::digest::Digest;
use crate::store::StoreError;
use crate::store::jobs::{
    Added, ClaimRef, Deleted, DocumentEnd, JobId, JobState, NewJob, NewJobDocument, NewPage, PageStored,
    ROW_BYTES,
};
use crate::store::sqlite::write_error;

/// Selects whether a job of a tenant exists, and whether it is finished.
const POSITION: &str =
    "SELECT seq, finished_at_ms IS NOT NULL FROM jobs WHERE id = ?1 AND tenant = ?2 AND seq >= 0";
/// Counts the unfinished jobs of a tenant.
const UNFINISHED: &str = "SELECT count(*) FROM jobs WHERE tenant = ?1 AND finished_at_ms IS NULL";
/// Adds the delivery about the end of a job. Its id is derived from that of the job.
const ADD_DELIVERY: &str =
    "INSERT INTO deliveries (id, job, tenant, url, state, created_at_ms, next_at_ms)
     SELECT 'msg_' || substr(id, 5), id, tenant, webhook, ?2, ?3, ?3 FROM jobs WHERE seq = ?1 AND webhook IS NOT NULL";
/// Deletes the delivery about a job if it has ended: by its own id, which is indexed.
const DELETE_DELIVERY: &str = "DELETE FROM deliveries WHERE id = (SELECT 'msg_' || substr(id, 5) FROM jobs WHERE seq = ?1) AND next_at_ms IS NULL";
/// Selects jobs whose retention is over.
const EXPIRED: &str =
    "SELECT seq FROM jobs WHERE expires_at_ms <= ?1 AND seq >= 0 ORDER BY expires_at_ms LIMIT ?2";
/// Selects the first job of a tenant.
const FIRST: &str = "SELECT seq, id FROM jobs WHERE tenant = ?1 AND seq >= 0 ORDER BY seq LIMIT 1";
/// Statements that search by more than the key of a row, while no other write can begin.
#[cfg(test)]
pub(super) const SEARCHES: [&str; 6] = [POSITION, UNFINISHED, ADD_DELIVERY, DELETE_DELIVERY, EXPIRED, FIRST];

/// Blobs of deleted jobs after which a transaction that deletes several jobs ends, so that others come between.
const DELETED_BLOBS: usize = 1024;

/// Returns the next number of the counter that orders claims. Damage of the counter is that of no job.
pub(super) fn next_number(transaction: &Transaction<'_>) -> Result<u64, StoreError> {
    let sql = "UPDATE meta SET value = value + 1 WHERE name = 'claims' RETURNING value";
    let next = transaction.query_row(sql, [], |row| row.get(0));
    next.map_err(|error| write_error::wrote("the counter of claims", error))
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
    let unfinished = transaction.query_row(UNFINISHED, [tenant], |row| row.get(0));
    let unfinished = unfinished.map_err(failed("the jobs of a tenant"))?;
    if unfinished >= job.limits.unfinished {
        return Ok(Added::TooMany(unfinished));
    }
    let documents = job.documents.iter().map(|document| document.bytes.saturating_add(ROW_BYTES));
    let own = documents.fold(ROW_BYTES + job.spec.len() as u64, u64::saturating_add);
    let bytes = read::kept(transaction, &job.tenant)?.saturating_add(own);
    if bytes > job.limits.bytes {
        return Ok(Added::TooManyBytes(bytes));
    }
    let claimed = next_number(transaction)?;
    insert(transaction, job, claimed, own).map_err(|error| wrote("a job", error))?;
    Ok(Added::New)
}

fn insert(transaction: &Transaction<'_>, job: &NewJob, claimed: u64, bytes: u64) -> rusqlite::Result<()> {
    let (key, request) = job.idempotency.as_ref().map(|(key, request)| (key, request)).unzip();
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
            bytes,
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
) -> Result<PageStored, StoreError> {
    let seq = held(transaction, claim)?;
    let at = params![seq, claim.document, page.index];
    let known = || -> rusqlite::Result<(bool, String)> {
        let sql = "SELECT EXISTS (SELECT 1 FROM pages WHERE job = ?1 AND document = ?2 AND page = ?3), tenant FROM jobs
                   WHERE seq = ?1";
        transaction.prepare(sql)?.query_row(at, |row| Ok((row.get(0)?, row.get(1)?)))
    };
    let (known, tenant) = known().map_err(failed("a page of a job"))?;
    if known {
        return Ok(PageStored::Known);
    }
    let length = page.result.len() as u64;
    let own = length.saturating_add(ROW_BYTES);
    let kept = read::kept(transaction, &tenant.into())?.saturating_add(own);
    if kept > page.tenant_bytes_max {
        return Ok(PageStored::TooManyBytes(kept));
    }
    let write = || -> rusqlite::Result<()> {
        transaction.prepare("INSERT INTO pages VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
            seq,
            claim.document,
            page.index,
            page.ok,
            digest.as_str(),
            length
        ])?;
        transaction
            .prepare(
                "UPDATE documents SET pages_ok = pages_ok + ?3, pages_failed = pages_failed + ?4, attempts = 0
                 WHERE job = ?1 AND number = ?2",
            )?
            .execute(params![seq, claim.document, u32::from(page.ok), u32::from(!page.ok)])?;
        transaction
            .prepare("UPDATE jobs SET bytes = bytes + ?2 WHERE seq = ?1")?
            .execute(params![seq, own])?;
        event(transaction, seq, now_ms, if page.ok { "page" } else { "page_error" }, &page.event)
    };
    write().map_err(|error| wrote("a page of a job", error))?;
    Ok(PageStored::New)
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
        // Its summary.
        let bytes = "UPDATE jobs SET bytes = bytes + ?2 WHERE seq = ?1";
        transaction.execute(bytes, params![seq, end.ended.len() as u64])?;
        let (name, data) = &end.event;
        event(transaction, seq, end.now_ms, name, data)?;
        let (waiting, failed): (u64, u64) = transaction.query_row(
            "SELECT count(*) - count(ended), sum(failed) FROM documents WHERE job = ?1",
            [seq],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if waiting == 0 {
            let state = if failed == 0 { JobState::Succeeded } else { JobState::Failed };
            end_job(transaction, seq, state, end.now_ms)?;
        }
        Ok(())
    };
    write().map_err(|error| wrote("a document of a job", error))
}

/// Ends a job, and adds the message about it.
pub(super) fn finish(
    transaction: &Transaction<'_>,
    job: u64,
    state: JobState,
    now_ms: u64,
) -> Result<(), StoreError> {
    end_job(transaction, job, state, now_ms).map_err(|error| wrote("the end of a job", error))
}

fn end_job(transaction: &Transaction<'_>, job: u64, state: JobState, now_ms: u64) -> rusqlite::Result<()> {
    transaction.execute(
        "UPDATE jobs SET state = ?2, finished_at_ms = ?3, expires_at_ms = ?3 + retention_ms, claim = NULL,
             claim_until_ms = NULL WHERE seq = ?1",
        params![job, state.as_str(), now_ms],
    )?;
    event(transaction, job, now_ms, "end", &format!("{{\"state\":\"{}\"}}", state.as_str()))?;
    transaction.execute(ADD_DELIVERY, params![job, state.as_str(), now_ms])?;
    Ok(())
}

/// What a deletion returns, and the blobs that the deleted rows named.
type DeletedWith<T> = (T, BTreeSet<Digest>);

/// Returns the position of a job of a tenant, and whether it is finished.
pub(super) fn position(
    connection: &Connection,
    tenant: &TenantName,
    id: &JobId,
) -> Result<Option<(u64, bool)>, StoreError> {
    let given = [id.as_str(), tenant.as_str()];
    let found = connection.query_row(POSITION, given, |row| Ok((row.get(0)?, row.get(1)?)));
    found.optional().map_err(failed("a job"))
}

/// Deletes a job in any state.
pub(super) fn forget(transaction: &Transaction<'_>, seq: u64) -> Result<DeletedWith<Deleted>, StoreError> {
    let digests = read::blobs_of(transaction, seq)?;
    remove(transaction, seq)?;
    Ok((Deleted::Forgotten, digests))
}

pub(super) fn expire(
    transaction: &Transaction<'_>,
    now_ms: u64,
    limit: u32,
) -> Result<DeletedWith<u64>, StoreError> {
    let due = || -> rusqlite::Result<Vec<u64>> {
        transaction.prepare(EXPIRED)?.query_map(params![now_ms, limit], |row| row.get(0))?.collect()
    };
    let due = due().map_err(failed("expired jobs"))?;
    let (mut gone, mut digests) = (0, BTreeSet::new());
    for seq in due {
        digests.extend(read::blobs_of(transaction, seq)?);
        remove(transaction, seq)?;
        gone += 1;
        if digests.len() >= DELETED_BLOBS {
            break;
        }
    }
    Ok((gone, digests))
}

/// Deletes a job with its rows, and its delivery if that has ended; otherwise the end of the delivery deletes it.
fn remove(transaction: &Transaction<'_>, seq: u64) -> Result<(), StoreError> {
    let write = || -> rusqlite::Result<()> {
        transaction.execute(DELETE_DELIVERY, [seq])?;
        transaction.execute("DELETE FROM jobs WHERE seq = ?1", [seq])?;
        Ok(())
    };
    write().map_err(|error| wrote("a deletion of a job", error))
}

/// Deletes jobs of a tenant in any state; with the last one the other rows of the tenant. A job whose id is damaged is
/// deleted with the others, and has no name in the answer.
pub(super) fn forget_tenant(
    transaction: &Transaction<'_>,
    tenant: &TenantName,
    limit: u32,
) -> Result<DeletedWith<Vec<JobId>>, StoreError> {
    let name = tenant.as_str();
    let next = || -> rusqlite::Result<Option<(u64, Option<JobId>)>> {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, read::parsed(row, 1, JobId::parse).ok()));
        transaction.prepare(FIRST)?.query_row([name], row).optional()
    };
    let (mut gone, mut digests) = (Vec::new(), BTreeSet::new());
    while gone.len() < limit as usize && (gone.is_empty() || digests.len() < DELETED_BLOBS) {
        let Some((seq, id)) = next().map_err(failed("the jobs of a tenant"))? else {
            for table in ["deliveries", "secrets", "tenants", "tallies"] {
                let deleted = transaction.execute(&format!("DELETE FROM {table} WHERE tenant = ?1"), [name]);
                deleted.map_err(|error| wrote("the rows of a tenant", error))?;
            }
            break;
        };
        digests.extend(read::blobs_of(transaction, seq)?);
        remove(transaction, seq)?;
        gone.extend(id);
    }
    Ok((gone, digests))
}
