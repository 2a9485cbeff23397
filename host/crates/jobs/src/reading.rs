//! The work on one claim: reads pages of a document, and stores them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use lector_control::store::StoreError;
use lector_control::store::jobs::{Claim, ClaimRef, DocumentEnd, JobDocumentRow, NewPage, PageStored};
use lector_control::{Held, Principal};
use lector_core::{Fault, Kind, Summary, Timing, Transcript};
use lector_serving::{DocumentRequest, Event, EventStream, Order, PageSelection, TimeoutStart, Upload};
use serde_json::json;

use crate::codes::{self, StoredFault};
use crate::faults;
use crate::json::text;
use crate::service::Jobs;
use crate::shapes::{Ended, Opened, page_bytes, ranges};
use crate::spec::JobSpec;

/// Attempts without a new page after which a turn has one page.
const ATTEMPTS_OF_MANY: u32 = 2;

/// The end of a turn.
pub(crate) enum Turn {
    /// The document has ended; so has the claim, if it was the last document.
    Ended,
    /// More pages follow.
    More,
    /// The attempt failed: the document is tried again.
    Again {
        /// The reason.
        fault: Fault,
        /// Whether pages were begun, and this is the fault of one of them.
        begun: bool,
    },
    /// The claim is lost: the job was canceled, or another process works on it.
    Lost,
}

impl Turn {
    /// Returns the end of a turn whose attempt failed before its pages, or as a whole.
    pub(crate) fn again(fault: Fault) -> Self {
        Self::Again { fault, begun: false }
    }
}

/// The reason that a turn ends early.
pub(crate) enum Stop {
    Fault(Fault),
    Store(StoreError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Returns whether another attempt may end without the fault.
fn is_transient(fault: &Fault) -> bool {
    matches!(fault.kind, Kind::Busy | Kind::Deadline | Kind::Unavailable | Kind::Bug)
        && !matches!(fault.code, "job_data_damaged" | "tenant_job_bytes_exceeded")
}

/// The work on one claim.
pub(crate) struct Reading<'a> {
    pub(crate) jobs: &'a Jobs,
    pub(crate) claim: &'a Claim,
    pub(crate) identity: ClaimRef,
}

impl Reading<'_> {
    fn row(&self) -> Result<&JobDocumentRow, Fault> {
        let mut rows = self.claim.job.documents.iter();
        rows.find(|row| row.number == self.claim.document).ok_or_else(faults::data_damaged)
    }

    /// Works on the claim. A fault that another attempt would have, too, ends the document.
    pub(crate) async fn run(&self) -> Result<Turn, Stop> {
        match self.attempt().await {
            Err(Stop::Fault(fault)) if !is_transient(&fault) => self.fail(&fault).await,
            done => done,
        }
    }

    async fn attempt(&self) -> Result<Turn, Stop> {
        let row = self.row()?;
        let opened: Option<Opened> = row.opened.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let unread = opened.as_ref().map(|opened| self.unread(opened));
        if unread.as_ref().is_some_and(Vec::is_empty) {
            return self.end(None, Some(faults::summary_missing()), None).await;
        }
        if row.attempts > self.jobs.config().attempts_max {
            return self.give_up(row, unread.as_deref()).await;
        }
        let spec: JobSpec = match serde_json::from_str(&self.claim.job.spec) {
            Ok(spec) => spec,
            Err(error) => return self.fail(&faults::spec_damaged(error)).await,
        };
        let principal = match self.jobs.parts.service.control().principal_of_job(&self.claim.job.tenant) {
            Ok(principal) => principal,
            Err(fault) => return self.fail(&fault).await,
        };
        let left = match principal.account().usage.pages_left(principal.limits().pages_per_day) {
            Ok(left) => u32::try_from(left).unwrap_or(u32::MAX),
            Err(fault) => return Ok(Turn::again(fault)),
        };
        let (pages, take) = match &unread {
            None => (spec.request.pages.clone(), None),
            Some(unread) => {
                let most =
                    if row.attempts > ATTEMPTS_OF_MANY { 1 } else { self.jobs.config().pages_per_turn };
                let now: Vec<u32> = unread.iter().copied().take(most.min(left) as usize).collect();
                (selection(&now), Some(now))
            }
        };
        let read = self.pages(&spec, &principal, pages, take.as_deref()).await;
        match read {
            // The document has more pages than one request may select, or than are left of the quota: its first page
            // tells how many.
            Err(Stop::Fault(fault))
                if matches!(fault.code, "too_many_pages" | "quota_exceeded") && unread.is_none() =>
            {
                self.open_long(&spec, &principal).await
            }
            other => other,
        }
    }

