//! The cores of the machine as permits, shared by all lanes.
//!
//! Each session brings its own threads; without this, two lanes with two threads each would fight for two cores and
//! all would be late. A run takes as many permits as its session has threads and gives them back.
//!
//! Permits go by the shares of the tenants whose items the lanes would run, over all lanes (start-time fair queueing, as
//! within each of them): else a tenant with a page here and there would, between any two of its runs, wait for a run of
//! every other lane. Among a tenant's own they go first come, first served. A run that needs all cores is not overtaken by
//! runs that need one; the price: a core may idle until the others are done.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lector_core::TenantName;
use lector_core::share::Shares;

/// Who wants cores, and for whom: asked when there are some, for what waits may have changed by then.
pub(crate) trait Claimant: Send + Sync {
    /// Whose items would run next.
    fn next(&self) -> Claim;
}

/// Whose turn it would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nobody's: it goes at once, for it will give back at once.
    Nobody,
    /// This tenant's, with its weight.
    Tenant(TenantName, u32),
    /// Work that nobody waits for: after all others.
    Background,
}

/// Nobody in particular: calibrations.
pub(crate) struct Nobody;

impl Claimant for Nobody {
    fn next(&self) -> Claim {
        Claim::Nobody
    }
}

/// A counting semaphore with a fair queue.
pub(crate) struct Cores {
    total: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    free: usize,
    next_id: u64,
    /// In the order in which they came; at most one for each owner thread.
    waiting: Vec<Waiter>,
    /// Ids of those that may go and have not noticed.
    granted: Vec<u64>,
    shares: Shares,
}

struct Waiter {
    id: u64,
    count: usize,
    claimant: Arc<dyn Claimant>,
}

/// Permits; dropped, they are free again.
pub(crate) struct Permit<'a> {
    cores: &'a Cores,
    count: usize,
    since: Instant,
    /// Who pays for the time.
    payer: Option<(TenantName, u32)>,
}

impl Cores {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, state: Mutex::new(State { free: total, ..State::default() }), changed: Condvar::new() }
    }

    /// Waits for `count` permits (all of them where it asks for more than there are).
    pub(crate) fn take(&self, count: usize, claimant: &Arc<dyn Claimant>) -> Permit<'_> {
        let count = count.min(self.total);
        if count > 0 {
            let mut state = self.lock();
            state.next_id += 1;
            let id = state.next_id;
            state.waiting.push(Waiter { id, count, claimant: claimant.clone() });
            state.grant();
            self.changed.notify_all();
            while !state.granted.contains(&id) {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.granted.retain(|granted| *granted != id);
        }
        Permit { cores: self, count, since: Instant::now(), payer: None }
    }

    /// Nothing panics while it is held, so a poisoned lock holds a sound state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets those go whose turn it is and for whom there are cores.
    fn grant(&mut self) {
        while let Some((at, claim)) = self.first() {
            let Some(waiter) = self.waiting.get(at).filter(|waiter| waiter.count <= self.free) else {
                return;
            };
            self.free -= waiter.count;
            self.granted.push(waiter.id);
            self.waiting.remove(at);
            if let Claim::Tenant(tenant, _) = claim {
                self.shares.serve(&tenant);
            }
        }
    }

    /// Position of the waiter whose turn it is: that of the tenant that has had least.
    fn first(&self) -> Option<(usize, Claim)> {
        let claims = self.waiting.iter().map(|waiter| waiter.claimant.next());
        let start = |claim: &Claim| match claim {
            Claim::Nobody => f64::NEG_INFINITY,
            Claim::Tenant(tenant, _) => self.shares.start_of(tenant),
            Claim::Background => f64::INFINITY,
        };
        claims.enumerate().min_by(|a, b| start(&a.1).total_cmp(&start(&b.1)))
    }
}

