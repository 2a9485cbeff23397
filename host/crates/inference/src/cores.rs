//! The cores of the machine as permits, shared by all lanes.
//!
//! Each session brings its own threads; without permits, two lanes with two threads each would compete for two cores
//! and both would be late. A run takes as many permits as its session has threads and returns them at its end.
//!
//! Permits are granted by the shares of the tenants whose items the lanes would run, over all lanes (start-time fair
//! queueing, as within each lane). Otherwise a tenant with few pages would wait, between any two of its runs, for a run
//! of every other lane. The items of one tenant are served first come, first served. A run that needs all cores is not
//! overtaken by runs that need one; the cost is that a core may idle until the other runs have ended.
//!
//! Between two runs of a page lie a few milliseconds of guest code and pixel operations. If a long run of a tenant that
//! floods the server fills each gap, a page of a tenant far below its share takes many times as long; so cores stay
//! free for the length of a gap (S. Iyer, P. Druschel, "Anticipatory scheduling: a disk scheduling framework to
//! overcome deceptive idleness in synchronous I/O", SOSP 2001). Where the tenants' shares are about level, no core is
//! held.
//!
//! The order is that of [`lector_core::fair::Shares`], but this is not a [`lector_core::fair::FairSemaphore`]: two of
//! its rules do not fit a queue whose items have a client. A waiter represents the tenant that its lane would serve
//! when cores become free, and that tenant changes while the waiter waits; and cores stay free on purpose for a tenant
//! that does not wait yet. There is at most one waiter for each owner thread, so examining all of them is cheap.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use lector_core::TenantName;
use lector_core::fair::Shares;

use crate::sync::{Condvar, Mutex, MutexGuard};

/// Time for which cores are held for a tenant after a run of its own.
const HOLD: Duration = Duration::from_millis(8);
/// Lead of the waiting tenant, in virtual time, from which cores are held for the other: 200 ms of a core at a weight
/// of 100.
const HOLD_LEAD: f64 = 2.0;

/// A lane that wants cores. Its claim is read when cores are free, because its waiting items may have changed by then.
pub(crate) trait Claimant: Send + Sync {
    /// Returns the claim for the items that would run next.
    fn next(&self) -> Claim;
}

/// The tenant whose items would run next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// No tenant: granted at once, because the permits are returned at once.
    NoTenant,
    /// A tenant, with its weight.
    Tenant(TenantName, u32),
    /// Background work: after all other claims.
    Background,
}

/// A claimant without a tenant: calibrations.
pub(crate) struct NoTenant;

impl Claimant for NoTenant {
    fn next(&self) -> Claim {
        Claim::NoTenant
    }
}

/// A counting semaphore with a fair queue.
pub(crate) struct Cores {
    total: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    free: usize,
    /// [`HOLD`]; another time in simulations.
    hold: Duration,
    next_id: u64,
    /// In the order of arrival; at most one for each owner thread.
    waiting: Vec<Waiter>,
    /// Ids of granted waiters whose threads have not resumed.
    granted: Vec<u64>,
    shares: Shares,
    /// Tenants whose runs have just ended, and when.
    ended: Vec<(TenantName, Instant)>,
}

struct Waiter {
    id: u64,
    count: usize,
    claimant: Arc<dyn Claimant>,
}

/// Permits; dropping them returns them.
pub(crate) struct Permit<'a> {
    cores: &'a Cores,
    count: usize,
    /// Start of the run.
    since: Instant,
    /// The tenants charged for the run: tenant, weight, part of the run.
    charges: Vec<(TenantName, u32, f64)>,
}

