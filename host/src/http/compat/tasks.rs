//! Asynchronous calls: a document is read in the background, and its client asks for the state and the result.
//!
//! The only module that knows how such calls are kept: each is a durable job of one document, with what the dialect needs
//! for its answers in the labels. It survives the server, and is deleted `compat.ttl_s` after its end. A task of another
//! tenant does not exist.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lector_control::Principal;
use lector_control::store::jobs::{Deleted, JobId, JobState};
use lector_core::port::DocumentHint;
use lector_core::{Fault, Kind};
use lector_jobs::{JobFilter, JobSpec, JobStatus, Jobs, StoredDocument, Submission};
use lector_serving::{PageResult, SearchablePdf};

use super::reading::{self, Reading};
use super::visit::{Ask, Visit};
use crate::http::AppState;
use crate::http::problem;

/// Most bytes of stored pages that a result may have, if its dialect cannot write it page by page.
const WHOLE_BYTES_MAX: u64 = 64 << 20;
/// Most jobs of a tenant, the newest, among which tasks with a label are looked for; and the number of one look.
const LABELED_AMONG_MAX: usize = 1000;
const LABELED_AT_ONCE: u32 = 100;
/// Maximum size of a label, which is that of a job's.
const LABEL_BYTES_MAX: usize = 256;
/// The only document of a task.
const DOCUMENT: u32 = 0;

/// The state of a task.
#[derive(Clone, Debug)]
pub(super) enum TaskState {
    /// The document waits for its place.
    Pending,
    /// Pages are being read: how many have been read, of how many.
    Running(u32, u32),
    /// The document was read: the number of its pages.
    Done(u32),
    /// The document was not read.
    Failed(Fault),
}

/// A task as its client sees it.
#[derive(Clone, Debug)]
pub(super) struct TaskView {
    pub(super) id: String,
    /// The client's name for the document.
    pub(super) name: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) created_ms: u64,
    /// Time of the last change of the state.
    pub(super) updated_ms: u64,
    pub(super) state: TaskState,
}

impl TaskView {
    /// Returns a label; without it, nothing.
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// What a dialect keeps with a task for its answers. Longer texts are cut.
pub(super) type Labels = BTreeMap<&'static str, String>;

/// The tasks of a tenant.
pub(super) struct Tasks<'a> {
    state: &'a AppState,
    jobs: &'a Arc<Jobs>,
    principal: &'a Principal,
}

/// Begins to read a document in the background; the task is durable when this returns.
///
/// Faults: those of jobs, and `jobs_disabled`.
pub(super) async fn submit(
    visit: Visit,
    ask: Ask,
    labels: Labels,
    document: Vec<u8>,
) -> Result<TaskView, Fault> {
    let (state, principal, name) = (visit.state.clone(), visit.principal.clone(), ask.name.clone());
    let (request, _received) = visit.into_request(ask, document.len() as u64)?;
    let jobs = state.jobs()?;
    state.metrics.document_received(document.len());
    let label = |(name, text): (&str, String)| {
        let end = text.floor_char_boundary(LABEL_BYTES_MAX);
        (name.to_owned(), text.get(..end).unwrap_or_default().to_owned())
    };
    let spec = JobSpec {
        retention: Some(state.config.compat.ttl.min(jobs.config().retention_max)),
        labels: labels.into_iter().map(label).collect(),
        ..JobSpec::new(request)
    };
    // Without the client's type, which is wrong too often: the bytes decide.
    let inputs = vec![jobs.stage(&principal, name, None, document).await?];
    let submitted = jobs.submit(&principal, Submission { spec, inputs, idempotency_key: None }).await?;
    Tasks { state: &state, jobs, principal: &principal }.view(submitted.job).await
}

impl<'a> Tasks<'a> {
    /// Returns the tasks of the principal's tenant. Fault: `jobs_disabled`.
    pub(super) fn of(state: &'a AppState, principal: &'a Principal) -> Result<Self, Fault> {
        Ok(Self { state, jobs: state.jobs()?, principal })
    }

