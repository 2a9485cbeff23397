//! The embedded store: one SQLite file and a folder of components.
//!
//! Owns the file `lector.db` (write-ahead log, synced at every commit, so that an answer means "on disk"), the versions
//! of its schema, and the lock that excludes a second server from the folder. Records are JSON, next to the columns
//! that find them: a new limit needs no new schema. Settings are text in a table of their own. Independent of the
//! meaning of the records.

mod blocking;
#[cfg(test)]
mod fuzz;
mod jobs;
mod read;
mod rows;
mod schema;
mod write_error;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rustix::fs::{FlockOperation, flock};

use self::write_error::wrote;
use super::blobs::{Blobs, Folder};
use super::reserve::Reserve;
use super::{
    AuditEntry, AuditQuery, ChangeSet, Collected, Digest, FlushId, PinnedBlobs, Readable, Records, Store,
    StoreError, Stored, UsageQuery, UsageRow,
};
pub use jobs::SqliteJobStore;
#[cfg(test)]
pub(super) use jobs::{blobs_on_disk as job_blobs, execute as job_sql};
pub(super) use read::Named;

/// The database in the data folder.
pub(super) const DATABASE: &str = "lector.db";
/// The folder of components in the data folder.
pub(super) const BLOBS: &str = "components";
/// Lock file, held by the process that serves from the folder.
const LOCK: &str = "lock";
/// Longest wait for the database lock: a backup reads while the server writes.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// A store in a data folder of this machine.
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Mutex<Connection>,
    blobs: Blobs,
    reserve: Reserve,
    /// Released by the operating system when the process ends.
    _lock: Option<fs::File>,
}

impl SqliteStore {
    /// Opens the data folder, creates it if it is missing, and migrates its schema.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let problem = |problem: String| StoreError::Open { dir: dir.to_owned(), problem };
        fs::create_dir_all(dir).map_err(|error| problem(format!("it cannot be created: {error}")))?;
        private(dir).map_err(|error| problem(format!("its permissions cannot be set: {error}")))?;
        let lock = lock(dir)?;
        let blobs = Folder::open(dir.join(BLOBS))
            .map_err(|error| problem(format!("the folder of components cannot be used: {error}")))?;
        let connection = connect(dir, &dir.join(DATABASE))?;
        Ok(Self::with(connection, Blobs::Folder(blobs), Reserve::open(dir), Some(lock)))
    }

    /// Makes a store that ends with the process; for reading on the command line.
    pub fn in_memory() -> Result<Self, StoreError> {
        let dir = PathBuf::from(":memory:");
        let opened = Connection::open_in_memory();
        let mut connection =
            opened.map_err(|error| StoreError::Open { dir: dir.clone(), problem: error.to_string() })?;
        schema::migrate(&mut connection, &dir)?;
        Ok(Self::with(connection, Blobs::Memory(Mutex::default()), Reserve::none(), None))
    }

    fn with(connection: Connection, blobs: Blobs, reserve: Reserve, lock: Option<fs::File>) -> Self {
        let connection = Mutex::new(connection);
        Self { inner: Arc::new(Inner { connection, blobs, reserve, _lock: lock }) }
    }

    /// Runs `work` on a thread where blocking is allowed.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Stored<'_, T> {
        blocking::run(&self.inner, "a change", work)
    }

    /// Executes SQL that no change executes.
    #[cfg(test)]
    #[allow(clippy::panic, reason = "for tests")]
    pub(super) async fn execute(&self, sql: &'static str) {
        let done = self.with_connection(move |connection| {
            connection.execute_batch(sql).map_err(|error| wrote("a statement of a test", error))
        });
        done.await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    fn with_connection<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Stored<'_, T> {
        self.run(move |inner| {
            // A transaction that a panic interrupted was rolled back when it was dropped.
            let mut connection = inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection)
        })
    }
}

/// Opens a database file and migrates its schema.
fn connect(dir: &Path, file: &Path) -> Result<Connection, StoreError> {
    let problem = |error: &dyn std::fmt::Display| StoreError::Open {
        dir: dir.to_owned(),
        problem: format!("{DATABASE} cannot be used: {error}"),
    };
    let mut connection = open_file(file).map_err(|error| problem(&error))?;
    schema::migrate(&mut connection, dir)?;
    Ok(connection)
}

/// Opens a database file whose commits are durable.
fn open_file(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    let set = |connection: &Connection| -> rusqlite::Result<()> {
        connection.busy_timeout(BUSY_MAX)?;
        // Returns the mode in effect; if the file system does not support WAL, SQLite keeps its default mode, which is
        // equally safe.
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "trusted_schema", false)
    };
    set(&connection)?;
    Ok(connection)
}

/// Copies the database in its state at one moment, while a server may be writing.
pub(super) fn copy_database(dir: &Path, to: &Path) -> Result<(), StoreError> {
    let failed =
        |error: rusqlite::Error| StoreError::Read { what: "the database for a copy", source: error.into() };
    let file = dir.join(DATABASE);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&file, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_MAX).map_err(failed)?;
    let target = to.to_str().ok_or_else(|| StoreError::Open {
        dir: to.to_owned(),
        problem: "its path is not UTF-8".to_owned(),
    })?;
    connection.execute("VACUUM INTO ?1", [target]).map_err(|error| wrote("the copy", error))?;
    Ok(())
}

