//! The work queue: jobs of all tenants in fair order, with a limit on the workers that open documents.
//!
//! Between tenants, the one that has used the least worker time for its weight goes first. Among a tenant's own jobs,
//! those of open documents (renders, text, page sizes) go before opens: an open document holds memory, and its pages
//! hold slots. An open is overtaken a bounded number of times, so that a long document does not block the tenant's next
//! one. Opens never use the last worker: a document that is slow to open delays other opens, but no render.
//!
//! A worker process serves one tenant, and a change costs a start. The dispatcher may therefore let the tenant of the idle
//! worker go on, where the tenant that is first has a worker of its own, until the first is [`STAY`] behind.
//!
//! Pure bookkeeping under the pool's lock. Called by `dispatch`.

use std::time::Instant;

use lector_core::TenantName;
use lector_core::cost::Mean;
use lector_core::fair::{Charge, Class, FairQueue, Order, Popped};

use super::job::{Job, Task};

/// Jobs of open documents.
const READ: Class = 0;
/// Jobs that open a document.
const OPEN: Class = 1;
/// Largest number of jobs of open documents that overtake an open of the same tenant.
const OPEN_OVERTAKEN_MAX: u32 = 16;
/// Estimated cost of a job before the first measurement.
const FIRST_COST_MS: f64 = 20.0;

/// Distance in virtual time up to which a worker goes on with its tenant: 100 ms of work at a weight of 100, some five
/// starts of a process. Where tenants with a worker each compete, starts then take at most about a fifth of a worker's
/// time.
const STAY: f64 = 1.0;

/// The queue, and the state of the running jobs.
#[derive(Default)]
pub(super) struct WorkQueue {
    queue: FairQueue<TenantName, Job>,
    /// Number of running opens.
    opening: usize,
    /// Number of running jobs.
    running: usize,
    /// Mean time of a job, by class.
    cost_ms: [Mean; 2],
}

/// A job that a worker runs; pass it to [`WorkQueue::finish`].
pub(super) struct Running {
    charge: Charge<TenantName>,
    class: Class,
    since: Instant,
    /// The caller had gone before the job began, so the job costs nothing.
    withdrawn: bool,
}

impl WorkQueue {
    /// Returns the number of waiting jobs.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn push(&mut self, job: Job) {
        let (class, order) = match job.task {
            Task::Open { .. } => (OPEN, Order::Behind(OPEN_OVERTAKEN_MAX)),
            _ => (READ, Order::Arrival),
        };
        let account = &job.handle.account;
        let cost_ms = self.cost_ms.get(class).and_then(Mean::value).unwrap_or(FIRST_COST_MS);
        let charge = Charge { client: account.tenant.clone(), weight: account.weight, cost_ms };
        self.queue.push(charge, class, order, job);
    }

    /// Takes out the next job for an idle worker. `workers`: the number of all workers. `staying` returns, for the tenant
    /// that is first in the queue, the tenants whose idle workers may go on with them before it. A withdrawn job is
    /// returned like any other and dropped by the worker supervisor: dropping it here, under the pool's lock, could drop
    /// its document, which takes that lock.
    pub(super) fn pop(
        &mut self,
        workers: usize,
        staying: impl FnOnce(&TenantName) -> Vec<TenantName>,
    ) -> Option<(Job, Running)> {
        let opens_max = workers.saturating_sub(1).max(1);
        let classes: &[Class] = if self.opening < opens_max { &[READ, OPEN] } else { &[READ] };
        let first = self.queue.peek(classes)?.handle.account.tenant.clone();
        let shares = self.queue.shares();
        let latest = shares.start_of(&first) + STAY;
        let mut near = staying(&first);
        near.retain(|tenant| shares.start_of(tenant) <= latest);
        let stayed = match near.is_empty() {
            true => None,
            false => self.queue.pop_where(classes, |client, _| near.contains(client)),
        };
        let Popped { charge, item } = stayed.or_else(|| self.queue.pop(classes))?;
        let class = if matches!(item.task, Task::Open { .. }) { OPEN } else { READ };
        self.running += 1;
        self.opening += usize::from(class == OPEN);
        let running = Running { charge, class, since: Instant::now(), withdrawn: item.task.is_withdrawn() };
        Some((item, running))
    }

    /// Records the end of a job, with any outcome, and charges its tenant the time that it took.
    pub(super) fn finish(&mut self, running: Running) {
        let Running { charge, class, since, withdrawn } = running;
        if withdrawn {
            self.queue.refund(&charge);
        } else {
            let took_ms = since.elapsed().as_secs_f64() * 1e3;
            self.queue.correct(&charge.client, charge.weight, took_ms - charge.cost_ms);
            if let Some(mean) = self.cost_ms.get_mut(class) {
                mean.learn(took_ms);
            }
        }
        self.running = self.running.saturating_sub(1);
        self.opening = self.opening.saturating_sub(usize::from(class == OPEN));
        if self.running == 0 {
            self.queue.rest();
        }
    }

    /// Takes out all jobs.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        self.queue.drain()
    }
}

#[cfg(test)]
mod tests;
