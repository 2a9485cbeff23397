//! The results of a job: documents that are read from the store page by page.
//!
//! Their memory counts on the account of their tenant before they are read, and they are parsed where blocking is allowed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use lector_control::store::jobs::{JobDocumentRow, JobId};
use lector_control::{Held, Principal};
use lector_core::{DeploymentName, DocumentView, Fault, Kind, RequestId, Summary};
use lector_serving::{AnswerMemory, DocumentResult, PageResult};

use crate::codes::interned;
use crate::faults;
use crate::service::Jobs;
use crate::shapes::{Ended, Opened, page_of};
use crate::store_access::TenantStore;

/// Memory of a page while it is read, for each byte in the store: its text, and the page that is parsed from it.
const READ_PER_STORED: u64 = 4;

/// Everything about a document but its pages.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The request.
    pub request: RequestId,
    /// The deployment that read it.
    pub deployment: DeploymentName,
    /// The client's name for the document.
    pub name: Option<String>,
    /// `application/pdf`, `image/png`, ...
    pub content_type: String,
    /// Pages of the document.
    pub page_count: u32,
    /// Indices of the selected pages, from 0, increasing.
    pub selected: Vec<u32>,
    /// The guest's summary.
    pub summary: Option<Arc<Held<Summary>>>,
    /// The reason that there is no summary although pages were read.
    pub summary_fault: Option<Fault>,
    /// Pages that were read.
    pub pages_ok: u32,
    /// Pages that failed.
    pub pages_failed: u32,
    /// Time of the work on the document.
    pub total: Duration,
}

impl Envelope {
    /// Returns the view that output formats read.
    pub fn view(&self) -> DocumentView<'_> {
        DocumentView {
            request: &self.request,
            deployment: &self.deployment,
            name: self.name.as_deref(),
            content_type: &self.content_type,
            page_count: self.page_count,
            selected: &self.selected,
            summary: self.summary.as_deref().map(|summary| &**summary),
            summary_fault: self.summary_fault.as_ref(),
            pages_ok: self.pages_ok,
            pages_failed: self.pages_failed,
            total: self.total,
        }
    }
}

/// A finished document in the store. Holds no page, and a place among the answers of its tenant.
pub struct StoredDocument {
    pages: Pages,
    envelope: Envelope,
}

/// The pages of a document in the store.
struct Pages {
    store: TenantStore,
    job: JobId,
    document: u32,
    memory: AnswerMemory,
}

impl std::fmt::Debug for StoredDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredDocument")
            .field("job", &self.pages.job)
            .field("document", &self.pages.document)
            .finish()
    }
}

impl Pages {
    /// Returns the size of a page in the store.
    async fn bytes(&self, index: u32) -> Result<Option<u64>, Fault> {
        let (job, document) = (self.job.clone(), self.document);
        self.store.call(move |store| store.page_bytes(job, document, index)).await
    }

    /// Reads a page of `bytes` bytes in the store. Its memory counts before there is any.
    async fn read(&self, index: u32, bytes: u64) -> Result<Option<PageResult>, Fault> {
        let mut reservation = self.memory.reserve(bytes.saturating_mul(READ_PER_STORED)).await?;
        let (job, document) = (self.job.clone(), self.document);
        let stored = self.store.call(move |store| store.page_result(job, document, index)).await?;
        let Some((_, text)) = stored else { return Ok(None) };
        let page = on_blocking_thread(move || page_of(index, &text)).await?;
        let outcome = page.outcome.map(|transcript| {
            let transcript = Arc::unwrap_or_clone(transcript);
            reservation.set(transcript.memory_bytes());
            Arc::new(Held::new(transcript, reservation))
        });
        Ok(Some(PageResult { index, outcome, timing: page.timing }))
    }
}

/// Parses what may have megabytes, which must not block other connections.
async fn on_blocking_thread<T: Send + 'static>(
    parse: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let parsed = tokio::task::spawn_blocking(parse).await;
    parsed.map_err(|error| faults::data_damaged().with_detail(error))?
}

impl StoredDocument {
    /// Returns everything but the pages.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Reads the page at a position in the list of selected pages.
    pub async fn page(&self, position: usize) -> Result<PageResult, Fault> {
        let index = self.envelope.selected.get(position).copied().ok_or_else(faults::data_damaged)?;
        let bytes = self.pages.bytes(index).await?.ok_or_else(faults::data_damaged)?;
        self.pages.read(index, bytes).await?.ok_or_else(faults::data_damaged)
    }

    /// Reads the first page that failed, without a look at the others.
    pub async fn failed_page(&self) -> Result<Option<PageResult>, Fault> {
        let (job, document) = (self.pages.job.clone(), self.pages.document);
        let index = self.pages.store.call(move |store| store.failed_page(job, document)).await?;
        let Some(index) = index else { return Ok(None) };
        match self.pages.bytes(index).await? {
            Some(bytes) => self.pages.read(index, bytes).await,
            None => Ok(None),
        }
    }

    /// Returns the memory of the answer that this document is read for.
    pub fn memory(&self) -> &AnswerMemory {
        &self.pages.memory
    }

    /// Returns the memory of the answer, which holds its place as long as the answer is made.
    pub fn into_memory(self) -> AnswerMemory {
        self.pages.memory
    }

