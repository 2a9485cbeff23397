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

use lector_control::{PermitRequest, TenantPermits};
use lector_core::fair::{Charge, FairSemaphore, Order, Permit, Request};
use lector_core::{Fault, Kind, TenantName};

/// The places for guest calls.
#[derive(Clone, Debug)]
pub(crate) struct PageScheduler(FairSemaphore);

/// For whom a place is wanted.
#[derive(Clone, Debug)]
pub(crate) struct SlotRequest {
    pub(crate) tenant: TenantName,
    /// Its share of the house, next to those of others.
    pub(crate) weight: u32,
    /// What the page is expected to cost, in milliseconds of work.
    pub(crate) cost_ms: f64,
    /// Whether a document ends with it: it then goes before the tenant's other ones. Without that every document would
    /// wait for all pages that came after its own, and hold its memory for as long.
    pub(crate) ends: bool,
    /// What it takes of the tenant's own bounds.
    pub(crate) own: PermitRequest,
}

/// The right to run one guest call; dropping it lets the next one go.
#[derive(Debug)]
pub(crate) struct PageSlot {
    permit: Permit,
    /// Of the tenant's own bounds.
    _own: TenantPermits,
}

impl PageSlot {
    /// What was paid for it.
    pub(crate) fn cost_ms(&self) -> f64 {
        self.permit.charge().cost_ms
    }

    /// Who pays, should it turn out to cost more or less.
    pub(crate) fn account(&self) -> SlotAccount {
        let Charge { client, weight, .. } = self.permit.charge().clone();
        SlotAccount { page_scheduler: PageScheduler(self.permit.semaphore().clone()), tenant: client, weight }
    }
}

/// On whose account a turn goes.
#[derive(Clone, Debug)]
pub(crate) struct SlotAccount {
    page_scheduler: PageScheduler,
    tenant: TenantName,
    weight: u32,
}

impl SlotAccount {
    /// It cost so much more than was paid, or less where that is below 0.
    pub(crate) fn charge(&self, more_ms: f64) {
        self.page_scheduler.0.correct(&self.tenant, self.weight, more_ms);
    }
}

impl PageScheduler {
    pub(crate) fn new(most: usize) -> Self {
        Self(FairSemaphore::with_extra(most, most))
    }

    /// Waits for a place, of the tenant's own first where it has a bound. The future that waits keeps its position;
    /// dropping it gives it up.
    pub(crate) fn slot(
        &self,
        slot_request: SlotRequest,
    ) -> impl Future<Output = Result<PageSlot, Fault>> + Send + use<> {
        let slots = self.0.clone();
        async move {
            let SlotRequest { tenant, weight, cost_ms, ends, own } = slot_request;
            let own = own.take().await.map_err(|_| lost())?;
            let order = if ends { Order::First } else { Order::Arrival };
            let permit = slots.acquire(Request { order, ..Request::one(tenant, weight, cost_ms) }).await;
            Ok(PageSlot { permit, _own: own })
        }
    }

