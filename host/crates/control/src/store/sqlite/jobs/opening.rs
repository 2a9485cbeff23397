//! The opening of `jobs.db`: its schema, and what each start brings up to date.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::errors::{is_damage, wrote};
use crate::store::StoreError;
use crate::store::sqlite::schema::{self, Steps};
use crate::store::sqlite::{BUSY_MAX, open_file};

/// The steps of `jobs.db`.
pub(super) const STEPS: Steps = &[
    // 1. `claimed` orders jobs and tenants by the time of their last claim; `meta` has the counter.
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
     INSERT INTO meta VALUES ('claims', 0);
     CREATE TABLE jobs (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL,
         state TEXT NOT NULL, priority INTEGER NOT NULL, created_at_ms INTEGER NOT NULL, started_at_ms INTEGER,
         finished_at_ms INTEGER, expires_at_ms INTEGER, retention_ms INTEGER NOT NULL, spec TEXT NOT NULL,
         idempotency TEXT, request TEXT, webhook TEXT, not_before_ms INTEGER NOT NULL, claim TEXT, claim_until_ms INTEGER,
         claimed INTEGER NOT NULL, events INTEGER NOT NULL, bytes INTEGER NOT NULL, UNIQUE (tenant, idempotency)) STRICT;
     CREATE INDEX jobs_by_tenant ON jobs (tenant, seq);
     CREATE INDEX jobs_unfinished ON jobs (tenant, priority DESC, claimed) WHERE finished_at_ms IS NULL;
     CREATE INDEX jobs_claimed ON jobs (tenant) WHERE claim IS NOT NULL;
     CREATE INDEX jobs_expiring ON jobs (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
     CREATE TABLE tenants (tenant TEXT PRIMARY KEY, claimed INTEGER NOT NULL) STRICT, WITHOUT ROWID;
     CREATE TABLE documents (job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE, number INTEGER NOT NULL,
         name TEXT, content_type TEXT, digest TEXT NOT NULL, bytes INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
         opened TEXT, pages_ok INTEGER NOT NULL DEFAULT 0, pages_failed INTEGER NOT NULL DEFAULT 0, ended TEXT,
         failed INTEGER NOT NULL DEFAULT 0, last_fault TEXT, PRIMARY KEY (job, number)) STRICT, WITHOUT ROWID;
     CREATE INDEX documents_by_digest ON documents (digest);
     CREATE TABLE pages (job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE, document INTEGER NOT NULL,
         page INTEGER NOT NULL, ok INTEGER NOT NULL, digest TEXT NOT NULL, bytes INTEGER NOT NULL,
         PRIMARY KEY (job, document, page)) STRICT, WITHOUT ROWID;
     CREATE INDEX pages_by_digest ON pages (digest);
     CREATE TABLE events (job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE, seq INTEGER NOT NULL,
         event TEXT NOT NULL, at_ms INTEGER NOT NULL, data TEXT NOT NULL, PRIMARY KEY (job, seq)) STRICT, WITHOUT ROWID;
     CREATE TABLE deliveries (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, job TEXT NOT NULL,
         tenant TEXT NOT NULL, url TEXT NOT NULL, state TEXT NOT NULL, created_at_ms INTEGER NOT NULL,
         attempts INTEGER NOT NULL DEFAULT 0, next_at_ms INTEGER, delivered INTEGER NOT NULL DEFAULT 0,
         last_error TEXT) STRICT;
     CREATE INDEX deliveries_due ON deliveries (next_at_ms) WHERE next_at_ms IS NOT NULL;
     CREATE INDEX deliveries_by_tenant ON deliveries (tenant, seq);
     CREATE TABLE secrets (tenant TEXT NOT NULL, seq INTEGER NOT NULL, secret TEXT NOT NULL, created_at_ms INTEGER NOT NULL,
         PRIMARY KEY (tenant, seq)) STRICT, WITHOUT ROWID;",
    // 2. `tallies` has the jobs and bytes of each tenant by state, so that neither a page nor a metric counts rows; the
    // start fills it. Indexes for lists with a filter.
    "CREATE TABLE tallies (tenant TEXT NOT NULL, state TEXT NOT NULL, jobs INTEGER NOT NULL, bytes INTEGER NOT NULL,
         PRIMARY KEY (tenant, state)) STRICT, WITHOUT ROWID;
     CREATE TRIGGER job_is_added AFTER INSERT ON jobs BEGIN
         INSERT INTO tallies VALUES (NEW.tenant, NEW.state, 1, NEW.bytes)
             ON CONFLICT DO UPDATE SET jobs = jobs + 1, bytes = bytes + excluded.bytes;
     END;
     CREATE TRIGGER job_is_changed AFTER UPDATE OF state, bytes ON jobs BEGIN
         UPDATE tallies SET jobs = jobs - 1, bytes = bytes - CAST(ifnull(OLD.bytes, 0) AS INTEGER)
             WHERE tenant = OLD.tenant AND state = OLD.state;
         INSERT INTO tallies VALUES (NEW.tenant, NEW.state, 1, NEW.bytes)
             ON CONFLICT DO UPDATE SET jobs = jobs + 1, bytes = bytes + excluded.bytes;
     END;
     CREATE TRIGGER job_is_deleted AFTER DELETE ON jobs BEGIN
         UPDATE tallies SET jobs = jobs - 1, bytes = bytes - CAST(ifnull(OLD.bytes, 0) AS INTEGER)
             WHERE tenant = OLD.tenant AND state = OLD.state;
     END;
     CREATE INDEX jobs_by_state ON jobs (tenant, state, seq);
     CREATE INDEX deliveries_dead ON deliveries (tenant, seq) WHERE NOT delivered AND next_at_ms IS NULL;",
    // 3. The due deliveries of each tenant are found without those of another.
    "CREATE INDEX deliveries_due_by_tenant ON deliveries (tenant, next_at_ms) WHERE next_at_ms IS NOT NULL;",
];

