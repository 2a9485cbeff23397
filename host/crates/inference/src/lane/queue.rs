//! The bounded queue of a lane: offers never wait, owner threads do.
//!
//! Owns the waiting items, the shares of their tenants and the learned costs of runs. [`lector_core::batching::decide`]
//! selects the batches; the tenants' batching policies are called without the lock. Called by [`super::Lane`] and by
//! owner threads.
//!
//! The order is that of [`lector_core::fair::Shares`], but this is not a [`lector_core::fair::FairQueue`]: a lane
//! removes batches and not items. The batch depends on shapes, costs, deadlines, hints and the tenant's batching
//! policy, so `decide` examines all waiting items (a bounded number) each time. The share selects the first item of a
//! batch, and every tenant in the batch is charged its part.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use lector_core::batching::plan::{self, Reply};
use lector_core::batching::{self, Bucket, Costs, Decision, Dropped, Next, Planned, Waiting, decide};
use lector_core::fair::{Shares, displaceable};
use lector_core::port::WorkItem;
use lector_core::{Fault, Kind, ModelName, TenantName, Tensor};

use super::item::{Bounds, Ticket};
use super::plan_query::{BatchingPolicies, PlanQuery};
use crate::cores::{Claim, Claimant};
use crate::lane_counters::LaneCounters;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Items that run together; the first item is the one that the shares select.
pub(super) struct Batch {
    pub(super) run: u64,
    pub(super) tickets: Vec<Ticket>,
    pub(super) bucket: Bucket,
    pub(super) rows: u32,
}

/// Why an offer was rejected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The queue is full; `backlog` is the predicted time of the waiting items.
    Full {
        waiting: usize,
        backlog: Duration,
    },
    Closed,
}

/// Bounds of `Retry-After`. Between them it is the predicted time of the backlog.
pub(super) const RETRY_AFTER_MIN: Duration = Duration::from_millis(100);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

pub(super) struct Queue {
    bounds: Bounds,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Ticket>,
    shares: Shares,
    costs: Costs,
    policies: BatchingPolicies,
    running: u32,
    row_by_row: bool,
    offers: u64,
    runs: u64,
    closed: bool,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn items_max(&self) -> usize {
        self.bounds.items_max
    }

    pub(super) fn rows_max(&self) -> u32 {
        self.bounds.rows_max
    }

