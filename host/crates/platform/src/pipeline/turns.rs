//! Whose page is next: a bound on guest calls in the house, given out fairly between tenants, and between the documents
//! of each.
//!
//! Tenants are served by start-time fair queueing ([`lector_core::fair`]): whoever has had least of the house next to its
//! weight, counted in work, is next: what was predicted of a page when its turn came, put right as more is known of it. Among a
//! tenant's own it is first come, first served, and **each document waits at most once at a time** (its next page; see
//! `pages.rs`); a document that was served goes to the end, so a page of a 1-page document waits for at most one page of each
//! of the tenant's documents that is there, however long those are.
//!
//! A tenant that has no page in the house, or would still have fewer than another one, gets a place beyond the bound, while
//! there are fewer of those than of the others: it would otherwise wait for pages of whoever filled the house before it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lector_core::fair::Shares;
use lector_core::{Fault, Kind, TenantName};
use tokio::sync::oneshot;

use crate::tenant::{Own, Taken};

/// The places for guest calls.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<TenantName, VecDeque<Waiter>>,
    running: BTreeMap<TenantName, usize>,
    taken: usize,
    shares: Shares,
    next_id: u64,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    weight: u32,
    price_ms: f64,
    ends: bool,
    turn: oneshot::Sender<Turn>,
}

/// For whom a place is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) tenant: TenantName,
    /// Its share of the house, next to those of others.
    pub(crate) weight: u32,
    /// What the page is expected to cost, in milliseconds of work.
    pub(crate) price_ms: f64,
    /// Whether a document ends with it: it then goes before the tenant's other ones. Without that every document would
    /// wait for all pages that came after its own, and hold its memory for as long.
    pub(crate) ends: bool,
    /// What it takes of the tenant's own bounds.
    pub(crate) own: Own,
}

/// The right to run one guest call; dropping it lets the next one go.
#[derive(Debug)]
pub(crate) struct Turn {
    payer: Payer,
    price_ms: f64,
    /// Of the tenant's own bounds.
    own: Taken,
}

impl Turn {
    /// What was paid for it.
    pub(crate) fn price_ms(&self) -> f64 {
        self.price_ms
    }

    /// Who pays, should it turn out to cost more or less.
    pub(crate) fn payer(&self) -> Payer {
        self.payer.clone()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.payer.turns.release(&self.payer.tenant);
    }
}

/// On whose account a turn goes.
#[derive(Clone, Debug)]
pub(crate) struct Payer {
    turns: Turns,
    tenant: TenantName,
    weight: u32,
}

impl Payer {
    /// It cost so much more than was paid, or less where that is below 0.
    pub(crate) fn pay(&self, more_ms: f64) {
        self.turns.lock().shares.correct(&self.tenant, self.weight, more_ms);
    }
}

/// Takes a waiter out that is not waited for any more.
struct Leaving {
    turns: Turns,
    tenant: TenantName,
    id: u64,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.turns.lock().leave(&self.tenant, self.id);
    }
}

