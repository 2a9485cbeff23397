//! Reads of jobs, documents, pages and events.

use std::collections::BTreeSet;

use lector_core::TenantName;
use rusqlite::{Connection, OptionalExtension, Row, Statement, params};

use super::errors::{failed, is_damage};
use crate::digest::Digest;
use crate::store::StoreError;
use crate::store::jobs::{
    Documents, JobCounts, JobDocumentRow, JobEventRow, JobId, JobQuery, JobRow, JobState, LIST_BYTES_MAX,
    LIST_DOCUMENTS_MAX, Listed,
};

/// The columns of [`job_row`].
const JOB: &str =
    "seq, id, tenant, state, created_at_ms, started_at_ms, finished_at_ms, expires_at_ms, spec, events";

/// Selects whether a row names a digest.
const IS_NAMED: &str = "SELECT EXISTS (SELECT 1 FROM documents WHERE digest = ?1) OR EXISTS (SELECT 1 FROM pages WHERE digest = ?1)";
/// Selects the digests that the rows of a job name.
const BLOBS_OF: &str =
    "SELECT digest FROM documents WHERE job = ?1 UNION SELECT digest FROM pages WHERE job = ?1";
/// Selects the bytes that the jobs of a tenant keep. As a float: a sum of integers can overflow.
const KEPT: &str = "SELECT CAST(max(0, total(bytes)) AS INTEGER) FROM tallies WHERE tenant = ?1";

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
        ended_bytes: row.get(12)?,
    })
}

/// Documents of the job `?1`: the one with the number `?2`, or all. The facts about the end of a document that did not fail
/// have its summary, which may be large: [`ended`] reads it.
const DOCUMENTS: &str =
    "SELECT number, name, content_type, digest, bytes, attempts, opened, pages_ok, pages_failed,
     CASE WHEN ended IS NOT NULL AND NOT failed THEN '' ELSE ended END, failed, last_fault, ifnull(octet_length(ended), 0)
     FROM documents WHERE job = ?1 AND (?2 IS NULL OR number = ?2) ORDER BY number";

/// Returns the job in a row of [`JOB`], with documents that the statement of [`DOCUMENTS`] reads.
fn with_documents(
    statement: &mut Statement<'_>,
    row: &Row<'_>,
    documents: Documents,
) -> rusqlite::Result<JobRow> {
    let mut job = job_row(row)?;
    let number = match documents {
        Documents::None => return Ok(job),
        Documents::One(number) => Some(number),
        Documents::All => None,
    };
    job.documents = statement.query_map(params![job.seq, number], document_row)?.collect::<Result<_, _>>()?;
    Ok(job)
}

pub(super) fn job(
    connection: &Connection,
    id: &JobId,
    documents: Documents,
) -> Result<Option<JobRow>, StoreError> {
    let read = || -> rusqlite::Result<Option<JobRow>> {
        let mut of_job = connection.prepare(DOCUMENTS)?;
        let mut statement = connection.prepare(&format!("SELECT {JOB} FROM jobs WHERE id = ?1"))?;
        statement.query_row([id.as_str()], |row| with_documents(&mut of_job, row, documents)).optional()
    };
    read().map_err(failed("a job"))
}

/// Returns the facts about the end of a document.
pub(super) fn ended(
    connection: &Connection,
    job: &JobId,
    document: u32,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT ended FROM documents WHERE job = (SELECT seq FROM jobs WHERE id = ?1) AND number = ?2";
    let read =
        || connection.prepare(sql)?.query_row(params![job.as_str(), document], |row| row.get(0)).optional();
    read().map(Option::flatten).map_err(failed("a document of a job"))
}

/// Returns the job at a position, with all its documents.
pub(super) fn job_at(connection: &Connection, seq: u64) -> Result<JobRow, StoreError> {
    let read = || -> rusqlite::Result<JobRow> {
        let mut of_job = connection.prepare(DOCUMENTS)?;
        let mut statement = connection.prepare(&format!("SELECT {JOB} FROM jobs WHERE seq = ?1"))?;
        statement.query_row([seq], |row| with_documents(&mut of_job, row, Documents::All))
    };
    read().map_err(failed("a job"))
}

/// Returns the query of a list: the index has the tenant's rows in their order, so that the time depends on no other
/// tenant and on no row before the page.
pub(super) fn list_sql(state: bool) -> String {
    let state = if state { "AND state = ?4" } else { "" };
    format!("SELECT {JOB} FROM jobs WHERE tenant = ?1 AND seq < ?2 {state} ORDER BY seq DESC LIMIT ?3")
}

