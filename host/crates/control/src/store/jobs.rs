//! The store of jobs: specifications, inputs, the queue, results by page, events, deliveries of webhooks.
//!
//! Owns the port [`JobStore`] and its records. Independent of the meaning of specifications, results and events, which
//! are texts here; `lector-jobs` owns them. One contract suite (`jobs/contract.rs`) tests every implementation.
//!
//! Every write is durable when it returns. A job is worked on by the holder of a **claim**, which ends at a time unless
//! it is renewed; each write of results names the claim, and fails with [`StoreError::Conflict`] if it has ended.

#[cfg(test)]
mod contract;

use std::sync::Arc;

use lector_core::TenantName;
use serde::{Deserialize, Serialize};

use super::{StagedBlob, Stored};
use crate::digest::Digest;

/// The unguessable id of a job: `job_` and 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

/// Text before the digits of an id.
const PREFIX: &str = "job_";
/// Number of random bytes in an id.
const ID_BYTES: usize = 16;

impl JobId {
    /// Makes the id of a new job. `None`: the system has no randomness.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; ID_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(format!("{PREFIX}{}", base16ct::lower::encode_string(&bytes))))
    }

    /// Parses the text of an id.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let fits = digits.len() == ID_BYTES * 2
            && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        fits.then(|| Self(text.to_owned()))
    }

    /// Returns the text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// No page has been begun.
    Queued,
    /// Pages are being read, or wait for their turn.
    Running,
    /// Every document was read to its end; single pages may have failed.
    Succeeded,
    /// At least one document failed as a whole.
    Failed,
    /// The client canceled it.
    Canceled,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Canceled];

    /// Returns the name in JSON, metrics and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Returns the state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Returns whether the state is final.
    pub fn is_finished(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// A job to be added.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Its owner.
    pub tenant: TenantName,
    /// Creation time, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Order among the tenant's own jobs: greater ones first.
    pub priority: i8,
    /// Time that a finished job is kept.
    pub retention_ms: u64,
    /// The specification.
    pub spec: String,
    /// The client's key, and the digest of the request that it stands for.
    pub idempotency: Option<(String, String)>,
    /// Where to send a message at the end.
    pub webhook: Option<String>,
    /// The inputs; at least one.
    pub documents: Vec<NewJobDocument>,
    /// The limits of the tenant.
    pub limits: JobLimits,
}

/// An input of a new job, already stored.
#[derive(Clone, Debug)]
pub struct NewJobDocument {
    /// The client's name for it.
    pub name: Option<String>,
    /// The client's content type.
    pub content_type: Option<String>,
    /// Its blob.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// Bytes that a job, a document and a page count besides their content: rows, events, and the block of a file. Without
/// them a tenant's limit of bytes would not bound its number of small documents.
pub const ROW_BYTES: u64 = 4096;
/// Number of documents with which a page of a list of jobs ends.
pub const LIST_DOCUMENTS_MAX: usize = 1000;
/// Number of bytes of records with which a page of a list of jobs ends.
pub const LIST_BYTES_MAX: usize = 1 << 20;

/// The outcome of the storing of an input.
#[derive(Debug)]
pub enum Staged {
    /// It is stored.
    Stored(StagedBlob),
    /// With it the tenant would keep this number of bytes, which is beyond its limit.
    TooManyBytes(u64),
}

/// The outcome of the storing of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStored {
    /// It is stored with its event.
    New,
    /// A result of this page was stored before, and is kept.
    Known,
    /// It is not stored: with it the tenant would keep this number of bytes, which is beyond its limit.
    TooManyBytes(u64),
}

/// Limits of the jobs of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLimits {
    /// Jobs that are not finished.
    pub unfinished: u64,
    /// Bytes of inputs and results of all its jobs, with [`ROW_BYTES`] for each job, document and page.
    pub bytes: u64,
}

