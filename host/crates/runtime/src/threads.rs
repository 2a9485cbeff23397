//! The threads that guests compute on, separate from those that serve: a guest that computes without end cannot block
//! the network, timers or engines.
//!
//! Owns the threads and the CPU slices of long-running guests. A guest yields its thread every millisecond. Once it has
//! computed longer than [`LONG`], it also waits for a slice permit. There are fewer permits than cores, so that a guest
//! with a few milliseconds of work finds a free core at once. Permits are granted by the shares of the tenants, however many
//! guests each of them runs.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use lector_core::fair::{Account, FairSemaphore, Permit, Request};
use tokio::runtime::{EnterGuard, Runtime};
use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument as _;

/// Computing time after which a guest needs slice permits. The standard guest computes about 20 ms a page.
pub const LONG: Duration = Duration::from_millis(20);
/// Computing time of one slice permit.
pub const SLICE: Duration = Duration::from_millis(1);
/// `nice` value of these threads relative to those that serve, render and infer. The few milliseconds of guest code of
/// a page are not delayed on an idle machine, and run after the other work on a busy one.
const NICENESS: i32 = 10;
/// Polls between two checks of timers and wakers; a poll may take a millisecond here, and tokio's default is 61.
const LOOK_EVERY_POLLS: u32 = 4;

/// The guest threads.
pub struct Threads {
    runtime: Option<Runtime>,
    permits: FairSemaphore,
}

impl Threads {
    /// Starts the threads for a machine with `cores` cores.
    pub fn start(cores: usize) -> io::Result<Self> {
        let cores = cores.max(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads_of(cores))
            .thread_name("lector-guests")
            .enable_all()
            .event_interval(LOOK_EVERY_POLLS)
            .global_queue_interval(LOOK_EVERY_POLLS)
            .on_thread_start(|| {
                // On Linux this sets the priority of the calling thread only. If it is refused, the threads keep the
                // default priority.
                let _ = rustix::process::setpriority_process(None, NICENESS);
            })
            .build()?;
        Ok(Self { runtime: Some(runtime), permits: FairSemaphore::new(permits_of(cores)) })
    }

    /// Runs `work` on the guest threads. Dropping the returned future ends the work at its next yield.
    pub fn run<F>(&self, work: F) -> impl Future<Output = Result<F::Output, JoinError>> + use<F>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let work = work.in_current_span();
        let task = self.runtime.as_ref().map(|runtime| Task(runtime.spawn(work)));
        async move {
            match task {
                Some(task) => task.await,
                // The runtime is dropped only with this value, so the future is never polled without it.
                None => std::future::pending().await,
            }
        }
    }

    /// Enters the runtime on the calling thread, so that guest code can start timers, until the guard is dropped.
    pub fn enter(&self) -> Option<EnterGuard<'_>> {
        self.runtime.as_ref().map(Runtime::enter)
    }

    /// Returns the CPU slice of one guest of the tenant.
    pub fn cpu_slice(&self, account: Account) -> Arc<CpuSlice> {
        Arc::new(CpuSlice {
            permits: self.permits.clone(),
            account,
            permit: Mutex::new(None),
            taken_at: AtomicU64::new(0),
        })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // In the background: this value may be dropped by a task of another runtime, which must not block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns the number of threads, more than cores: copying the output of a guest (at most 64 MiB of text or pixels) is
/// host work that cannot be interrupted and takes about 30 ms. The kernel shares the cores among the other threads.
fn threads_of(cores: usize) -> usize {
    2 * cores + 2
}

/// Returns the number of slice permits. A quarter of the cores, at least one, is left to short calls.
fn permits_of(cores: usize) -> usize {
    cores.saturating_sub((cores / 4).max(1)).max(1)
}

struct Task<T>(JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The permission of a guest to compute, taken for one slice at a time.
#[derive(Debug)]
pub struct CpuSlice {
    permits: FairSemaphore,
    account: Account,
    permit: Mutex<Option<Permit>>,
    /// Computing time of the guest, in nanoseconds, when it last took a slice.
    taken_at: AtomicU64,
}

impl CpuSlice {
    /// Returns whether a guest that has computed for `computed` must wait for a slice. A guest with many short polls
    /// holds no permit between polls, and still needs one for each [`SLICE`].
    pub fn is_due(&self, computed: Duration) -> bool {
        let taken_at = Duration::from_nanos(self.taken_at.load(Ordering::Relaxed));
        computed >= LONG && computed.saturating_sub(taken_at) >= SLICE
    }

    /// Yields the thread, then waits for a permit and holds it. `computed` is the guest's computing time so far.
    pub async fn take(&self, computed: Duration) {
        self.taken_at.store(u64::try_from(computed.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.give_back();
        tokio::task::yield_now().await;
        let Account { tenant, weight } = self.account.clone();
        let permit = self.permits.acquire(Request::one(tenant, weight, SLICE.as_secs_f64() * 1e3)).await;
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
    }

    /// Releases the permit. Called whenever the guest stops computing, for any reason.
    pub fn give_back(&self) {
        drop(self.permit.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn account(tenant: &str) -> Account {
        Account::new(tenant.into(), 100)
    }

    #[test]
    fn some_cores_are_left_to_short_calls() {
        for (cores, permits) in [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (64, 48)] {
            assert_eq!(permits_of(cores), permits, "{cores}");
        }
    }

    #[tokio::test]
    async fn spinning_guests_of_a_tenant_get_one_share() {
        // One permit. All tasks run on this thread, one after another; a slice takes longer than the way back into the queue.
        let compute = async || {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        };
        let threads = Threads::start(1).unwrap();
        let (over, mut of_victim) = (AtomicBool::new(false), 0_u32);
        let attacker = async |slice: Arc<CpuSlice>| {
            let mut slices = 0_u32;
            while !over.load(Ordering::Relaxed) {
                slice.take(LONG).await;
                slices += 1;
                compute().await;
            }
            slice.give_back();
            slices
        };
        let attackers =
            futures::future::join_all((0..8).map(|_| attacker(threads.cpu_slice(account("attacker")))));
        let victim = async {
            let slice = threads.cpu_slice(account("victim"));
            while of_victim < 200 {
                slice.take(LONG).await;
                of_victim += 1;
                compute().await;
            }
            over.store(true, Ordering::Relaxed);
            slice.give_back();
        };
        let (of_attacker, ()) = tokio::join!(attackers, victim);
        let of_attacker: u32 = of_attacker.into_iter().sum();
        // As many, and the last slice of each that ends.
        assert!(
            (100..=210).contains(&of_attacker),
            "{of_attacker} slices of the attacker, {of_victim} of the victim"
        );
    }

    #[tokio::test]
    async fn a_guest_waits_for_a_permit_and_work_ends_with_its_handle() {
        let threads = Threads::start(1).unwrap();
        let (first, second) = (threads.cpu_slice(account("a")), threads.cpu_slice(account("b")));
        first.take(LONG).await;
        let waiting = threads.run({
            let second = Arc::clone(&second);
            async move { second.take(LONG).await }
        });
        tokio::pin!(waiting);
        assert!(
            tokio::time::timeout(Duration::from_millis(30), &mut waiting).await.is_err(),
            "there is one permit"
        );
        first.give_back();
        waiting.await.unwrap();
        // The same guest again: it goes to the end of the queue, which is empty.
        second.take(LONG).await;

        let (alive, gone) = tokio::sync::oneshot::channel::<()>();
        drop(threads.run(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        }));
        assert!(gone.await.is_err(), "what is dropped is ended");
    }
}