    /// Returns a task.
    pub(super) async fn get(&self, id: &str) -> Result<TaskView, Fault> {
        self.wait(id, Duration::ZERO).await
    }

    /// Returns a task when it is finished, or after `at_most`.
    pub(super) async fn wait(&self, id: &str, at_most: Duration) -> Result<TaskView, Fault> {
        let job = job_id(id)?;
        let status = if at_most.is_zero() {
            self.jobs.status(self.principal, &job).await
        } else {
            self.jobs.wait(self.principal, &job, at_most).await
        };
        self.view(status.map_err(|fault| translated(fault, id))?).await
    }

    /// Returns the tasks with this label, the oldest first.
    pub(super) async fn labeled(&self, label: &str, value: &str) -> Result<Vec<TaskView>, Fault> {
        let (mut views, mut before, mut looked_at) = (Vec::new(), None, 0);
        while looked_at < LABELED_AMONG_MAX {
            let listed =
                self.jobs.list(self.principal, JobFilter::default(), before, LABELED_AT_ONCE).await?;
            let Some((last, _)) = listed.last() else { break };
            (before, looked_at) = (Some(*last), looked_at + listed.len());
            for (_, job) in listed {
                if job.spec.labels.get(label).is_some_and(|own| own == value) {
                    match self.view(job).await {
                        Ok(view) => views.push(view),
                        Err(fault) if fault.code == "compat_task_not_found" => {}
                        Err(fault) => return Err(fault),
                    }
                }
            }
        }
        views.reverse();
        Ok(views)
    }

    /// Cancels and forgets a task.
    pub(super) async fn forget(&self, id: &str) -> Result<(), Fault> {
        let job = job_id(id)?;
        let delete =
            async || self.jobs.delete(self.principal, &job).await.map_err(|fault| translated(fault, id));
        if delete().await? == Deleted::Canceled {
            delete().await?;
        }
        Ok(())
    }

    /// Returns the document of a finished task, page by page from the store.
    pub(super) async fn document(&self, id: &str) -> Result<StoredDocument, Fault> {
        let result = self.jobs.result(self.principal, &job_id(id)?, DOCUMENT).await;
        result.map_err(|fault| translated(fault, id))
    }

    /// Returns the document of a finished task as a whole. Its memory counts on the account of the tenant before it is read.
    /// Fault: `document_result_too_large`.
    pub(super) async fn reading(&self, id: &str) -> Result<Arc<Reading>, Fault> {
        let job =
            self.jobs.status(self.principal, &job_id(id)?).await.map_err(|fault| translated(fault, id))?;
        let bytes = job.documents.iter().map(|document| document.bytes).sum();
        let document = self.document(id).await?;
        let whole = document.collect(WHOLE_BYTES_MAX).await?;
        Ok(Arc::new(Reading::stored(Box::new(whole), bytes, document.into_memory())?))
    }

    /// Composes the searchable PDF of a finished task, whose words were read.
    pub(super) async fn searchable_pdf(&self, id: &str) -> Result<SearchablePdf, Fault> {
        let input = self.jobs.input(self.principal, &job_id(id)?, DOCUMENT).await?;
        let (service, timeout) = (&self.state.service, self.state.config.request_timeout);
        // Neither the document nor its words are in memory while the request waits for its place.
        let composer = service.composer(self.principal, input, DocumentHint::default(), timeout).await?;
        let reading = self.reading(id).await?;
        let _texts = reading.room(reading.held_bytes()).await?;
        // The file counts on the account of the words, which are held until it is made.
        let composer = match reading.answer() {
            Some(answer) => composer.for_answer(answer),
            None => composer,
        };
        // The words of 2,000 pages take some time to copy, and must not block other connections.
        let pages = tokio::task::spawn_blocking(move || lector_export::page_texts(&reading.result)).await;
        let pages = pages.map_err(problem::internal)?;
        composer.searchable_pdf(pages, lector_core::PdfStandard::Own).await
    }

