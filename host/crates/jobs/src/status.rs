//! The status of a job, as callers see it.

use lector_control::store::jobs::{JobDocumentRow, JobId, JobRow, JobState};
use lector_core::{Fault, TenantName};

use crate::codes;
use crate::faults::spec_damaged;
use crate::shapes::{Ended, Opened};
use crate::spec::JobSpec;

/// The status of a job.
#[derive(Clone, Debug)]
pub struct JobStatus {
    /// Its id.
    pub id: JobId,
    /// Its owner.
    pub tenant: TenantName,
    /// Its state.
    pub state: JobState,
    /// Creation time, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Time at which the first page was begun.
    pub started_at_ms: Option<u64>,
    /// Time of the end.
    pub finished_at_ms: Option<u64>,
    /// Time at which it is deleted.
    pub expires_at_ms: Option<u64>,
    /// Its specification.
    pub spec: JobSpec,
    /// Its documents.
    pub documents: Vec<JobDocument>,
    /// Pages that were read.
    pub pages_ok: u32,
    /// Pages that failed.
    pub pages_failed: u32,
    /// Pages to read; known once every document has been opened or has failed.
    pub pages_total: Option<u32>,
    /// Attempts at the current document since its last page.
    pub attempts: u32,
    /// The fault of the first document that failed; before that, the fault of the last unsuccessful attempt.
    pub fault: Option<Fault>,
    /// Number of the last event.
    pub events: u64,
}

/// A document of a job.
#[derive(Clone, Debug)]
pub struct JobDocument {
    /// Its number, from 0.
    pub index: u32,
    /// The client's name for it.
    pub name: Option<String>,
    /// Its type, once it is open; before that, the client's.
    pub content_type: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// Its pages, once it is open.
    pub page_count: Option<u32>,
    /// Pages to read, once it is open.
    pub pages_selected: Option<u32>,
    /// Pages that were read.
    pub pages_ok: u32,
    /// Pages that failed.
    pub pages_failed: u32,
    /// Whether it has ended.
    pub finished: bool,
    /// The fault of a document that failed as a whole.
    pub fault: Option<Fault>,
}

/// A submitted job.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The job.
    pub job: JobStatus,
    /// Whether it is new; otherwise an earlier submission with the same idempotency key made it.
    pub created: bool,
}

/// A filter of lists of jobs.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobFilter {
    /// Only jobs in this state.
    pub state: Option<JobState>,
}

impl JobDocument {
    fn of(row: &JobDocumentRow) -> Self {
        let opened: Option<Opened> = row.opened.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let ended: Option<Ended> = row.ended.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Self {
            index: row.number,
            name: row.name.clone(),
            content_type: opened
                .as_ref()
                .map(|opened| opened.content_type.clone())
                .or_else(|| row.content_type.clone()),
            bytes: row.bytes,
            sha256: row.digest.to_string(),
            page_count: opened.as_ref().map(|opened| opened.page_count),
            pages_selected: opened.as_ref().map(Opened::selected_count),
            pages_ok: row.pages_ok,
            pages_failed: row.pages_failed,
            finished: row.ended.is_some(),
            fault: ended.and_then(|ended| ended.fault).map(Fault::from),
        }
    }

    /// Returns the pages that count: the selected ones; for a document that failed, those with a result.
    fn pages(&self) -> Option<u32> {
        if self.fault.is_some() {
            return Some(self.pages_ok + self.pages_failed);
        }
        self.pages_selected
    }
}

impl JobStatus {
    /// Returns the status of a row. Fault: `job_data_damaged`.
    pub(crate) fn of(row: &JobRow) -> Result<Self, Fault> {
        let spec = serde_json::from_str(&row.spec).map_err(spec_damaged)?;
        let documents: Vec<JobDocument> = row.documents.iter().map(JobDocument::of).collect();
        let current = row.documents.iter().find(|document| document.ended.is_none());
        let last = current.and_then(|document| document.last_fault.as_deref()).and_then(codes::from_json);
        Ok(Self {
            id: row.id.clone(),
            tenant: row.tenant.clone(),
            state: row.state,
            created_at_ms: row.created_at_ms,
            started_at_ms: row.started_at_ms,
            finished_at_ms: row.finished_at_ms,
            expires_at_ms: row.expires_at_ms,
            spec,
            pages_ok: documents.iter().map(|document| document.pages_ok).sum(),
            pages_failed: documents.iter().map(|document| document.pages_failed).sum(),
            pages_total: documents.iter().map(JobDocument::pages).sum(),
            attempts: current.map_or(0, |document| document.attempts),
            fault: documents.iter().find_map(|document| document.fault.clone()).or(last),
            documents,
            events: row.events,
        })
    }
}
