//! The page scheduler: limits the guest calls in flight, and gives page slots out fairly between tenants, and between
//! the documents of each tenant.
//!
//! A fair semaphore ([`lector_core::fair`]): the next slot goes to the tenant with the least work done in proportion to
//! its weight. A page is charged its predicted cost when it gets its slot, and the charge is corrected as more is known
//! of the page. A tenant's own pages are served first come, first served, and **each document waits with at most one
//! page at a time** (its next page; see `pages.rs`). A document that got a slot goes to the end of the queue, so the
//! page of a 1-page document waits for at most one page of each other document of the tenant, however long those
//! documents are.
//!
//! A tenant without a page in flight, or with fewer pages than another tenant even after this one, gets a slot beyond
//! the limit, as long as there are fewer extra slots than regular ones. Otherwise it would wait for the pages of a
//! tenant that filled all slots before.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use lector_control::{PageMemory, PermitRequest, TenantPermits};
use lector_core::TenantName;
use lector_core::fair::{Charge, FairSemaphore, Order, Permit, Request};
use tokio::sync::Notify;

/// Pages of the tenant's other documents that go before a page that is read in the background, at most.
const BACKGROUND_BEHIND: u32 = 64;

/// The page slots.
#[derive(Clone, Debug)]
pub(crate) struct PageScheduler {
    slots: FairSemaphore,
    /// Notified when a slot, or a permit of a tenant's own limits, is free.
    freed: Arc<Notify>,
}

/// Notifies on drop.
#[derive(Debug)]
struct NotifyFreed(Arc<Notify>);

impl Drop for NotifyFreed {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

/// A request for a page slot.
#[derive(Clone, Debug)]
pub(crate) struct SlotRequest {
    pub(crate) tenant: TenantName,
    /// The tenant's weight, relative to those of others.
    pub(crate) weight: u32,
    /// Predicted cost of the page, in milliseconds of work.
    pub(crate) cost_ms: f64,
    /// Whether a document ends with this call. Such a call goes before the tenant's other ones; otherwise every
    /// document would wait for all pages that came after its own, and would hold its memory for that time.
    pub(crate) ends: bool,
    /// Whether the document is read in the background: its pages let pages of the tenant's other documents go first.
    pub(crate) background: bool,
    /// The permits that it needs from the tenant's own limits.
    pub(crate) own: PermitRequest,
}

/// The right to run one guest call, released on drop.
#[derive(Debug)]
pub(crate) struct PageSlot {
    permit: Permit,
    /// Permits of the tenant's own limits.
    own: TenantPermits,
    /// The last field: it is dropped when the permits are free.
    _freed: NotifyFreed,
}

impl PageSlot {
    /// Returns the cost charged for the slot.
    pub(crate) fn cost_ms(&self) -> f64 {
        self.permit.charge().cost_ms
    }

    /// Returns the account of the bytes that the page holds; `None`: the tenant has no limit.
    pub(crate) fn memory(&self) -> Option<&Arc<PageMemory>> {
        self.own.memory()
    }

    /// Returns the account for later corrections of the charge.
    pub(crate) fn account(&self) -> SlotAccount {
        let Charge { client, weight, .. } = self.permit.charge().clone();
        SlotAccount { slots: self.permit.semaphore().clone(), tenant: client, weight }
    }
}

/// The account that a slot is charged to.
#[derive(Clone, Debug)]
pub(crate) struct SlotAccount {
    slots: FairSemaphore,
    tenant: TenantName,
    weight: u32,
}

impl SlotAccount {
    /// Charges `more_ms` in addition; a negative value is refunded.
    pub(crate) fn charge(&self, more_ms: f64) {
        self.slots.correct(&self.tenant, self.weight, more_ms);
    }
}

impl PageScheduler {
    pub(crate) fn new(most: usize) -> Self {
        Self { slots: FairSemaphore::with_extra(most, most), freed: Arc::default() }
    }

    /// Waits for a slot, after the permits of the tenant's own limits. The future keeps its position in the queue;
    /// dropping it gives the position up.
    pub(crate) fn slot(&self, slot_request: SlotRequest) -> impl Future<Output = PageSlot> + Send + use<> {
        let (slots, freed) = (self.slots.clone(), NotifyFreed(self.freed.clone()));
        async move {
            // Dropped after the permits if this future is dropped.
            let freed = freed;
            let SlotRequest { tenant, weight, cost_ms, ends, background, own } = slot_request;
            let order = match (ends, background) {
                (true, _) => Order::First,
                (false, true) => Order::Behind(BACKGROUND_BEHIND),
                (false, false) => Order::Arrival,
            };
            let own = own.take(order).await;
            let permit = slots.acquire(Request { order, ..Request::one(tenant, weight, cost_ms) }).await;
            PageSlot { permit, own, _freed: freed }
        }
    }