impl Turns {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most, state: Mutex::default() }))
    }

    /// Waits for a place, of the tenant's own first where it has a bound. The future that waits keeps its position;
    /// dropping it gives it up.
    pub(crate) fn turn(&self, asking: Asking) -> impl Future<Output = Result<Turn, Fault>> + Send + use<> {
        let turns = self.clone();
        async move {
            let Asking { tenant, weight, price_ms, ends, own } = asking;
            let own = own.take().await.map_err(|_| lost())?;
            let (turn, given) = oneshot::channel();
            let id = turns.lock().queue(tenant.clone(), Waiter { id: 0, weight, price_ms, ends, turn });
            // A turn that was given and not taken goes back by itself, with `given`.
            let _leaving = Leaving { turns: turns.clone(), tenant, id };
            turns.give();
            let mut turn = given.await.map_err(|_| lost())?;
            turn.own = own;
            Ok(turn)
        }
    }

    /// A place that nobody waits for, if there is one, and what it takes of the tenant's own.
    pub(crate) fn free(&self, tenant: &TenantName, own: Own) -> Option<Turn> {
        let own = own.try_take()?;
        let mut state = self.lock();
        let free = state.waiting.is_empty() && state.taken < self.0.most;
        free.then(|| {
            state.take(tenant);
            let payer = Payer { turns: self.clone(), tenant: tenant.clone(), weight: 1 };
            Turn { payer, price_ms: 0.0, own }
        })
    }

    /// Places in all.
    pub(crate) fn most(&self) -> usize {
        self.0.most
    }

    /// Places taken now.
    pub(crate) fn taken(&self) -> usize {
        self.lock().taken
    }

    fn release(&self, tenant: &TenantName) {
        self.lock().release(tenant);
        self.give();
    }

    /// Gives out what is free.
    fn give(&self) {
        loop {
            let Some((tenant, waiter)) = self.lock().next(self.0.most) else { return };
            // Outside of the lock: where nobody takes it, the turn is dropped here and gives its place back.
            let Waiter { weight, price_ms, turn, .. } = waiter;
            let payer = Payer { turns: self.clone(), tenant, weight };
            let _ = turn.send(Turn { payer, price_ms, own: Taken::default() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue(&mut self, tenant: TenantName, mut waiter: Waiter) -> u64 {
        self.next_id += 1;
        waiter.id = self.next_id;
        let waiters = self.waiting.entry(tenant).or_default();
        // Behind those that end, too: they are few.
        let at =
            if waiter.ends { waiters.iter().take_while(|other| other.ends).count() } else { waiters.len() };
        waiters.insert(at, waiter);
        self.next_id
    }

    fn leave(&mut self, tenant: &TenantName, id: u64) {
        if let Some(waiters) = self.waiting.get_mut(tenant) {
            waiters.retain(|waiter| waiter.id != id);
            if waiters.is_empty() {
                self.waiting.remove(tenant);
            }
        }
    }

    fn take(&mut self, tenant: &TenantName) {
        self.taken += 1;
        *self.running.entry(tenant.clone()).or_default() += 1;
    }

    fn release(&mut self, tenant: &TenantName) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(running) = self.running.get_mut(tenant) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(tenant);
            }
        }
        if self.taken == 0 && self.waiting.is_empty() {
            self.shares.rest();
        }
    }

    /// The waiter that goes now, its place taken.
    fn next(&mut self, most: usize) -> Option<(TenantName, Waiter)> {
        let beyond = self.taken >= most;
        if beyond && self.taken >= most.saturating_mul(2) {
            return None;
        }
        let most_of_one = self.running.values().max().copied().unwrap_or_default();
        let may = |tenant: &&TenantName| {
            !beyond || self.running.get(*tenant).is_none_or(|running| running + 1 < most_of_one)
        };
        let start = |tenant: &TenantName| self.shares.start_of(tenant);
        let tenant = self.waiting.keys().filter(may).min_by(|a, b| start(a).total_cmp(&start(b)))?.clone();
        let waiters = self.waiting.get_mut(&tenant)?;
        let waiter = waiters.pop_front()?;
        if waiters.is_empty() {
            self.waiting.remove(&tenant);
        }
        self.shares.serve(&tenant);
        self.shares.charge(&tenant, waiter.weight, waiter.price_ms);
        self.take(&tenant);
        Some((tenant, waiter))
    }
}

