//! Whose page is next: a bound on guest calls in the house, given out fairly between tenants, and between the documents
//! of each.
//!
//! A fair semaphore ([`lector_core::fair`]): the tenant that has had least for its weight, counted in work, is next. A page
//! is charged its predicted cost when its turn comes, corrected as more is known of it. Among a tenant's own it is first
//! come, first served, and **each document waits at most once at a time** (its next page; see `pages.rs`); a document that
//! was served goes to the end, so a page of a 1-page document waits for at most one page of each of the tenant's documents
//! that is there, however long those are.
//!
//! A tenant that has no page in the house, or would still have fewer than another one, gets a place beyond the bound, while
//! there are fewer of those than of the others: it would otherwise wait for pages of the tenant that filled the house
//! before it.

use lector_core::fair::{Charge, FairSemaphore, Order, Permit, Request};
use lector_core::{Fault, Kind, TenantName};

use crate::tenant::{Own, Taken};

/// The places for guest calls.
#[derive(Clone, Debug)]
pub(crate) struct Turns(FairSemaphore);

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
    permit: Permit,
    /// Of the tenant's own bounds.
    _own: Taken,
}

impl Turn {
    /// What was paid for it.
    pub(crate) fn price_ms(&self) -> f64 {
        self.permit.charge().cost_ms
    }

    /// Who pays, should it turn out to cost more or less.
    pub(crate) fn payer(&self) -> Payer {
        let Charge { client, weight, .. } = self.permit.charge().clone();
        Payer { turns: Turns(self.permit.semaphore().clone()), tenant: client, weight }
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
        self.turns.0.correct(&self.tenant, self.weight, more_ms);
    }
}

impl Turns {
    pub(crate) fn new(most: usize) -> Self {
        Self(FairSemaphore::with_extra(most, most))
    }

    /// Waits for a place, of the tenant's own first where it has a bound. The future that waits keeps its position;
    /// dropping it gives it up.
    pub(crate) fn turn(&self, asking: Asking) -> impl Future<Output = Result<Turn, Fault>> + Send + use<> {
        let slots = self.0.clone();
        async move {
            let Asking { tenant, weight, price_ms, ends, own } = asking;
            let own = own.take().await.map_err(|_| lost())?;
            let order = if ends { Order::First } else { Order::Arrival };
            let permit = slots.acquire(Request { order, ..Request::one(tenant, weight, price_ms) }).await;
            Ok(Turn { permit, _own: own })
        }
    }

    /// A place that nobody waits for, if there is one, and what it takes of the tenant's own.
    pub(crate) fn free(&self, tenant: &TenantName, own: Own) -> Option<Turn> {
        let own = own.try_take()?;
        let permit = self.0.try_acquire(Request::one(tenant.clone(), 1, 0.0))?;
        Some(Turn { permit, _own: own })
    }

    /// Places in all.
    pub(crate) fn most(&self) -> usize {
        self.0.total()
    }

    /// Places taken now.
    pub(crate) fn taken(&self) -> usize {
        self.0.taken()
    }

    /// Requests that wait for a place.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.0.waiting()
    }
}

/// A tenant's own bounds are never closed.
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

    /// The tenants of waiting requests, in the order in which they get the one place that there is; `pay` is charged on top.
    fn order(
        turns: &Turns,
        held: Turn,
        mut waiting: Vec<(Asking, Waiting)>,
        pay: fn(&str) -> f64,
    ) -> Vec<Asking> {
        let (mut order, mut turn) = (Vec::new(), held);
        while !waiting.is_empty() {
            turn.payer().pay(pay(turn.permit.charge().client.as_str()));
            drop(turn);
            let mut next = waiting.iter_mut().map(|(_, waiting)| waiting.as_mut().now_or_never());
            let (at, next) = next.by_ref().enumerate().find_map(|(at, next)| Some((at, next?))).unwrap();
            turn = next.unwrap();
            assert_eq!(turns.taken(), 1);
            order.push(waiting.remove(at).0);
        }
        order
    }

    fn all_wait(turns: &Turns, asking: impl Iterator<Item = Asking>) -> Vec<(Asking, Waiting)> {
        let waiting = asking.map(|asking| {
            let mut waiting: Waiting = Box::pin(turns.turn(asking.clone()));
            assert!(waiting.as_mut().now_or_never().is_none());
            (asking, waiting)
        });
        waiting.collect()
    }

    /// One place, and none beyond: requests of all tenants wait for it.
    fn one_place() -> Turns {
        Turns(FairSemaphore::new(1))
    }

    #[test]
    fn turns_go_by_weight() {
        let turns = one_place();
        let held = now(&turns, "first");
        let all = [("a", 3), ("b", 1)].repeat(9).into_iter();
        let waiting = all_wait(&turns, all.map(|(tenant, weight)| asking(tenant, weight)));
        let order = order(&turns, held, waiting, |_| 0.0);
        assert_eq!(
            order.iter().take(8).filter(|asking| asking.tenant.as_str() == "a").count(),
            6,
            "{order:?}"
        );
    }

    #[test]
    fn what_ends_a_document_goes_before_other_pages() {
        let turns = one_place();
        let held = now(&turns, "a");
        // Told apart by their prices.
        let all = [(1.0, false), (2.0, false), (3.0, true), (4.0, true)].into_iter();
        let all = all.map(|(price_ms, ends)| Asking { price_ms, ends, ..asking("a", 1) });
        let waiting = all_wait(&turns, all);
        let order = order(&turns, held, waiting, |_| 0.0);
        assert_eq!(order.iter().map(|asking| asking.price_ms).collect::<Vec<_>>(), [3.0, 4.0, 1.0, 2.0]);
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
        let turns = one_place();
        let held = now(&turns, "first");
        let waiting =
            all_wait(&turns, ["letters", "posters"].repeat(110).into_iter().map(|tenant| asking(tenant, 1)));
        // A letter costs what was expected, a poster ten times as much.
        let order = order(&turns, held, waiting, |tenant| if tenant == "posters" { 900.0 } else { 0.0 });
        let posters = order.iter().take(110).filter(|asking| asking.tenant.as_str() == "posters").count();
        assert!((9..=11).contains(&posters), "{posters}");
    }

    #[test]
    fn what_is_paid_later_counts() {
        let turns = one_place();
        let held = now(&turns, "a");
        held.payer().pay(900.0);
        let waiting = all_wait(&turns, ["a", "b", "a"].into_iter().map(|tenant| asking(tenant, 1)));
        held.payer().pay(-400.0);
        let order = order(&turns, held, waiting, |_| 0.0);
        let order: Vec<_> = order.iter().map(|asking| asking.tenant.as_str()).collect();
        assert_eq!(order, ["b", "a", "a"]);
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