    /// Takes a slot and the permits of the tenant's own limits, if both are free and there is no waiting request.
    pub(crate) fn free(&self, tenant: &TenantName, own: PermitRequest) -> Option<PageSlot> {
        let own = own.try_take()?;
        let permit = self.slots.try_acquire(Request::one(tenant.clone(), 1, 0.0))?;
        Some(PageSlot { permit, own, _freed: NotifyFreed(self.freed.clone()) })
    }

    /// Waits until [`free`](Self::free) returns a slot.
    pub(crate) async fn wait_free(&self, tenant: &TenantName, own: PermitRequest) -> PageSlot {
        loop {
            // Registered before the check, so that no notification is lost between the check and the wait.
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(slot) = self.free(tenant, own.clone()) {
                return slot;
            }
            freed.await;
        }
    }

    /// Returns the number of slots.
    pub(crate) fn most(&self) -> usize {
        self.slots.total()
    }

    /// Returns the number of slots in use.
    pub(crate) fn taken(&self) -> usize {
        self.slots.taken()
    }

    /// Returns the slots in use and the requests that wait for one, by tenant.
    pub(crate) fn by_tenant(&self) -> (BTreeMap<TenantName, usize>, BTreeMap<TenantName, usize>) {
        self.slots.by_client()
    }