/// The outcome of a submission.
#[derive(Clone, Debug, PartialEq)]
pub enum Added {
    /// The job is new.
    New,
    /// The idempotency key stands for this job, with the same request.
    Same(JobId),
    /// The idempotency key stands for another request.
    Other(JobId),
    /// The tenant has its limit of unfinished jobs.
    TooMany(u64),
    /// With this job the tenant would keep this number of bytes, which is beyond its limit.
    TooManyBytes(u64),
}

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRow {
    /// Position in lists, rising with time.
    pub seq: u64,
    /// Its id.
    pub id: JobId,
    /// Its owner.
    pub tenant: TenantName,
    /// Its state.
    pub state: JobState,
    /// Creation time, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Time of the first claim.
    pub started_at_ms: Option<u64>,
    /// Time of the end.
    pub finished_at_ms: Option<u64>,
    /// Time at which a finished job is deleted.
    pub expires_at_ms: Option<u64>,
    /// The specification.
    pub spec: String,
    /// Number of its last event.
    pub events: u64,
    /// Those of its documents that were asked for, in order.
    pub documents: Vec<JobDocumentRow>,
}

/// The documents that are read with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Documents {
    /// None of them.
    None,
    /// The one with this number.
    One(u32),
    /// All of them.
    All,
}

/// A document of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobDocumentRow {
    /// Its number in the job, from 0.
    pub number: u32,
    /// The client's name for it.
    pub name: Option<String>,
    /// The client's content type.
    pub content_type: Option<String>,
    /// Its blob.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// Claims since the last page that was stored.
    pub attempts: u32,
    /// Facts that are known once it was opened, as text of the caller.
    pub opened: Option<String>,
    /// Pages that were read.
    pub pages_ok: u32,
    /// Pages that failed.
    pub pages_failed: u32,
    /// Facts about its end, as text of the caller; of a document that did not fail empty, see [`JobStore::ended`]. `None`: it
    /// has not ended.
    pub ended: Option<String>,
    /// Number of bytes of the facts about its end.
    pub ended_bytes: u64,
    /// Whether it failed as a whole.
    pub failed: bool,
    /// The fault of its last unsuccessful attempt.
    pub last_fault: Option<String>,
}

/// A page of a list, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<T> {
    /// The rows. Unreadable ones are left out.
    pub rows: Vec<T>,
    /// The position before which the list continues; `None`: it ends here.
    pub next: Option<u64>,
}

/// A query of jobs.
#[derive(Clone, Debug)]
pub struct JobQuery {
    /// The owner.
    pub tenant: TenantName,
    /// Only jobs in this state.
    pub state: Option<JobState>,
    /// Only jobs before this position.
    pub before: Option<u64>,
    /// Most jobs to return.
    pub limit: u32,
}

/// The right to work on one document of a job, until its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The unique token.
    pub token: String,
    /// The job, as it was when the claim began.
    pub job: JobRow,
    /// Number of the document to work on.
    pub document: u32,
    /// Indices of its pages that are stored.
    pub done: Vec<u32>,
}

/// The conditions of a claim.
#[derive(Clone, Debug)]
pub struct ClaimQuery {
    /// The unique token of the claim.
    pub token: String,
    /// The time now, milliseconds since 1970.
    pub now_ms: u64,
    /// The time now of the clock that ends claims, in milliseconds. Nothing sets that clock: a claim would end while its
    /// holder works.
    pub claims_now_ms: u64,
    /// The time of that clock at which the claim ends.
    pub until_ms: u64,
    /// Most claims on the jobs of one tenant at once.
    pub tenant_claims_max: u32,
}

/// The result of a page.
#[derive(Clone, Debug)]
pub struct NewPage {
    /// Its index in the document, from 0.
    pub index: u32,
    /// Whether it was read.
    pub ok: bool,
    /// The result.
    pub result: Arc<Vec<u8>>,
    /// The data of its event.
    pub event: String,
    /// Limit of the bytes that the tenant keeps.
    pub tenant_bytes_max: u64,
}

/// The end of the work on a claim.
#[derive(Clone, Debug)]
pub struct Release {
    /// Not claimed again before this time.
    pub not_before_ms: u64,
    /// Whether the claim was an attempt. `false` removes it from the count: nothing was tried, or the server stops.
    pub attempted: bool,
    /// The fault that ended the attempt.
    pub fault: Option<String>,
}

/// The end of a document.
#[derive(Clone, Debug)]
pub struct DocumentEnd {
    /// The time, milliseconds since 1970.
    pub now_ms: u64,
    /// Facts about the end.
    pub ended: String,
    /// Whether the document failed as a whole.
    pub failed: bool,
    /// The event `document_end` or `document_error`, with its data.
    pub event: (String, String),
}

