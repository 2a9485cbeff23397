//! The queues of admission: documents that wait for admission, uploads that wait for bytes.
//!
//! Owns two fair queues over tenants. A waiter is an attempt that is repeated, in fair order, each time capacity is
//! released ([`Line::freed`]). The one waiting task that is woken makes the attempts of all waiters. Independent of the
//! attempts. Called by `admission.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lector_core::fair::{Account, Charge, FairQueue, Order, Shares, Ticket};
use lector_core::{Fault, Kind, TenantName};
use tokio::sync::{Notify, oneshot};

/// The resource that a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// Admission of a document. The cost is in milliseconds of work.
    Document,
    /// More bytes for a document that is being received. The cost is in KiB.
    Bytes,
}

/// The result of an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// The waiter has its answer.
    Answered,
    /// There is no capacity for this waiter.
    Refused,
    /// There is no capacity for any waiter, so the waiters behind it must not take the resource either.
    Full,
}

/// A waiting attempt. Called with `last`: the result is the answer in any case.
struct Waiter(Box<dyn FnMut(bool) -> Tried + Send>);

type Queue = FairQueue<TenantName, Waiter>;

/// The two queues.
#[derive(Default)]
pub(crate) struct Line {
    queues: Mutex<Queues>,
    freed: Arc<Notify>,
}

struct Queues {
    documents: Queue,
    bytes: Queue,
}

impl Default for Queues {
    fn default() -> Self {
        // No credit for bytes, because credit is counted in the unit of the cost.
        Self { documents: Queue::default(), bytes: Queue::with_shares(Shares::with_credit(0.0)) }
    }
}

impl Queues {
    fn of(&mut self, what: For) -> &mut Queue {
        match what {
            For::Document => &mut self.documents,
            For::Bytes => &mut self.bytes,
        }
    }
}

/// A position in a queue; dropping it leaves the queue.
struct Place<'a> {
    line: &'a Line,
    what: For,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waiter = self.line.lock().of(self.what).cancel(&self.ticket);
        if waiter.is_some() {
            // It may have blocked other waiters.
            self.line.freed.notify_one();
        }
    }
}

impl Line {
    /// Makes queues that repeat their attempts when `freed` is notified.
    pub(crate) fn new(freed: Arc<Notify>) -> Self {
        Self { queues: Mutex::default(), freed }
    }

    /// Returns the number of waiters.
    #[cfg(test)]
    pub(crate) fn len(&self, what: For) -> usize {
        self.lock().of(what).len()
    }

    /// Returns whether there are no waiters.
    pub(crate) fn is_empty(&self, what: For) -> bool {
        self.lock().of(what).is_empty()
    }

    /// Returns the number of waiters by tenant, for a report.
    pub(crate) fn by_tenant(&self, what: For) -> BTreeMap<TenantName, usize> {
        self.lock().of(what).waiting_by_client()
    }

    /// Makes the attempt in fair order, and repeats it while it fails with a fault of kind `Busy`, until `within` is
    /// over; then the last such fault is the answer. Dropping the future leaves the queue. `cost`: see [`For`].
    pub(crate) async fn wait<T: Send + 'static>(
        &self,
        what: For,
        account: Account,
        cost: f64,
        within: Duration,
        mut attempt: impl FnMut() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, mut answered) = oneshot::channel();
        let mut answer = Some(answer);
        let attempt = move |last: bool| {
            let outcome = match attempt() {
                Err(fault) if fault.kind == Kind::Busy && !last => {
                    let all = what == For::Bytes && fault.code == "server_overloaded";
                    return if all { Tried::Full } else { Tried::Refused };
                }
                outcome => outcome,
            };
            if let Some(answer) = answer.take() {
                // If the waiter has just left, the result is dropped here.
                drop(answer.send(outcome));
            }
            Tried::Answered
        };
        let charge = Charge { client: account.tenant, weight: account.weight, cost_ms: cost };
        let waiter = Waiter(Box::new(attempt));
        let ticket = self.lock().of(what).push(charge, 0, Order::Arrival, waiter);
        let place = Place { line: self, what, ticket };
        self.give();
        let over = tokio::time::sleep(within);
        tokio::pin!(over);
        loop {
            tokio::select! {
                biased;
                outcome = &mut answered => return outcome.unwrap_or_else(|_| Err(lost())),
                () = self.freed.notified() => self.give(),
                () = &mut over => break,
            }
        }
        let waiter = self.lock().of(what).cancel(&place.ticket);
        if let Some(Waiter(mut attempt)) = waiter {
            attempt(true);
            // Waiters behind it may continue.
            self.freed.notify_one();
        }
        answered.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Makes the next attempts, in fair order.
    pub(crate) fn give(&self) {
        let mut queues = self.lock();
        for what in [For::Bytes, For::Document] {
            let queue = queues.of(what);
            let mut full = false;
            let answered = |_: &TenantName, waiter: &mut Waiter| {
                let tried = if full { Tried::Full } else { waiter.0(false) };
                full = tried == Tried::Full;
                tried == Tried::Answered
            };
            let mut answered = answered;
            while queue.pop_where(&[0], &mut answered).is_some() {}
            queue.rest();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Only an attempt can panic while the lock is held, and it leaves the queues consistent.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

/// Returns the fault of a waiter without an answer, which is a bug.
fn lost() -> Fault {
    Fault::new(
        Kind::Bug,
        "internal",
        "Admission lost a waiting request. This is a bug in the server: report it.",
    )
}
