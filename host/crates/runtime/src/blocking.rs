//! Where pixel work is done: on tokio's blocking threads, a bounded number of operations at once, in the order of the
//! tenants' shares.
//!
//! Start-time fair queueing, as in front of the engines, counted in processor time: who asks for one operation after the
//! other, or for many at once, waits for itself. An operation that has begun runs to its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lector_core::fair::Shares;
use lector_core::{Fault, Kind, TenantName};
use tokio::sync::oneshot;

use crate::meter::processor_time;

/// Bytes read and written below which an operation is done where it is asked for: it takes less time
/// (some 20 us) than handing it to another thread and back.
const INLINE_BYTES_MAX: u64 = 64 << 10;

/// The places, and who waits for one. More operations than cores would only share them.
#[derive(Clone)]
pub struct Blocking(Arc<Places>);

struct Places {
    total: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    free: usize,
    /// In the order in which they came; at most one for each operation that guests have under way.
    waiting: Vec<Waiter>,
    shares: Shares,
}

struct Waiter {
    tenant: TenantName,
    weight: u32,
    go: oneshot::Sender<Place>,
}

/// One operation's place; dropped, it is the next one's.
struct Place {
    places: Arc<Places>,
    tenant: TenantName,
    weight: u32,
    took: Duration,
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
        let total = operations_max.max(1);
        Self(Arc::new(Places { total, state: Mutex::new(State { free: total, ..State::default() }) }))
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
        let failed = |cause: &dyn std::fmt::Display| {
            Fault::new(Kind::Bug, "image_operation_failed", "an image operation failed in the host")
                .with_detail(cause)
        };
        let place = self.place(tenant, weight).await.map_err(|e| failed(&e))?;
        let task = tokio::task::spawn_blocking(move || {
            let (outcome, took) = timed();
            place.done(took);
            (outcome, took)
        });
        let (outcome, took) = task.await.map_err(|e| failed(&e))?;
        Ok(Done { outcome, took, inline: false })
    }

    /// Waits for its turn. Who stops waiting has given it up.
    fn place(&self, tenant: TenantName, weight: u32) -> oneshot::Receiver<Place> {
        let (go, turn) = oneshot::channel();
        let mut state = self.0.lock();
        state.waiting.push(Waiter { tenant, weight, go });
        self.0.grant(state);
        turn
    }
}

impl Places {
    /// Gives free places to those whose turn it is.
    fn grant(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        // Who has left is found here and not by a place that comes back.
        state.waiting.retain(|waiter| !waiter.go.is_closed());
        let mut granted = Vec::new();
        while state.free > 0
            && let Some(Waiter { tenant, weight, go }) = state.next()
        {
            state.free -= 1;
            state.shares.serve(&tenant);
            granted.push((go, Place { places: self.clone(), tenant, weight, took: Duration::ZERO }));
        }
        drop(state);
        for (go, place) in granted {
            // Left in this moment: the place comes back as it is dropped.
            drop(go.send(place));
        }
    }

    /// Nothing panics while it is held, so a poisoned lock holds a sound state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes whoever's turn it is out of the line: of the tenant that has had least, the one that came first.
    fn next(&mut self) -> Option<Waiter> {
        let starts = self.waiting.iter().map(|waiter| self.shares.start_of(&waiter.tenant)).enumerate();
        let (at, _) = starts.min_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(self.waiting.remove(at))
    }
}

impl Place {
    /// Gives it back, paid with that time.
    fn done(mut self, took: Duration) {
        self.took = took;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        state.shares.charge(&self.tenant, self.weight, self.took.as_secs_f64() * 1e3);
        state.free += 1;
        if state.waiting.is_empty() && state.free == self.places.total {
            state.shares.rest();
        }
        self.places.grant(state);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// The tenants of those who wait, in the order in which they get the one place that there is.
    async fn order(waiting: &[&str]) -> Vec<String> {
        let blocking = Blocking::new(1);
        let first = blocking.place("first".into(), 1).await.unwrap();
        let (done, mut order) = tokio::sync::mpsc::channel(waiting.len());
        for tenant in waiting {
            let (turn, done) = (blocking.place((*tenant).into(), 1), done.clone());
            tokio::spawn(async move {
                let place = turn.await.unwrap();
                done.try_send(place.tenant.to_string()).unwrap();
                place.done(Duration::from_millis(30));
            });
        }
        drop((first, done));
        let mut all = Vec::new();
        while let Some(tenant) = order.recv().await {
            all.push(tenant);
        }
        all
    }

    #[tokio::test]
    async fn a_tenant_with_one_operation_does_not_wait_for_one_with_many() {
        let order = order(&["many", "many", "many", "many", "one", "two", "two"]).await;
        assert_eq!(order, ["many", "one", "two", "many", "two", "many", "many"]);
    }

    #[tokio::test]
    async fn who_leaves_takes_no_place_with_it() {
        let blocking = Blocking::new(1);
        let held = blocking.place("a".into(), 1).await.unwrap();
        // One leaves while it waits, one with its turn in hand.
        drop(blocking.place("b".into(), 1));
        let turn = blocking.place("c".into(), 1);
        drop(held);
        drop(turn);
        let state = blocking.0.lock();
        assert!(state.free == 1 && state.waiting.is_empty());
    }

    #[tokio::test]
    async fn never_more_at_once_than_there_are_places() {
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        let (blocking, running) = (Blocking::new(2), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..40)
            .map(|n| {
                let (turn, running) =
                    (blocking.place(TenantName::from(format!("t{}", n % 3)), 1), running.clone());
                tokio::spawn(async move {
                    let _place = turn.await.unwrap();
                    assert!(running.fetch_add(1, SeqCst) < 2);
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, SeqCst);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(blocking.0.lock().free, 2);
    }
}
