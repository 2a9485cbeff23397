//! The limits of one tenant on its pages in progress: their number, and the bytes of their pixels and tensors.
//!
//! The bytes of a page's whole budget are reserved before the page begins: a page that has begun never waits for bytes,
//! so two pages cannot deadlock. The permits are taken before the page waits for a page slot, first come, first served;
//! the last call of a document goes first, like in the queue for page slots.

use lector_core::fair::{Charge, FairSemaphore, Order, Permit, Request};

/// Unit of the byte permits.
const MIB: u64 = 1 << 20;
/// Most permits of a semaphore: more than any machine has MiB.
const PERMITS_MAX: u64 = u32::MAX as u64;

/// A semaphore with one client: the tenant.
type Own = FairSemaphore<()>;

/// The limits of one tenant; `None` fields have no limit.
#[derive(Debug)]
pub struct TenantLimits {
    pages: Option<Own>,
    /// One permit per MiB.
    images: Option<Own>,
}

/// The permits that one page needs.
#[derive(Clone, Debug, Default)]
pub struct PermitRequest {
    page: Option<Own>,
    images: Option<(Own, usize)>,
}

/// The permits of one page, released on drop.
#[derive(Debug, Default)]
pub struct TenantPermits {
    _page: Option<Permit<()>>,
    _images: Option<Permit<()>>,
}

impl TenantLimits {
    /// Makes the limits; 0: no limit. A limit of bytes below 1 MiB counts as 1 MiB, the unit of the count.
    pub fn new(pages_max: u32, images_bytes_max: u64) -> Self {
        let semaphore =
            |most: u64| FairSemaphore::new(usize::try_from(most.min(PERMITS_MAX)).unwrap_or(usize::MAX));
        Self {
            pages: (pages_max > 0).then(|| semaphore(u64::from(pages_max))),
            images: (images_bytes_max > 0).then(|| semaphore(images_bytes_max / MIB)),
        }
    }

    /// Returns a request for a page that may hold `bytes`; a page that may hold more than the limit takes all permits.
    pub fn of_page(&self, bytes: u64) -> PermitRequest {
        let mib = usize::try_from(bytes.div_ceil(MIB).min(PERMITS_MAX)).unwrap_or(usize::MAX);
        let images = self.images.as_ref().map(|semaphore| (semaphore.clone(), mib.min(semaphore.total())));
        PermitRequest { page: self.pages.clone(), images }
    }
}

fn request(permits: usize, order: Order) -> Request<()> {
    Request { charge: Charge { client: (), weight: 1, cost_ms: 0.0 }, permits, order }
}

impl PermitRequest {
    /// Waits for the permits. `order`: the position among the tenant's own requests.
    pub async fn take(self, order: Order) -> TenantPermits {
        let page = match self.page {
            Some(pages) => Some(pages.acquire(request(1, order)).await),
            None => None,
        };
        let images = match self.images {
            Some((images, mib)) => Some(images.acquire(request(mib, order)).await),
            None => None,
        };
        TenantPermits { _page: page, _images: images }
    }

    /// Takes the permits if they are free now.
    pub fn try_take(self) -> Option<TenantPermits> {
        let page = match self.page {
            Some(pages) => Some(pages.try_acquire(request(1, Order::Arrival))?),
            None => None,
        };
        let images = match self.images {
            Some((images, mib)) => Some(images.try_acquire(request(mib, Order::Arrival))?),
            None => None,
        };
        Some(TenantPermits { _page: page, _images: images })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn pages_and_bytes_are_limited_independently() {
        let limits = TenantLimits::new(3, 100 * MIB);
        let small = || limits.of_page(10 * MIB).try_take();
        let large = || limits.of_page(90 * MIB).try_take();
        let held = (small().unwrap(), large().unwrap());
        assert!(small().is_none(), "all bytes are reserved");
        drop(held.1);
        let held = (held.0, small().unwrap(), small().unwrap());
        assert!(small().is_none(), "three pages");
        drop(held);
        // A request that fails for its bytes keeps no page permit.
        let whole = limits.of_page(u64::MAX).try_take().unwrap();
        for _ in 0..5 {
            assert!(small().is_none());
        }
        drop(whole);
        assert!(large().is_some());
    }

    #[test]
    fn without_limits_every_page_gets_permits() {
        let limits = TenantLimits::new(0, 0);
        let held: Vec<_> = (0..1000).map(|_| limits.of_page(u64::MAX).try_take().unwrap()).collect();
        assert_eq!(held.len(), 1000);
    }

    #[test]
    fn the_last_call_of_a_document_goes_first() {
        use futures::FutureExt;
        let limits = TenantLimits::new(1, 100 * MIB);
        let held = limits.of_page(60 * MIB).try_take().unwrap();
        let mut pages: Vec<_> =
            (0..3).map(|_| Box::pin(limits.of_page(60 * MIB).take(Order::Arrival))).collect();
        pages.iter_mut().for_each(|page| assert!(page.as_mut().now_or_never().is_none()));
        let mut summary = Box::pin(limits.of_page(60 * MIB).take(Order::First));
        assert!(summary.as_mut().now_or_never().is_none());
        drop(held);
        assert!(pages[0].as_mut().now_or_never().is_none());
        drop(summary.as_mut().now_or_never().expect("it came last and goes first"));
        assert!(pages[0].as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_limit_below_the_unit_is_a_limit() {
        let limits = TenantLimits::new(0, 1000);
        let held = limits.of_page(1).try_take().unwrap();
        assert!(limits.of_page(1).try_take().is_none());
        drop(held);
        assert!(limits.of_page(u64::MAX).try_take().is_some());
    }
}
