//! The embedded store of jobs: `jobs.db`, and a folder of inputs and results by digest.
//!
//! Owns the files in the folder `jobs` of the data folder. Apart from `lector.db`, so that the commits of pages do not
//! delay changes of routes and keys. Blobs that no row names are deleted when their last row is, when the submission that
//! staged them ends without a job, and at the start.

mod queue;
mod read;
mod webhooks;
mod write;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use lector_core::TenantName;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::blocking;
use super::schema::{self, Steps};
use super::write_error::wrote;
use crate::digest::Digest;
use crate::store::blobs::Folder;
use crate::store::jobs::{
    Added, Claim, ClaimQuery, ClaimRef, Deleted, DeliveryAttempt, DeliveryQuery, DeliveryRow, DocumentEnd,
    JobCounts, JobEventRow, JobId, JobQuery, JobRow, JobStore, NewJob, NewPage, Release,
};
use crate::store::{PinnedBlobs, StagedBlob, StoreError, Stored};

/// The database in the folder of jobs.
const DATABASE: &str = "jobs.db";
/// The folder of inputs and results.
const BLOBS: &str = "blobs";

/// The steps of `jobs.db`.
const STEPS: Steps = &[
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
];

/// A store of jobs in a folder of this machine.
pub struct SqliteJobStore {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    connection: Mutex<Connection>,
    blobs: Folder,
    pinned: Arc<PinnedBlobs>,
    /// Read by a commit of rows that name blobs; written by a deletion of blobs, between the look for their rows and the
    /// deletion of their files.
    naming: RwLock<()>,
    disk_free_min: u64,
    /// Released by the operating system when the process ends.
    _lock: fs::File,
}

/// Returns the number of blobs in a folder of jobs.
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "for tests")]
pub(in crate::store) fn blobs_on_disk(dir: &Path) -> usize {
    Folder::at(dir.join(BLOBS)).all().unwrap().len()
}

impl SqliteJobStore {
    /// Opens the folder, creates it if it is missing, migrates its schema, ends the claims of the process before, and
    /// deletes blobs that no row names. New inputs are refused when less than `disk_free_min` bytes would be left.
    pub fn open(dir: &Path, disk_free_min: u64) -> Result<Self, StoreError> {
        let problem = |problem: String| StoreError::Open { dir: dir.to_owned(), problem };
        // A full or read-only disk is told apart, because a server can do without jobs.
        fs::create_dir_all(dir).map_err(|error| StoreError::write("the folder of jobs", error))?;
        super::private(dir).map_err(|error| problem(format!("its permissions cannot be set: {error}")))?;
        let lock = super::lock(dir)?;
        let blobs =
            Folder::open(dir.join(BLOBS)).map_err(|error| StoreError::write("the folder of jobs", error))?;
        let unusable = |error: rusqlite::Error| wrote("the database of jobs", error);
        let mut connection = super::open_file(&dir.join(DATABASE)).map_err(unusable)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(unusable)?;
        schema::to(&mut connection, dir, STEPS, STEPS.len() as u32)?;
        // This process has the lock of the folder: the holders of these claims are gone.
        connection
            .execute("UPDATE jobs SET claim = NULL, claim_until_ms = NULL WHERE claim IS NOT NULL", [])
            .map_err(unusable)?;
        let named = read::named(&connection)?;
        blobs.collect(Some(&named), None)?;
        let inner = Inner {
            dir: dir.to_owned(),
            connection: Mutex::new(connection),
            blobs,
            pinned: Arc::default(),
            naming: RwLock::default(),
            disk_free_min,
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs `work` on a thread where blocking is allowed.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Stored<'_, T> {
        blocking::run(&self.inner, "a job", work)
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Stored<'_, T> {
        self.run(move |inner| work(&inner.lock()))
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Stored<'_, T> {
        self.run(move |inner| inner.transaction(work))
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Connection> {
        // A transaction that a panic interrupted was rolled back when it was dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in a transaction, which is durable when this returns.
    fn transaction<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let failed = |error| wrote("a job", error);
        let mut connection = self.lock();
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(done)
    }

    /// Fails if storing `bytes` more would leave less than the reserve of the disk.
    fn has_space(&self, bytes: u64) -> Result<(), StoreError> {
        let Ok(disk) = rustix::fs::statvfs(&self.dir) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < self.disk_free_min.saturating_add(bytes) {
            return Err(StoreError::Full { what: "an input of a job" });
        }
        Ok(())
    }

    /// No blob is deleted until the guard is dropped.
    fn naming(&self) -> RwLockReadGuard<'_, ()> {
        self.naming.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes those of these blobs that no row names. No blob gets a row meanwhile.
    fn forget(&self, digests: BTreeSet<Digest>) {
        let _naming = self.naming.write().unwrap_or_else(PoisonError::into_inner);
        for digest in digests {
            let unnamed = !read::is_named(&self.lock(), &digest).unwrap_or(true);
            if unnamed {
                // A file that cannot be deleted now is deleted at the next start.
                let _ = self.pinned.unless_pinned(&digest, || fs::remove_file(self.blobs.path(&digest)));
            }
        }
    }

    /// Deletes rows with `work`, which returns the blobs that they named, and then those blobs.
    fn deleting<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<(T, BTreeSet<Digest>), StoreError>,
    ) -> Result<T, StoreError> {
        let (done, digests) = self.transaction(work)?;
        self.forget(digests);
        Ok(done)
    }
}

impl JobStore for SqliteJobStore {
    fn stage(&self, bytes: Arc<Vec<u8>>) -> Stored<'_, StagedBlob> {
        let store = Arc::downgrade(&self.inner);
        self.run(move |inner| {
            inner.has_space(bytes.len() as u64)?;
            let pin = inner.pinned.pin(Digest::of(&bytes));
            inner.blobs.put(&bytes)?;
            // A store that is closed deletes the blob when it is opened again.
            let forget = move |digest| {
                blocking::spawn(move || {
                    if let Some(inner) = store.upgrade() {
                        inner.forget(BTreeSet::from([digest]));
                    }
                });
            };
            Ok(StagedBlob::new(pin, forget))
        })
    }