/// Returns the digests of all components that the revisions of a database name.
pub(super) fn named_components(dir: &Path, file: &Path) -> Result<Named, StoreError> {
    let connection = connect(dir, file)?;
    read::components(&connection)
}

/// Takes the lock of the folder for this process.
pub(super) fn lock(dir: &Path) -> Result<fs::File, StoreError> {
    let path = dir.join(LOCK);
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| StoreError::Open {
        dir: dir.to_owned(),
        problem: format!("its lock cannot be created: {error}"),
    })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { dir: dir.to_owned() }),
        Err(error) => Err(StoreError::Open {
            dir: dir.to_owned(),
            problem: format!("its lock cannot be taken: {error}"),
        }),
    }
}

/// Restricts the folder to its owner: it holds hashes of keys and code of tenants.
pub(super) fn private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(dir)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(mode & 0o700))
}

/// Commits the changes and their audit entry; returns the number of the entry.
fn commit(connection: &mut Connection, action: &ChangeSet) -> Result<u64, StoreError> {
    let failed = |error| wrote("a change", error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    for change in &action.changes {
        rows::apply(&transaction, change)?;
    }
    let seq = rows::audit(&transaction, &action.entry)?;
    transaction.commit().map_err(failed)?;
    Ok(seq)
}

impl Store for SqliteStore {
    fn load(&self) -> Stored<'_, Records> {
        self.with_connection(|connection| read::load(connection))
    }

    fn commit(&self, action: ChangeSet) -> Stored<'_, u64> {
        self.run(move |inner| {
            let mut connection = inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
            inner.reserve.with(action.is_urgent(), || commit(&mut connection, &action))
        })
    }

    fn audit(&self, query: AuditQuery) -> Stored<'_, Readable<AuditEntry>> {
        self.with_connection(move |connection| read::audit_entries(connection, &query))
    }

    fn add_usage(&self, flush: FlushId, usage: Vec<UsageRow>) -> Stored<'_, ()> {
        self.with_connection(move |connection| {
            let failed = |error| wrote("usage", error);
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
            if rows::is_new(&transaction, &flush)? {
                for row in &usage {
                    rows::add_usage(&transaction, row)?;
                }
            }
            transaction.commit().map_err(failed)
        })
    }

    fn usage(&self, query: UsageQuery) -> Stored<'_, Readable<UsageRow>> {
        self.with_connection(move |connection| read::usage(connection, &query))
    }

    fn put_blob(&self, bytes: Arc<Vec<u8>>) -> Stored<'_, Digest> {
        self.run(move |inner| inner.blobs.put(bytes))
    }

    fn blob(&self, digest: Digest) -> Stored<'_, Option<Vec<u8>>> {
        self.run(move |inner| inner.blobs.get(&digest))
    }

    fn collect(&self, pinned: Option<Arc<PinnedBlobs>>) -> Stored<'_, Collected> {
        self.run(move |inner| {
            let named = {
                let connection = inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
                read::components(&connection)?
            };
            if !named.complete {
                tracing::error!("no component is deleted: the component of a damaged revision is unknown");
            }
            inner.blobs.collect(named.complete.then_some(&named.digests), pinned.as_deref())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::store::{AuditEntry, Change};
    use crate::tenant::{TenantPolicy, TenantRecord};

    fn action(name: String) -> ChangeSet {
        let tenant = TenantRecord { name: name.into(), created_at_ms: 5, policy: TenantPolicy::default() };
        let entry = AuditEntry {
            seq: 0,
            at_ms: 0,
            tenant: None,
            actor: "cli".into(),
            action: "test".into(),
            target: String::new(),
            from: serde_json::Value::Null,
            to: serde_json::Value::Null,
            request: None,
        };
        ChangeSet { changes: vec![Change::PutTenant(tenant)], entry }
    }

    /// Uses the errors of SQLite itself for a full and a read-only database, and checks the faults that clients get.
    #[tokio::test]
    async fn a_full_or_read_only_database_changes_nothing_and_reports_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        store.commit(action("first".into())).await.unwrap();
        let pragma = |name: &'static str, value: i64| {
            store.with_connection(move |connection| {
                connection.pragma_update_and_check(None, name, value, |_| Ok(())).map_err(|e| wrote("x", e))
            })
        };
        pragma("max_page_count", 1).await.unwrap();
        let mut committed = 1;
        let error = loop {
            match store.commit(action(format!("tenant-{committed}"))).await {
                Ok(_) => committed += 1,
                Err(error) => break error,
            }
            assert!(committed < 10_000, "the database never became full");
        };
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert_eq!(store.load().await.unwrap().tenants.len(), committed, "a failed change leaves nothing");
        pragma("max_page_count", 1 << 20).await.unwrap();
        store.commit(action("space again".into())).await.unwrap();

        store
            .with_connection(|c| c.pragma_update(None, "query_only", true).map_err(|e| wrote("x", e)))
            .await
            .unwrap();
        let error = store.commit(action("late".into())).await.unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        assert_eq!(store.load().await.unwrap().tenants.len(), committed + 1);
    }
}
