//! A counting semaphore that grants permits to clients by their shares.
//!
//! Owns the permits and the queue in front of them. A request for several permits is not overtaken by smaller requests
//! behind it. A released permit is granted before the lock is released, and the waiter is woken afterwards. A waiter
//! that is dropped with a granted permit passes it to the next one, and its client is refunded: no wake-up is lost.
//!
//! *Extra permits* exceed the limit for a client that holds fewer permits than another one would still hold. Without
//! them a new client would wait for permits of the client that filled the semaphore before.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::blocking::block_on;
use super::queue::{Charge, FairQueue, Order, Ticket};
use super::shares::Shares;
use crate::id::TenantName;
use crate::sync::{Mutex, MutexGuard};

/// All requests of a semaphore have one class.
const CLASS: [usize; 1] = [0];

/// A request for permits.
#[derive(Clone, Debug)]
pub struct Request<K = TenantName> {
    /// Account, weight and expected cost.
    pub charge: Charge<K>,
    /// Number of permits; more than the total counts as the total.
    pub permits: usize,
    /// Position among the client's own requests.
    pub order: Order,
}

impl<K> Request<K> {
    /// Creates a request for one permit, in order of arrival.
    pub fn one(client: K, weight: u32, cost_ms: f64) -> Self {
        Self { charge: Charge { client, weight, cost_ms }, permits: 1, order: Order::Arrival }
    }
}

/// A fair counting semaphore. Clones share the permits.
pub struct FairSemaphore<K = TenantName>(Arc<Inner<K>>);

struct Inner<K> {
    total: usize,
    extra: usize,
    state: Mutex<State<K>>,
}

struct State<K> {
    queue: FairQueue<K, Waiter>,
    taken: usize,
    /// Permits granted and not yet picked up, by number of the request.
    granted: BTreeMap<u64, (Charge<K>, usize)>,
    requests: u64,
}

struct Waiter {
    number: u64,
    permits: usize,
    waker: Waker,
}

/// Permits of a client; dropping them releases them to the next request.
pub struct Permit<K: Ord + Clone = TenantName> {
    semaphore: FairSemaphore<K>,
    charge: Charge<K>,
    permits: usize,
}

/// The future of [`FairSemaphore::acquire`].
///
/// It enters the queue at its first poll. Dropping it withdraws the request; a permit that was granted and not picked
/// up goes to the next request, and the client is refunded.
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<K: Ord + Clone = TenantName> {
    semaphore: FairSemaphore<K>,
    phase: Phase<K>,
}

enum Phase<K> {
    Requested(Request<K>),
    Waiting(u64, Ticket<K>),
    Done,
}

impl<K> Clone for FairSemaphore<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Ord + Clone> FairSemaphore<K> {
    /// Creates a semaphore with `total` permits (at least 1).
    pub fn new(total: usize) -> Self {
        Self::with_extra(total, 0)
    }

    /// Creates a semaphore with `total` permits (at least 1) and up to `extra` beyond them, see the module.
    pub fn with_extra(total: usize, extra: usize) -> Self {
        Self::with_shares(total, extra, Shares::default())
    }

    /// Creates a semaphore with extra permits and these clocks.
    pub fn with_shares(total: usize, extra: usize, shares: Shares<K>) -> Self {
        let state =
            State { queue: FairQueue::with_shares(shares), taken: 0, granted: BTreeMap::new(), requests: 0 };
        Self(Arc::new(Inner { total: total.max(1), extra, state: Mutex::new(state) }))
    }

    /// Waits for permits. Cancel-safe: works under any timeout.
    pub fn acquire(&self, request: Request<K>) -> Acquire<K> {
        Acquire { semaphore: self.clone(), phase: Phase::Requested(request) }
    }

    /// Blocks the thread until the permits are granted; `None`: they were not by `until`.
    pub fn acquire_blocking(&self, request: Request<K>, until: Option<Instant>) -> Option<Permit<K>> {
        block_on(self.acquire(request), until)
    }

    /// Takes permits if enough are free and no request waits.
    pub fn try_acquire(&self, request: Request<K>) -> Option<Permit<K>> {
        let Request { charge, permits, .. } = request;
        let permits = permits.min(self.0.total);
        let mut state = self.lock();
        if !state.queue.is_empty() || state.taken + permits > self.0.total {
            return None;
        }
        // Passes through the empty queue, so that the client is charged like any other.
        let waiter = Waiter { number: 0, permits, waker: Waker::noop().clone() };
        state.queue.push(charge, 0, Order::Arrival, waiter);
        let popped = state.queue.pop(&CLASS)?;
        state.take(&popped.charge.client, permits);
        Some(Permit { semaphore: self.clone(), charge: popped.charge, permits })
    }

    /// Takes permits if enough are free, ahead of waiting requests: for a client that must finish what it has begun before
    /// it can release the permits that it holds.
    pub fn try_acquire_ahead(&self, request: Request<K>) -> Option<Permit<K>> {
        let Request { charge, permits, .. } = request;
        let mut state = self.lock();
        if state.taken.saturating_add(permits) > self.0.total {
            return None;
        }
        state.queue.correct(&charge.client, charge.weight, charge.cost_ms);
        state.take(&charge.client, permits);
        Some(Permit { semaphore: self.clone(), charge, permits })
    }

    /// Returns the number of permits without the extra ones.
    pub fn total(&self) -> usize {
        self.0.total
    }

    /// Returns the number of permits in use, extra ones included.
    pub fn taken(&self) -> usize {
        self.lock().taken
    }