    fn add(&self, job: NewJob, inputs: Vec<StagedBlob>) -> Stored<'_, Added> {
        // The pins are held by the work itself, which goes on if the caller drops the future.
        self.run(move |inner| {
            let naming = inner.naming();
            let added = inner.transaction(|transaction| write::add(transaction, &job));
            let inputs: BTreeSet<Digest> = inputs.into_iter().map(StagedBlob::release).collect();
            drop(naming);
            if !matches!(added, Ok(Added::New)) {
                inner.forget(inputs);
            }
            added
        })
    }

    fn job(&self, id: JobId) -> Stored<'_, Option<JobRow>> {
        self.read(move |connection| read::job(connection, &id))
    }

    fn jobs(&self, query: JobQuery) -> Stored<'_, Vec<JobRow>> {
        self.read(move |connection| read::jobs(connection, &query))
    }

    fn claim(&self, query: ClaimQuery) -> Stored<'_, Option<Claim>> {
        self.write(move |transaction| queue::claim(transaction, &query))
    }

    fn renew(&self, job: JobId, token: String, until_ms: u64) -> Stored<'_, bool> {
        self.write(move |transaction| queue::renew(transaction, &job, &token, until_ms))
    }

    fn opened(&self, claim: ClaimRef, now_ms: u64, opened: String, event: String) -> Stored<'_, ()> {
        self.write(move |transaction| write::opened(transaction, &claim, now_ms, &opened, event))
    }

    fn page(&self, claim: ClaimRef, now_ms: u64, page: NewPage) -> Stored<'_, bool> {
        self.run(move |inner| {
            let naming = inner.naming();
            let digest = inner.blobs.put(&page.result)?;
            let stored =
                inner.transaction(|transaction| write::page(transaction, &claim, now_ms, &page, &digest));
            drop(naming);
            if !matches!(stored, Ok(true)) {
                inner.forget(BTreeSet::from([digest]));
            }
            stored
        })
    }

    fn end_document(&self, claim: ClaimRef, end: DocumentEnd) -> Stored<'_, ()> {
        self.write(move |transaction| write::end_document(transaction, &claim, &end))
    }

    fn release(&self, claim: ClaimRef, release: Release) -> Stored<'_, ()> {
        self.write(move |transaction| queue::release(transaction, &claim, &release))
    }

    fn delete(&self, id: JobId, now_ms: u64) -> Stored<'_, Option<Deleted>> {
        self.run(move |inner| inner.deleting(|transaction| write::delete(transaction, &id, now_ms)))
    }

    fn expire(&self, now_ms: u64, limit: u32) -> Stored<'_, u64> {
        self.run(move |inner| inner.deleting(|transaction| write::expire(transaction, now_ms, limit)))
    }

    fn next_due(&self) -> Stored<'_, Option<u64>> {
        self.read(queue::next_due)
    }

    fn page_result(&self, job: JobId, document: u32, index: u32) -> Stored<'_, Option<(bool, Vec<u8>)>> {
        self.run(move |inner| {
            let Some((ok, digest)) = read::page(&inner.lock(), &job, document, index)? else {
                return Ok(None);
            };
            let bytes = inner.blobs.get(&digest)?;
            let damaged = || StoreError::Damaged { what: format!("the result {digest} of {job}") };
            Ok(Some((ok, bytes.ok_or_else(damaged)?)))
        })
    }

    fn blob(&self, digest: Digest) -> Stored<'_, Option<Vec<u8>>> {
        self.run(move |inner| inner.blobs.get(&digest))
    }

    fn events(&self, job: JobId, after: u64, limit: u32) -> Stored<'_, Vec<JobEventRow>> {
        self.read(move |connection| read::events(connection, &job, after, limit))
    }

    fn deliveries(&self, query: DeliveryQuery) -> Stored<'_, Vec<DeliveryRow>> {
        self.read(move |connection| webhooks::deliveries(connection, &query))
    }

    fn attempted(&self, seq: u64, attempt: DeliveryAttempt) -> Stored<'_, ()> {
        self.write(move |transaction| webhooks::attempted(transaction, seq, &attempt))
    }

    fn secrets(&self, tenant: TenantName, new: String, now_ms: u64) -> Stored<'_, Vec<String>> {
        self.write(move |transaction| webhooks::secrets(transaction, &tenant, &new, now_ms))
    }

    fn rotate_secret(&self, tenant: TenantName, new: String, now_ms: u64) -> Stored<'_, ()> {
        self.write(move |transaction| webhooks::rotate(transaction, &tenant, &new, now_ms))
    }

    fn forget_tenant(&self, tenant: TenantName, limit: u32) -> Stored<'_, Vec<JobId>> {
        self.run(move |inner| inner.deleting(|transaction| write::forget_tenant(transaction, &tenant, limit)))
    }

    fn counts(&self) -> Stored<'_, JobCounts> {
        self.read(read::counts)
    }
}
