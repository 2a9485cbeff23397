//! Jobs.

use super::entry::{ProblemCode, codes};

codes! {
    jobs_disabled [501] "The server has no jobs: its configuration disables them."
        "Send the document to `/api/v1/ocr` or `/api/v1/ocr/batch`.";
    job_not_found [404] "The job does not exist, or belongs to another tenant."
        "Correct the id. A finished job is deleted when its retention is over.";
    job_not_finished [409] "The document has not been read to its end."
        "Wait for the end of the job (`Prefer: wait`, or its events), or request single pages.";
    job_document_not_found [404] "The job has no document with that number."
        "Use a number of the list `documents` of the job; the first is 0.";
    job_page_not_found [404] "The page is not among the pages that were read so far."
        "Follow the events of the job; pages are counted from 1.";
    job_changed [409] "Another request changed the job at the same time."
        "Look at the state of the job, then repeat the request.";
    job_data_damaged [500, 503] "The stored specification, input or result of the job is damaged or missing."
        "Submit the document again; the operator finds the reason in the server log.";
    job_attempts_exhausted [503] "The page or document of a job was given up after repeated attempts that ended with the server or a part of it."
        "Send the document to the operator.";
    job_summary_missing [503] "The pages of the document were read in several turns, so there is no summary. The pages are complete."
        "Use the pages, or send a smaller document.";
    idempotency_key_reused [409] "The idempotency key belongs to a job with other documents or options."
        "Use a new key for another submission.";
    tenant_jobs_exceeded [429]
        "The tenant has reached its limit of unfinished jobs (`limits.jobs_unfinished_max`, else `jobs.tenant_jobs_max`)."
        "Try again after `Retry-After`, or cancel jobs.";
    tenant_job_bytes_exceeded [429]
        "The tenant's jobs keep as many bytes of documents and results as its limit allows (`limits.jobs_bytes_max`, else \
         `jobs.tenant_bytes_max`)."
        "Delete finished jobs, or try again after `Retry-After`: expired ones are deleted.";
}