/// Opens the database `file` in `dir`: a connection that writes, and one that only reads.
///
/// The caller has the lock of the folder, so the holders of stored claims are gone: the claims end.
pub(super) fn open(dir: &Path, file: &Path) -> Result<(Connection, Connection), StoreError> {
    let unusable = |error: rusqlite::Error| wrote("the database of jobs", error);
    let mut connection = open_file(file).map_err(unusable)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(unusable)?;
    schema::to(&mut connection, dir, STEPS, STEPS.len() as u32)?;
    end_claims(&connection).map_err(unusable)?;
    tally(&mut connection).map_err(unusable)?;
    sweep_deliveries(&connection).map_err(unusable)?;
    let reader = open_reader(file).map_err(unusable)?;
    Ok((connection, reader))
}

/// Opens a connection that only reads.
fn open_reader(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// Ends all claims. One whose row is damaged ends with its time.
fn end_claims(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT rowid FROM jobs WHERE claim IS NOT NULL";
    let claimed: Vec<i64> =
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for seq in claimed {
        let sql = "UPDATE jobs SET claim = NULL, claim_until_ms = NULL WHERE seq = ?1";
        match connection.execute(sql, [seq]) {
            Err(error) if is_damage(&error) => {
                tracing::error!(position = seq, %error, "the claim on a damaged job was not ended");
            }
            ended => drop(ended?),
        }
    }
    Ok(())
}

/// Deletes deliveries that nothing else deletes: those of jobs that a former version or a damaged row has left, and those
/// that belong to no tenant.
fn sweep_deliveries(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "DELETE FROM deliveries WHERE typeof(tenant) <> 'text'
               OR next_at_ms IS NULL AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = deliveries.job)";
    connection.execute(sql, []).map(|_| ())
}

/// Counts the jobs and bytes of each tenant. What a damaged row adds is bounded, so that the sums cannot overflow.
fn tally(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "DELETE FROM tallies;
         INSERT INTO tallies
             SELECT tenant, state, count(*), CAST(min(max(total(bytes), 0), 4611686018427387904) AS INTEGER) FROM jobs
             WHERE typeof(tenant) = 'text' AND typeof(state) = 'text' GROUP BY tenant, state;",
    )?;
    transaction.commit()
}
