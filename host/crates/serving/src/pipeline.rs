//! The pipeline of one document: open, select pages, read them, summarize.
//!
//! Owns the order of the steps and the consequence of each failure for the document. Independent of the transport.
//! Called by `DocumentService` as one task per document. If that task is aborted (the client has disconnected),
//! everything that it started ends with it: pages in flight, the open document, the permit, the lease.

mod page_cost;
mod pages;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_control::{DocumentMemory, Found, Held, Lease, PageCall};
use lector_core::{CallCtx, Fault, HostMemory, Kind, PageRequest, SharedTranscript, Summary};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::admission::Permit;
use crate::faults::{deadline_exceeded, shutting_down};
use crate::page_scheduler::SlotRequest;
use crate::plane::DataPlane;
use crate::request::{DocumentRequest, Event, Submission};
use crate::retained::Retained;
use crate::status::Counters;
use pages::{Account, DocumentRead, Kept, Outcomes, ShadowOf};

/// One document and everything that its reading needs.
pub(crate) struct Work {
    pub(crate) plane: Arc<DataPlane>,
    pub(crate) cut_off: CancellationToken,
    pub(crate) permit: Permit,
    pub(crate) submission: Submission,
    pub(crate) events: mpsc::Sender<Event>,
    /// Receives the open document after its last page.
    pub(crate) retain: Option<oneshot::Sender<Retained>>,
}

