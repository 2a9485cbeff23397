//! The lines in front of admission: documents that wait for a place, uploads that wait for bytes.
//!
//! Owns two fair queues over tenants. A waiter is an attempt that is made again, in fair order, whenever something was given
//! back ([`Line::freed`]); it is made by the one waiting task that is woken, for all that wait. Knows nothing of what is
//! attempted. Called by `admission.rs`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lector_core::fair::{Account, Charge, FairQueue, Order, Shares, Ticket};
use lector_core::{Fault, Kind, TenantName};
use tokio::sync::{Notify, oneshot};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// The place of a document. Costs milliseconds of work.
    Document,
    /// More bytes of a document that is being received. Costs KiB.
    Bytes,
}

/// What came of an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// It was answered.
    Answered,
    /// There is no room for this one.
    Refused,
    /// There is no room for anybody, so nobody behind it may take what it waits for.
    Full,
}

/// Makes the attempt; `last`: whatever comes of it is the answer.
struct Waiter(Box<dyn FnMut(bool) -> Tried + Send>);

type Queue = FairQueue<TenantName, Waiter>;

/// The lines.
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
        // No credit for bytes: it would be counted in KiB.
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

/// A place in the line; dropping it leaves.
struct Place<'a> {
    line: &'a Line,
    what: For,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waiter = self.line.lock().of(self.what).cancel(&self.ticket);
        if waiter.is_some() {
            // It may have stood in the way of others.
            self.line.freed.notify_one();
        }
    }
}

impl Line {
    /// Lines that try again when `freed` is notified.
    pub(crate) fn new(freed: Arc<Notify>) -> Self {
        Self { queues: Mutex::default(), freed }
    }

    /// How many wait for that.
    #[cfg(test)]
    pub(crate) fn len(&self, what: For) -> usize {
        self.lock().of(what).len()
    }

    /// Whether anybody waits for that.
    pub(crate) fn is_empty(&self, what: For) -> bool {
        self.lock().of(what).is_empty()
    }

    /// Makes the attempt when its turn comes, again and again while it ends with a fault of kind `Busy`, until `within` is
    /// over; the last such fault is then the answer. Dropping the future leaves the line. `cost`: see [`For`].
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
                // Where the waiter has left in this moment, what it was given is dropped here.
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
            // Others may take what it stood in front of.
            self.freed.notify_one();
        }
        answered.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Makes the attempts whose turn it is.
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
        // Nothing panics while it is held but an attempt, which leaves the queues whole.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

/// Every waiter is answered or leaves.
fn lost() -> Fault {
    Fault::new(Kind::Bug, "internal", "Admission lost a request that waited; report it.")
}
