//! The work queue: jobs of all tenants in fair order, with limits on the workers that open documents or run slow jobs.
//!
//! Between tenants, the one that has used the least worker time for its weight goes first. Among a tenant's own jobs,
//! those of open documents (renders, text, page sizes) go before opens: an open document holds memory, and its pages
//! hold slots. An open is overtaken a bounded number of times, so that a long document does not block the tenant's next
//! one. Opens never use the last of a tenant's workers: a document that is slow to open delays other opens, but no render.
//!
//! A worker process serves one tenant, and a change costs a start. The dispatcher may therefore let the tenant of the idle
//! worker go on, where the tenant that is first has a worker of its own, until the first is [`STAY`] behind.
//!
//! `slot` has the rules for a tenant that holds no worker, a *newcomer*, and for slow jobs.
//!
//! Pure bookkeeping under the pool's lock. Called by `dispatch`.

use std::time::{Duration, Instant};

use lector_core::TenantName;
use lector_core::cost::Mean;
use lector_core::fair::{Account, CLASSES, Charge, Class, FairQueue, Order, Popped};

use super::job::{Job, Task};

/// Jobs of open documents.
const READ: Class = 0;
/// Jobs that open a document.
const OPEN: Class = 1;
/// Jobs that ran before and took long.
const SLOW: Class = 2;
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
    /// Number of running slow jobs.
    slow: usize,
    /// Mean time of a job, by class.
    cost_ms: [Mean; CLASSES],
}

/// The terms on which an idle worker is given out.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    /// The worker is part of the reserve.
    pub newcomers_only: bool,
    /// Tenants that hold a worker.
    pub holders: Vec<TenantName>,
    /// Largest number of opens that run at once; a newcomer's does not count.
    pub opens_max: usize,
    /// Largest number of slow jobs that run at once with a known slow one.
    pub slow_max: usize,
}

/// A job that a worker runs; pass it to [`WorkQueue::finish`].
pub(super) struct Running {
    charge: Charge<TenantName>,
    class: Class,
    opens: bool,
    since: Instant,
    slow: bool,
    /// The caller had gone before the job began, so the job costs nothing.
    withdrawn: bool,
}

impl Running {
    pub(super) fn tenant(&self) -> &TenantName {
        &self.charge.client
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Returns whether the job has run for long, or did so before.
    pub(super) fn is_slow(&self) -> bool {
        self.slow
    }

    /// Returns whether the job has given way before.
    pub(super) fn is_known_slow(&self) -> bool {
        self.class == SLOW
    }

    /// Moves the beginning of the job into the past.
    #[cfg(test)]
    pub(super) fn age(&mut self, by: Duration) {
        self.since = self.since.checked_sub(by).unwrap_or(self.since);
    }
}

impl WorkQueue {
    /// Returns the number of waiting jobs.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn push(&mut self, job: Job) {
        let (class, order) = match job.task {
            _ if job.known_slow => (SLOW, Order::Arrival),
            Task::Open { .. } => (OPEN, Order::Behind(OPEN_OVERTAKEN_MAX)),
            _ => (READ, Order::Arrival),
        };
        let account = &job.handle.account;
        let cost_ms = self.cost_ms.get(class).and_then(Mean::value).unwrap_or(FIRST_COST_MS);
        let charge = Charge { client: account.tenant.clone(), weight: account.weight, cost_ms };
        self.queue.push(charge, class, order, job);
    }

    /// Takes out a job of another tenant, to make room for one of the account; `None`: no tenant has more than its part.
    pub(super) fn displace(&mut self, account: &Account) -> Option<Job> {
        self.queue.displace(&account.tenant, account.weight)
    }

    /// Takes out the next job for an idle worker. `staying` returns, for the tenant that is first in the queue, the tenants
    /// whose idle workers may go on with them before it. A withdrawn job is returned like any other and dropped by the
    /// worker supervisor: dropping it here, under the pool's lock, could drop its document, which takes that lock.
    pub(super) fn pop(
        &mut self,
        offer: &Offer,
        staying: impl FnOnce(&TenantName) -> Vec<TenantName>,
    ) -> Option<(Job, Running)> {
        const ALL: [Class; CLASSES] = [READ, SLOW, OPEN];
        let without_slow: &[Class] = &[READ, OPEN];
        let classes: &[Class] = if self.slow < offer.slow_max { &ALL } else { without_slow };
        let first = self.queue.peek(classes)?.handle.account.tenant.clone();
        let shares = self.queue.shares();
        let latest = shares.start_of(&first) + STAY;
        let mut near = staying(&first);
        near.retain(|tenant| shares.start_of(tenant) <= latest);
        let with_slow: Vec<TenantName> = self.queue.clients(SLOW).cloned().collect();
        let opens_full = self.opening >= offer.opens_max;
        let may = |tenant: &TenantName, opens: bool| {
            let newcomer = !offer.holders.contains(tenant) && !with_slow.contains(tenant);
            newcomer || !(offer.newcomers_only || opens_full && opens)
        };
        let accept = |tenant: &TenantName, job: &mut Job| may(tenant, job.opens());
        let stayed = match near.is_empty() {
            true => None,
            false => {
                self.queue.pop_where(classes, |tenant, job| near.contains(tenant) && accept(tenant, job))
            }
        };
        let popped = stayed.or_else(|| self.queue.pop_where(classes, accept));
        // Where a tenant's first job is an open that must wait, its other jobs need not.
        let reads = classes.strip_suffix(&[OPEN]).unwrap_or(classes);
        let Popped { charge, item } = popped.or_else(|| self.queue.pop_where(reads, accept))?;
        let class = match item.opens() {
            _ if item.known_slow => SLOW,
            true => OPEN,
            false => READ,
        };
        self.running += 1;
        self.opening += usize::from(item.opens());
        self.slow += usize::from(item.known_slow);
        let running = Running {
            charge,
            class,
            opens: item.opens(),
            since: Instant::now(),
            slow: item.known_slow,
            withdrawn: item.task.is_withdrawn(),
        };
        Some((item, running))
    }

    /// Marks a running job as slow if it has run for `after`.
    pub(super) fn mark_slow(&mut self, running: &mut Running, after: Duration) {
        if !running.slow && running.since.elapsed() >= after {
            running.slow = true;
            self.slow += 1;
        }
    }

    /// Returns whether a tenant waits that holds no worker, and has no known slow job waiting.
    pub(super) fn newcomer_waits(&self, holders: &[TenantName]) -> bool {
        let with_slow: Vec<&TenantName> = self.queue.clients(SLOW).collect();
        let mut waiting = self.queue.clients(READ).chain(self.queue.clients(OPEN));
        waiting.any(|tenant| !holders.contains(tenant) && !with_slow.contains(&tenant))
    }

    /// Records the end of a job, with any outcome, and charges its tenant the time that it took.
    pub(super) fn finish(&mut self, running: Running) {
        let Running { charge, class, opens, since, slow, withdrawn } = running;
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
        self.opening = self.opening.saturating_sub(usize::from(opens));
        self.slow = self.slow.saturating_sub(usize::from(slow));
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