    /// Returns the number of waiting requests.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.slots.waiting()
    }
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
            background: false,
            own: PermitRequest::default(),
        }
    }

    type Waiting = std::pin::Pin<Box<dyn Future<Output = PageSlot> + Send>>;

    /// Returns a waiting request; polled once, so that it has its position.
    fn wait(page_scheduler: &PageScheduler, tenant: &str, weight: u32) -> Waiting {
        let mut waiting: Waiting = Box::pin(page_scheduler.slot(slot_request(tenant, weight)));
        assert!(waiting.as_mut().now_or_never().is_none(), "{tenant} did not wait");
        waiting
    }

    fn now(page_scheduler: &PageScheduler, tenant: &str) -> PageSlot {
        page_scheduler.slot(slot_request(tenant, 1)).now_or_never().unwrap()
    }

    #[test]
    fn a_new_tenant_does_not_wait_for_earlier_tenants() {
        let page_scheduler = PageScheduler::new(2);
        let held = [now(&page_scheduler, "a"), now(&page_scheduler, "a")];
        let mut own: Vec<Waiting> = (0..3).map(|_| wait(&page_scheduler, "a", 1)).collect();
        let b = now(&page_scheduler, "b");
        let second_of_b = wait(&page_scheduler, "b", 1);
        let c = now(&page_scheduler, "c");
        // The extra slots are as many as the regular ones.
        let mut d = wait(&page_scheduler, "d", 1);
        assert_eq!(page_scheduler.taken(), 4);
        drop(c);
        assert!(d.as_mut().now_or_never().is_some());
        drop((b, second_of_b, held));
        assert!(own[0].as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_page_in_the_background_lets_later_pages_of_its_tenant_go_first() {
        let page_scheduler = PageScheduler::new(1);
        let held = now(&page_scheduler, "a");
        let request = SlotRequest { background: true, ..slot_request("a", 1) };
        let mut background: Waiting = Box::pin(page_scheduler.slot(request));
        assert!(background.as_mut().now_or_never().is_none());
        let mut later = wait(&page_scheduler, "a", 1);
        drop(held);
        let slot = later.as_mut().now_or_never().expect("the later page goes first");
        assert!(background.as_mut().now_or_never().is_none());
        drop(slot);
        assert!(background.as_mut().now_or_never().is_some());
        // It does not wait for ever.
        let held = now(&page_scheduler, "a");
        let request = SlotRequest { background: true, ..slot_request("a", 1) };
        let mut background: Waiting = Box::pin(page_scheduler.slot(request));
        assert!(background.as_mut().now_or_never().is_none());
        let mut later: Vec<Waiting> =
            (0..=BACKGROUND_BEHIND).map(|_| wait(&page_scheduler, "a", 1)).collect();
        drop(held);
        for waiting in later.iter_mut().take(BACKGROUND_BEHIND as usize) {
            drop(waiting.as_mut().now_or_never().expect("pages that came within the bound"));
        }
        assert!(background.as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_tenant_with_fewer_pages_does_not_wait_for_another() {
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

    #[test]
    fn a_wait_for_a_free_slot_ends_with_the_slot_that_frees_it() {
        let page_scheduler = PageScheduler::new(1);
        let held = now(&page_scheduler, "a");
        let shadow = "shadow".into();
        let mut free = Box::pin(page_scheduler.wait_free(&shadow, PermitRequest::default()));
        assert!(free.as_mut().now_or_never().is_none());
        drop(held);
        let slot = free.as_mut().now_or_never().expect("the slot is free");
        drop(slot);
        // A permit of the tenant's own limits becomes free with the request that took it, slot or not.
        let limits = TenantLimits::new(1, 0);
        let others: Vec<PageSlot> = ["b", "c"].map(|tenant| now(&page_scheduler, tenant)).into();
        let request = SlotRequest { own: limits.of_page(0), ..slot_request("b", 1) };
        let mut waiting: Waiting = Box::pin(page_scheduler.slot(request));
        assert!(waiting.as_mut().now_or_never().is_none());
        let mut free = Box::pin(page_scheduler.wait_free(&shadow, limits.of_page(0)));
        assert!(free.as_mut().now_or_never().is_none());
        drop(others);
        assert!(free.as_mut().now_or_never().is_none(), "the waiting request has the slot and the permit");
        drop(waiting);
        assert!(free.as_mut().now_or_never().is_some());
    }

    /// Returns the tenants of waiting requests in the order in which they get the only slot; `charge` is charged in
    /// addition.
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
            slot = next;
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

    /// Makes a scheduler with one slot and without extra slots: requests of all tenants wait for it.
    fn one_slot() -> PageScheduler {
        PageScheduler { slots: FairSemaphore::new(1), freed: Arc::default() }
    }

    #[test]
    fn slots_go_by_weight() {
        let page_scheduler = one_slot();
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
    fn the_last_call_of_a_document_goes_before_other_pages() {
        let page_scheduler = one_slot();
        let held = now(&page_scheduler, "a");
        // The costs identify the requests.
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
    fn a_dropped_request_leaves_the_queue_and_an_unused_slot_is_released() {
        let page_scheduler = PageScheduler::new(1);
        let held = now(&page_scheduler, "a");
        let leaves = wait(&page_scheduler, "a", 1);
        let mut stays = wait(&page_scheduler, "a", 1);
        drop(leaves);
        drop(held);
        let slot = stays.as_mut().now_or_never().unwrap();
        let given_and_dropped = wait(&page_scheduler, "a", 1);
        drop(slot);
        assert_eq!(page_scheduler.taken(), 1, "given");
        drop(given_and_dropped);
        assert_eq!(page_scheduler.taken(), 0);
        assert!(page_scheduler.free(&"s".into(), PermitRequest::default()).is_some());
    }

    #[test]
    fn a_tenant_with_more_expensive_pages_waits_longer() {
        let page_scheduler = one_slot();
        let held = now(&page_scheduler, "first");
        let waiting = all_wait(
            &page_scheduler,
            ["letters", "posters"].repeat(110).into_iter().map(|tenant| slot_request(tenant, 1)),
        );
        // A letter costs as much as predicted, a poster ten times as much.
        let order =
            order(&page_scheduler, held, waiting, |tenant| if tenant == "posters" { 900.0 } else { 0.0 });
        let posters =
            order.iter().take(110).filter(|slot_request| slot_request.tenant.as_str() == "posters").count();
        assert!((9..=11).contains(&posters), "{posters}");
    }

    #[test]
    fn later_charges_count() {
        let page_scheduler = one_slot();
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
    fn a_tenant_has_no_more_slots_than_its_limit() {
        let page_scheduler = PageScheduler::new(4);
        let own = TenantLimits::new(1, 0).of_page(0);
        let slot_request = SlotRequest { own, ..slot_request("a", 1) };
        let first = page_scheduler.slot(slot_request.clone()).now_or_never().unwrap();
        let mut second: Waiting = Box::pin(page_scheduler.slot(slot_request));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_summary_goes_first_for_a_tenant_with_a_limit() {
        let page_scheduler = PageScheduler::new(4);
        let limits = TenantLimits::new(1, 0);
        let request = |ends| SlotRequest { own: limits.of_page(0), ends, ..slot_request("a", 1) };
        let held = page_scheduler.slot(request(false)).now_or_never().unwrap();
        let mut page: Waiting = Box::pin(page_scheduler.slot(request(false)));
        assert!(page.as_mut().now_or_never().is_none());
        let mut summary: Waiting = Box::pin(page_scheduler.slot(request(true)));
        assert!(summary.as_mut().now_or_never().is_none());
        drop(held);
        assert!(page.as_mut().now_or_never().is_none());
        drop(summary.as_mut().now_or_never().unwrap());
        assert!(page.as_mut().now_or_never().is_some());
    }
}