/// Returns a position of a list for SQLite: one beyond its range is beyond the last row.
pub(super) fn before(position: Option<u64>) -> i64 {
    position.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX))
}

/// Returns a page of rows, which `row` reads at their positions, until `is_full`. A damaged row is left out.
pub(super) fn listed<T>(
    mut rows: rusqlite::Rows<'_>,
    what: &'static str,
    limit: u32,
    mut row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    mut is_full: impl FnMut(&T) -> bool,
) -> rusqlite::Result<Listed<T>> {
    let mut page = Listed { rows: Vec::new(), next: None };
    let (mut last, mut full, mut looked_at) = (None, false, 0);
    while let Some(found) = rows.next()? {
        if full || looked_at == limit {
            page.next = last;
            break;
        }
        looked_at += 1;
        last = found.get(0).ok().or(last);
        match row(found) {
            Ok(item) => {
                full = is_full(&item);
                page.rows.push(item);
            }
            Err(error) if is_damage(&error) => {
                tracing::error!(position = last, %error, "a damaged row is left out of a list of {what}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(page)
}

pub(super) fn jobs(connection: &Connection, query: &JobQuery) -> Result<Listed<JobRow>, StoreError> {
    let read = || -> rusqlite::Result<Listed<JobRow>> {
        let mut of_job = connection.prepare(DOCUMENTS)?;
        let mut statement = connection.prepare(&list_sql(query.state.is_some()))?;
        let (tenant, before, limit) =
            (query.tenant.as_str(), before(query.before), u64::from(query.limit).saturating_add(1));
        let rows = match query.state {
            Some(state) => statement.query(params![tenant, before, limit, state.as_str()])?,
            None => statement.query(params![tenant, before, limit])?,
        };
        let (mut documents, mut bytes) = (0, 0);
        listed(
            rows,
            "jobs",
            query.limit,
            |row| with_documents(&mut of_job, row, Documents::All),
            |job| {
                (documents, bytes) = (documents + job.documents.len(), bytes + bytes_of(job));
                documents >= LIST_DOCUMENTS_MAX || bytes >= LIST_BYTES_MAX
            },
        )
    };
    read().map_err(failed("jobs"))
}

/// Returns the number of bytes of the texts of a job.
fn bytes_of(job: &JobRow) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let document = |of: &JobDocumentRow| {
        [&of.name, &of.content_type, &of.opened, &of.ended, &of.last_fault].map(length).iter().sum::<usize>()
    };
    job.spec.len() + job.documents.iter().map(document).sum::<usize>()
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

/// Returns the size of the result of a page, in bytes.
pub(super) fn page_bytes(
    connection: &Connection,
    job: &JobId,
    document: u32,
    index: u32,
) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT bytes FROM pages WHERE job = (SELECT seq FROM jobs WHERE id = ?1) AND document = ?2 AND page = ?3";
    let read = || {
        let mut statement = connection.prepare(sql)?;
        statement.query_row(params![job.as_str(), document, index], |row| row.get(0)).optional()
    };
    read().map_err(failed("a page of a job"))
}

/// Returns the index of the first page that failed.
pub(super) fn failed_page(
    connection: &Connection,
    job: &JobId,
    document: u32,
) -> Result<Option<u32>, StoreError> {
    let sql =
        "SELECT page FROM pages WHERE job = (SELECT seq FROM jobs WHERE id = ?1) AND document = ?2 AND ok = 0
         ORDER BY page LIMIT 1";
    let read = || {
        let mut statement = connection.prepare(sql)?;
        statement.query_row(params![job.as_str(), document], |row| row.get(0)).optional()
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

/// Returns the digests in the first column. One that is damaged names no blob.
fn digests(
    connection: &Connection,
    sql: &str,
    given: impl rusqlite::Params,
) -> rusqlite::Result<BTreeSet<Digest>> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(given)?;
    let mut found = BTreeSet::new();
    while let Some(row) = rows.next()? {
        match parsed(row, 0, Digest::parse) {
            Ok(digest) => drop(found.insert(digest)),
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Returns the digests that rows name.
pub(super) fn named(connection: &Connection) -> Result<BTreeSet<Digest>, StoreError> {
    let sql = "SELECT digest FROM documents UNION SELECT digest FROM pages";
    digests(connection, sql, []).map_err(failed("the blobs of jobs"))
}

/// Returns whether a row names the digest.
pub(super) fn is_named(connection: &Connection, digest: &Digest) -> Result<bool, StoreError> {
    let mut statement = connection.prepare(IS_NAMED).map_err(failed("the blobs of jobs"))?;
    statement.query_row([digest.as_str()], |row| row.get(0)).map_err(failed("the blobs of jobs"))
}

/// Returns the digests that the rows of a job name.
pub(super) fn blobs_of(connection: &Connection, job: u64) -> Result<BTreeSet<Digest>, StoreError> {
    digests(connection, BLOBS_OF, [job]).map_err(failed("the blobs of a job"))
}

/// Returns the bytes that the jobs of a tenant keep.
pub(super) fn kept(connection: &Connection, tenant: &TenantName) -> Result<u64, StoreError> {
    let read = || connection.prepare(KEPT)?.query_row([tenant.as_str()], |row| row.get(0));
    read().map_err(failed("the bytes of a tenant's jobs"))
}

pub(super) fn counts(connection: &Connection) -> Result<JobCounts, StoreError> {
    let read = || -> rusqlite::Result<JobCounts> {
        let mut counts = JobCounts::default();
        let mut statement = connection.prepare(
            "SELECT state, CAST(max(0, total(jobs)) AS INTEGER), CAST(max(0, total(bytes)) AS INTEGER) FROM tallies
             GROUP BY state",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (jobs, bytes): (u64, u64) = (row.get(1)?, row.get(2)?);
            counts.bytes = counts.bytes.saturating_add(bytes);
            // A damaged state is that of no count.
            let state = parsed(row, 0, JobState::parse).ok();
            for (slot, of) in counts.jobs.iter_mut().zip(JobState::ALL) {
                if state == Some(of) {
                    *slot = jobs;
                }
            }
        }
        counts.deliveries = connection.query_row(
            "SELECT (SELECT count(*) FROM deliveries WHERE next_at_ms IS NOT NULL),
                 (SELECT count(*) FROM deliveries WHERE NOT delivered AND next_at_ms IS NULL)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(counts)
    };
    read().map_err(failed("the counts of jobs"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::opening::STEPS;
    use super::super::{queue, webhooks, write};
    use super::*;
    use crate::store::sqlite::read::plan;
    use crate::store::sqlite::schema;

    fn newest() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        let newest = STEPS.len() as u32;
        schema::to(&mut connection, std::path::Path::new("x"), STEPS, newest).unwrap();
        connection
    }

    #[test]
    fn work_on_one_job_reads_no_finished_job_and_no_ended_delivery_of_others() {
        let connection = newest();
        // All jobs that may be claimed, and no others: the index has the unfinished ones.
        let next = plan(&connection, queue::NEXT);
        assert!(next.starts_with("SCAN j USING INDEX jobs_unfinished; "), "{next}");
        assert!(!next.contains("PRIMARY KEY (rowid"), "{next}");
        let mut searches = write::SEARCHES.to_vec();
        searches.extend([webhooks::DELETE_ORPHAN, IS_NAMED, BLOBS_OF, KEPT]);
        for sql in searches {
            let plan = plan(&connection, sql).replace("SCAN CONSTANT ROW", "");
            assert!(plan.contains("SEARCH") && !plan.contains("SCAN"), "{sql}: {plan}");
            assert!(!plan.contains("rowid>?") && !plan.contains("rowid<?"), "{sql}: {plan}");
        }
    }

    #[test]
    fn a_look_for_due_deliveries_reads_some_of_each_tenant() {
        let plan = plan(&newest(), &webhooks::due_sql());
        let of_a_tenant =
            "SEARCH deliveries USING COVERING INDEX deliveries_due_by_tenant (tenant=? AND next_at_ms<?)";
        assert!(plan.contains(of_a_tenant), "{plan}");
        assert!(!plan.contains("SCAN deliveries") && !plan.contains("SCAN d"), "{plan}");
    }

    #[test]
    fn a_list_reads_the_rows_of_its_page_alone() {
        let connection = newest();
        for (sql, index) in [
            (list_sql(false), "jobs_by_tenant (tenant=? AND seq<?)"),
            (list_sql(true), "jobs_by_state (tenant=? AND state=? AND seq<?)"),
            (webhooks::list_sql(false), "deliveries_by_tenant (tenant=? AND seq<?)"),
            (webhooks::list_sql(true), "deliveries_dead (tenant=? AND seq<?)"),
        ] {
            let plan = plan(&connection, &sql);
            assert!(
                plan.contains(index) && !plan.contains("SCAN") && !plan.contains("TEMP"),
                "{sql}: {plan}"
            );
        }
    }
}