/// The outcome of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The job was not finished, and is canceled.
    Canceled,
    /// The job was finished, and is gone.
    Forgotten,
}

/// An event of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEventRow {
    /// Its number in the job, from 1, without gaps.
    pub seq: u64,
    /// Its name.
    pub event: String,
    /// Its time, milliseconds since 1970.
    pub at_ms: u64,
    /// Its data, a JSON object.
    pub data: String,
}

/// A message about the end of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its position, rising with time.
    pub seq: u64,
    /// Its unique id, the same for every attempt.
    pub id: String,
    /// The job.
    pub job: JobId,
    /// The owner of the job.
    pub tenant: TenantName,
    /// The destination.
    pub url: String,
    /// The final state of the job.
    pub state: JobState,
    /// The time of the end.
    pub created_at_ms: u64,
    /// Attempts so far.
    pub attempts: u32,
    /// The time of the next attempt; `None`: there is none.
    pub next_at_ms: Option<u64>,
    /// Whether it was accepted.
    pub delivered: bool,
    /// The error of the last attempt.
    pub last_error: Option<String>,
}

/// A query of deliveries.
#[derive(Clone, Debug)]
pub struct DeliveryQuery {
    /// The owner.
    pub tenant: TenantName,
    /// Only those that were given up.
    pub dead: bool,
    /// Only those before this position.
    pub before: Option<u64>,
    /// Most rows to return.
    pub limit: u32,
}

/// The outcome of an attempt to deliver.
#[derive(Clone, Debug)]
pub struct DeliveryAttempt {
    /// Whether the receiver accepted the message.
    pub delivered: bool,
    /// The next attempt; `None`: it was delivered or is given up.
    pub next_at_ms: Option<u64>,
    /// The error.
    pub error: Option<String>,
}

/// Counts of a job store, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Jobs by state, in the order of [`JobState::ALL`].
    pub jobs: [u64; 5],
    /// Bytes of inputs and results, with [`ROW_BYTES`] for each job, document and page.
    pub bytes: u64,
    /// Deliveries that wait, and that were given up.
    pub deliveries: (u64, u64),
}

