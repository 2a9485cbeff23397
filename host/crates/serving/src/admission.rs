//! Admission: decides in microseconds whether a document is accepted, by the limits on documents, on held bytes (per
//! tenant and in all) and on pending work.
//!
//! Owns the drain gate of the server and the count of held bytes. Independent of the content of documents;
//! `cost_tracker.rs` predicts the pending work and its duration. Called before a body is read, for a single document
//! and for each document of a batch. A rejection names the limit that was reached, and the time to wait. Documents of a
//! batch wait in a fair queue (`line.rs`) before they are rejected, and only the final rejection is counted.

mod line;

use std::sync::Arc;
use std::time::Duration;

use lector_control::{ByteBudget, DocumentMemory, DrainGate, DrainGuard, Refused, Tenant, UsageCounters};
use lector_core::fair::Account;
use lector_core::{Fault, Kind};
use tokio::sync::Notify;

use line::{For, Line};

use crate::cost_tracker::{LoadTracker, Overloaded, PendingWork, WorkRequest};
use crate::faults::shutting_down;
use crate::status::Counters;

/// Lower and upper bound of `Retry-After`: shorter waits would cause retry storms, and a prediction beyond a minute is
/// unreliable.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The limits of admission.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) documents_max: usize,
    pub(crate) held_bytes_max: u64,
    /// For a tenant without a limit of its own.
    pub(crate) tenant_held_bytes_max: u64,
    /// Longest acceptable wait.
    pub(crate) wait_max: Duration,
}

