//! The threads that guests compute on, apart from those that serve: whoever computes without end keeps nobody from
//! the network, from timers or from the engines.
//!
//! Owns the threads and the turns of guests that compute for long. A guest hands its thread back every millisecond; once
//! it has computed longer than [`LONG`] it also waits for a turn, of which there are fewer than cores, so that a guest
//! with a few milliseconds to do finds a free core at once. Turns go round in order.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{EnterGuard, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument as _;

/// Computing after which a guest takes turns with others of its kind. The standard guest computes some 20 ms a page.
pub const LONG: Duration = Duration::from_millis(20);
/// Computing for which one turn is good.
pub const SLICE: Duration = Duration::from_millis(1);
/// How much more patient these threads are than those that serve, render and infer (as `nice`): a page's few
/// milliseconds of guest code are late by nothing on a machine with room, and behind the rest on a full one.
const NICENESS: i32 = 10;
/// Polls between two looks at timers and wakers; a poll may take a millisecond here, and tokio's default is 61.
const LOOK_EVERY_POLLS: u32 = 4;

/// The threads.
pub struct Threads {
    runtime: Option<Runtime>,
    turns: Arc<Semaphore>,
}

impl Threads {
    /// Threads for a machine with so many cores.
    pub fn start(cores: usize) -> io::Result<Self> {
        let cores = cores.max(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads_of(cores))
            .thread_name("lector-guests")
            .enable_all()
            .event_interval(LOOK_EVERY_POLLS)
            .global_queue_interval(LOOK_EVERY_POLLS)
            .on_thread_start(|| {
                // Of this thread alone, as Linux has it. Where it is refused the threads are as others are.
                let _ = rustix::process::setpriority_process(None, NICENESS);
            })
            .build()?;
        Ok(Self { runtime: Some(runtime), turns: Arc::new(Semaphore::new(turns_of(cores))) })
    }

    /// Does `work` there. Dropping what this gives ends it, at its next breath.
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
                // The threads live as long as this does.
                None => std::future::pending().await,
            }
        }
    }

    /// Makes the caller's thread one that may start timers, as guests' code does, until the guard is dropped.
    pub fn enter(&self) -> Option<EnterGuard<'_>> {
        self.runtime.as_ref().map(Runtime::enter)
    }

    /// The place of one guest among those that compute for long.
    pub fn cpu_slice(&self) -> Arc<CpuSlice> {
        Arc::new(CpuSlice {
            turns: Arc::clone(&self.turns),
            handles: Mutex::new(None),
            taken_at: AtomicU64::new(0),
        })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Not waited for: this may be dropped by a task of another runtime, which must not block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// More than cores: taking over what a guest hands over (64 MiB of text or pixels at most) is one piece of work of the
/// host's own that nothing interrupts, some 30 ms of it. The others are then the kernel's to share out.
fn threads_of(cores: usize) -> usize {
    2 * cores + 2
}

/// A quarter of the cores, one at least, is left to guests that are done soon.
fn turns_of(cores: usize) -> usize {
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

/// A guest's turn to compute, taken for one slice at a time.
#[derive(Debug)]
pub struct CpuSlice {
    turns: Arc<Semaphore>,
    handles: Mutex<Option<OwnedSemaphorePermit>>,
    /// Nanoseconds that the guest had computed when it last took one.
    taken_at: AtomicU64,
}

impl CpuSlice {
    /// Whether a guest that has computed so long waits for a turn before it goes on. One that is polled often and
    /// shortly keeps no turn from poll to poll; it owes one for each [`SLICE`] all the same.
    pub fn is_due(&self, computed: Duration) -> bool {
        let taken_at = Duration::from_nanos(self.taken_at.load(Ordering::Relaxed));
        computed >= LONG && computed.saturating_sub(taken_at) >= SLICE
    }

    /// Hands the thread back, then waits for a turn and keeps it. `computed` is what the guest has computed so far.
    pub async fn take(&self, computed: Duration) {
        self.taken_at.store(u64::try_from(computed.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.give_back();
        tokio::task::yield_now().await;
        // The semaphore is never closed; without a turn a guest would run all the same.
        let cpu_slice = Arc::clone(&self.turns).acquire_owned().await.ok();
        *self.handles.lock().unwrap_or_else(PoisonError::into_inner) = cpu_slice;
    }

    /// Leaves the turn to the next one. Called whenever the guest stops computing, for whatever reason.
    pub fn give_back(&self) {
        drop(self.handles.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn some_cores_are_left_to_the_quick() {
        for (cores, turns) in [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (64, 48)] {
            assert_eq!(turns_of(cores), turns, "{cores}");
        }
    }

    #[tokio::test]
    async fn turns_go_round_and_work_ends_with_its_handle() {
        let threads = Threads::start(1).unwrap();
        let (first, second) = (threads.cpu_slice(), threads.cpu_slice());
        first.take(LONG).await;
        let waiting = threads.run({
            let second = Arc::clone(&second);
            async move { second.take(LONG).await }
        });
        tokio::pin!(waiting);
        assert!(
            tokio::time::timeout(Duration::from_millis(30), &mut waiting).await.is_err(),
            "there is one turn"
        );
        first.give_back();
        waiting.await.unwrap();
        // The same one again: it goes to the end of the line, and there is nobody else in it.
        second.take(LONG).await;

        let (alive, gone) = tokio::sync::oneshot::channel::<()>();
        drop(threads.run(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        }));
        assert!(gone.await.is_err(), "what is dropped is ended");
    }
}
