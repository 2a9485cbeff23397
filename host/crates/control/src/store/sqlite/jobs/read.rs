//! Reads of jobs, documents, pages and events.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::digest::Digest;
use crate::store::StoreError;
use crate::store::jobs::{JobCounts, JobDocumentRow, JobEventRow, JobId, JobQuery, JobRow, JobState};

/// The columns of [`job_row`].
const JOB: &str =
    "seq, id, tenant, state, created_at_ms, started_at_ms, finished_at_ms, expires_at_ms, spec, events";

pub(super) fn failed(what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::Read { what, source: error.into() }
}

/// Returns the text of a column as a type that parses it.
pub(super) fn parsed<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| {
        let error = format!("`{text}` is not a value of this column");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

fn job_row(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        seq: row.get(0)?,
        id: parsed(row, 1, JobId::parse)?,
        tenant: row.get::<_, String>(2)?.into(),
        state: parsed(row, 3, JobState::parse)?,
        created_at_ms: row.get(4)?,
        started_at_ms: row.get(5)?,
        finished_at_ms: row.get(6)?,
        expires_at_ms: row.get(7)?,
        spec: row.get(8)?,
        events: row.get(9)?,
        documents: Vec::new(),
    })
}

fn document_row(row: &Row<'_>) -> rusqlite::Result<JobDocumentRow> {
    Ok(JobDocumentRow {
        number: row.get(0)?,
        name: row.get(1)?,
        content_type: row.get(2)?,
        digest: parsed(row, 3, Digest::parse)?,
        bytes: row.get(4)?,
        attempts: row.get(5)?,
        opened: row.get(6)?,
        pages_ok: row.get(7)?,
        pages_failed: row.get(8)?,
        ended: row.get(9)?,
        failed: row.get(10)?,
        last_fault: row.get(11)?,
    })
}

/// Adds the documents to the jobs, with one query for all of them.
fn with_documents(connection: &Connection, mut jobs: Vec<JobRow>) -> rusqlite::Result<Vec<JobRow>> {
    let mut statement = connection.prepare(
        "SELECT number, name, content_type, digest, bytes, attempts, opened, pages_ok, pages_failed, ended, failed, \
         last_fault, job FROM documents WHERE job IN (SELECT value FROM json_each(?1)) ORDER BY job, number",
    )?;
    let seqs: Vec<u64> = jobs.iter().map(|job| job.seq).collect();
    let at: HashMap<u64, usize> = seqs.iter().enumerate().map(|(at, seq)| (*seq, at)).collect();
    let mut rows = statement.query([serde_json::json!(seqs).to_string()])?;
    while let Some(row) = rows.next()? {
        let job = at.get(&row.get(12)?).and_then(|at| jobs.get_mut(*at));
        if let Some(job) = job {
            job.documents.push(document_row(row)?);
        }
    }
    Ok(jobs)
}

pub(super) fn job(connection: &Connection, id: &JobId) -> Result<Option<JobRow>, StoreError> {
    let read = || -> rusqlite::Result<Option<JobRow>> {
        let mut statement = connection.prepare(&format!("SELECT {JOB} FROM jobs WHERE id = ?1"))?;
        let job = statement.query_row([id.as_str()], job_row).optional()?;
        Ok(with_documents(connection, job.into_iter().collect())?.pop())
    };
    read().map_err(failed("a job"))
}

pub(super) fn jobs(connection: &Connection, query: &JobQuery) -> Result<Vec<JobRow>, StoreError> {
    let read = || -> rusqlite::Result<Vec<JobRow>> {
        let mut statement = connection.prepare(&format!(
            "SELECT {JOB} FROM jobs WHERE (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR state = ?2)
             AND (?3 IS NULL OR seq < ?3) ORDER BY seq DESC LIMIT ?4"
        ))?;
        let tenant = query.tenant.as_ref().map(|tenant| tenant.as_str());
        let state = query.state.map(JobState::as_str);
        let rows: Vec<JobRow> = statement
            .query_map(params![tenant, state, query.before, query.limit], job_row)?
            .collect::<Result<_, _>>()?;
        with_documents(connection, rows)
    };
    read().map_err(failed("jobs"))
}