/// A store of jobs.
///
/// A damaged row costs the job, document or delivery that it belongs to: a read of it fails with
/// [`Damaged`](super::StoreError::Damaged), and the queue, lists and deletions go on without it.
pub trait JobStore: Send + Sync + 'static {
    /// Stores an input of a tenant; it is kept as long as the handle or a job that names it. It counts against `bytes_max`
    /// with all that the tenant keeps and stages. Fails with [`Full`](super::StoreError::Full) if less than the reserve of
    /// the disk would be left.
    fn stage(&self, tenant: TenantName, bytes: Arc<Vec<u8>>, bytes_max: u64) -> Stored<'_, Staged>;
    /// Adds a job with its event `queued`. `inputs` are those of its documents. If the job is not new, or cannot be
    /// added, they are deleted unless another job names them.
    fn add(&self, job: NewJob, inputs: Vec<StagedBlob>) -> Stored<'_, Added>;
    /// Returns a job with these documents.
    fn job(&self, id: JobId, documents: Documents) -> Stored<'_, Option<JobRow>>;
    /// Returns the facts about the end of a document. `None`: it has not ended, or does not exist.
    fn ended(&self, job: JobId, document: u32) -> Stored<'_, Option<String>>;
    /// Returns jobs with [all](Documents::All) their documents, newest first. A page ends with `limit` jobs, or with the job
    /// that reaches [`LIST_DOCUMENTS_MAX`] documents or [`LIST_BYTES_MAX`] bytes.
    fn jobs(&self, query: JobQuery) -> Stored<'_, Listed<JobRow>>;
    /// Claims a document of a job that may run: of the tenant with the fewest claims, then of the tenant that was
    /// served longest ago; of its jobs, by priority, then the one that was served longest ago. Counts the attempt.
    ///
    /// A job whose row cannot be read ends as failed, and one whose documents have all ended is finished; the next one is
    /// claimed.
    fn claim(&self, query: ClaimQuery) -> Stored<'_, Option<Claim>>;
    /// Moves the end of a claim, by the clock that ends claims. `false`: it has ended.
    fn renew(&self, job: JobId, token: String, until_ms: u64) -> Stored<'_, bool>;
    /// Stores the facts of an opened document with its event `document`, once.
    fn opened(&self, claim: ClaimRef, now_ms: u64, opened: String, event: String) -> Stored<'_, ()>;
    /// Stores the result of a page with its event, once: a second result of the same page changes nothing. Sets the
    /// attempts of the document to 0. Fails with [`Full`](super::StoreError::Full) if less than half of the reserve of the
    /// disk would be left: the other half is for accepted jobs.
    fn page(&self, claim: ClaimRef, now_ms: u64, page: NewPage) -> Stored<'_, PageStored>;
    /// Ends a document. The end of the last one ends the job: `succeeded`, or `failed` if one of them failed.
    fn end_document(&self, claim: ClaimRef, end: DocumentEnd) -> Stored<'_, ()>;
    /// Ends a claim.
    fn release(&self, claim: ClaimRef, release: Release) -> Stored<'_, ()>;
    /// Cancels an unfinished job of a tenant, or deletes a finished one with its results. `None`: the tenant has no such
    /// job.
    fn delete(&self, tenant: TenantName, id: JobId, now_ms: u64) -> Stored<'_, Option<Deleted>>;
    /// Deletes finished jobs whose time is over, at most `limit`; returns their number, 0 if nothing is left.
    fn expire(&self, now_ms: u64, limit: u32) -> Stored<'_, u64>;
    /// Returns the time at which the next job or delivery becomes due; `None`: nothing waits.
    fn next_due(&self) -> Stored<'_, Option<u64>>;
    /// Returns the size of the stored result of a page, in bytes.
    fn page_bytes(&self, job: JobId, document: u32, index: u32) -> Stored<'_, Option<u64>>;
    /// Returns the index of the first page of a document that failed.
    fn failed_page(&self, job: JobId, document: u32) -> Stored<'_, Option<u32>>;
    /// Returns the stored result of a page: whether it was read, and the bytes.
    fn page_result(&self, job: JobId, document: u32, index: u32) -> Stored<'_, Option<(bool, Vec<u8>)>>;
    /// Returns the bytes of an input or result.
    fn blob(&self, digest: Digest) -> Stored<'_, Option<Vec<u8>>>;
    /// Returns events of a job after a number, in order, at most `limit`.
    fn events(&self, job: JobId, after: u64, limit: u32) -> Stored<'_, Vec<JobEventRow>>;
    /// Returns deliveries of a tenant, newest first.
    fn deliveries(&self, query: DeliveryQuery) -> Stored<'_, Listed<DeliveryRow>>;
    /// Returns deliveries that are due, by their time, some of each tenant. Those that cannot be read are given up.
    fn due_deliveries(&self, now_ms: u64, limit: u32) -> Stored<'_, Vec<DeliveryRow>>;
    /// Records an attempt to deliver. A delivery that ends is deleted if its job is.
    fn attempted(&self, seq: u64, attempt: DeliveryAttempt) -> Stored<'_, ()>;
    /// Returns the signing secrets of a tenant, newest first; makes the first one from `new` if there is none.
    fn secrets(&self, tenant: TenantName, new: String, now_ms: u64) -> Stored<'_, Vec<String>>;
    /// Makes `new` the tenant's newest signing secret, and keeps the one before it.
    fn rotate_secret(&self, tenant: TenantName, new: String, now_ms: u64) -> Stored<'_, ()>;
    /// Deletes at most `limit` jobs of a tenant, in any state, with all that they have; with the last one also the
    /// tenant's deliveries and secrets. Returns the deleted jobs: none if nothing is left.
    fn forget_tenant(&self, tenant: TenantName, limit: u32) -> Stored<'_, Vec<JobId>>;
    /// Returns the counts.
    fn counts(&self) -> Stored<'_, JobCounts>;
}

/// The identity of a claim on a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRef {
    /// The job.
    pub job: JobId,
    /// The document.
    pub document: u32,
    /// The token.
    pub token: String,
}

impl Claim {
    /// Returns the identity of the claim.
    pub fn identity(&self) -> ClaimRef {
        ClaimRef { job: self.job.id.clone(), document: self.document, token: self.token.clone() }
    }
}