    /// Returns the selected pages that are not stored.
    fn unread(&self, opened: &Opened) -> Vec<u32> {
        let mut pages = opened.selected();
        pages.retain(|page| self.claim.done.binary_search(page).is_err());
        pages
    }

    /// Reads the document from the store.
    async fn document(&self, row: &JobDocumentRow) -> Result<Vec<u8>, Stop> {
        let bytes = match self.jobs.store().blob(row.digest.clone()).await {
            Ok(bytes) => bytes.ok_or_else(faults::data_damaged)?,
            Err(error @ StoreError::Damaged { .. }) => return Err(faults::stored(error).into()),
            Err(error) => return Err(error.into()),
        };
        // More bytes than those that were admitted are counted nowhere.
        if bytes.len() as u64 == row.bytes { Ok(bytes) } else { Err(faults::data_damaged().into()) }
    }

    /// Starts to read pages of the document; returns its events. Its bytes are read once they are admitted.
    async fn stream(
        &self,
        spec: &JobSpec,
        principal: &Principal,
        pages: PageSelection,
    ) -> Result<EventStream, Stop> {
        let row = self.row()?;
        let mut request = DocumentRequest {
            pages,
            timeout: self.jobs.config().turn_timeout,
            order: Order::Completion,
            background: true,
            ..spec.request.clone()
        };
        // All turns of a job are served by the same revision while a canary runs.
        request.key = request.key.or_else(|| Some(spec.request.request.to_string()));
        let session = self.jobs.parts.service.begin(principal, request, TimeoutStart::PerDocument)?;
        let permit = session.admitted_whole(row.bytes).await?;
        let bytes = self.document(row).await?;
        let (name, content_type) = (row.name.clone(), row.content_type.clone());
        Ok(session.stream(permit, Upload { name, content_type, bytes }))
    }

    /// Reads pages and stores them. `only`: these pages of an open document; otherwise the document is opened first.
    async fn pages(
        &self,
        spec: &JobSpec,
        principal: &Principal,
        pages: PageSelection,
        only: Option<&[u32]>,
    ) -> Result<Turn, Stop> {
        let began = Instant::now();
        let mut events = self.stream(spec, principal, pages).await?;
        let (mut again, mut whole) = (None, false);
        while let Some(event) = events.next().await {
            (self.jobs.parts.see)(&event);
            match event {
                Event::Opened { content_type, page_count, selected } => {
                    if only.is_none() {
                        self.opened(spec, principal, content_type, page_count, &selected).await?;
                        whole = selected.len() <= self.jobs.config().pages_per_turn as usize;
                        if !whole {
                            return Ok(Turn::More);
                        }
                    }
                }
                Event::Page { index, transcript, timing } => {
                    self.page(index, Ok(&transcript), &timing).await?;
                }
                Event::PageError { fault, .. } if is_transient(&fault) => {
                    again.get_or_insert(fault);
                }
                Event::PageError { index, fault, timing } => {
                    self.page(index, Err(&fault), &timing).await?;
                }
                Event::End { summary, summary_fault, .. } => {
                    if let Some(fault) = again {
                        return Ok(Turn::Again { fault, begun: true });
                    }
                    if whole {
                        return self.end(summary.as_deref(), summary_fault, Some(began.elapsed())).await;
                    }
                    return Ok(Turn::More);
                }
                Event::Failed(fault) => return Err(fault.into()),
            }
        }
        Ok(Turn::More)
    }

    /// Opens a document with more pages than one request may select, or than are left of the quota.
    async fn open_long(&self, spec: &JobSpec, principal: &Principal) -> Result<Turn, Stop> {
        let mut events = self.stream(spec, principal, selection(&[0])).await?;
        while let Some(event) = events.next().await {
            match event {
                Event::Opened { content_type, page_count, .. } => {
                    let most = match principal.limits().pages_per_document_max {
                        0 => self.jobs.config().pages_per_document_max,
                        own => own.min(self.jobs.config().pages_per_document_max),
                    };
                    return match spec.request.pages.resolve(page_count, most) {
                        Ok(selected) => {
                            self.opened(spec, principal, content_type, page_count, &selected).await?;
                            Ok(Turn::More)
                        }
                        Err(fault) => self.fail(&fault).await,
                    };
                }
                Event::Failed(fault) => return Err(fault.into()),
                _ => {}
            }
        }
        Ok(Turn::More)
    }

