//! Admission: decides whether a document is accepted, by the limits on documents, on held bytes (per tenant and in all)
//! and on pending work.
//!
//! Owns the drain gate of the server, the places of documents and the count of held bytes. Independent of the content
//! of documents; `cost_tracker.rs` predicts the pending work and its duration. A document goes through two steps:
//!
//! 1. An **upload slot** (`upload.rs`) before its body is read: bounded per tenant, and refused if the document could
//!    not be accepted now. It reserves nothing. Bytes are counted as they arrive.
//! 2. A **permit** once the document is complete: a place among the documents, and a share of the pending work.
//!
//! So a body that is announced and does not come, or comes slowly, takes nothing from other tenants. A rejection names
//! the limit that was reached, and the time to wait. Documents and bytes wait in fair queues (`line.rs`) before they are
//! rejected, and only the final rejection is counted.

mod answer;
mod line;
mod permit;
mod upload;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use lector_control::{BoundedCount, ByteBudget, CountGuard, DrainGate, Tenant, UsageCounters};
use lector_core::{Fault, KeyedLimit, Kind, TenantName};
use tokio::sync::Notify;

pub use answer::AnswerMemory;
use line::{For, Line};
pub use permit::Permit;
pub use upload::{ReceivedBytes, UploadSlot};

use crate::cost_tracker::{LoadTracker, Overloaded, PendingWork, WorkRequest};
use crate::faults::shutting_down;
use crate::status::Counters;

/// Lower and upper bound of `Retry-After`: shorter waits would cause retry storms, and a prediction beyond a minute is
/// unreliable.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Answers of stored results that one tenant may wait for, or receive, at once.
const ANSWERS_MAX: usize = 64;
/// A tenant with several documents may hold at most this many times the bytes that are left for all tenants: the
/// dynamic threshold of A. Choudhury, E. Hahne, "Dynamic queue length thresholds for shared-memory packet switches",
/// IEEE/ACM Transactions on Networking, 1998. However many tenants hold all that they may, a new one finds some.
const HELD_PER_FREE_MAX: u64 = 8;

/// The limits of admission.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) documents_max: usize,
    pub(crate) held_bytes_max: u64,
    /// For a tenant without a limit of its own.
    pub(crate) tenant_held_bytes_max: u64,
    /// Uploads that a tenant without a limit of its own may send at once.
    pub(crate) tenant_uploads_max: u64,
    /// Longest acceptable wait.
    pub(crate) wait_max: Duration,
}

/// The admission of documents.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) gate: Arc<DrainGate>,
    pub(crate) load: Arc<LoadTracker>,
    pub(crate) counters: Counters,
    /// Replaced while documents are in flight: what has its place or its bytes keeps them.
    bounds: RwLock<Bounds>,
    /// Documents with a permit.
    pub(crate) documents: BoundedCount,
    /// Uploads that are being received.
    pub(crate) uploads: BoundedCount,
    /// Answers that are made of stored results.
    answers: KeyedLimit<TenantName>,
    held_bytes: Arc<ByteBudget>,
    /// Notified when the memory of a large document is free.
    pub(crate) large_freed: Arc<Notify>,
    line: Line,
}