/// The admission of documents.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) gate: Arc<DrainGate>,
    pub(crate) load: Arc<LoadTracker>,
    pub(crate) counters: Counters,
    pub(crate) bounds: Bounds,
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
            bounds,
            large_freed: Arc::default(),
        })
    }

    /// Admits one document that will hold `bytes_hint` bytes, if known, and whose client waits for `time_left`.
    pub(crate) fn admit(
        self: &Arc<Self>,
        tenant: &Tenant,
        bytes_hint: Option<u64>,
        time_left: Duration,
    ) -> Result<Permit, Fault> {
        if !self.line.is_empty(For::Document) {
            // Waiting documents go first.
            self.line.give();
        }
        self.counted(self.enter(tenant, bytes_hint, time_left))
    }

    /// Admits one document, and waits up to `within`, in fair order over tenants. The fault is the one at the end of
    /// this time, and only that one is counted. Dropping the future leaves the queue.
    pub(crate) async fn admit_within(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        bytes_hint: Option<u64>,
        time_left: Duration,
        within: Duration,
    ) -> Result<Permit, Fault> {
        let (this, of) = (self.clone(), tenant.clone());
        let attempt = move || this.enter(&of, bytes_hint, time_left);
        let cost_ms = tenant.meter.page_ms().unwrap_or_else(|| self.load.page_ms());
        self.counted(self.line.wait(For::Document, tenant.account(), cost_ms, within, attempt).await)
    }

    /// Rejects new and waiting documents from now on.
    pub(crate) fn close(&self) {
        self.gate.close();
        self.line.give();
    }

    fn counted(&self, admitted: Result<Permit, Fault>) -> Result<Permit, Fault> {
        Counters::count(match &admitted {
            Ok(_) => &self.counters.documents_admitted,
            Err(fault) if fault.code == "tenant_overloaded" => &self.counters.documents_over_share,
            Err(fault) if fault.code == "tenant_memory_exceeded" => &self.counters.documents_over_bytes,
            Err(_) => &self.counters.documents_refused,
        });
        admitted
    }

    fn enter(
        self: &Arc<Self>,
        tenant: &Tenant,
        bytes_hint: Option<u64>,
        time_left: Duration,
    ) -> Result<Permit, Fault> {
        let guard =
            self.gate.enter("receiving".into(), self.bounds.documents_max).map_err(
                |refused| match refused {
                    Refused::Full => self.server_overloaded("as many documents as it may hold at once"),
                    Refused::Closed => shutting_down(),
                },
            )?;
        let asked = WorkRequest {
            tenant: tenant.name(),
            weight: tenant.record.policy.weight,
            wait_max: self.bounds.wait_max.min(time_left),
            page_ms: tenant.meter.page_ms(),
        };
        let own_max = match tenant.limits().held_bytes_max {
            0 => self.bounds.tenant_held_bytes_max,
            most => most,
        };
        let (meter, bytes) = (tenant.meter.clone(), bytes_hint.unwrap_or(0));
        self.may_ever_hold(bytes, own_max)?;
        self.hold(&meter, own_max, bytes)?;
        // Comes last: releasing the share wakes waiting documents, and this attempt may belong to one of them.
        let pending_work = self.load.take(&asked).map_err(|full| {
            self.give_back(&meter, bytes);
            match full {
                Overloaded { own: true, wait } => over_share(wait),
                Overloaded { own: false, wait } => {
                    full_for(wait, "more work than it can finish within the accepted wait")
                }
            }
        })?;
        Ok(Permit {
            admission: self.clone(),
            account: tenant.account(),
            meter,
            own_max,
            bytes,
            guard,
            pending_work,
        })
    }

    /// Rejects a document that can never fit.
    fn may_ever_hold(&self, bytes: u64, own: u64) -> Result<(), Fault> {
        let server = self.bounds.held_bytes_max;
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

    /// Counts `more` bytes as held.
    fn hold(&self, meter: &UsageCounters, own_max: u64, more: u64) -> Result<(), Fault> {
        if !meter.held_bytes.try_take(more, own_max) {
            return Err(over_bytes(self.load.wait(), own_max));
        }
        if !self.held_bytes.try_take(more, self.bounds.held_bytes_max) {
            meter.held_bytes.give_back(more);
            return Err(
                self.server_overloaded("as many bytes of documents and results as it may hold at once")
            );
        }
        Ok(())
    }

    fn give_back(&self, meter: &UsageCounters, bytes: u64) {
        self.held_bytes.give_back(bytes);
        meter.held_bytes.give_back(bytes);
    }

    /// Returns the bytes held now.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes.held()
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

/// The permit of one admitted document. Dropping it releases its place and its bytes.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    account: Account,
    meter: Arc<UsageCounters>,
    /// Most bytes that the tenant may hold at once.
    own_max: u64,
    bytes: u64,
    guard: DrainGuard,
    /// Dropped last, because that wakes the documents that wait for any of these.
    pending_work: PendingWork,
}

/// Bytes that were waited for, until the permit owns them.
struct Held {
    admission: Arc<Admission>,
    meter: Arc<UsageCounters>,
    bytes: u64,
}

impl Held {
    /// Transfers the bytes to the permit.
    fn keep(mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.admission.give_back(&self.meter, self.bytes);
            self.admission.load.freed.notify_one();
        }
    }
}

