//! Execution of pixel operations: on tokio's blocking threads, a bounded number at once, in the order of the tenants'
//! shares.
//!
//! The limit is a fair semaphore weighted by CPU time: many operations of one tenant, in sequence or at once, delay
//! only that tenant. An operation that has begun runs to its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lector_core::cost::Mean;
use lector_core::fair::{Acquire, FairSemaphore, Permit, Request};
use lector_core::{Fault, Kind, TenantName};

use crate::compute_meter::processor_time;

/// Operations that read and write fewer bytes run on the calling thread: they take less time (about 20 us) than a
/// switch to another thread and back.
const INLINE_BYTES_MAX: u64 = 64 << 10;

/// The permits for operations. More operations than cores would only compete for them.
#[derive(Clone)]
pub struct Blocking {
    permits: FairSemaphore,
    /// Mean CPU time of an operation, in milliseconds: the charge of an operation before its actual time is known.
    cost_ms: Arc<Mutex<Mean>>,
}

/// The result of an operation and its time.
pub struct Done<R> {
    pub outcome: R,
    /// CPU time of the work itself.
    pub took: Duration,
    /// Whether it ran inside the poll of the calling guest.
    pub inline: bool,
}

impl Blocking {
    pub fn new(operations_max: usize) -> Self {
        Self { permits: FairSemaphore::new(operations_max), cost_ms: Arc::default() }
    }

    /// Runs `work`, which touches about `bytes`, on behalf of the call's tenant. Once begun it runs to its end, even if
    /// the result is no longer needed; the operation itself bounds its duration.
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

    /// Charges the time that the operation took, and releases its permit.
    fn done(&self, permit: Permit, took: Duration) {
        let took_ms = took.as_secs_f64() * 1e3;
        permit.correct(took_ms - permit.charge().cost_ms);
        // `learn` cannot leave the mean half updated, so a poisoned lock is usable.
        self.cost_ms.lock().unwrap_or_else(PoisonError::into_inner).learn(took_ms);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::pin::Pin;

    use futures::FutureExt;

    use super::*;

    /// Returns the tenants of waiting requests, in the order in which they get the only permit.
    fn order(waiting: &[&str]) -> Vec<String> {
        let blocking = Blocking::new(1);
        let first = blocking.permit("first".into(), 1).now_or_never().unwrap();
        let mut waiting: Vec<Acquire> =
            waiting.iter().map(|tenant| blocking.permit((*tenant).into(), 1)).collect();
        let mut poll = || {
            let ready = waiting.iter_mut().enumerate();
            // Poll all of them, so that each is queued.
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
        let held = blocking.permit("a".into(), 1).await;
        // One leaves while it waits, one after it was granted a permit.
        let mut leaving = ["b", "c"].map(|tenant| blocking.permit(tenant.into(), 1));
        assert!(leaving.iter_mut().all(|request| Pin::new(request).now_or_never().is_none()));
        let [waiting, granted] = leaving;
        drop(waiting);
        drop(held);
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
