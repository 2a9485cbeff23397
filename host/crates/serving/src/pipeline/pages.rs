//! The pages of one document: started one by one, read concurrently, delivered in order, kept for the summary.
//!
//! Owns the window of pages that have begun and are not yet taken by the reader. Pages are rendered only by their own
//! guest calls, so the window also limits the images that a document has in memory.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_control::{
    DocumentMemory, Held, PageCall, QuotaReservation, Reservation, Revision, Tenant, work_of,
};
use lector_core::cost::PageSize;
use lector_core::{Fault, HostMemory, Kind, PageRun, Timing, Transcript};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument;

use super::page_cost::CostTracker;
use crate::cost_tracker::PendingWork;
use crate::faults::deadline_exceeded;
use crate::page_scheduler::{PageSlot, SlotRequest};
use crate::plane::DataPlane;
use crate::request::{Event, Order};
use crate::shadow_traffic::Sample;
use crate::status::PendingPages;

/// Guest calls end by themselves at the deadline, with their timing; calls that do not end are cut off after this
/// additional time.
const DEADLINE_GRACE: Duration = Duration::from_millis(250);

/// Smallest expected size of a page: that of a page of dense print with its words.
const PAGE_BYTES_MIN: u64 = 64 << 10;

/// The results of the pages.
pub(super) struct Outcomes {
    pub(super) pages_ok: u32,
    pub(super) pages_failed: u32,
    /// The pages that were read, in page order; `None` if they exceed the limit.
    pub(super) kept: Option<Kept>,
}

/// The pages that are kept for the document's summary, in page order.
pub(super) struct Kept {
    pub(super) pages: Vec<Arc<Held<Transcript>>>,
    pub(super) bytes: u64,
}

/// The receiver of the events is gone.
pub(super) struct ReceiverClosed;

/// A page slot, and the memory for the page's result.
type Place = (PageSlot, Reservation);
type Waiting = Pin<Box<dyn Future<Output = Place> + Send>>;

/// The revision that gets shadow traffic, and the options of the request as it would take them.
pub(super) struct ShadowOf {
    pub(super) revision: Arc<Revision>,
    /// Fault: its schema refuses them.
    pub(super) options: Result<Arc<str>, Fault>,
}

/// The tenant whose quota and slots the pages use, and the revision that reads them.
pub(super) struct Account {
    pub(super) tenant: Arc<Tenant>,
    pub(super) revision: Arc<Revision>,
    /// Gets shadow traffic.
    pub(super) shadow: Option<ShadowOf>,
    /// Pages of the daily quota.
    pub(super) quota: QuotaReservation,
    /// Whether the pages let those of the tenant's other documents go first.
    pub(super) background: bool,
}

impl Account {
    /// Returns a slot request for a page with a predicted cost and most bytes of images.
    fn page(&self, page_ms: f64, bytes: u64) -> SlotRequest {
        self.slot_request(page_ms, bytes, false)
    }

    /// Predicts the bytes of pixels and tensors that a page of the revision holds: the whole budget for the first one.
    fn image_bytes(&self, revision: &Revision, call: &PageCall) -> u64 {
        let budget = call.ctx.budget.host_bytes;
        revision.cost_model.bytes(self.tenant.name()).map_or(budget, |bytes| bytes.min(budget))
    }

    /// Returns a slot request for the summary.
    pub(super) fn summary(&self, bytes: u64) -> SlotRequest {
        self.slot_request(self.revision.statistics.summary_ms(), bytes, true)
    }

    fn slot_request(&self, cost_ms: f64, bytes: u64, ends: bool) -> SlotRequest {
        SlotRequest {
            tenant: self.tenant.name().clone(),
            weight: self.tenant.record.policy.weight,
            cost_ms,
            ends,
            background: self.background,
            own: self.tenant.permits.of_page(bytes),
        }
    }
}

