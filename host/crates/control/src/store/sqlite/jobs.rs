//! The embedded store of jobs: `jobs.db`, and a folder of inputs and results by digest.
//!
//! Owns the files in the folder `jobs` of the data folder. Apart from `lector.db`, so that the commits of pages do not
//! delay changes of routes and keys. Blobs that no row names are deleted when their last row is, when the submission that
//! staged them ends without a job, and at the start.

mod errors;
mod opening;
mod queue;
mod read;
#[cfg(test)]
mod tests;
mod webhooks;
mod write;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lector_core::{KeyedLimit, TenantName};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use self::errors::wrote;
use super::blocking;
use crate::digest::Digest;
use crate::store::blobs::Folder;
use crate::store::jobs::{
    Added, Claim, ClaimQuery, ClaimRef, Deleted, DeliveryAttempt, DeliveryQuery, DeliveryRow, DocumentEnd,
    Documents, JobCounts, JobEventRow, JobId, JobQuery, JobRow, JobState, JobStore, Listed, NewJob, NewPage,
    PageStored, ROW_BYTES, Release, Staged,
};
use crate::store::{PinnedBlobs, StagedBlob, StoreError, Stored};

/// The database in the folder of jobs.
const DATABASE: &str = "jobs.db";
/// The folder of inputs and results.
const BLOBS: &str = "blobs";
/// Damaged jobs that one claim ends before it gives the thread back.
const ENDED_AT_ONCE: usize = 64;