    /// A place that nobody waits for, if there is one, and what it takes of the tenant's own.
    pub(crate) fn free(&self, tenant: &TenantName, own: PermitRequest) -> Option<PageSlot> {
        let own = own.try_take()?;
        let permit = self.0.try_acquire(Request::one(tenant.clone(), 1, 0.0))?;
        Some(PageSlot { permit, _own: own })
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
    use lector_control::TenantLimits;

    use super::*;

    fn slot_request(tenant: &str, weight: u32) -> SlotRequest {
        SlotRequest {
            tenant: tenant.into(),
            weight,
            cost_ms: 100.0,
            ends: false,
            own: PermitRequest::default(),
        }
    }

    type Waiting = std::pin::Pin<Box<dyn Future<Output = Result<PageSlot, Fault>> + Send>>;

    /// Somebody who waits; polled once, so that it has its position.
    fn wait(page_scheduler: &PageScheduler, tenant: &str, weight: u32) -> Waiting {
        let mut waiting: Waiting = Box::pin(page_scheduler.slot(slot_request(tenant, weight)));
        assert!(waiting.as_mut().now_or_never().is_none(), "{tenant} was to wait");
        waiting
    }

    fn now(page_scheduler: &PageScheduler, tenant: &str) -> PageSlot {
        page_scheduler.slot(slot_request(tenant, 1)).now_or_never().unwrap().unwrap()
    }

    #[test]
    fn a_newcomer_does_not_wait_for_who_was_there_before() {
        let page_scheduler = PageScheduler::new(2);
        let held = [now(&page_scheduler, "a"), now(&page_scheduler, "a")];
        let mut own: Vec<Waiting> = (0..3).map(|_| wait(&page_scheduler, "a", 1)).collect();
        let b = now(&page_scheduler, "b");
        let second_of_b = wait(&page_scheduler, "b", 1);
        let c = now(&page_scheduler, "c");
        // Beyond the bound there are as many places again, and no more.
        let mut d = wait(&page_scheduler, "d", 1);
        assert_eq!(page_scheduler.taken(), 4);
        drop(c);
        assert!(d.as_mut().now_or_never().is_some());
        drop((b, second_of_b, held));
        assert!(own[0].as_mut().now_or_never().is_some());
    }

    #[test]
    fn who_has_fewer_than_another_does_not_wait_for_it() {
        let page_scheduler = PageScheduler::new(4);
        let held: Vec<PageSlot> = (0..4).map(|_| now(&page_scheduler, "flood")).collect();
        let own: Vec<PageSlot> = (0..3).map(|_| now(&page_scheduler, "b")).collect();
        let mut fourth = wait(&page_scheduler, "b", 1);
        drop(own);
        assert!(fourth.as_mut().now_or_never().is_some());
        let mut more = wait(&page_scheduler, "flood", 1);
        drop(held);
        assert!(more.as_mut().now_or_never().is_some());
    }

    /// The tenants of waiting requests, in the order in which they get the one place that there is; `charge` is charged on top.
    fn order(
        page_scheduler: &PageScheduler,
        held: PageSlot,
        mut waiting: Vec<(SlotRequest, Waiting)>,
        charge: fn(&str) -> f64,
    ) -> Vec<SlotRequest> {
        let (mut order, mut slot) = (Vec::new(), held);
        while !waiting.is_empty() {
            slot.account().charge(charge(slot.permit.charge().client.as_str()));
            drop(slot);
            let mut next = waiting.iter_mut().map(|(_, waiting)| waiting.as_mut().now_or_never());
            let (at, next) = next.by_ref().enumerate().find_map(|(at, next)| Some((at, next?))).unwrap();
            slot = next.unwrap();
            assert_eq!(page_scheduler.taken(), 1);
            order.push(waiting.remove(at).0);
        }
        order
    }

    fn all_wait(
        page_scheduler: &PageScheduler,
        slot_request: impl Iterator<Item = SlotRequest>,
    ) -> Vec<(SlotRequest, Waiting)> {
        let waiting = slot_request.map(|slot_request| {
            let mut waiting: Waiting = Box::pin(page_scheduler.slot(slot_request.clone()));
            assert!(waiting.as_mut().now_or_never().is_none());
            (slot_request, waiting)
        });
        waiting.collect()
    }

    /// One place, and none beyond: requests of all tenants wait for it.
    fn one_place() -> PageScheduler {
        PageScheduler(FairSemaphore::new(1))
    }

    #[test]
    fn turns_go_by_weight() {
        let page_scheduler = one_place();
        let held = now(&page_scheduler, "first");
        let all = [("a", 3), ("b", 1)].repeat(9).into_iter();
        let waiting = all_wait(&page_scheduler, all.map(|(tenant, weight)| slot_request(tenant, weight)));
        let order = order(&page_scheduler, held, waiting, |_| 0.0);
        assert_eq!(
            order.iter().take(8).filter(|slot_request| slot_request.tenant.as_str() == "a").count(),
            6,
            "{order:?}"
        );
    }

    #[test]
    fn what_ends_a_document_goes_before_other_pages() {
        let page_scheduler = one_place();
        let held = now(&page_scheduler, "a");
        // Told apart by their prices.
        let all = [(1.0, false), (2.0, false), (3.0, true), (4.0, true)].into_iter();
        let all = all.map(|(cost_ms, ends)| SlotRequest { cost_ms, ends, ..slot_request("a", 1) });
        let waiting = all_wait(&page_scheduler, all);
        let order = order(&page_scheduler, held, waiting, |_| 0.0);
        assert_eq!(
            order.iter().map(|slot_request| slot_request.cost_ms).collect::<Vec<_>>(),
            [3.0, 4.0, 1.0, 2.0]
        );
    }

    #[test]
    fn who_leaves_gives_its_position_up_and_a_turn_not_taken_goes_back() {
        let page_scheduler = PageScheduler::new(1);
        let held = now(&page_scheduler, "a");
        let leaves = wait(&page_scheduler, "a", 1);
        let mut stays = wait(&page_scheduler, "a", 1);
        drop(leaves);
        drop(held);
        let slot = stays.as_mut().now_or_never().unwrap().unwrap();
        let given_and_dropped = wait(&page_scheduler, "a", 1);
        drop(slot);
        assert_eq!(page_scheduler.taken(), 1, "given");
        drop(given_and_dropped);
        assert_eq!(page_scheduler.taken(), 0);
        assert!(page_scheduler.free(&"s".into(), PermitRequest::default()).is_some());
    }

    #[test]
    fn who_turns_out_to_cost_more_waits_longer() {
        let page_scheduler = one_place();
        let held = now(&page_scheduler, "first");
        let waiting = all_wait(
            &page_scheduler,
            ["letters", "posters"].repeat(110).into_iter().map(|tenant| slot_request(tenant, 1)),
        );
        // A letter costs what was expected, a poster ten times as much.
        let order =
            order(&page_scheduler, held, waiting, |tenant| if tenant == "posters" { 900.0 } else { 0.0 });
        let posters =
            order.iter().take(110).filter(|slot_request| slot_request.tenant.as_str() == "posters").count();
        assert!((9..=11).contains(&posters), "{posters}");
    }

    #[test]
    fn what_is_paid_later_counts() {
        let page_scheduler = one_place();
        let held = now(&page_scheduler, "a");
        held.account().charge(900.0);
        let waiting =
            all_wait(&page_scheduler, ["a", "b", "a"].into_iter().map(|tenant| slot_request(tenant, 1)));
        held.account().charge(-400.0);
        let order = order(&page_scheduler, held, waiting, |_| 0.0);
        let order: Vec<_> = order.iter().map(|slot_request| slot_request.tenant.as_str()).collect();
        assert_eq!(order, ["b", "a", "a"]);
    }

    #[test]
    fn nobody_has_more_than_its_own_places() {
        let page_scheduler = PageScheduler::new(4);
        let own = TenantLimits::new(1, 0).of_page(0);
        let slot_request = SlotRequest { own, ..slot_request("a", 1) };
        let first = page_scheduler.slot(slot_request.clone()).now_or_never().unwrap().unwrap();
        let mut second: Waiting = Box::pin(page_scheduler.slot(slot_request));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.as_mut().now_or_never().is_some());
    }
}