/// Whoever waits is given a turn or leaves.
fn lost() -> Fault {
    Fault::new(Kind::Bug, "internal", "The order of pages lost a page; report it.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use futures::FutureExt;

    use super::*;
    use crate::tenant::Places;

    fn asking(tenant: &str, weight: u32) -> Asking {
        Asking { tenant: tenant.into(), weight, price_ms: 100.0, ends: false, own: Own::default() }
    }

    type Waiting = std::pin::Pin<Box<dyn Future<Output = Result<Turn, Fault>> + Send>>;

    /// Somebody who waits; polled once, so that it has its position.
    fn wait(turns: &Turns, tenant: &str, weight: u32) -> Waiting {
        let mut waiting: Waiting = Box::pin(turns.turn(asking(tenant, weight)));
        assert!(waiting.as_mut().now_or_never().is_none(), "{tenant} was to wait");
        waiting
    }

    fn now(turns: &Turns, tenant: &str) -> Turn {
        turns.turn(asking(tenant, 1)).now_or_never().unwrap().unwrap()
    }

    #[test]
    fn a_newcomer_does_not_wait_for_who_was_there_before() {
        let turns = Turns::new(2);
        let held = [now(&turns, "a"), now(&turns, "a")];
        let mut own: Vec<Waiting> = (0..3).map(|_| wait(&turns, "a", 1)).collect();
        let b = now(&turns, "b");
        let second_of_b = wait(&turns, "b", 1);
        let c = now(&turns, "c");
        // Beyond the bound there are as many places again, and no more.
        let mut d = wait(&turns, "d", 1);
        assert_eq!(turns.taken(), 4);
        drop(c);
        assert!(d.as_mut().now_or_never().is_some());
        drop((b, second_of_b, held));
        assert!(own[0].as_mut().now_or_never().is_some());
    }

    #[test]
    fn who_has_fewer_than_another_does_not_wait_for_it() {
        let turns = Turns::new(4);
        let held: Vec<Turn> = (0..4).map(|_| now(&turns, "flood")).collect();
        let own: Vec<Turn> = (0..3).map(|_| now(&turns, "b")).collect();
        let mut fourth = wait(&turns, "b", 1);
        drop(own);
        assert!(fourth.as_mut().now_or_never().is_some());
        let mut more = wait(&turns, "flood", 1);
        drop(held);
        assert!(more.as_mut().now_or_never().is_some());
    }

    #[test]
    fn turns_go_by_weight() {
        let mut state = State::default();
        for _ in 0..9 {
            for (tenant, weight) in [("a", 3), ("b", 1)] {
                let (turn, _) = oneshot::channel();
                state.queue(tenant.into(), Waiter { id: 0, weight, price_ms: 100.0, ends: false, turn });
            }
        }
        let order: Vec<_> = (0..8).map(|_| state.next(100).unwrap().0).collect();
        assert_eq!(order.iter().filter(|tenant| tenant.as_str() == "a").count(), 6, "{order:?}");
    }

    #[test]
    fn what_ends_a_document_goes_before_other_pages() {
        let mut state = State::default();
        for ends in [false, false, true, true] {
            let (turn, _) = oneshot::channel();
            state.queue("a".into(), Waiter { id: 0, weight: 1, price_ms: 100.0, ends, turn });
        }
        let order: Vec<_> = (0..4).map(|_| state.next(100).unwrap().1.id).collect();
        assert_eq!(order, [3, 4, 1, 2]);
    }

    #[test]
    fn who_leaves_gives_its_position_up_and_a_turn_not_taken_goes_back() {
        let turns = Turns::new(1);
        let held = now(&turns, "a");
        let leaves = wait(&turns, "a", 1);
        let mut stays = wait(&turns, "a", 1);
        drop(leaves);
        drop(held);
        let turn = stays.as_mut().now_or_never().unwrap().unwrap();
        let given_and_dropped = wait(&turns, "a", 1);
        drop(turn);
        assert_eq!(turns.taken(), 1, "given");
        drop(given_and_dropped);
        assert_eq!(turns.taken(), 0);
        assert!(turns.free(&"s".into(), Own::default()).is_some());
    }

    #[test]
    fn who_turns_out_to_cost_more_waits_longer() {
        let mut state = State::default();
        for tenant in ["letters", "posters"].repeat(200) {
            let (turn, _) = oneshot::channel();
            state.queue(tenant.into(), Waiter { id: 0, weight: 1, price_ms: 100.0, ends: false, turn });
        }
        let mut posters = 0;
        for _ in 0..110 {
            let (tenant, waiter) = state.next(1000).unwrap();
            // A letter costs what was expected, a poster ten times as much.
            if tenant.as_str() == "posters" {
                posters += 1;
                state.shares.correct(&tenant, waiter.weight, 900.0);
            }
            state.release(&tenant);
        }
        assert!((9..=11).contains(&posters), "{posters}");
    }

    #[test]
    fn what_is_paid_later_counts() {
        let turns = Turns::new(1);
        let turn = now(&turns, "a");
        let start = || turns.lock().shares.start_of(&"a".into());
        let before = start();
        turn.payer().pay(900.0);
        assert_eq!(start(), before + 900.0);
        turn.payer().pay(-400.0);
        assert_eq!(start(), before + 500.0);
    }

    #[test]
    fn nobody_has_more_than_its_own_places() {
        let turns = Turns::new(4);
        let own = Places::new(1, 0).of_page(0);
        let asking = Asking { own, ..asking("a", 1) };
        let first = turns.turn(asking.clone()).now_or_never().unwrap().unwrap();
        let mut second: Waiting = Box::pin(turns.turn(asking));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.as_mut().now_or_never().is_some());
    }
}