    async fn opened(
        &self,
        spec: &JobSpec,
        principal: &Principal,
        content_type: &str,
        page_count: u32,
        selected: &[u32],
    ) -> Result<(), Stop> {
        let control = self.jobs.parts.service.control();
        let lease = control.lease(principal, spec.request.deployment.as_ref())?;
        let opened = Opened::new(content_type, page_count, selected, lease.deployment().as_str());
        let event = json!({
            "document": self.claim.document,
            "name": self.row()?.name,
            "content_type": content_type,
            "page_count": page_count,
            "pages_selected": selected.len(),
        });
        let now_ms = self.jobs.clock.now_ms();
        self.jobs.store().opened(self.identity.clone(), now_ms, text(&opened), event.to_string()).await?;
        self.jobs.has_changed(&self.identity.job);
        Ok(())
    }

    /// Stores the result of a page. Fault: `tenant_job_bytes_exceeded`.
    async fn page(
        &self,
        index: u32,
        outcome: Result<&Arc<Held<Transcript>>, &Fault>,
        timing: &Timing,
    ) -> Result<(), Stop> {
        let number = u64::from(index) + 1;
        let event = match outcome {
            Ok(_) => json!({ "document": self.claim.document, "page": number }),
            Err(fault) => json!({
                "document": self.claim.document,
                "page": number,
                "error": { "code": fault.code, "message": fault.message },
            }),
        };
        let read: Result<&Transcript, &Fault> = match outcome {
            Ok(held) => Ok(held),
            Err(fault) => Err(fault),
        };
        let result = page_bytes(read, timing);
        let tenant_bytes_max = self.jobs.bytes_max(&self.claim.job.tenant);
        let page = NewPage {
            index,
            ok: outcome.is_ok(),
            result: Arc::new(result),
            event: event.to_string(),
            tenant_bytes_max,
        };
        let stored = self.jobs.store().page(self.identity.clone(), self.jobs.clock.now_ms(), page).await?;
        if let PageStored::TooManyBytes(bytes) = stored {
            return Err(faults::too_many_result_bytes(bytes, tenant_bytes_max).into());
        }
        self.jobs.has_changed(&self.identity.job);
        Ok(())
    }

    /// Gives up the page, or the document that cannot be opened, that used up the attempts.
    async fn give_up(&self, row: &JobDocumentRow, unread: Option<&[u32]>) -> Result<Turn, Stop> {
        let last = row.last_fault.as_deref().and_then(codes::from_json);
        let fault = last.unwrap_or_else(|| faults::attempts_exhausted(row.attempts.saturating_sub(1)));
        match unread.and_then(|unread| unread.first()) {
            Some(page) => {
                tracing::warn!(job = %self.identity.job, page, %fault, "a page of a job is given up");
                self.page(*page, Err(&fault), &Timing::default()).await?;
                Ok(Turn::More)
            }
            None => self.fail(&fault).await,
        }
    }

    /// Ends a document that failed as a whole.
    async fn fail(&self, fault: &Fault) -> Result<Turn, Stop> {
        let ended = Ended { fault: Some(StoredFault::from(fault)), ..Ended::default() };
        let data = json!({
            "document": self.claim.document,
            "error": { "code": fault.code, "message": fault.message },
        });
        self.store_end(ended, true, ("document_error", data)).await
    }

    /// Ends a document that was read.
    async fn end(
        &self,
        summary: Option<&Held<Summary>>,
        summary_fault: Option<Fault>,
        total: Option<Duration>,
    ) -> Result<Turn, Stop> {
        let since_ms = self.claim.job.started_at_ms.unwrap_or(self.claim.job.created_at_ms);
        let total_ms = total.map_or_else(
            || self.jobs.clock.now_ms().saturating_sub(since_ms),
            |total| u64::try_from(total.as_millis()).unwrap_or(u64::MAX),
        );
        let ended = Ended {
            fault: None,
            summary: summary.map(|summary| Summary::clone(summary)),
            summary_fault: summary_fault.as_ref().map(StoredFault::from),
            total_ms,
        };
        self.store_end(ended, false, ("document_end", json!({ "document": self.claim.document }))).await
    }

    async fn store_end(
        &self,
        ended: Ended,
        failed: bool,
        (name, data): (&str, serde_json::Value),
    ) -> Result<Turn, Stop> {
        let end = DocumentEnd {
            now_ms: self.jobs.clock.now_ms(),
            ended: text(&ended),
            failed,
            event: (name.to_owned(), data.to_string()),
        };
        self.jobs.store().end_document(self.identity.clone(), end).await?;
        self.jobs.deliveries_due.notify_one();
        Ok(Turn::Ended)
    }
}

/// Returns the selection of these pages, given by their indices from 0.
fn selection(indices: &[u32]) -> PageSelection {
    let range = |(first, last): (u32, u32)| (first.saturating_add(1), Some(last.saturating_add(1)));
    PageSelection::Ranges(ranges(indices).into_iter().map(range).collect())
}