impl Cores {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, state: Mutex::new(State::new(total, HOLD)), changed: Condvar::new() }
    }

    /// Waits for `count` permits, or for all permits where `count` is greater.
    pub(crate) fn take(&self, count: usize, claimant: &Arc<dyn Claimant>) -> Permit<'_> {
        let count = count.min(self.total);
        if count > 0 {
            self.wait(self.lock(), count, claimant);
        }
        self.permit(count)
    }

    /// Waits in the queue until it is granted.
    fn wait(&self, mut state: MutexGuard<'_, State>, count: usize, claimant: &Arc<dyn Claimant>) {
        state.next_id += 1;
        let id = state.next_id;
        state.waiting.push(Waiter { id, count, claimant: claimant.clone() });
        loop {
            let now = Instant::now();
            let granted = state.granted.len();
            let held = state.grant(now);
            // Only after a grant: two waiters would otherwise wake each other for ever.
            if state.granted.len() > granted {
                self.changed.notify_all();
            }
            if state.granted.contains(&id) {
                break;
            }
            state = match held {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let waited = self.changed.wait_timeout(state, until.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.granted.retain(|granted| *granted != id);
    }

    fn permit(&self, count: usize) -> Permit<'_> {
        Permit { cores: self, count, since: Instant::now(), charges: Vec::new() }
    }

    /// No code panics while it holds the lock, so the state of a poisoned lock is consistent.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(free: usize, hold: Duration) -> Self {
        Self {
            free,
            hold,
            next_id: 0,
            waiting: Vec::new(),
            granted: Vec::new(),
            shares: Shares::default(),
            ended: Vec::new(),
        }
    }

    /// Charges a tenant for a run that has ended.
    fn charge(&mut self, tenant: TenantName, weight: u32, ms: f64, now: Instant) {
        self.shares.charge(&tenant, weight, ms);
        self.ended.retain(|(known, _)| *known != tenant);
        self.ended.push((tenant, now));
    }

    /// Handles returned permits: resets the shares where no waiter is left and all cores are free, and grants.
    fn settle(&mut self, total: usize, now: Instant) -> Option<Instant> {
        if self.waiting.is_empty() && self.free == total {
            self.shares.rest();
        }
        self.grant(now)
    }

    /// Grants permits to the waiters that are next while there are free cores. Returns the time until which cores are
    /// held for another tenant, where that blocks the next waiter.
    fn grant(&mut self, now: Instant) -> Option<Instant> {
        self.ended.retain(|(_, at)| now.saturating_duration_since(*at) < self.hold);
        while let Some((at, claim)) = self.first() {
            let waiter = self.waiting.get(at).filter(|waiter| waiter.count <= self.free)?;
            if let Some(until) = self.held_from(&claim) {
                return Some(until);
            }
            self.free -= waiter.count;
            self.granted.push(waiter.id);
            self.waiting.remove(at);
            if let Claim::Tenant(tenant, _) = claim {
                self.shares.serve(&tenant);
            }
        }
        None
    }

    /// Returns the time until which this claim waits because a tenant far behind it has just had a run and may want the
    /// next one.
    fn held_from(&self, claim: &Claim) -> Option<Instant> {
        let behind = |tenant: &TenantName| match claim {
            Claim::NoTenant => false,
            Claim::Tenant(own, _) => {
                own != tenant && self.shares.start_of(tenant) + HOLD_LEAD < self.shares.start_of(own)
            }
            Claim::Background => true,
        };
        self.ended.iter().filter(|(tenant, _)| behind(tenant)).map(|(_, at)| *at + self.hold).max()
    }

    /// Returns the position and the claim of the next waiter: that of the tenant with the smallest share used.
    fn first(&self) -> Option<(usize, Claim)> {
        let claims = self.waiting.iter().map(|waiter| waiter.claimant.next());
        let start = |claim: &Claim| match claim {
            Claim::NoTenant => f64::NEG_INFINITY,
            Claim::Tenant(tenant, _) => self.shares.start_of(tenant),
            Claim::Background => f64::INFINITY,
        };
        claims.enumerate().min_by(|a, b| start(&a.1).total_cmp(&start(&b.1)))
    }
}

impl<'a> Permit<'a> {
    /// Sets the tenants to charge for a run that begins `now`: tenant, weight, part of the run.
    pub(crate) fn charge_to(&mut self, charges: Vec<(TenantName, u32, f64)>, now: Instant) {
        (self.charges, self.since) = (charges, now);
    }

    /// Returns the permits and, where the claimant has more to run, queues for the next ones under the same lock.
    /// Otherwise a waiter would get the cores between any two runs of a lane, whichever tenant is next.
    pub(crate) fn again(mut self, count: usize, claimant: &Arc<dyn Claimant>) -> Option<Permit<'a>> {
        let (cores, count) = (self.cores, count.min(self.cores.total));
        if count == 0 || claimant.next() == Claim::NoTenant {
            return None;
        }
        let mut state = cores.lock();
        self.give_back(&mut state, Instant::now());
        cores.wait(state, count, claimant);
        Some(cores.permit(count))
    }

    /// Returns the permits and charges the tenants, once, for a run that ends `now`.
    fn give_back(&mut self, state: &mut State, now: Instant) {
        let ms = now.saturating_duration_since(self.since).as_secs_f64() * 1e3 * self.count as f64;
        for (tenant, weight, part) in self.charges.drain(..) {
            state.charge(tenant, weight, ms * part, now);
        }
        state.free += std::mem::take(&mut self.count);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.count == 0 {
            return;
        }
        let (mut state, now) = (self.cores.lock(), Instant::now());
        self.give_back(&mut state, now);
        state.settle(self.cores.total, now);
        drop(state);
        self.cores.changed.notify_all();
    }
}