    async fn view(&self, job: JobStatus) -> Result<TaskView, Fault> {
        let id = task_id(&job.id);
        // The deletion of expired jobs comes some time after.
        let is_over = job.expires_at_ms.is_some_and(|at_ms| at_ms <= self.state.control.clock().now_ms());
        if is_over || job.state == JobState::Canceled {
            return Err(not_found(&id));
        }
        let state = match (job.state, job.pages_total) {
            (JobState::Running, Some(all)) => TaskState::Running(job.pages_ok + job.pages_failed, all),
            (JobState::Queued | JobState::Running | JobState::Canceled, _) => TaskState::Pending,
            (JobState::Succeeded, _) if job.pages_failed > 0 => {
                TaskState::Failed(self.page_fault(&job).await?)
            }
            (JobState::Succeeded, _) => TaskState::Done(job.pages_ok),
            (JobState::Failed, _) => {
                let unknown = || problem::internal("a failed job has no fault");
                TaskState::Failed(job.fault.clone().unwrap_or_else(unknown))
            }
        };
        let updated_ms = job.finished_at_ms.or(job.started_at_ms).unwrap_or(job.created_at_ms);
        let name = job.documents.into_iter().next().and_then(|document| document.name);
        Ok(TaskView { id, name, labels: job.spec.labels, created_ms: job.created_at_ms, updated_ms, state })
    }

    /// Returns the fault of the first page that failed.
    async fn page_fault(&self, job: &JobStatus) -> Result<Fault, Fault> {
        let document = self.jobs.result(self.principal, &job.id, DOCUMENT).await?;
        match document.failed_page().await? {
            Some(PageResult { index, outcome: Err(fault), .. }) => {
                Ok(reading::page_failed(index, &fault, job.pages_failed as usize - 1))
            }
            _ => Err(problem::internal("a job counts a failed page that it does not have")),
        }
    }
}

/// Returns the id of a task: that of its job as a UUID, which some clients parse.
fn task_id(job: &JobId) -> String {
    let digits = job.as_str().trim_start_matches(|c: char| c != '_').trim_start_matches('_');
    uuid::Uuid::try_parse(digits).map_or_else(|_| digits.to_owned(), |id| id.to_string())
}

/// Returns the job of a task.
fn job_id(id: &str) -> Result<JobId, Fault> {
    let parsed = uuid::Uuid::try_parse(id).ok();
    parsed.and_then(|id| JobId::parse(&format!("job_{}", id.simple()))).ok_or_else(|| not_found(id))
}

/// Returns the fault for a client that knows nothing of jobs.
fn translated(fault: Fault, id: &str) -> Fault {
    match fault.code {
        "job_not_found" => not_found(id),
        "job_not_finished" => {
            let message = "Task result not found. Please wait for a completion status.";
            Fault::new(Kind::NotFound, "compat_task_not_finished", message)
        }
        _ => fault,
    }
}

/// Returns the fault of a task that does not exist.
pub(super) fn not_found(id: &str) -> Fault {
    let id: String = id.chars().filter(|c| !c.is_control()).take(60).collect();
    let message = format!("The task `{id}` does not exist, or has expired: send the document again.");
    Fault::new(Kind::NotFound, "compat_task_not_found", message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_id_of_a_task_is_that_of_its_job_as_a_uuid() {
        let job = JobId::random().unwrap();
        let id = task_id(&job);
        assert!(uuid::Uuid::parse_str(&id).is_ok() && id.len() == 36, "{id}");
        assert_eq!(job_id(&id).unwrap(), job);
        for other in ["", "unknown", "job_0123", "../x"] {
            assert_eq!(job_id(other).unwrap_err().code, "compat_task_not_found");
        }
    }
}