    pub(super) fn depth(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Returns the predicted engine time of the waiting items, over all sessions.
    pub(super) fn backlog(&self) -> Duration {
        self.lock().backlog(self.bounds.sessions)
    }

    /// Accepts or rejects an item at once. A full queue first drops cancelled and expired items, and then the newest
    /// item of the tenant with the most items for its weight: a tenant that floods a lane is rejected, and other tenants are
    /// not.
    pub(super) fn offer(&self, mut ticket: Ticket, counters: &LaneCounters) -> Result<(), Refusal> {
        let now = Instant::now();
        let mut state = self.lock();
        if state.closed {
            return Err(Refusal::Closed);
        }
        if state.waiting.len() >= self.bounds.items_max {
            let dropped = state.decide(&self.bounds, now).dropped;
            answer_dropped(state.remove(&dropped), counters);
        }
        let mut displaced = None;
        if state.waiting.len() >= self.bounds.items_max {
            let backlog = state.backlog(self.bounds.sessions);
            let waiting = state.waiting.len();
            match state.displaceable(&ticket.item) {
                Some(at) => {
                    let gone = state.waiting.remove(at);
                    state.policies.changed(&gone);
                    displaced = Some((gone, Refusal::Full { waiting, backlog }));
                }
                None => return Err(Refusal::Full { waiting, backlog }),
            }
        }
        state.offers += 1;
        ticket.id = state.offers;
        let (bucket, rows) = (ticket.bucket.clone(), ticket.rows);
        state.costs.arrived(&bucket, rows, now);
        state.policies.changed(&ticket);
        state.waiting.push(ticket);
        drop(state);
        self.changed.notify_one();
        if let Some((ticket, Refusal::Full { waiting, backlog })) = displaced {
            LaneCounters::add(&counters.refused_full, 1);
            let fault = full(&ticket.item.model, waiting, backlog);
            // The caller may have gone.
            let _ = ticket.reply.send(Err(fault));
        }
        Ok(())
    }

    /// Waits until a batch is ready for this thread. Returns false where the queue is closed and the owner thread may
    /// end.
    pub(super) fn wait(&self, counters: &LaneCounters) -> bool {
        let mut state = self.lock();
        loop {
            if state.closed {
                return false;
            }
            state = self.plan_query(state);
            let now = Instant::now();
            let Decision { dropped, next } = state.decide(&self.bounds, now);
            if !dropped.is_empty() {
                answer_dropped(state.remove(&dropped), counters);
                continue;
            }
            state = match next {
                Next::Run(_) => return true,
                Next::Idle => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Next::Wait(until) => {
                    let wait = until.saturating_duration_since(now);
                    let waited = self.changed.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Returns the batch to run now; `None` where another owner thread was faster, or all items were dropped or wait
    /// for co-batched items.
    pub(super) fn take(&self, counters: &LaneCounters) -> Option<Batch> {
        let mut state = self.plan_query(self.lock());
        let Decision { dropped, next } = state.decide(&self.bounds, Instant::now());
        let batch = match next {
            // Positions are those before the dropped items are removed, so both are removed at once.
            Next::Run(batch) => state.begin(&batch),
            Next::Wait(_) | Next::Idle => None,
        };
        let gone = match &batch {
            Some(batch) => {
                let taken = |at: usize| batch.1.iter().filter(|taken| **taken < at).count();
                let dropped: Vec<_> = dropped.into_iter().map(|(at, why)| (at - taken(at), why)).collect();
                state.remove(&dropped)
            }
            None => state.remove(&dropped),
        };
        let more = !state.waiting.is_empty();
        if !more && batch.is_some() {
            state.shares.rest();
        }
        drop(state);
        if more {
            self.changed.notify_one();
        }
        answer_dropped(gone, counters);
        batch.map(|(batch, _)| batch)
    }

    /// Records the end of a run of a batch from [`take`](Self::take); `took` where it succeeded.
    pub(super) fn ended(&self, bucket: &Bucket, rows: u32, took: Option<Duration>) {
        let mut state = self.lock();
        state.running = state.running.saturating_sub(1);
        if let Some(took) = took {
            state.costs.learn(bucket, rows, took);
        }
        drop(state);
        // Items that wait for co-batched items may be decided differently now.
        self.changed.notify_one();
    }

    /// Learns the cost of a calibration run.
    pub(super) fn learn(&self, bucket: &Bucket, rows: u32, took: Duration) {
        self.lock().costs.learn(bucket, rows, took);
    }

    /// Discards the learned costs after the engines were replaced. The new ones may compute the rows of a run one by one.
    pub(super) fn engine_changed(&self, row_by_row: bool) {
        let mut state = self.lock();
        (state.costs, state.row_by_row) = (Costs::default(), row_by_row);
    }

    /// Rejects all later offers, and answers all waiting items.
    pub(super) fn close(&self, model: &ModelName) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        for ticket in waiting {
            // The caller may have gone.
            let _ = ticket.reply.send(Err(closed(model)));
        }
    }

    /// Calls the batching policies whose items have changed, one of each tenant. The lock is released during a call, so that offers never
    /// wait for a tenant's code.
    fn plan_query<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut asked = Vec::new();
        while let Some(query) = state.next_query(&asked, &self.bounds) {
            asked.push(query.tenant.clone());
            drop(state);
            let reply = query.ask();
            state = self.lock();
            state.settle(query, reply);
        }
        state
    }

    /// No code panics while it holds the lock, so the state of a poisoned lock is consistent.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimant for Queue {
    fn next(&self) -> Claim {
        let state = self.lock();
        let waiting =
            state.waiting.iter().filter(|ticket| !ticket.reply.is_closed()).map(|ticket| &ticket.item);
        let start = |item: &WorkItem| state.shares.start_of(&item.tenant);
        let behind = |item: &WorkItem| item.scheduling.hints.background;
        let turn = |a: &WorkItem, b: &WorkItem| behind(a).cmp(&behind(b)).then(start(a).total_cmp(&start(b)));
        match waiting.min_by(|a, b| turn(a, b)) {
            None => Claim::NoTenant,
            Some(next) if behind(next) => Claim::Background,
            Some(next) => Claim::Tenant(next.tenant.clone(), next.scheduling.weight),
        }
    }
}

impl State {
    fn decide(&self, bounds: &Bounds, now: Instant) -> Decision {
        let view: Vec<Waiting<'_>> = self.waiting.iter().map(view).collect();
        let engine = batching::Engine {
            rows_max: bounds.rows_max,
            pixels_max: bounds.pixels_max,
            idle_others: bounds.sessions.saturating_sub(self.running + 1),
            running: self.running,
            row_by_row: self.row_by_row,
        };
        decide(&view, &engine, &self.shares, &self.costs, now)
    }

    /// Removes the items at these positions, of which the first is the first item of the batch, and charges their
    /// tenants. Background items are free: they use time that no other item wanted. Returns the positions as well.
    fn begin(&mut self, batch: &[usize]) -> Option<(Batch, Vec<usize>)> {
        let head = self.waiting.get(*batch.first()?)?;
        let bucket = head.bucket.clone();
        let charged = !head.item.scheduling.hints.background;
        if charged {
            self.shares.serve(&head.item.tenant);
        }
        let members = batch.iter().filter_map(|at| self.waiting.get(*at));
        let rows: u32 = members.clone().map(|ticket| ticket.rows).sum();
        let row_ms = self.costs.predict_ms(&bucket, rows) / f64::from(rows.max(1));
        for ticket in members.filter(|_| charged) {
            let scheduling = &ticket.item.scheduling;
            self.shares.charge(&ticket.item.tenant, scheduling.weight, row_ms * f64::from(ticket.rows));
        }
        let mut tickets = Vec::with_capacity(batch.len());
        let mut left = Vec::with_capacity(self.waiting.len());
        let head = batch.first().copied();
        for (at, ticket) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            if !batch.contains(&at) {
                left.push(ticket);
                continue;
            }
            self.policies.changed(&ticket);
            if Some(at) == head {
                tickets.insert(0, ticket);
            } else {
                tickets.push(ticket);
            }
        }
        self.waiting = left;
        self.running += 1;
        self.runs += 1;
        Some((Batch { run: self.runs, tickets, bucket, rows }, batch.to_vec()))
    }

    /// Removes the dropped items.
    fn remove(&mut self, dropped: &[(usize, Dropped)]) -> Vec<(Ticket, Dropped)> {
        let mut gone = Vec::with_capacity(dropped.len());
        // From the end, so that the remaining positions stay valid.
        for (at, why) in dropped.iter().rev() {
            if *at < self.waiting.len() {
                let ticket = self.waiting.remove(*at);
                self.policies.changed(&ticket);
                gone.push((ticket, *why));
            }
        }
        gone
    }

    /// Returns the position of the item that gives way to `newcomer`, see [`displaceable`].
    fn displaceable(&self, newcomer: &WorkItem) -> Option<usize> {
        let mut counts: Vec<(&TenantName, u32, usize)> = Vec::new();
        for WorkItem { tenant, scheduling, .. } in self.waiting.iter().map(|ticket| &ticket.item) {
            match counts.iter_mut().find(|(counted, ..)| *counted == tenant) {
                Some((.., count)) => *count += 1,
                None => counts.push((tenant, scheduling.weight, 1)),
            }
        }
        let most = displaceable(counts, (&newcomer.tenant, newcomer.scheduling.weight))?;
        self.waiting.iter().rposition(|ticket| ticket.item.tenant == *most)
    }

    fn backlog(&self, sessions: u32) -> Duration {
        let ms: f64 =
            self.waiting.iter().map(|ticket| self.costs.predict_ms(&ticket.bucket, ticket.rows)).sum();
        Duration::from_secs_f64(ms / 1e3 / f64::from(sessions.max(1)))
    }

    fn next_query(&mut self, asked: &[TenantName], bounds: &Bounds) -> Option<PlanQuery> {
        let (waiting, costs) = (&self.waiting, &self.costs);
        self.policies.next(asked, waiting, costs, bounds, self.running, Instant::now())
    }

    /// Charges the tenant of a batching policy for its computing, and records the answer for the items that still wait.
    fn settle(&mut self, query: PlanQuery, Reply { plan, took }: Reply) {
        self.shares.charge(&query.tenant, query.weight, took.as_secs_f64() * 1e3);
        let planned = plan.and_then(|answer| match plan::accept(&query.question, &answer) {
            Ok(planned) => Some(planned),
            Err(why) => {
                query.planner.invalid(why);
                None
            }
        });
        let ids = query.question.items.iter().map(|item| item.id);
        let planned = planned.unwrap_or_else(|| vec![Planned::Free; query.question.items.len()]);
        let mut wake: Option<Instant> = None;
        for (id, planned) in ids.zip(planned) {
            if let Planned::Until(until) = planned {
                wake = Some(wake.map_or(until, |earliest| earliest.min(until)));
            }
            if let Ok(at) = self.waiting.binary_search_by_key(&id, |ticket| ticket.id)
                && let Some(ticket) = self.waiting.get_mut(at)
            {
                ticket.planned = planned;
            }
        }
        self.policies.answered(&query, wake);
    }
}

fn view(ticket: &Ticket) -> Waiting<'_> {
    let WorkItem { tenant, deadline, scheduling, .. } = &ticket.item;
    Waiting {
        tenant,
        weight: scheduling.weight,
        bucket: &ticket.bucket,
        rows: ticket.rows,
        offered: ticket.offered,
        deadline: *deadline,
        cancelled: ticket.reply.is_closed(),
        hints: scheduling.hints,
        planned: ticket.planned,
    }
}

fn answer_dropped(dropped: Vec<(Ticket, Dropped)>, counters: &LaneCounters) {
    for (ticket, why) in dropped {
        match why {
            Dropped::Cancelled => LaneCounters::add(&counters.skipped_cancelled, 1),
            Dropped::Expired => {
                LaneCounters::add(&counters.skipped_expired, 1);
                let message = format!(
                    "the page's deadline is too near for a run of model {}, so the run was not started",
                    ticket.item.model
                );
                let waited = format!("waited {} ms", ticket.offered.elapsed().as_millis());
                let fault = Fault::new(Kind::Deadline, "engine_deadline", message).with_detail(waited);
                // The caller may have gone.
                let _ = ticket.reply.send(Err(fault));
            }
        }
    }
}

/// Returns the fault of an offer to a full queue.
pub(super) fn full(model: &ModelName, waiting: usize, backlog: Duration) -> Fault {
    Fault::new(
        Kind::Busy,
        "engine_queue_full",
        format!("the queue of model {model} is full; try again later"),
    )
    .with_detail(format!("{waiting} items wait, about {} ms of engine time", backlog.as_millis()))
    .retry_after(backlog.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX))
}

/// Returns the fault of an offer to a closed lane.
pub(super) fn closed(model: &ModelName) -> Fault {
    Fault::new(
        Kind::Unavailable,
        "engine_stopped",
        format!("model {model} is no longer available: its lane has been closed"),
    )
}

/// Returns the bucket of a run: runs with equal buckets may be merged.
pub(super) fn bucket(inputs: &[(String, Tensor)], outputs: &[String]) -> Bucket {
    // Sorted by name: items may list their inputs in any order.
    let mut named: Vec<_> = inputs.iter().collect();
    named.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let shapes = named.iter().map(|(_, tensor)| tensor.shape().get(1..).unwrap_or_default().to_vec());
    Bucket::new(shapes.collect(), outputs.to_vec())
}

/// A queue shared by its lane and owner threads.
pub(super) type Shared = Arc<Queue>;