#[cfg(test)]
#[path = "cores/simulation.rs"]
mod simulation;

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
    fn no_more_permits_are_granted_than_there_are() {
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

    /// Grants to the waiters one after the other; returns their tenants.
    fn order(state: &mut State, claimants: &[&'static str]) -> Vec<&'static str> {
        for (id, tenant) in claimants.iter().enumerate() {
            state.waiting.push(Waiter { id: id as u64, count: 1, claimant: Arc::new(Of(tenant)) });
        }
        let mut order = Vec::new();
        while !state.waiting.is_empty() {
            state.free = 1;
            state.grant(Instant::now());
            let tenant = claimants[state.granted.pop().unwrap() as usize];
            state.shares.charge(&tenant.into(), 1, 10.0);
            order.push(tenant);
        }
        order
    }

    #[test]
    fn the_tenant_with_the_least_use_is_next_over_all_lanes() {
        let mut state = State::new(0, HOLD);
        assert_eq!(order(&mut state, &["a", "a", "a", "b", "c"]), ["a", "b", "c", "a", "a"]);
    }

    #[test]
    fn background_work_comes_after_all_others() {
        let mut state = State::new(1, HOLD);
        state.waiting.push(Waiter { id: 1, count: 1, claimant: Arc::new(Behind) });
        state.waiting.push(Waiter { id: 2, count: 1, claimant: Arc::new(Of("a")) });
        state.shares.charge(&"a".into(), 1, 1e6);
        state.grant(Instant::now());
        assert_eq!(state.granted, [2], "however much the other has used");
        state.free = 1;
        state.grant(Instant::now());
        assert_eq!(state.granted, [2, 1]);
    }

    #[test]
    fn no_waiter_comes_between_two_runs_of_the_tenant_that_is_next() {
        let cores = Cores::new(1);
        // The victim has items for two runs and has used nothing; the noise has used much, and waits.
        let victim: Arc<dyn Claimant> = Arc::new(Of("victim"));
        let noise: Arc<dyn Claimant> = Arc::new(Of("noise"));
        cores.lock().shares.charge(&"noise".into(), 1, 1e6);
        let ran = Mutex::new(Vec::new());
        let first = cores.take(1, &victim);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _permit = cores.take(1, &noise);
                ran.lock().unwrap().push("noise");
            });
            while cores.lock().waiting.is_empty() {
                std::thread::yield_now();
            }
            let second = first.again(1, &victim).unwrap();
            ran.lock().unwrap().push("victim");
            assert!(
                second.again(1, &(Arc::new(NoTenant) as Arc<dyn Claimant>)).is_none(),
                "nothing more to run"
            );
        });
        assert_eq!(*ran.lock().unwrap(), ["victim", "noise"]);
        let state = cores.lock();
        assert!(state.free == 1 && state.waiting.is_empty() && state.granted.is_empty());
    }

    #[test]
    fn a_gap_in_a_page_is_held_for_it_and_no_longer() {
        let waiter = |id, tenant| Waiter { id, count: 1, claimant: Arc::new(Of(tenant)) };
        let ended = Instant::now();
        let mut state = State::new(1, HOLD);
        state.shares.charge(&"noise".into(), 1, 1e6);
        state.ended.push(("victim".into(), ended));
        state.waiting.push(waiter(1, "noise"));
        for now in [ended, ended + HOLD / 2, ended + HOLD - Duration::from_nanos(1)] {
            assert_eq!(state.grant(now), Some(ended + HOLD), "held for the length of a gap");
            assert!(state.granted.is_empty());
        }
        // The next run of the victim's page comes within the gap, and is granted first.
        state.waiting.push(waiter(2, "victim"));
        assert_eq!(state.grant(ended + HOLD / 2), None);
        assert_eq!(state.granted, [2]);
        // No run comes in the gap behind it: the other tenant is granted at its end.
        let ended = ended + HOLD * 3;
        state.ended.push(("victim".into(), ended));
        state.free = 1;
        assert_eq!(state.grant(ended), Some(ended + HOLD));
        assert_eq!(state.grant(ended + HOLD), None);
        assert_eq!(state.granted, [2, 1]);
        // Tenants whose shares are level do not wait.
        let mut state = State::new(1, HOLD);
        state.ended.push(("a".into(), ended));
        assert!(state.held_from(&Claim::Tenant("b".into(), 1)).is_none());
    }

    #[test]
    fn a_held_waiter_is_granted_at_the_end_of_the_gap_without_a_wakeup() {
        let cores = Cores::new(1);
        cores.lock().shares.charge(&"noise".into(), 1, 1e6);
        let mut first = cores.take(1, &(Arc::new(Of("victim")) as Arc<dyn Claimant>));
        first.charge_to(vec![("victim".into(), 1, 1.0)], Instant::now());
        let ended = std::thread::scope(|scope| {
            let noise = scope.spawn(|| {
                let _permit = cores.take(1, &(Arc::new(Of("noise")) as Arc<dyn Claimant>));
                Instant::now()
            });
            while cores.lock().waiting.is_empty() {
                std::thread::yield_now();
            }
            let ended = Instant::now();
            drop(first);
            assert!(noise.join().unwrap() >= ended + HOLD);
            ended
        });
        assert!(cores.lock().free == 1 && ended.elapsed() >= HOLD);
    }

    #[test]
    fn waiters_sleep() {
        let cores = Cores::new(1);
        let held = cores.take(1, &(Arc::new(Of("a")) as Arc<dyn Claimant>));
        /// Counts the reads of its claim.
        struct Asked(AtomicUsize);
        impl Claimant for Asked {
            fn next(&self) -> Claim {
                self.0.fetch_add(1, Ordering::SeqCst);
                Claim::Tenant("b".into(), 1)
            }
        }
        let asked = Arc::new(Asked(AtomicUsize::new(0)));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (cores, claimant) = (&cores, asked.clone() as Arc<dyn Claimant>);
                scope.spawn(move || drop(cores.take(1, &claimant)));
            }
            while cores.lock().waiting.len() < 3 {
                std::thread::yield_now();
            }
            // They have all given up the lock to sleep.
            let before = asked.0.load(Ordering::SeqCst);
            for _ in 0..1000 {
                drop(cores.lock());
                std::thread::yield_now();
            }
            // The system may wake each without a reason.
            let more = asked.0.load(Ordering::SeqCst) - before;
            assert!(more < 20, "asked {more} times while nothing happened");
            drop(held);
        });
    }

    #[test]
    fn every_tenant_of_a_run_is_charged_its_part() {
        let cores = Cores::new(1);
        let mut permit = cores.take(1, &(Arc::new(Of("a")) as Arc<dyn Claimant>));
        // The time between the grant and the start of the run is no tenant's.
        let begun = Instant::now() + Duration::from_secs(60);
        permit.charge_to(vec![("a".into(), 1, 0.25), ("b".into(), 1, 0.75)], begun);
        permit.give_back(&mut cores.lock(), begun + Duration::from_millis(8));
        let shares = &cores.lock().shares;
        let used = |tenant: &str| shares.start_of(&tenant.into()) - shares.start_of(&"unknown".into());
        assert_eq!((used("a"), used("b")), (2.0, 6.0));
    }

    #[test]
    fn a_run_that_needs_all_cores_is_not_overtaken() {
        let mut state = State::new(1, HOLD);
        state.waiting.push(Waiter { id: 1, count: 2, claimant: Arc::new(Of("a")) });
        state.waiting.push(Waiter { id: 2, count: 1, claimant: Arc::new(Of("a")) });
        state.grant(Instant::now());
        assert!(state.granted.is_empty());
        state.free = 2;
        state.grant(Instant::now());
        assert_eq!(state.granted, [1]);
    }

    #[test]
    fn a_claimant_without_items_does_not_block_others() {
        let mut state = State::new(1, HOLD);
        state.waiting.push(Waiter { id: 1, count: 1, claimant: Arc::new(Of("a")) });
        state.waiting.push(Waiter { id: 2, count: 1, claimant: Arc::new(NoTenant) });
        state.grant(Instant::now());
        assert_eq!(state.granted, [2]);
    }
}