/// The reading of the selected pages.
pub(super) struct DocumentRead<'a> {
    call: PageCall,
    account: Account,
    plane: &'a DataPlane,
    backlog: PendingPages<'a>,
    pending_work: &'a PendingWork,
    order: Order,
    /// Indices of the pages; a "position" below is a position in this list.
    selected: Vec<u32>,
    /// Most pages that have begun and are not yet delivered.
    window: usize,
    /// Position of the next page to begin.
    next: usize,
    running: JoinSet<(PageRun, Reservation)>,
    positions: HashMap<Id, usize>,
    /// Finished and not yet delivered, by position.
    done: BTreeMap<usize, Event>,
    /// Pages delivered to the reader.
    given: usize,
    kept: BTreeMap<usize, Arc<Held<Transcript>>>,
    kept_bytes: u64,
    memory: Arc<DocumentMemory>,
    /// Size of the largest page so far, which is the prediction for the next one.
    page_bytes: u64,
    pages_ok: u32,
}

impl<'a> DocumentRead<'a> {
    pub(super) fn new(
        call: PageCall,
        account: Account,
        selected: Vec<u32>,
        order: Order,
        plane: &'a DataPlane,
        (pending_work, memory): (&'a PendingWork, Arc<DocumentMemory>),
    ) -> Self {
        let backlog = plane.admission.counters.wait(selected.len() as u64);
        // Twice the page slots: a slow page does not idle the server while the pages behind it wait to be delivered in
        // order.
        let window = plane.page_scheduler.most().saturating_mul(2);
        let reading = Self {
            call,
            account,
            plane,
            backlog,
            pending_work,
            order,
            selected,
            window,
            next: 0,
            running: JoinSet::new(),
            positions: HashMap::new(),
            done: BTreeMap::new(),
            given: 0,
            kept: BTreeMap::new(),
            kept_bytes: 0,
            memory,
            page_bytes: PAGE_BYTES_MIN,
            pages_ok: 0,
        };
        reading.update_pending_work();
        reading
    }

    /// Predicts the cost of a page of unknown size, in milliseconds of work.
    fn page_ms(&self) -> f64 {
        let Account { tenant, revision, .. } = &self.account;
        revision.cost_model.unseen(tenant.name()).unwrap_or_else(|| self.plane.admission.load.page_ms())
    }

    /// Sets the pending work of the pages that have not begun, from the recent mean.
    fn update_pending_work(&self) {
        self.pending_work.set(self.page_ms() * self.selected.len().saturating_sub(self.next) as f64);
    }

    /// Reads all pages. Dropping the future cancels every page in flight.
    pub(super) async fn run(mut self, events: &mpsc::Sender<Event>) -> Result<Outcomes, ReceiverClosed> {
        let deadline = self.call.ctx.deadline;
        let (mut expired, mut cut_off) = (false, false);
        let mut waiting: Option<Waiting> = None;
        while self.given < self.selected.len() {
            expired |= Instant::now() >= deadline;
            if expired {
                self.fail_unbegun();
            }
            // One wait at a time, which makes the scheduler fair between documents; and none while the window is full,
            // because a slot given to a document that cannot use it would idle.
            if expired || !self.may_begin() {
                waiting = None;
            } else if waiting.is_none() {
                waiting = Some(self.place());
            }
            tokio::select! {
                place = events.reserve(), if self.ready().is_some() => {
                    let place = place.map_err(|_| ReceiverClosed)?;
                    if let Some(event) = self.take_ready() {
                        place.send(event);
                    }
                }
                Some(joined) = self.running.join_next_with_id() => self.ended(joined),
                place = place_of(&mut waiting) => {
                    waiting = None;
                    self.begin(place);
                }
                () = tokio::time::sleep_until(deadline.into()), if !expired => {}
                () = tokio::time::sleep_until((deadline + DEADLINE_GRACE).into()), if expired && !cut_off => {
                    cut_off = true;
                    self.running.abort_all();
                }
            }
        }
        let pages_failed = (self.selected.len() as u32).saturating_sub(self.pages_ok);
        let whole = self.kept_bytes <= self.plane.limits.result_bytes_max();
        let kept = whole.then(|| Kept { pages: self.kept.into_values().collect(), bytes: self.kept_bytes });
        Ok(Outcomes { pages_ok: self.pages_ok, pages_failed, kept })
    }

    fn may_begin(&self) -> bool {
        self.next < self.selected.len() && self.next - self.given < self.window
    }

    /// Waits for memory and then for a slot: a document without memory takes no slot.
    fn place(&self) -> Waiting {
        let slot_request =
            self.account.page(self.page_ms(), self.account.image_bytes(&self.account.revision, &self.call));
        let slot = self.plane.page_scheduler.slot(slot_request);
        let (memory, bytes) = (self.memory.clone(), self.page_bytes);
        Box::pin(async move {
            let reservation = memory.reserve(bytes).await;
            (slot.await, reservation)
        })
    }

    fn begin(&mut self, (slot, mut reservation): Place) {
        let position = self.next;
        let Some(&index) = self.selected.get(position) else { return };
        self.next += 1;
        self.account.quota.begun();
        let part = self.pending_work.page(slot.cost_ms());
        self.update_pending_work();
        let page_cost = CostTracker::open(&slot, part, self.account.revision.cost_model.clone());
        let mut call = self.call.clone();
        call.ctx.page_observer = Some(page_cost.page_observer());
        let memory = slot.memory().cloned();
        call.ctx.memory = memory.clone().map(|memory| memory as Arc<dyn HostMemory>);
        let (cost_model, tenant) = (self.account.revision.cost_model.clone(), call.ctx.tenant.clone());
        let page = async move {
            let run = call.read(index).await;
            page_cost.close(work_ms(&run.timing));
            if let Some(memory) = memory {
                cost_model.learn_bytes(&tenant, memory.peak());
            }
            // The slot is free as soon as the page is read, whether or not the reader takes the page.
            drop(slot);
            reservation.set(run.result.as_ref().map_or(0, Transcript::memory_bytes));
            (run, reservation)
        };
        let task = self.running.spawn(page.instrument(tracing::debug_span!("page", index)));
        self.positions.insert(task.id(), position);
    }

    /// Handles the end of a page task, or its panic.
    fn ended(&mut self, joined: Result<(Id, (PageRun, Reservation)), JoinError>) {
        let (id, run, reservation) = match joined {
            Ok((id, (run, reservation))) => (id, run, Some(reservation)),
            Err(error) => {
                let fault = if error.is_cancelled() {
                    deadline_exceeded("while the page was read")
                } else {
                    Fault::new(
                        Kind::Bug,
                        "internal",
                        "The server failed while it read the page. This is a bug in the server: report it.",
                    )
                    .with_detail(&error)
                };
                (error.id(), PageRun { result: Err(fault), timing: Timing::default() }, None)
            }
        };
        if let Some(position) = self.positions.remove(&id) {
            self.settle(position, run, reservation);
        }
    }

    /// Queues the fault of a page that did not begin. The tenant is not charged for it.
    fn not_begun(&mut self, position: usize, fault: Fault) {
        let Some(&index) = self.selected.get(position) else { return };
        self.backlog.done();
        self.plane.admission.counters.page(Some(&fault));
        tracing::info!(page = index + 1, %fault, "page not read");
        self.done.insert(position, Event::PageError { index, fault, timing: Timing::default() });
        self.update_pending_work();
    }

    /// Counts a page that began, and queues it for delivery.
    fn settle(&mut self, position: usize, run: PageRun, reservation: Option<Reservation>) {
        let Some(&index) = self.selected.get(position) else { return };
        let admission = &self.plane.admission;
        self.backlog.done();
        admission.counters.page(run.result.as_ref().err());
        let Account { tenant, revision, .. } = &self.account;
        tenant.usage.page(&run);
        revision.statistics.page(&run, self.call.ctx.budget.wall);
        let PageRun { result, mut timing } = run;
        if let Some(explanation) = &mut timing.explanation {
            explanation.revision = revision.record.number;
        }
        let event = match result {
            Ok(transcript) => {
                let (page_scheduler, ms) = (&self.plane.page_scheduler, work_ms(&timing));
                let prediction = revision.cost_model.learn(tenant.name(), PageSize::of(&timing), ms);
                admission.load.record_prediction(prediction, ms);
                admission.load.learn(
                    &timing,
                    page_scheduler.taken() >= page_scheduler.most(),
                    Instant::now(),
                );
                self.pages_ok += 1;
                let transcript = Arc::new(Held::new(transcript, reservation.unwrap_or_default()));
                self.keep(position, &transcript);
                self.mirror(index, &transcript, work_of(&timing));
                Event::Page { index, transcript, timing }
            }
            Err(fault) => {
                tracing::info!(page = index + 1, fault = %fault, "page not read");
                Event::PageError { index, fault, timing }
            }
        };
        self.done.insert(position, event);
        self.update_pending_work();
    }

    /// Mirrors the page to the shadow revision, if there is one.
    fn mirror(&self, index: u32, live: &Arc<Held<Transcript>>, live_worked: Duration) {
        let Some(ShadowOf { revision, options: guest_options }) = &self.account.shadow else { return };
        let guest_options = match guest_options {
            Ok(options) => options.clone(),
            Err(fault) => {
                tracing::info!(page = index + 1, revision = revision.record.number, %fault, "the shadow refuses the options");
                revision.shadow.failed();
                return;
            }
        };
        let PageCall { document, ctx, options, .. } = &self.call;
        let (file_name, languages) = (ctx.file_name.clone(), ctx.languages.clone());
        let mut ctx = revision.ctx(&self.account.tenant, ctx.request.clone(), ctx.deadline);
        (ctx.file_name, ctx.languages, ctx.options) = (file_name, languages, guest_options);
        let call = PageCall {
            document: document.clone(),
            pipeline: revision.pipeline.clone(),
            ctx,
            options: *options,
        };
        let own = self.account.tenant.permits.of_page(self.account.image_bytes(revision, &call));
        let sample = Sample { revision: revision.clone(), call, own, index, live: live.clone(), live_worked };
        self.plane.shadows.read(sample, &self.plane.page_scheduler, self.plane.control.clock());
    }

    fn keep(&mut self, position: usize, transcript: &Arc<Held<Transcript>>) {
        let bytes = transcript.reservation().bytes();
        self.page_bytes = self.page_bytes.max(bytes);
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        if self.kept_bytes <= self.plane.limits.result_bytes_max() {
            self.kept.insert(position, transcript.clone());
        } else {
            // There will be no summary: the kept pages are not needed.
            self.kept.clear();
        }
    }

    /// Returns the position of the next page that may be delivered.
    fn ready(&self) -> Option<usize> {
        match self.order {
            Order::Page => self.done.contains_key(&self.given).then_some(self.given),
            Order::Completion => self.done.first_key_value().map(|(&position, _)| position),
        }
    }

    fn take_ready(&mut self) -> Option<Event> {
        let event = self.ready().and_then(|position| self.done.remove(&position))?;
        self.given += 1;
        Some(event)
    }

    /// Turns pages that did not begin before the deadline into errors, as fast as the reader takes them.
    fn fail_unbegun(&mut self) {
        while self.may_begin() {
            let position = self.next;
            self.next += 1;
            self.not_begun(position, deadline_exceeded("before the page was read"));
        }
    }
}

/// Waits for the requested slot; without a request, forever.
async fn place_of(waiting: &mut Option<Waiting>) -> Place {
    match waiting {
        Some(place) => place.await,
        None => std::future::pending().await,
    }
}

fn work_ms(timing: &Timing) -> f64 {
    work_of(timing).as_secs_f64() * 1e3
}
