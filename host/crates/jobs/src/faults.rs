//! Faults of jobs.

use std::time::Duration;

use lector_control::store::StoreError;
use lector_control::store::jobs::JobId;
use lector_core::{Fault, Kind};

/// Converts an error of the store.
pub(crate) fn stored(error: StoreError) -> Fault {
    match error {
        StoreError::Damaged { .. } => data_damaged().with_detail(error),
        StoreError::Conflict { .. } => {
            let message = "The job was changed by another request: look at its state.";
            Fault::new(Kind::Conflict, "job_changed", message).with_detail(error)
        }
        StoreError::Full { .. } => {
            let message = "The server's disk has no space for another job. Accepted jobs are kept and continue: try again \
                           later, delete finished jobs, or tell the operator.";
            Fault::new(Kind::Unavailable, "storage_full", message).with_detail(error)
        }
        other => other.into(),
    }
}

/// Time after which a tenant with its limit of jobs should try again: some of its pages are read by then.
const JOBS_RETRY_AFTER: Duration = Duration::from_secs(30);
/// Time after which a tenant with its limit of bytes should try again: expired jobs are deleted each minute.
const BYTES_RETRY_AFTER: Duration = Duration::from_secs(60);

pub(crate) fn too_many_jobs(unfinished: u64) -> Fault {
    let message = format!(
        "The tenant has {unfinished} unfinished jobs, which is its limit (`limits.jobs_unfinished_max`): wait until some have \
         ended, or cancel some."
    );
    Fault::new(Kind::Busy, "tenant_jobs_exceeded", message).retry_after(JOBS_RETRY_AFTER)
}

pub(crate) fn too_many_bytes(bytes: u64, most: u64) -> Fault {
    let message = format!(
        "With this job the tenant's jobs would keep {bytes} bytes of documents and results, and the limit is {most} \
         (`limits.jobs_bytes_max`): delete finished jobs, or wait until their retention is over."
    );
    Fault::new(Kind::Busy, "tenant_job_bytes_exceeded", message).retry_after(BYTES_RETRY_AFTER)
}

/// Returns the fault of a document whose next page the tenant may not keep.
pub(crate) fn too_many_result_bytes(bytes: u64, most: u64) -> Fault {
    let message = format!(
        "With the next page of this document the tenant's jobs would keep {bytes} bytes of documents and results, and the \
         limit is {most} (`limits.jobs_bytes_max`). The pages before it are kept: delete finished jobs, and submit the rest \
         again."
    );
    Fault::new(Kind::Busy, "tenant_job_bytes_exceeded", message).retry_after(BYTES_RETRY_AFTER)
}

pub(crate) fn data_damaged() -> Fault {
    let message =
        "The stored input or result is damaged or missing: submit the document again, and tell the operator.";
    Fault::new(Kind::Unavailable, "job_data_damaged", message)
}

/// Returns the fault of an unknown job. It is the same for a job of another tenant.
pub(crate) fn not_found(id: &JobId) -> Fault {
    let message =
        format!("The job `{id}` does not exist: it was deleted, its retention is over, or the id is wrong.");
    Fault::new(Kind::NotFound, "job_not_found", message)
}

pub(crate) fn not_finished() -> Fault {
    let message = "The document has not been read to its end: wait for the end of the job, follow its events, or request \
                   single pages.";
    Fault::new(Kind::Conflict, "job_not_finished", message)
}

pub(crate) fn document_not_found(document: u32) -> Fault {
    let message =
        format!("The job has no document {document}: its status lists its documents, numbered from 0.");
    Fault::new(Kind::NotFound, "job_document_not_found", message)
}

pub(crate) fn page_not_found(index: u32) -> Fault {
    let number = u64::from(index) + 1;
    let message =
        format!("Page {number} is not among the pages that were read so far: follow the events of the job.");
    Fault::new(Kind::NotFound, "job_page_not_found", message)
}

pub(crate) fn attempts_exhausted(attempts: u32) -> Fault {
    let message = format!(
        "The page or document was given up: {attempts} attempts to read it ended without a result, each with the server or \
         a part of it. Send the document to the operator."
    );
    Fault::new(Kind::Unavailable, "job_attempts_exhausted", message)
}

pub(crate) fn summary_missing() -> Fault {
    let message = "The pages of this document were read in several turns, and a summary is made only of a document that is \
                   read in one turn. The pages are complete.";
    Fault::new(Kind::Unavailable, "job_summary_missing", message)
}

pub(crate) fn no_randomness() -> Fault {
    let message = "The system of the server has no randomness: tell the operator.";
    Fault::new(Kind::Unavailable, "no_randomness", message)
}

pub(crate) fn spec_damaged(detail: impl std::fmt::Display) -> Fault {
    let message =
        "The specification of the job cannot be read: submit the document again, and tell the operator.";
    Fault::new(Kind::Bug, "job_data_damaged", message).with_detail(detail)
}
