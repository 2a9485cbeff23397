//! Computing time of a guest: the CPU time inside polls of its future, less the host's own work during them. Wall-clock
//! time is not used: guest threads have a low priority, and the time that they wait for a core on a busy machine must
//! not count.
//!
//! Used by `invoke`, which polls a guest only through [`ComputeMeter::run`], and by the epoch callback, which checks the limit
//! during a poll.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::resource_accounting::ResourceAccounting;
use crate::threads::{CpuSlice, SLICE};
use crate::wakes::Wakes;

/// The computing time of one call. Read and written by the thread that polls the guest, one thread at a time.
#[derive(Debug)]
pub struct ComputeMeter {
    limit: Duration,
    /// CPU time of the thread, in nanoseconds, at the start of the poll in progress; 0 outside a poll.
    since: AtomicU64,
    spent: AtomicU64,
    /// Host work inside polls, in nanoseconds; not counted for the guest.
    hosted: AtomicU64,
}

impl ComputeMeter {
    pub fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            limit,
            since: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            hosted: AtomicU64::new(0),
        })
    }

    /// Returns the computing time so far, including the poll in progress. Call it on the polling thread, or outside of
    /// polls.
    pub fn computed(&self) -> Duration {
        let since = self.since.load(Ordering::Relaxed);
        let running = if since == 0 { 0 } else { now().saturating_sub(since) };
        let total = self.spent.load(Ordering::Relaxed) + running;
        Duration::from_nanos(total.saturating_sub(self.hosted.load(Ordering::Relaxed)))
    }

    /// Returns whether the guest has computed longer than its limit.
    pub fn is_spent(&self) -> bool {
        self.computed() > self.limit
    }

    /// Returns the computing time limit.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Subtracts `time` of host work inside a poll from the guest's computing time.
    pub fn host_worked(&self, time: Duration) {
        self.hosted.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Adds the computing time of an inner guest.
    pub fn charge(&self, time: Duration) {
        self.spent.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2), Ordering::Relaxed);
    }

    /// Runs `work` under this meter. Between polls it holds no CPU slice; while it waits for one, `accounting` counts
    /// an operation of the host in flight.
    pub fn run<F: Future>(
        self: &Arc<Self>,
        cpu_slice: &Arc<CpuSlice>,
        accounting: &Arc<ResourceAccounting>,
        work: F,
    ) -> Metered<F> {
        Metered {
            meter: Arc::clone(self),
            cpu_slice: Arc::clone(cpu_slice),
            accounting: Arc::clone(accounting),
            wait: None,
            wakes: Arc::default(),
            work: Box::pin(work),
        }
    }
}

/// Returns the CPU time of this thread.
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // Neither field is negative on this clock.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns the CPU time in nanoseconds, at least 1, because 0 means that no poll is in progress. 2^64 ns are 584 years.
fn now() -> u64 {
    (processor_time().as_nanos() as u64).max(1)
}

/// A future whose polls are timed.
pub struct Metered<F> {
    meter: Arc<ComputeMeter>,
    cpu_slice: Arc<CpuSlice>,
    accounting: Arc<ResourceAccounting>,
    /// The wait for a CPU slice before the next poll.
    wait: Option<Wait>,
    wakes: Arc<Wakes>,
    work: Pin<Box<F>>,
}

type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits for a CPU slice for a guest that has computed for `computed`. A deadline that passes meanwhile is blamed on
/// the host.
pub fn cpu_slice(
    cpu_slice: &Arc<CpuSlice>,
    accounting: &Arc<ResourceAccounting>,
    computed: Duration,
) -> Wait {
    let (cpu_slice, waiting) = (Arc::clone(cpu_slice), accounting.begin());
    Box::pin(async move {
        cpu_slice.take(computed).await;
        drop(waiting);
    })
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let computed = this.meter.computed();
        if this.wait.is_none() && this.cpu_slice.is_due(computed) {
            this.wait = Some(cpu_slice(&this.cpu_slice, &this.accounting, computed));
        }
        if let Some(wait) = &mut this.wait {
            ready!(wait.as_mut().poll(cx));
            this.wait = None;
        }
        let _drawn = tracing::trace_span!("guest").entered();
        let began = now();
        this.meter.since.store(began, Ordering::Relaxed);
        let waker = this.wakes.begin(cx.waker());
        let outcome = loop {
            let outcome = this.work.as_mut().poll(&mut Context::from_waker(&waker));
            if outcome.is_ready() || !this.wakes.end() {
                break outcome;
            }
            if now().saturating_sub(began) >= SLICE.as_nanos() as u64 {
                cx.waker().wake_by_ref();
                break outcome;
            }
            this.wakes.again();
        };
        this.cpu_slice.give_back();
        this.meter.since.store(0, Ordering::Relaxed);
        this.meter.spent.fetch_add(now().saturating_sub(began), Ordering::Relaxed);
        outcome
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use lector_core::Budget;
    use lector_core::fair::Account;

    use super::*;
    use crate::threads::{LONG, Threads};

    /// Yields forever, as a guest that wakes itself.
    fn always_waking(polls: Arc<AtomicU64>) -> impl Future<Output = ()> {
        std::future::poll_fn(move |cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[tokio::test]
    async fn waiting_of_a_thread_is_not_computing() {
        let (threads, accounting, meter) = (
            Threads::start(1).unwrap(),
            ResourceAccounting::new(&Budget::default(), None),
            ComputeMeter::new(Duration::MAX),
        );
        let work = async { std::thread::sleep(Duration::from_millis(30)) };
        meter.run(&threads.cpu_slice(Account::new("t".into(), 1)), &accounting, work).await;
        assert!(meter.computed() < Duration::from_millis(10), "{:?}", meter.computed());
    }

    #[tokio::test]
    async fn yields_are_polled_in_place_for_a_slice_and_then_wait_for_a_permit() {
        let (threads, accounting) =
            (Threads::start(1).unwrap(), ResourceAccounting::new(&Budget::default(), None));
        let (meter, polls) = (ComputeMeter::new(Duration::MAX), Arc::new(AtomicU64::new(0)));
        let cpu_slice = threads.cpu_slice(Account::new("t".into(), 1));
        let mut work = std::pin::pin!(meter.run(&cpu_slice, &accounting, always_waking(Arc::clone(&polls))));
        assert!(futures::poll!(&mut work).is_pending());
        assert!(polls.load(Ordering::Relaxed) > 1, "polled again without leaving the thread");
        assert!(meter.computed() >= SLICE && meter.computed() < LONG, "{:?}", meter.computed());
        while meter.computed() < LONG {
            assert!(futures::poll!(&mut work).is_pending());
        }

        let others = threads.cpu_slice(Account::new("t".into(), 1));
        others.take(LONG).await;
        let seen = polls.load(Ordering::Relaxed);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut work).await.is_err());
        assert_eq!(polls.load(Ordering::Relaxed), seen, "another guest holds the permit");
        assert_eq!(accounting.in_flight(), 1, "it waits for the host");
        others.give_back();
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut work).await.is_err());
        assert!(polls.load(Ordering::Relaxed) > seen, "it holds the permit");
    }
}