/// Returns the indices of the stored pages of a document.
pub(super) fn done(connection: &Connection, job: u64, document: u32) -> Result<Vec<u32>, StoreError> {
    let read = || -> rusqlite::Result<Vec<u32>> {
        let sql = "SELECT page FROM pages WHERE job = ?1 AND document = ?2 ORDER BY page";
        let mut statement = connection.prepare(sql)?;
        statement.query_map(params![job, document], |row| row.get(0))?.collect()
    };
    read().map_err(failed("pages of a job"))
}

/// Returns whether a page was read, and the digest of its result.
pub(super) fn page(
    connection: &Connection,
    job: &JobId,
    document: u32,
    index: u32,
) -> Result<Option<(bool, Digest)>, StoreError> {
    let read = || {
        let mut statement = connection.prepare(
            "SELECT ok, digest FROM pages WHERE job = (SELECT seq FROM jobs WHERE id = ?1) AND document = ?2 AND page = ?3",
        )?;
        let row = |row: &Row<'_>| Ok((row.get(0)?, parsed(row, 1, Digest::parse)?));
        statement.query_row(params![job.as_str(), document, index], row).optional()
    };
    read().map_err(failed("a page of a job"))
}

pub(super) fn events(
    connection: &Connection,
    job: &JobId,
    after: u64,
    limit: u32,
) -> Result<Vec<JobEventRow>, StoreError> {
    let read = || -> rusqlite::Result<Vec<JobEventRow>> {
        let mut statement = connection.prepare(
            "SELECT seq, event, at_ms, data FROM events WHERE job = (SELECT seq FROM jobs WHERE id = ?1) AND seq > ?2
             ORDER BY seq LIMIT ?3",
        )?;
        // A cursor beyond the range of SQLite is beyond the last event.
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let row = |row: &Row<'_>| {
            Ok(JobEventRow { seq: row.get(0)?, event: row.get(1)?, at_ms: row.get(2)?, data: row.get(3)? })
        };
        statement.query_map(params![job.as_str(), after, limit], row)?.collect()
    };
    read().map_err(failed("events of a job"))
}

/// Returns the digests that rows name.
pub(super) fn named(connection: &Connection) -> Result<BTreeSet<Digest>, StoreError> {
    let read = || -> rusqlite::Result<BTreeSet<Digest>> {
        let mut statement =
            connection.prepare("SELECT digest FROM documents UNION SELECT digest FROM pages")?;
        statement.query_map([], |row| parsed(row, 0, Digest::parse))?.collect()
    };
    read().map_err(failed("the blobs of jobs"))
}

/// Returns whether a row names the digest.
pub(super) fn is_named(connection: &Connection, digest: &Digest) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM documents WHERE digest = ?1) OR EXISTS (SELECT 1 FROM pages WHERE digest = ?1)";
    let mut statement = connection.prepare(sql).map_err(failed("the blobs of jobs"))?;
    statement.query_row([digest.as_str()], |row| row.get(0)).map_err(failed("the blobs of jobs"))
}

/// Returns the digests that the rows of a job name.
pub(super) fn blobs_of(connection: &Connection, job: u64) -> Result<BTreeSet<Digest>, StoreError> {
    let read = || -> rusqlite::Result<BTreeSet<Digest>> {
        let mut statement = connection.prepare(
            "SELECT digest FROM documents WHERE job = ?1 UNION SELECT digest FROM pages WHERE job = ?1",
        )?;
        statement.query_map([job], |row| parsed(row, 0, Digest::parse))?.collect()
    };
    read().map_err(failed("the blobs of a job"))
}

pub(super) fn counts(connection: &Connection) -> Result<JobCounts, StoreError> {
    let read = || -> rusqlite::Result<JobCounts> {
        let mut counts = JobCounts::default();
        let mut statement = connection.prepare("SELECT state, count(*) FROM jobs GROUP BY state")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let state = parsed(row, 0, JobState::parse)?;
            for (slot, of) in counts.jobs.iter_mut().zip(JobState::ALL) {
                if of == state {
                    *slot = row.get(1)?;
                }
            }
        }
        counts.bytes =
            connection.query_row("SELECT ifnull(sum(bytes), 0) FROM jobs", [], |row| row.get(0))?;
        counts.deliveries = connection.query_row(
            "SELECT count(next_at_ms), count(*) - count(next_at_ms) FROM deliveries WHERE NOT delivered",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(counts)
    };
    read().map_err(failed("the counts of jobs"))
}
