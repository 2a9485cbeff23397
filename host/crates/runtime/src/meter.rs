//! How long a guest computes: the time inside polls of its future, less the host's own work in there.
//!
//! Called by `invoke`, which polls a guest only through [`Meter::run`], and by the epoch callback, which
//! asks in the middle of a poll whether the budget is used up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::threads::Turn;

/// The stop-watch of one call. Read and written by whichever thread polls the guest, one at a time.
#[derive(Debug)]
pub struct Meter {
    base: Instant,
    limit: Duration,
    /// Nanoseconds after `base` at which the poll in progress began; 0 outside of a poll.
    since: AtomicU64,
    spent: AtomicU64,
    /// Work of the host inside polls, not the guest's doing.
    hosted: AtomicU64,
}

impl Meter {
    pub fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            base: Instant::now(),
            limit,
            since: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            hosted: AtomicU64::new(0),
        })
    }

    fn now(&self) -> u64 {
        // At least 1, for 0 says that no poll is in progress. 2^64 ns are 584 years.
        (self.base.elapsed().as_nanos() as u64).max(1)
    }

    /// Computing time so far, the poll in progress included.
    pub fn computed(&self) -> Duration {
        let since = self.since.load(Ordering::Relaxed);
        let running = if since == 0 { 0 } else { self.now().saturating_sub(since) };
        let total = self.spent.load(Ordering::Relaxed) + running;
        Duration::from_nanos(total.saturating_sub(self.hosted.load(Ordering::Relaxed)))
    }

    /// Whether the guest has computed longer than it may.
    pub fn is_spent(&self) -> bool {
        self.computed() > self.limit
    }

    /// The time that it may compute.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Takes `time` of work that the host did inside a poll off the guest's account.
    pub fn host_worked(&self, time: Duration) {
        self.hosted.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Runs `work` under this meter. Between its polls it keeps no turn.
    pub fn run<F: Future>(self: &Arc<Self>, turn: &Arc<Turn>, work: F) -> Metered<F> {
        Metered { meter: Arc::clone(self), turn: Arc::clone(turn), work: Box::pin(work) }
    }
}

/// A future whose polls are timed.
pub struct Metered<F> {
    meter: Arc<Meter>,
    turn: Arc<Turn>,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _drawn = tracing::trace_span!("guest").entered();
        let began = self.meter.now();
        self.meter.since.store(began, Ordering::Relaxed);
        let outcome = self.work.as_mut().poll(cx);
        self.turn.give_back();
        self.meter.since.store(0, Ordering::Relaxed);
        self.meter.spent.fetch_add(self.meter.now().saturating_sub(began), Ordering::Relaxed);
        outcome
    }
}
