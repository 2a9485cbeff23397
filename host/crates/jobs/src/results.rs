//! The results of a job: documents that are read from the store page by page.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use lector_control::Principal;
use lector_control::store::jobs::{JobDocumentRow, JobId, JobStore};
use lector_core::{
    DeploymentName, DocumentResult, DocumentView, Fault, Kind, PageResult, RequestId, Summary, Transcript,
};

use crate::codes::interned;
use crate::faults;
use crate::service::Jobs;
use crate::shapes::{Ended, Opened, page_of};

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
    pub summary: Option<Arc<Summary>>,
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
            summary: self.summary.as_deref(),
            summary_fault: self.summary_fault.as_ref(),
            pages_ok: self.pages_ok,
            pages_failed: self.pages_failed,
            total: self.total,
        }
    }
}

/// A finished document in the store. Holds no page.
pub struct StoredDocument {
    store: Arc<dyn JobStore>,
    job: JobId,
    document: u32,
    envelope: Envelope,
}

impl std::fmt::Debug for StoredDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredDocument").field("job", &self.job).field("document", &self.document).finish()
    }
}

/// Reads a page of a document from the store.
pub(crate) async fn page(
    store: &dyn JobStore,
    job: &JobId,
    document: u32,
    index: u32,
) -> Result<Option<PageResult<Transcript>>, Fault> {
    let stored = store.page_result(job.clone(), document, index).await.map_err(faults::stored)?;
    stored.map(|(_, bytes)| page_of(index, &bytes)).transpose()
}

impl StoredDocument {
    /// Returns everything but the pages.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Reads the page at a position in the list of selected pages.
    pub async fn page(&self, position: usize) -> Result<PageResult<Transcript>, Fault> {
        let index = self.envelope.selected.get(position).copied().ok_or_else(faults::data_damaged)?;
        page(&*self.store, &self.job, self.document, index).await?.ok_or_else(faults::data_damaged)
    }

    /// Streams the selected pages in order, and holds one at a time.
    pub fn pages(self: Arc<Self>) -> impl Stream<Item = Result<PageResult<Transcript>, Fault>> + Send {
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
    pub async fn collect(&self, bytes_max: u64) -> Result<DocumentResult<Transcript, Summary>, Fault> {
        let Envelope { request, deployment, name, content_type, page_count, selected, .. } = &self.envelope;
        let (mut pages, mut bytes) = (Vec::with_capacity(selected.len()), 0_u64);
        for index in selected {
            let stored = self.store.page_result(self.job.clone(), self.document, *index).await;
            let (_, page) = stored.map_err(faults::stored)?.ok_or_else(faults::data_damaged)?;
            bytes = bytes.saturating_add(page.len() as u64);
            if bytes > bytes_max {
                let message = format!(
                    "The pages of the document take more than {bytes_max} bytes, which is the most that one answer may hold: \
                     request the result in a format that is written page by page, such as JSON or NDJSON."
                );
                return Err(Fault::new(Kind::TooLarge, "document_result_too_large", message));
            }
            pages.push(page_of(*index, &page)?);
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
    /// Returns a finished document. Faults: `job_not_found`, `job_document_not_found`, `job_not_finished`, and the fault
    /// of a document that failed as a whole.
    pub async fn result(
        &self,
        principal: &Principal,
        id: &JobId,
        document: u32,
    ) -> Result<StoredDocument, Fault> {
        let (spec, row) = self.document(principal, id, document).await?;
        let JobDocumentRow { name, opened, ended, pages_ok, pages_failed, .. } = row;
        let ended: Ended = match ended.as_deref().map(serde_json::from_str) {
            None => return Err(faults::not_finished()),
            Some(ended) => ended.map_err(faults::spec_damaged)?,
        };
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
            summary: ended.summary.map(Arc::new),
            summary_fault: ended.summary_fault.map(Fault::from),
            pages_ok,
            pages_failed,
            total: Duration::from_millis(ended.total_ms),
        };
        Ok(StoredDocument { store: self.store().clone(), job: id.clone(), document, envelope })
    }

    /// Returns a page that was read or has failed, also while the job runs. Faults: `job_not_found`,
    /// `job_document_not_found`, `job_page_not_found`.
    pub async fn page(
        &self,
        principal: &Principal,
        id: &JobId,
        document: u32,
        index: u32,
    ) -> Result<PageResult<Transcript>, Fault> {
        self.document(principal, id, document).await?;
        let page = page(&**self.store(), id, document, index).await?;
        page.ok_or_else(|| faults::page_not_found(index))
    }

    /// Returns the bytes of an input. Faults: `job_not_found`, `job_document_not_found`, `job_data_damaged`.
    pub async fn input(&self, principal: &Principal, id: &JobId, document: u32) -> Result<Vec<u8>, Fault> {
        let (_, row) = self.document(principal, id, document).await?;
        let bytes = self.store().blob(row.digest).await.map_err(faults::stored)?;
        bytes.ok_or_else(faults::data_damaged)
    }
}