impl Admission {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        let load = LoadTracker::new(bounds.documents_max);
        Arc::new(Self {
            gate: Arc::default(),
            line: Line::new(load.freed.clone()),
            held_bytes: Arc::new(ByteBudget::of_server(load.freed.clone())),
            load,
            counters: Counters::default(),
            documents: BoundedCount::default(),
            uploads: BoundedCount::default(),
            answers: KeyedLimit::new(ANSWERS_MAX, usize::MAX),
            bounds: RwLock::new(bounds),
            large_freed: Arc::default(),
        })
    }

    /// Returns the limits that apply now.
    pub(crate) fn bounds(&self) -> Bounds {
        *self.bounds.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the limits, and looks again at the documents that wait: they may fit now.
    pub(crate) fn retune(&self, bounds: Bounds) {
        *self.bounds.write().unwrap_or_else(PoisonError::into_inner) = bounds;
        self.load.retune(bounds.documents_max);
        self.line.give();
    }

    /// Rejects new and waiting documents from now on.
    pub(crate) fn close(&self) {
        self.gate.close();
        self.line.give();
    }

    fn counted_refusal<T>(&self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        outcome.inspect_err(|fault| self.count_refusal(fault))
    }

    fn count_refusal(&self, fault: &Fault) {
        Counters::count(match fault.code {
            "tenant_overloaded" => &self.counters.documents_over_share,
            "tenant_memory_exceeded" => &self.counters.documents_over_bytes,
            "tenant_uploads_exceeded" => &self.counters.documents_over_uploads,
            _ => &self.counters.documents_refused,
        });
    }

    /// Returns whether a document could get a place now, without taking it.
    fn has_place(&self, tenant: &Tenant, time_left: Duration) -> Result<(), Fault> {
        if self.documents.count() >= self.bounds().documents_max as u64 {
            return Err(self.documents_full());
        }
        self.load.check(&self.asked(tenant, time_left)).map_err(overloaded)
    }

    /// Takes a place: one of the documents, and a share of the pending work.
    fn place(self: &Arc<Self>, tenant: &Tenant, time_left: Duration) -> Result<Place, Fault> {
        let taken =
            self.documents.enter(self.bounds().documents_max as u64).ok_or_else(|| self.documents_full());
        let placed = taken.and_then(|document| {
            // Comes last: releasing the share wakes waiting documents, and this attempt may belong to one of them.
            let pending_work = self.load.take(&self.asked(tenant, time_left)).map_err(overloaded)?;
            Ok(Place { _document: document, pending_work })
        });
        // No place becomes free for documents that wait while the server drains.
        placed.map_err(|fault| if self.gate.is_closed() { shutting_down() } else { fault })
    }

    fn asked<'a>(&self, tenant: &'a Tenant, time_left: Duration) -> WorkRequest<'a> {
        WorkRequest {
            tenant: tenant.name(),
            weight: tenant.record.policy.weight,
            wait_max: self.bounds().wait_max.min(time_left),
            page_ms: tenant.usage.page_ms(),
        }
    }

    fn documents_full(&self) -> Fault {
        self.server_overloaded("as many documents as it may hold at once")
    }

    /// Rejects a document that can never fit.
    fn may_ever_hold(&self, bytes: u64, own: u64) -> Result<(), Fault> {
        let server = self.bounds().held_bytes_max;
        if bytes <= own.min(server) {
            return Ok(());
        }
        let (who, most) = if own < server { ("tenant", own) } else { ("server", server) };
        Err(Fault::new(
            Kind::TooLarge,
            "submission_too_large",
            format!(
                "The document has {bytes} bytes or more, and the {who} may hold at most {most} at once: send it in parts."
            ),
        ))
    }

    /// Counts `more` bytes as held, for a document of the tenant that holds `own` bytes already.
    fn hold(&self, usage: &UsageCounters, own_max: u64, own: u64, more: u64) -> Result<(), Fault> {
        if !usage.held_bytes.try_take(more, own_max) {
            return Err(over_bytes(self.load.wait(), own_max));
        }
        if !self.held_bytes.try_take(more, self.bounds().held_bytes_max) {
            usage.held_bytes.give_back(more);
            return Err(self.server_holds_its_bytes());
        }
        let held = usage.held_bytes.held();
        let free = self.bounds().held_bytes_max.saturating_sub(self.held_bytes.held());
        let share = free.saturating_mul(HELD_PER_FREE_MAX);
        // One document of each tenant may use all that is left.
        if held > own + more && held > share {
            self.give_back(usage, more);
            return Err(over_bytes(self.load.wait(), share));
        }
        Ok(())
    }

    fn give_back(&self, usage: &UsageCounters, bytes: u64) {
        self.held_bytes.give_back(bytes);
        usage.held_bytes.give_back(bytes);
    }

    /// Returns the waiting documents, and the uploads that wait for bytes, by tenant.
    pub(crate) fn waiting(&self) -> (BTreeMap<TenantName, usize>, BTreeMap<TenantName, usize>) {
        (self.line.by_tenant(For::Document), self.line.by_tenant(For::Bytes))
    }

    /// Returns the bytes held now.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes.held()
    }

    fn server_holds_its_bytes(&self) -> Fault {
        self.server_overloaded("as many bytes of documents and results as it may hold at once")
    }

    fn server_overloaded(&self, with_what: &str) -> Fault {
        full_for(self.load.wait(), with_what)
    }
}

/// Returns the time after which a client should retry: half of the predicted wait, since capacity becomes free all the
/// time.
fn retry_after(wait: Duration) -> Duration {
    (wait / 2).clamp(RETRY_MIN, RETRY_MAX)
}

fn full_for(wait: Duration, with_what: &str) -> Fault {
    let after = retry_after(wait);
    let message = format!("The server holds {with_what}: try again in {} s.", ceil_s(after));
    Fault::new(Kind::Busy, "server_overloaded", message).retry_after(after)
}

fn over_share(wait: Duration) -> Fault {
    let after = retry_after(wait);
    let message = format!(
        "The tenant has more work in flight than its share of the server can finish within the accepted wait: \
         try again in {} s.",
        ceil_s(after)
    );
    Fault::new(Kind::Busy, "tenant_overloaded", message).retry_after(after)
}

fn over_answers(most: usize) -> Fault {
    let message = format!(
        "The tenant receives {most} results of jobs at once, which is the most: read them before you ask for others, or \
         try again in {} s.",
        RETRY_MIN.as_secs()
    );
    Fault::new(Kind::Busy, "tenant_overloaded", message).retry_after(RETRY_MIN)
}

fn over_bytes(wait: Duration, most: u64) -> Fault {
    let after = retry_after(wait);
    let message = format!(
        "The tenant's documents and results hold their limit of {most} bytes: read pending results, or try again in {} s.",
        ceil_s(after)
    );
    Fault::new(Kind::Busy, "tenant_memory_exceeded", message).retry_after(after)
}

fn ceil_s(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Converts the rejection of a document.
fn overloaded(full: Overloaded) -> Fault {
    match full {
        Overloaded { own: true, wait } => over_share(wait),
        Overloaded { own: false, wait } => {
            full_for(wait, "more work than it can finish within the accepted wait")
        }
    }
}

/// A place among the documents in flight.
#[derive(Debug)]
struct Place {
    _document: CountGuard,
    /// Dropped last, because that wakes the documents that wait for a place.
    pending_work: PendingWork,
}

#[cfg(test)]
mod tests;