/// The reason that a document ends without `End`.
enum Stop {
    /// This fault is the last event.
    Fault(Fault),
    /// The receiver of the events is gone.
    Abandoned,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Reads one document from beginning to end.
pub(crate) async fn run(work: Work) {
    let Work { plane, cut_off, permit, submission, events, retain } = work;
    let started = Instant::now();
    let mut abandoned = Abandoned { counters: &plane.admission.counters, armed: true };
    permit.label(submission.request.request.as_str());
    let name = submission.request.name.clone();

    let outcome = tokio::select! {
        biased;
        () = cut_off.cancelled() => Err(Stop::Fault(shutting_down())),
        outcome = read(&plane, permit, submission, started, (&events, retain)) => outcome,
    };
    // `read` has ended, and permit, lease and document are released or handed over: a slow reader holds none of them
    // while it takes the last event.
    let last = match outcome {
        Ok(end) => {
            Counters::count(&plane.admission.counters.documents_done);
            log_end(&end, name.as_deref());
            end
        }
        Err(Stop::Fault(fault)) => {
            Counters::count(&plane.admission.counters.documents_failed);
            plane.admission.counters.fault(&fault);
            tracing::info!(document = name, fault = %fault, "document failed");
            Event::Failed(fault)
        }
        Err(Stop::Abandoned) => return,
    };
    abandoned.armed = false;
    // A reader that left after the last page misses nothing.
    let _ = events.send(last).await;
}

async fn read(
    plane: &Arc<DataPlane>,
    permit: Permit,
    submission: Submission,
    started: Instant,
    (events, retain): (&mpsc::Sender<Event>, Option<oneshot::Sender<Retained>>),
) -> Result<Event, Stop> {
    let Submission { principal, request, bytes, deadline } = submission;
    let tenant = principal.account().clone();
    let (key, holder) = (request.routing_key(), request.request.as_str());
    let Found { lease, shadow } = plane.control.find(&tenant, request.deployment.as_ref(), key, holder)?;
    let DocumentRequest {
        request,
        deployment: _,
        key: _,
        hint,
        pages,
        options,
        languages,
        guest_options,
        order,
        name,
        timeout: _,
        background,
    } = request;
    let shadow =
        shadow.map(|revision| ShadowOf { options: revision.options(guest_options.clone()), revision });
    let mut ctx = lease.revision().ctx(&tenant, request, deadline);
    ctx.file_name = name.map(Arc::from);
    ctx.languages = languages_for(&lease, languages)?;
    ctx.options = lease.revision().options(guest_options)?;

    let opening = plane.documents.open(tenant.account(), bytes, hint);
    let document = match tokio::time::timeout_at(deadline.into(), opening).await {
        Ok(opened) => opened?,
        Err(_) => return Err(deadline_exceeded("before the document was open").into()),
    };
    let own_max = tenant.limits().pages_per_document_max;
    let pages_max = plane.limits.pages_max();
    let pages_max = if own_max == 0 { pages_max } else { pages_max.min(own_max) };
    let selected = pages.resolve(document.page_count(), pages_max)?;
    let quota = tenant.usage.reserve(selected.len() as u64, tenant.limits().pages_per_day)?;
    let opened = Event::Opened {
        content_type: document.content_type(),
        page_count: document.page_count(),
        selected: selected.clone(),
    };
    events.send(opened).await.map_err(|_| Stop::Abandoned)?;

    let options = PageRequest { page_count: document.page_count(), ..options };
    let retain = retain.map(|receiver| (receiver, document.clone()));
    let call = PageCall { document, pipeline: lease.revision().pipeline.clone(), ctx: ctx.clone(), options };
    let revision = lease.revision().clone();
    let account = Account { tenant, revision, shadow, quota, background };
    let summing_up = account.summary(ctx.budget.host_bytes);
    let memory = permit.memory();
    let reading =
        DocumentRead::new(call, account, selected, order, plane, (permit.pending_work(), memory.clone()));
    let outcomes = reading.run(events).await.map_err(|_| Stop::Abandoned)?;

    let Outcomes { pages_ok, pages_failed, kept } = outcomes;
    let (summary, summary_fault) = match kept {
        _ if pages_ok == 0 => (None, None),
        None => (None, Some(summary_too_large(plane.limits.result_bytes_max()))),
        Some(kept) => match assemble(plane, summing_up, &lease, &ctx, (kept, &memory)).await {
            Ok(summary) => (Some(Arc::new(summary)), None),
            Err(fault) => (None, Some(fault)),
        },
    };
    if let Some(fault) = &summary_fault {
        plane.admission.counters.fault(fault);
    }
    if let Some((receiver, document)) = retain {
        // A receiver that has gone drops the document and its permit.
        let _ = receiver.send(Retained { document, permit, deadline });
    }
    Ok(Event::End { summary, summary_fault, pages_ok, pages_failed, total: started.elapsed() })
}

/// Returns the languages of the request. Fault: the pipeline reads by no languages of a request, and would ignore them.
fn languages_for(lease: &Lease, languages: Vec<String>) -> Result<Arc<[String]>, Fault> {
    let record = &lease.revision().record;
    if languages.is_empty() || record.pipeline_info.takes_languages() {
        return Ok(languages.into());
    }
    let message = format!(
        "The deployment `{}` does not read by `languages` of a request: name a deployment that does, such as `standard`, or \
         leave the option out.",
        record.deployment
    );
    Err(Fault::new(Kind::Invalid, "option_invalid", message))
}

/// Calls `assemble`. The call is guest work like a page: it waits for a page slot and ends at the deadline.
async fn assemble(
    plane: &DataPlane,
    slot_request: SlotRequest,
    lease: &Lease,
    ctx: &CallCtx,
    (kept, memory): (Kept, &Arc<DocumentMemory>),
) -> Result<Held<Summary>, Fault> {
    let pages: Vec<SharedTranscript> = kept.pages.into_iter().map(|page| page as SharedTranscript).collect();
    let summing = async {
        // The guest gets a copy of the pages.
        let mut reservation = memory.reserve(kept.bytes).await;
        let slot = plane.page_scheduler.slot(slot_request).await;
        let image_bytes = slot.memory().cloned().map(|memory| memory as Arc<dyn HostMemory>);
        let ctx = &CallCtx { memory: image_bytes, ..ctx.clone() };
        let began = Instant::now();
        let count = pages.len() as u64;
        let summary = lease.revision().pipeline.assemble(ctx, pages).await;
        let (statistics, took) = (&lease.revision().statistics, began.elapsed());
        statistics.summed_up(took);
        if let Err(fault) = &summary {
            statistics.assemble_failed(fault, took, ctx.budget.wall, count);
        }
        let summary = summary?;
        reservation.set(summary.memory_bytes());
        Ok(Held::new(summary, reservation))
    };
    match tokio::time::timeout_at(ctx.deadline.into(), summing).await {
        Ok(summary) => summary,
        Err(_) => Err(deadline_exceeded("before the document was summarized")),
    }
}

fn summary_too_large(bytes_max: u64) -> Fault {
    let message = format!(
        "The pages of the document take more than {bytes_max} bytes of memory, the limit for a summary of \
         one document. The pages were delivered without a summary: request fewer pages to get a summary."
    );
    Fault::new(Kind::TooLarge, "summary_too_large", message)
}

fn log_end(end: &Event, name: Option<&str>) {
    if let Event::End { pages_ok, pages_failed, total, summary_fault, .. } = end {
        let total_ms = total_ms(*total);
        match summary_fault {
            None => tracing::info!(document = name, pages_ok, pages_failed, total_ms, "document done"),
            Some(fault) => {
                tracing::warn!(document = name, pages_ok, pages_failed, total_ms, %fault, "document done, without a summary");
            }
        }
    }
}

fn total_ms(total: Duration) -> u64 {
    u64::try_from(total.as_millis()).unwrap_or(u64::MAX)
}

/// Counts a document whose task ended before its last event.
struct Abandoned<'a> {
    counters: &'a Counters,
    armed: bool,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if self.armed {
            Counters::count(&self.counters.documents_abandoned);
            tracing::debug!("the client disconnected; the document is canceled");
        }
    }
}

#[cfg(test)]
mod tests;