    /// Streams the selected pages in order, and holds one at a time.
    pub fn pages(self: Arc<Self>) -> impl Stream<Item = Result<PageResult, Fault>> + Send {
        futures::stream::unfold((self, 0), async |(document, position)| {
            (position < document.envelope.selected.len()).then_some(())?;
            let page = document.page(position).await;
            // An error is the last item.
            let next = if page.is_ok() { position + 1 } else { usize::MAX };
            Some((page, (document, next)))
        })
    }

    /// Reads the whole document, if its stored pages have at most `bytes_max` bytes. Fault:
    /// `document_result_too_large`.
    pub async fn collect(&self, bytes_max: u64) -> Result<DocumentResult, Fault> {
        let Envelope { request, deployment, name, content_type, page_count, selected, .. } = &self.envelope;
        let (mut pages, mut bytes) = (Vec::with_capacity(selected.len()), 0_u64);
        for index in selected {
            let stored = self.pages.bytes(*index).await?.ok_or_else(faults::data_damaged)?;
            bytes = bytes.saturating_add(stored);
            if bytes > bytes_max {
                let message = format!(
                    "The pages of the document take more than {bytes_max} bytes, which is the most that one answer may hold: \
                     request the result in a format that is written page by page, such as JSON or NDJSON."
                );
                return Err(Fault::new(Kind::TooLarge, "document_result_too_large", message));
            }
            pages.push(self.pages.read(*index, stored).await?.ok_or_else(faults::data_damaged)?);
        }
        Ok(DocumentResult {
            request: request.clone(),
            deployment: deployment.clone(),
            name: name.clone(),
            content_type: interned(content_type, "application/octet-stream"),
            page_count: *page_count,
            pages,
            summary: self.envelope.summary.clone(),
            summary_fault: self.envelope.summary_fault.clone(),
            pages_ok: self.envelope.pages_ok,
            pages_failed: self.envelope.pages_failed,
            total: self.envelope.total,
        })
    }
}

impl Jobs {
    /// Returns a finished document. Faults: `job_not_found`, `job_document_not_found`, `job_not_finished`, the fault of a
    /// document that failed as a whole, and those of the memory of an answer.
    pub async fn result(
        &self,
        principal: &Principal,
        id: &JobId,
        document: u32,
    ) -> Result<StoredDocument, Fault> {
        let memory = self.parts.service.answer_memory(principal)?;
        let (spec, row) = self.document(principal, id, document).await?;
        let JobDocumentRow { name, opened, ended, ended_bytes, pages_ok, pages_failed, .. } = row;
        if ended.is_none() {
            return Err(faults::not_finished());
        }
        // The summary may be large: its memory counts before there is any.
        let mut reservation = memory.reserve(ended_bytes.saturating_mul(READ_PER_STORED)).await?;
        let (store, job) = (self.store_of(principal), id.clone());
        let ended = store.call(move |store| store.ended(job, document)).await?;
        let ended = ended.ok_or_else(|| faults::not_found(id))?;
        let parse = move || serde_json::from_str::<Ended>(&ended).map_err(faults::spec_damaged);
        let ended = on_blocking_thread(parse).await?;
        let summary = ended.summary.map(|summary| {
            reservation.set(summary.memory_bytes());
            Arc::new(Held::new(summary, reservation))
        });
        if let Some(fault) = ended.fault {
            return Err(fault.into());
        }
        let opened: Opened =
            serde_json::from_str(opened.as_deref().unwrap_or_default()).map_err(faults::spec_damaged)?;
        let envelope = Envelope {
            request: spec.request.request.clone(),
            deployment: opened.deployment.as_str().into(),
            name,
            selected: opened.selected(),
            content_type: opened.content_type,
            page_count: opened.page_count,
            summary,
            summary_fault: ended.summary_fault.map(Fault::from),
            pages_ok,
            pages_failed,
            total: Duration::from_millis(ended.total_ms),
        };
        let pages = Pages { store, job: id.clone(), document, memory };
        Ok(StoredDocument { pages, envelope })
    }

    /// Returns a page that was read or has failed, also while the job runs. Faults: `job_not_found`,
    /// `job_document_not_found`, `job_page_not_found`, and those of the memory of an answer.
    pub async fn page(
        &self,
        principal: &Principal,
        id: &JobId,
        document: u32,
        index: u32,
    ) -> Result<PageResult, Fault> {
        let memory = self.parts.service.answer_memory(principal)?;
        self.document(principal, id, document).await?;
        let pages = Pages { store: self.store_of(principal), job: id.clone(), document, memory };
        let page = match pages.bytes(index).await? {
            Some(bytes) => pages.read(index, bytes).await?,
            None => None,
        };
        page.ok_or_else(|| faults::page_not_found(index))
    }

    /// Returns the size of an input, and the future that reads it. Faults: `job_not_found`, `job_document_not_found`; of the
    /// future: `job_data_damaged`.
    pub async fn input(
        &self,
        principal: &Principal,
        id: &JobId,
        document: u32,
    ) -> Result<(u64, impl Future<Output = Result<Vec<u8>, Fault>> + Send + use<>), Fault> {
        let (_, row) = self.document(principal, id, document).await?;
        let store = self.store_of(principal);
        let read = async move {
            let bytes = store.call(move |store| store.blob(row.digest)).await?;
            bytes.ok_or_else(faults::data_damaged)
        };
        Ok((row.bytes, read))
    }
}
