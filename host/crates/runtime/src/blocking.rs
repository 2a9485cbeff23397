//! Where pixel work is done: on tokio's blocking threads, a bounded number of operations at once, in the order of the
//! tenants' shares.
//!
//! A fair semaphore counted in processor time: a tenant that asks for one operation after the other, or for many at once,
//! waits for itself. An operation that has begun runs to its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lector_core::cost::Mean;
use lector_core::fair::{Acquire, FairSemaphore, Permit, Request};
use lector_core::{Fault, Kind, TenantName};

use crate::meter::processor_time;

/// Bytes read and written below which an operation is done where it is asked for: it takes less time
/// (some 20 us) than handing it to another thread and back.
const INLINE_BYTES_MAX: u64 = 64 << 10;

/// The permits for operations. More operations than cores would only share them.
#[derive(Clone)]
pub struct Blocking {
    permits: FairSemaphore,
    /// Processor time of an operation, in milliseconds: what one is charged before it is known.
    cost_ms: Arc<Mutex<Mean>>,
}

/// An operation's outcome and what it took.
pub struct Done<R> {
    pub outcome: R,
    /// Processor time of the work itself.
    pub took: Duration,
    /// Whether it was done inside the poll of the guest that asked.
    pub inline: bool,
}

impl Blocking {
    pub fn new(operations_max: usize) -> Self {
        Self { permits: FairSemaphore::new(operations_max), cost_ms: Arc::default() }
    }

    /// Does `work`, which touches about `bytes`, in the tenant's time. Once begun it runs to its end, wanted or not;
    /// its bounds are those of the operation.
    pub async fn run<R: Send + 'static>(
        &self,
        (tenant, weight): (TenantName, u32),
        bytes: u64,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Done<R>, Fault> {
        let timed = move || {
            let began = processor_time();
            let outcome = work();
            (outcome, processor_time().saturating_sub(began))
        };
        if bytes <= INLINE_BYTES_MAX {
            let (outcome, took) = timed();
            return Ok(Done { outcome, took, inline: true });
        }
        let permit = self.permit(tenant, weight).await;
        let this = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let (outcome, took) = timed();
            this.done(permit, took);
            (outcome, took)
        });
        let (outcome, took) = task.await.map_err(|e| {
            Fault::new(Kind::Bug, "image_operation_failed", "an image operation failed in the host")
                .with_detail(e)
        })?;
        Ok(Done { outcome, took, inline: false })
    }

    /// Waits for a permit; dropping the future withdraws the request.
    fn permit(&self, tenant: TenantName, weight: u32) -> Acquire {
        let cost_ms = self.cost_ms.lock().unwrap_or_else(PoisonError::into_inner).value().unwrap_or_default();
        self.permits.acquire(Request::one(tenant, weight, cost_ms))
    }

    /// Charges the time that the operation took, and gives its permit back.
    fn done(&self, permit: Permit, took: Duration) {
        let took_ms = took.as_secs_f64() * 1e3;
        permit.correct(took_ms - permit.charge().cost_ms);
        // A mean, whole at every panic.
        self.cost_ms.lock().unwrap_or_else(PoisonError::into_inner).learn(took_ms);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::pin::Pin;

    use futures::FutureExt;

    use super::*;

    /// The tenants of waiting requests, in the order in which they get the one permit that there is.
    fn order(waiting: &[&str]) -> Vec<String> {
        let blocking = Blocking::new(1);
        let first = blocking.permit("first".into(), 1).now_or_never().unwrap();
        let mut waiting: Vec<Acquire> =
            waiting.iter().map(|tenant| blocking.permit((*tenant).into(), 1)).collect();
        let mut poll = || {
            let ready = waiting.iter_mut().enumerate();
            // All of them, so that each stands in line.
            let ready: Vec<_> =
                ready.filter_map(|(at, it)| Some((at, Pin::new(it).now_or_never()?))).collect();
            let (at, permit) = ready.into_iter().next()?;
            drop(waiting.remove(at));
            Some(permit)
        };
        assert!(poll().is_none());
        drop(first);
        let mut order = Vec::new();
        while let Some(permit) = poll() {
            order.push(permit.charge().client.to_string());
            blocking.done(permit, Duration::from_millis(30));
        }
        order
    }

    #[test]
    fn a_tenant_with_one_operation_does_not_wait_for_one_with_many() {
        let order = order(&["many", "many", "many", "many", "one", "two", "two"]);
        assert_eq!(order, ["many", "one", "two", "many", "two", "many", "many"]);
    }

    #[tokio::test]
    async fn a_request_that_leaves_takes_no_permit_with_it() {
        let blocking = Blocking::new(1);
        let handles = blocking.permit("a".into(), 1).await;
        // One leaves while it waits, one with its permit granted.
        let mut leaving = ["b", "c"].map(|tenant| blocking.permit(tenant.into(), 1));
        assert!(leaving.iter_mut().all(|request| Pin::new(request).now_or_never().is_none()));
        let [waiting, granted] = leaving;
        drop(waiting);
        drop(handles);
        drop(granted);
        assert!(blocking.permits.taken() == 0 && blocking.permits.waiting() == 0);
    }

    #[tokio::test]
    async fn never_more_at_once_than_there_are_permits() {
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        let (blocking, running) = (Blocking::new(2), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..40)
            .map(|n| {
                let (blocking, running) = (blocking.clone(), running.clone());
                tokio::spawn(async move {
                    let counted = running.clone();
                    let work = move || {
                        assert!(counted.fetch_add(1, SeqCst) < 2);
                        std::thread::yield_now();
                        counted.fetch_sub(1, SeqCst);
                    };
                    let tenant = TenantName::from(format!("t{}", n % 3));
                    blocking.run((tenant, 1), u64::MAX, work).await.map(|done| done.inline)
                })
            })
            .collect();
        for task in tasks {
            assert!(!task.await.unwrap().unwrap());
        }
        assert_eq!(blocking.permits.taken(), 0);
    }
}