impl Permit {
    /// Extends the held bytes to `bytes` in all; called as a body of unknown length grows.
    ///
    /// Faults: `submission_too_large` if the bytes can never fit; if they do not fit now, `tenant_memory_exceeded` for
    /// the tenant's own limit and `server_overloaded` for the limit of the server.
    pub fn hold(&mut self, bytes: u64) -> Result<(), Fault> {
        self.admission.may_ever_hold(bytes, self.own_max)?;
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        self.admission.hold(&self.meter, self.own_max, more)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Extends the held bytes like [`hold`](Self::hold), and waits up to `within`, in fair order over tenants.
    pub async fn hold_within(&mut self, bytes: u64, within: Duration) -> Result<(), Fault> {
        self.admission.may_ever_hold(bytes, self.own_max)?;
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        if self.admission.line.is_empty(For::Bytes) && self.hold(bytes).is_ok() {
            return Ok(());
        }
        let Self { admission, meter, own_max, account, .. } = &*self;
        let attempt = {
            let (admission, meter, own_max) = (admission.clone(), meter.clone(), *own_max);
            move || {
                admission.hold(&meter, own_max, more)?;
                Ok(Held { admission: admission.clone(), meter: meter.clone(), bytes: more })
            }
        };
        let kib = more as f64 / 1024.0;
        let held = admission.line.wait(For::Bytes, account.clone(), kib, within, attempt).await?;
        self.bytes += held.keep();
        Ok(())
    }

    /// Returns the bytes that this permit holds.
    pub fn held_bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the memory account of the document's results, which outlives the permit.
    pub(crate) fn memory(&self) -> Arc<DocumentMemory> {
        let Admission { held_bytes, bounds, large_freed, .. } = &*self.admission;
        let tenant = (self.meter.held_bytes.clone(), self.own_max);
        DocumentMemory::new(tenant, (held_bytes.clone(), bounds.held_bytes_max), large_freed.clone())
    }

    /// Returns the document's part of the pending work.
    pub(crate) fn pending_work(&self) -> &PendingWork {
        &self.pending_work
    }

    /// Sets the label of the holder, which a drain reports.
    pub(crate) fn label(&self, request: &str) {
        self.guard.relabel(request.into());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.give_back(&self.meter, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use futures::FutureExt;
    use lector_control::SystemClock;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    const LONG: Duration = Duration::from_secs(300);

    fn admission(documents_max: usize) -> Arc<Admission> {
        let wait_max = Duration::from_secs(60);
        Admission::new(Bounds {
            documents_max,
            held_bytes_max: 100,
            tenant_held_bytes_max: u64::MAX,
            wait_max,
        })
    }

    fn tenant(name: &str) -> Arc<Tenant> {
        let policy = lector_control::TenantPolicy::default();
        let record = lector_control::TenantRecord { name: name.into(), created_at_ms: 0, policy };
        Tenant::new(record, Arc::new(UsageCounters::new(Arc::new(SystemClock))), 0)
    }

    #[test]
    fn refuses_by_documents_and_by_bytes_and_gives_back() {
        let (admission, a) = (admission(2), tenant("a"));
        let admit = |bytes| admission.admit(&a, bytes, LONG);
        let first = admit(Some(60)).unwrap();
        let fault = admit(Some(60)).unwrap_err();
        assert_eq!((fault.code, fault.kind), ("server_overloaded", Kind::Busy));
        assert!(fault.retry_after.is_some());
        let mut second = admit(None).unwrap();
        assert_eq!(admit(None).unwrap_err().code, "server_overloaded");
        second.hold(40).unwrap();
        second.hold(10).unwrap();
        assert_eq!((second.held_bytes(), admission.held_bytes()), (40, 100));
        assert_eq!(second.hold(41).unwrap_err().code, "server_overloaded");
        assert_eq!(second.hold(101).unwrap_err().code, "submission_too_large");
        drop((first, second));
        assert_eq!((admission.held_bytes(), admission.gate.count()), (0, 0));
        assert_eq!(admission.load.wait(), Duration::ZERO);
        let counters = &admission.counters;
        assert_eq!(
            (counters.documents_admitted.load(Relaxed), counters.documents_refused.load(Relaxed)),
            (2, 2)
        );
    }

    #[test]
    fn a_tenants_bytes_are_limited_and_do_not_affect_other_tenants() {
        let mut policy = lector_control::TenantPolicy::default();
        policy.limits.held_bytes_max = 50;
        let record = lector_control::TenantRecord { name: "a".into(), created_at_ms: 0, policy };
        let (admission, a, b) = (
            admission(10),
            Tenant::new(record, Arc::new(UsageCounters::new(Arc::new(SystemClock))), 0),
            tenant("b"),
        );
        let code = |fault: Fault| fault.code;
        assert_eq!(admission.admit(&a, Some(51), LONG).map_err(code).err(), Some("submission_too_large"));
        let mut first = admission.admit(&a, Some(30), LONG).unwrap();
        let fault = admission.admit(&a, Some(21), LONG).unwrap_err();
        assert_eq!((fault.code, fault.kind), ("tenant_memory_exceeded", Kind::Busy));
        assert!(fault.retry_after.is_some());
        assert_eq!(admission.counters.documents_over_bytes.load(Relaxed), 1);
        // A request that exceeds the server's limit is not counted against the tenant.
        let other = admission.admit(&b, Some(60), LONG).unwrap();
        assert_eq!(first.hold(50).map_err(code), Err("server_overloaded"));
        assert_eq!((a.meter.held_bytes.held(), admission.held_bytes()), (30, 90));
        drop(other);
        first.hold(50).unwrap();
        drop(first);
        assert_eq!((a.meter.held_bytes.held(), admission.held_bytes()), (0, 0));
        assert!(admission.admit(&a, Some(50), LONG).is_ok());
    }

    #[test]
    fn a_tenant_without_a_bound_has_the_servers_default() {
        let bounds = Bounds {
            documents_max: 10,
            held_bytes_max: 100,
            tenant_held_bytes_max: 25,
            wait_max: Duration::from_secs(60),
        };
        let (admission, a, b) = (Admission::new(bounds), tenant("a"), tenant("b"));
        let code = |fault: Fault| fault.code;
        assert_eq!(admission.admit(&a, Some(26), LONG).map_err(code).err(), Some("submission_too_large"));
        let _held = admission.admit(&a, Some(20), LONG).unwrap();
        assert_eq!(admission.admit(&a, Some(10), LONG).map_err(code).err(), Some("tenant_memory_exceeded"));
        assert!(admission.admit(&b, Some(20), LONG).is_ok());
    }

    #[test]
    fn results_count_in_the_same_bounds_as_bodies() {
        let (admission, a) = (admission(10), tenant("a"));
        let permit = admission.admit(&a, Some(20), LONG).unwrap();
        let result = futures::FutureExt::now_or_never(permit.memory().reserve(70)).unwrap();
        drop(permit);
        assert_eq!((a.meter.held_bytes.held(), admission.held_bytes()), (70, 70));
        assert_eq!(admission.admit(&a, Some(31), LONG).unwrap_err().code, "server_overloaded");
        drop(result);
        assert!(admission.admit(&a, Some(31), LONG).is_ok());
    }

    #[test]
    fn a_rejection_names_the_limit_and_the_time_to_wait() {
        let (admission, a, b) = (admission(100), tenant("a"), tenant("b"));
        let long = admission.admit(&a, None, LONG).unwrap();
        long.pending_work().set(1e9);
        let fault = admission.admit(&a, None, LONG).unwrap_err();
        assert_eq!(fault.code, "server_overloaded");
        assert!(fault.retry_after > Some(Duration::from_secs(50)), "{fault}");
        let _other = admission.admit(&b, None, LONG).unwrap();
        assert_eq!(admission.admit(&a, None, LONG).unwrap_err().code, "tenant_overloaded");
        assert_eq!(admission.counters.documents_over_share.load(Relaxed), 1);
    }

    fn cores() -> f64 {
        std::thread::available_parallelism().map_or(1, usize::from) as f64
    }

    #[test]
    fn a_client_without_time_to_wait_is_rejected_at_once() {
        let (admission, a) = (admission(100), tenant("a"));
        let busy = admission.admit(&a, None, LONG).unwrap();
        busy.pending_work().set(50_000.0 * cores());
        assert_eq!(admission.admit(&a, None, Duration::from_secs(20)).unwrap_err().code, "server_overloaded");
        assert!(admission.admit(&a, None, LONG).is_ok());
    }

    #[test]
    fn closed_is_another_fault_than_full() {
        let admission = admission(2);
        admission.close();
        assert_eq!(admission.admit(&tenant("a"), None, LONG).unwrap_err().code, "shutting_down");
    }

    /// Waits in the queue; polled once, so that it has its position.
    fn waits(
        admission: &Arc<Admission>,
        tenant: &Arc<Tenant>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Permit, Fault>> + Send>> {
        let (admission, tenant) = (admission.clone(), tenant.clone());
        let mut waiting = Box::pin(async move { admission.admit_within(&tenant, None, LONG, LONG).await });
        assert!(waiting.as_mut().now_or_never().is_none());
        waiting
    }

    #[tokio::test]
    async fn a_waiting_document_is_woken_by_free_capacity_and_counts_no_rejection() {
        let (admission, a, b) = (admission(2), tenant("a"), tenant("b"));
        let of_a = admission.admit(&a, None, LONG).unwrap();
        let _of_b = admission.admit(&b, None, LONG).unwrap();
        let (sender, mut admitted) = tokio::sync::mpsc::channel(3);
        for (waiting, tenant) in [(1, &a), (2, &a), (3, &b)] {
            let (admission, tenant, sender) = (admission.clone(), tenant.clone(), sender.clone());
            let line = admission.clone();
            tokio::spawn(async move {
                let permit = admission.admit_within(&tenant, None, LONG, LONG).await.unwrap();
                sender.send((tenant.name().to_string(), permit)).await.unwrap();
            });
            while line.line.len(For::Document) < waiting {
                tokio::task::yield_now().await;
            }
        }
        drop(of_a);
        let mut order = Vec::new();
        for _ in 0..3 {
            let (tenant, permit) = admitted.recv().await.unwrap();
            order.push(tenant);
            assert!(admitted.try_recv().is_err(), "one document is the limit");
            drop(permit);
        }
        assert_eq!(order, ["a", "b", "a"]);
        let counters = &admission.counters;
        let refused = counters.documents_refused.load(Relaxed) + counters.documents_over_share.load(Relaxed);
        assert_eq!((counters.documents_admitted.load(Relaxed), refused), (5, 0));
    }

    #[tokio::test]
    async fn a_document_that_waited_in_vain_counts_one_refusal() {
        let (admission, a) = (admission(1), tenant("a"));
        let _held = admission.admit(&a, None, LONG).unwrap();
        let fault = admission.admit_within(&a, None, LONG, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(fault.code, "server_overloaded");
        assert_eq!(admission.counters.documents_refused.load(Relaxed), 1);
        assert!(admission.line.is_empty(For::Document));
        // A waiter that leaves counts nothing, and a waiter gets a fault when admission closes.
        drop(waits(&admission, &a));
        let waiting = waits(&admission, &a);
        admission.close();
        assert_eq!(waiting.await.unwrap_err().code, "shutting_down");
        assert_eq!(admission.counters.documents_refused.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn bytes_are_granted_in_order_and_released_by_waiters_that_leave() {
        let (admission, a, b) = (admission(10), tenant("a"), tenant("b"));
        let admit = |tenant: &Tenant| admission.admit(tenant, None, LONG).unwrap();
        let (mut held, mut large, mut small) = (admit(&a), admit(&a), admit(&b));
        held.hold(60).unwrap();
        large.hold_within(30, LONG).await.unwrap();
        {
            let mut large = Box::pin(large.hold_within(70, LONG));
            let mut small = Box::pin(small.hold_within(10, LONG));
            assert!(large.as_mut().now_or_never().is_none());
            assert!(small.as_mut().now_or_never().is_none(), "it does not overtake the waiter before it");
            drop(large);
            small.await.unwrap();
        }
        assert_eq!((large.held_bytes(), small.held_bytes(), admission.held_bytes()), (30, 10, 100));
        let late = large.hold_within(31, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(late.code, "server_overloaded");
        let mut more = Box::pin(large.hold_within(31, LONG));
        assert!(more.as_mut().now_or_never().is_none());
        drop(held);
        // The bytes are granted, and the waiter leaves before it takes them.
        admission.line.give();
        drop(more);
        assert_eq!((large.held_bytes(), admission.held_bytes()), (30, 40));
    }
}