impl Permit<'_> {
    /// Whose items run in this time.
    pub(crate) fn pays(&mut self, tenant: &TenantName, weight: u32) {
        self.payer = Some((tenant.clone(), weight));
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.count == 0 {
            return;
        }
        let mut state = self.cores.lock();
        if let Some((tenant, weight)) = &self.payer {
            let ms = self.since.elapsed().as_secs_f64() * 1e3 * self.count as f64;
            state.shares.charge(tenant, *weight, ms);
        }
        state.free += self.count;
        if state.waiting.is_empty() && state.free == self.cores.total {
            state.shares.rest();
        }
        state.grant();
        drop(state);
        self.cores.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Of(&'static str);

    impl Claimant for Of {
        fn next(&self) -> Claim {
            Claim::Tenant(self.0.into(), 1)
        }
    }

    struct Behind;

    impl Claimant for Behind {
        fn next(&self) -> Claim {
            Claim::Background
        }
    }

    #[test]
    fn never_more_are_out_than_there_are() {
        let (cores, out) = (Cores::new(3), AtomicUsize::new(0));
        let claimant: Arc<dyn Claimant> = Arc::new(Of("a"));
        std::thread::scope(|scope| {
            for count in [1, 2, 3, 1, 2, 9] {
                let (cores, out, claimant) = (&cores, &out, &claimant);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let permit = cores.take(count, claimant);
                        assert!(out.fetch_add(permit.count, Ordering::SeqCst) + permit.count <= 3);
                        std::thread::yield_now();
                        out.fetch_sub(permit.count, Ordering::SeqCst);
                    }
                });
            }
        });
        let state = cores.lock();
        assert!(state.free == 3 && state.waiting.is_empty() && state.granted.is_empty());
    }

    /// Grants one after the other to whoever waits; gives their tenants.
    fn order(state: &mut State, claimants: &[&'static str]) -> Vec<&'static str> {
        for (id, tenant) in claimants.iter().enumerate() {
            state.waiting.push(Waiter { id: id as u64, count: 1, claimant: Arc::new(Of(tenant)) });
        }
        let mut order = Vec::new();
        while !state.waiting.is_empty() {
            state.free = 1;
            state.grant();
            let tenant = claimants[state.granted.pop().unwrap() as usize];
            state.shares.charge(&tenant.into(), 1, 10.0);
            order.push(tenant);
        }
        order
    }

    #[test]
    fn who_has_had_least_is_next_over_all_lanes() {
        let mut state = State::default();
        assert_eq!(order(&mut state, &["a", "a", "a", "b", "c"]), ["a", "b", "c", "a", "a"]);
    }

    #[test]
    fn what_nobody_waits_for_comes_after_all_others() {
        let mut state = State { free: 1, ..State::default() };
        state.waiting.push(Waiter { id: 1, count: 1, claimant: Arc::new(Behind) });
        state.waiting.push(Waiter { id: 2, count: 1, claimant: Arc::new(Of("a")) });
        state.shares.charge(&"a".into(), 1, 1e6);
        state.grant();
        assert_eq!(state.granted, [2], "however much the other has had");
        state.free = 1;
        state.grant();
        assert_eq!(state.granted, [2, 1]);
    }

    #[test]
    fn who_needs_all_is_not_overtaken() {
        let mut state = State { free: 1, ..State::default() };
        state.waiting.push(Waiter { id: 1, count: 2, claimant: Arc::new(Of("a")) });
        state.waiting.push(Waiter { id: 2, count: 1, claimant: Arc::new(Of("a")) });
        state.grant();
        assert!(state.granted.is_empty());
        state.free = 2;
        state.grant();
        assert_eq!(state.granted, [1]);
    }

    #[test]
    fn who_has_nothing_to_run_does_not_stand_in_the_way() {
        let mut state = State { free: 1, ..State::default() };
        state.waiting.push(Waiter { id: 1, count: 1, claimant: Arc::new(Of("a")) });
        state.waiting.push(Waiter { id: 2, count: 1, claimant: Arc::new(Nobody) });
        state.grant();
        assert_eq!(state.granted, [2]);
    }
}