    /// Returns the number of waiting requests.
    pub fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// Returns the permits that each client holds, and its waiting requests, for a report.
    pub fn by_client(&self) -> (BTreeMap<K, usize>, BTreeMap<K, usize>) {
        let state = self.lock();
        (state.queue.held_by_client(), state.queue.waiting_by_client())
    }

    /// Charges a client `more_ms` more, or refunds it where that is negative.
    pub fn correct(&self, client: &K, weight: u32, more_ms: f64) {
        self.lock().queue.correct(client, weight, more_ms);
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // Nothing panics while the lock is held, so a poisoned lock holds a consistent state.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants all requests that fit, then releases the lock and wakes the waiters: a waker may run any code.
    fn grant(&self, mut state: MutexGuard<'_, State<K>>) {
        let mut wakers = Vec::new();
        while let Some(waker) = state.grant_one(self.0.total, self.0.extra) {
            wakers.push(waker);
        }
        if state.taken == 0 {
            state.queue.rest();
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<K: Ord + Clone> State<K> {
    /// Grants the next request; `None`: no request waits, or too few permits are free.
    fn grant_one(&mut self, total: usize, extra: usize) -> Option<Waker> {
        let popped = if self.taken + self.queue.peek(&CLASS)?.permits <= total {
            self.queue.pop(&CLASS)?
        } else {
            // Without extra permits no request overtakes the one that does not fit.
            let wanted = self.queue.peek_behind().filter(|_| extra > 0)?.permits;
            if self.taken + wanted > total.saturating_add(extra) {
                return None;
            }
            self.queue.pop_behind()?
        };
        let Waiter { number, permits, waker } = popped.item;
        self.take(&popped.charge.client, permits);
        self.granted.insert(number, (popped.charge, permits));
        Some(waker)
    }

    fn take(&mut self, client: &K, permits: usize) {
        self.taken += permits;
        self.queue.hold(client, permits);
    }

    fn release(&mut self, client: &K, permits: usize) {
        self.taken = self.taken.saturating_sub(permits);
        self.queue.release(client, permits);
    }
}

impl<K: Ord + Clone> Acquire<K> {
    /// Returns the permits if they were granted.
    fn pick_up(&self, state: &mut State<K>, number: u64) -> Option<Permit<K>> {
        let (charge, permits) = state.granted.remove(&number)?;
        Some(Permit { semaphore: self.semaphore.clone(), charge, permits })
    }

    /// Enters the queue.
    fn ask(&self, request: Request<K>) -> (u64, Ticket<K>) {
        let mut state = self.semaphore.lock();
        state.requests += 1;
        let Request { charge, permits, order } = request;
        let permits = permits.min(self.semaphore.0.total);
        // The caller checks for its permit at once and registers its waker afterwards.
        let waiter = Waiter { number: state.requests, permits, waker: Waker::noop().clone() };
        let queued = (state.requests, state.queue.push(charge, 0, order, waiter));
        self.semaphore.grant(state);
        queued
    }
}

// No field is pinned.
impl<K: Ord + Clone> Unpin for Acquire<K> {}

impl<K: Ord + Clone> Future for Acquire<K> {
    type Output = Permit<K>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit<K>> {
        let this = &mut *self;
        let (number, ticket) = match std::mem::replace(&mut this.phase, Phase::Done) {
            Phase::Requested(request) => this.ask(request),
            Phase::Waiting(number, ticket) => (number, ticket),
            // Polled after completion.
            Phase::Done => return Poll::Pending,
        };
        let mut state = this.semaphore.lock();
        if let Some(permit) = this.pick_up(&mut state, number) {
            return Poll::Ready(permit);
        }
        let waker = cx.waker().clone();
        let before = state.queue.get_mut(&ticket).map(|waiter| std::mem::replace(&mut waiter.waker, waker));
        drop(state);
        // Outside of the lock: dropping a waker may run any code.
        drop(before);
        this.phase = Phase::Waiting(number, ticket);
        Poll::Pending
    }
}

impl<K: Ord + Clone> Drop for Acquire<K> {
    fn drop(&mut self) {
        let Phase::Waiting(number, ticket) = &self.phase else { return };
        let mut state = self.semaphore.lock();
        let waiter = match state.granted.remove(number) {
            Some((charge, permits)) => {
                state.release(&charge.client, permits);
                state.queue.refund(&charge);
                None
            }
            None => state.queue.cancel(ticket),
        };
        // The dropped request may have blocked smaller ones.
        self.semaphore.grant(state);
        drop(waiter);
    }
}

impl<K: Ord + Clone> Permit<K> {
    /// Returns the account and the charge of the grant.
    pub fn charge(&self) -> &Charge<K> {
        &self.charge
    }

    /// Returns the semaphore of the permits.
    pub fn semaphore(&self) -> &FairSemaphore<K> {
        &self.semaphore
    }

    /// Charges the client `more_ms` more, or refunds it where that is negative.
    pub fn correct(&self, more_ms: f64) {
        self.semaphore.correct(&self.charge.client, self.charge.weight, more_ms);
    }
}

impl<K: Ord + Clone> Drop for Permit<K> {
    fn drop(&mut self) {
        let mut state = self.semaphore.lock();
        state.release(&self.charge.client, self.permits);
        self.semaphore.grant(state);
    }
}

impl<K> fmt::Debug for FairSemaphore<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairSemaphore").field("total", &self.0.total).finish_non_exhaustive()
    }
}

impl<K: Ord + Clone + fmt::Debug> fmt::Debug for Permit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("charge", &self.charge).field("permits", &self.permits).finish()
    }
}

#[cfg(test)]
mod tests;