/// A store of jobs in a folder of this machine.
pub struct SqliteJobStore {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    /// For reads alone, which wait for no write. Closed first: the last connection shortens the write-ahead log.
    reader: Mutex<Connection>,
    connection: Mutex<Connection>,
    blobs: Folder,
    /// Pinned from before a blob is written until its row is committed, or it is deleted.
    pinned: Arc<PinnedBlobs>,
    /// Bytes of the inputs of each tenant that are on the disk, and that no row of a job counts yet.
    staged: KeyedLimit<TenantName>,
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

/// Executes SQL in the database of a folder of jobs.
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "for tests")]
pub(in crate::store) fn execute(dir: &Path, sql: &str) {
    Connection::open(dir.join(DATABASE)).unwrap().execute_batch(sql).unwrap();
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
        let (connection, reader) = opening::open(dir, &dir.join(DATABASE))?;
        let named = read::named(&connection)?;
        blobs.collect(Some(&named), None)?;
        let inner = Inner {
            dir: dir.to_owned(),
            reader: Mutex::new(reader),
            connection: Mutex::new(connection),
            blobs,
            pinned: Arc::default(),
            staged: KeyedLimit::new(usize::MAX, usize::MAX),
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
        self.run(move |inner| inner.read(work))
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Stored<'_, T> {
        self.run(move |inner| inner.transaction(work))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic interrupted was rolled back when it was dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs reads of one state of the database, which is that after the last commit.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let began = connection.unchecked_transaction();
        let _one_state = began.map_err(|error| StoreError::Read { what: "a job", source: error.into() })?;
        work(&connection)
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

    /// Fails if storing `bytes` more would leave less than `reserve` on the disk.
    fn has_space(&self, bytes: u64, reserve: u64, what: &'static str) -> Result<(), StoreError> {
        let Ok(disk) = rustix::fs::statvfs(&self.dir) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < reserve.saturating_add(bytes) { Err(StoreError::Full { what }) } else { Ok(()) }
    }

    /// Deletes those of these blobs that no row names. Each of them alone excludes that it is pinned, and so that it gets a
    /// row: no page waits for the deletion of the others.
    fn forget(&self, digests: impl IntoIterator<Item = Digest>) {
        for digest in digests {
            self.pinned.unless_pinned(&digest, || {
                let unnamed = !self.read(|connection| read::is_named(connection, &digest)).unwrap_or(true);
                if unnamed {
                    // A file that cannot be deleted now is deleted at the next start.
                    let _ = fs::remove_file(self.blobs.path(&digest));
                }
            });
        }
    }

    /// Ends a job that cannot be read as failed; deletes one that cannot be written.
    fn end_damaged(&self, seq: u64, now_ms: u64, error: &StoreError) -> Result<(), StoreError> {
        tracing::error!(position = seq, %error, "a damaged job ends");
        match self.transaction(|transaction| write::finish(transaction, seq, JobState::Failed, now_ms)) {
            Err(StoreError::Damaged { .. }) => {
                tracing::error!(position = seq, "a damaged job is deleted");
                self.deleting(|transaction| write::forget(transaction, seq)).map(|_| ())
            }
            ended => ended,
        }
    }

    fn claim(&self, query: &ClaimQuery) -> Result<Option<Claim>, StoreError> {
        for _ in 0..ENDED_AT_ONCE {
            let mut next = None;
            let claimed = self.transaction(|transaction| {
                next = queue::next(transaction, query)?;
                next.map_or(Ok(None), |seq| queue::claim(transaction, seq, query))
            });
            match (claimed, next) {
                (Ok(None), Some(_)) => {}
                (Err(error @ StoreError::Damaged { .. }), Some(seq)) => {
                    self.end_damaged(seq, query.now_ms, &error)?;
                }
                (claimed, _) => return claimed,
            }
        }
        Ok(None)
    }

    fn delete(&self, tenant: &TenantName, id: &JobId, now_ms: u64) -> Result<Option<Deleted>, StoreError> {
        let canceled = self.transaction(|transaction| match write::position(transaction, tenant, id)? {
            Some((seq, false)) => {
                write::finish(transaction, seq, JobState::Canceled, now_ms).map(|()| Some(Deleted::Canceled))
            }
            _ => Ok(None),
        });
        match canceled {
            // It is finished, or cannot be canceled.
            Ok(None) | Err(StoreError::Damaged { .. }) => {
                self.deleting(|transaction| match write::position(transaction, tenant, id)? {
                    Some((seq, _)) => {
                        write::forget(transaction, seq).map(|(gone, digests)| (Some(gone), digests))
                    }
                    None => Ok((None, BTreeSet::new())),
                })
            }
            canceled => canceled,
        }
    }

    fn page(&self, claim: &ClaimRef, now_ms: u64, page: &NewPage) -> Result<PageStored, StoreError> {
        self.has_space(page.result.len() as u64, self.disk_free_min / 2, "a page of a job")?;
        let digest = Digest::of(&page.result);
        let pin = self.pinned.pin(digest.clone());
        let stored = self.blobs.put(&page.result).and_then(|digest| {
            self.transaction(|transaction| write::page(transaction, claim, now_ms, page, &digest))
        });
        drop(pin);
        if !matches!(stored, Ok(PageStored::New)) {
            self.forget([digest]);
        }
        stored
    }

    fn due_deliveries(&self, now_ms: u64, limit: u32) -> Result<Vec<DeliveryRow>, StoreError> {
        loop {
            let (due, damaged) = self.read(|connection| webhooks::due(connection, now_ms, limit))?;
            // Each round takes some of them out of the queue.
            for seq in &damaged {
                self.transaction(|transaction| webhooks::give_up(transaction, *seq))?;
            }
            if damaged.is_empty() || !due.is_empty() {
                return Ok(due);
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
    fn stage(&self, tenant: TenantName, bytes: Arc<Vec<u8>>, bytes_max: u64) -> Stored<'_, Staged> {
        let store = Arc::downgrade(&self.inner);
        self.run(move |inner| {
            let length = bytes.len() as u64;
            let kept = inner.read(|connection| read::kept(connection, &tenant))?;
            let count = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
            let (own, most) = (length.saturating_add(ROW_BYTES), bytes_max.saturating_sub(kept));
            let charge = match inner.staged.take_within(&tenant, count(own), count(most)) {
                Ok(charge) => charge,
                Err(staged) => return Ok(Staged::TooManyBytes(kept.saturating_add(staged as u64))),
            };
            inner.has_space(length, inner.disk_free_min, "an input of a job")?;
            let pin = inner.pinned.pin(Digest::of(&bytes));
            if let Err(error) = inner.blobs.put(&bytes) {
                // The file may have its name already: it counts until it is deleted, too.
                let digest = pin.digest().clone();
                drop(pin);
                inner.forget([digest]);
                return Err(error);
            }
            // A store that is closed deletes the blob when it is opened again.
            let forget = move |digest| {
                blocking::spawn(move || {
                    if let Some(inner) = store.upgrade() {
                        inner.forget([digest]);
                    }
                    // Its bytes count until it is deleted.
                    drop(charge);
                });
            };
            Ok(Staged::Stored(StagedBlob::new(pin, forget)))
        })
    }

    fn add(&self, job: NewJob, inputs: Vec<StagedBlob>) -> Stored<'_, Added> {
        // The pins are held by the work itself, which goes on if the caller drops the future.
        self.run(move |inner| {
            let added = inner.transaction(|transaction| write::add(transaction, &job));
            let inputs: BTreeSet<Digest> = inputs.into_iter().map(StagedBlob::release).collect();
            if !matches!(added, Ok(Added::New)) {
                inner.forget(inputs);
            }
            added
        })
    }

    fn job(&self, id: JobId, documents: Documents) -> Stored<'_, Option<JobRow>> {
        self.read(move |connection| read::job(connection, &id, documents))
    }

    fn ended(&self, job: JobId, document: u32) -> Stored<'_, Option<String>> {
        self.read(move |connection| read::ended(connection, &job, document))
    }

    fn jobs(&self, query: JobQuery) -> Stored<'_, Listed<JobRow>> {
        self.read(move |connection| read::jobs(connection, &query))
    }

    fn claim(&self, query: ClaimQuery) -> Stored<'_, Option<Claim>> {
        self.run(move |inner| inner.claim(&query))
    }

    fn renew(&self, job: JobId, token: String, until_ms: u64) -> Stored<'_, bool> {
        self.write(move |transaction| queue::renew(transaction, &job, &token, until_ms))
    }

    fn opened(&self, claim: ClaimRef, now_ms: u64, opened: String, event: String) -> Stored<'_, ()> {
        self.write(move |transaction| write::opened(transaction, &claim, now_ms, &opened, event))
    }

    fn page(&self, claim: ClaimRef, now_ms: u64, page: NewPage) -> Stored<'_, PageStored> {
        self.run(move |inner| inner.page(&claim, now_ms, &page))
    }

    fn end_document(&self, claim: ClaimRef, end: DocumentEnd) -> Stored<'_, ()> {
        self.write(move |transaction| write::end_document(transaction, &claim, &end))
    }

    fn release(&self, claim: ClaimRef, release: Release) -> Stored<'_, ()> {
        self.write(move |transaction| queue::release(transaction, &claim, &release))
    }

    fn delete(&self, tenant: TenantName, id: JobId, now_ms: u64) -> Stored<'_, Option<Deleted>> {
        self.run(move |inner| inner.delete(&tenant, &id, now_ms))
    }

    fn expire(&self, now_ms: u64, limit: u32) -> Stored<'_, u64> {
        self.run(move |inner| inner.deleting(|transaction| write::expire(transaction, now_ms, limit)))
    }

    fn next_due(&self) -> Stored<'_, Option<u64>> {
        self.read(queue::next_due)
    }

    fn page_bytes(&self, job: JobId, document: u32, index: u32) -> Stored<'_, Option<u64>> {
        self.read(move |connection| read::page_bytes(connection, &job, document, index))
    }

    fn failed_page(&self, job: JobId, document: u32) -> Stored<'_, Option<u32>> {
        self.read(move |connection| read::failed_page(connection, &job, document))
    }

    fn page_result(&self, job: JobId, document: u32, index: u32) -> Stored<'_, Option<(bool, Vec<u8>)>> {
        self.run(move |inner| {
            let found = inner.read(|connection| read::page(connection, &job, document, index))?;
            let Some((ok, digest)) = found else { return Ok(None) };
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

    fn deliveries(&self, query: DeliveryQuery) -> Stored<'_, Listed<DeliveryRow>> {
        self.read(move |connection| webhooks::deliveries(connection, &query))
    }

    fn due_deliveries(&self, now_ms: u64, limit: u32) -> Stored<'_, Vec<DeliveryRow>> {
        self.run(move |inner| inner.due_deliveries(now_ms, limit))
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
