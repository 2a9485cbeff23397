//! The limits of one tenant on its pages in progress: their number, and the bytes of their pixels and tensors.
//!
//! A page reserves the bytes that it is expected to hold, before it begins; the whole of its budget where nothing is known
//! yet. The bytes that it really holds are counted as they are allocated ([`PageMemory`]). A page that needs more than it
//! reserved gets it ahead of pages that wait to begin, at last from an eighth of the limit that no page may reserve: a
//! page that has begun never waits for bytes, so two pages cannot deadlock. Where even that is in use, the allocation
//! fails as busy. The permits are taken before the page waits for a page slot, first come, first served; the last call of
//! a document goes first, like in the queue for page slots.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lector_core::fair::{Charge, FairSemaphore, Order, Permit, Request};
use lector_core::{Fault, HostMemory, Kind};

/// Unit of the byte permits.
const MIB: u64 = 1 << 20;
/// Most permits of a semaphore: more than any machine has MiB.
const PERMITS_MAX: u64 = u32::MAX as u64;
/// Part of the bytes that no page reserves before it begins: one in this many.
const UNRESERVED_PART: u64 = 8;

/// A semaphore with one client: the tenant.
type Own = FairSemaphore<()>;

/// The limits of one tenant; `None` fields have no limit.
#[derive(Debug)]
pub struct TenantLimits {
    pages: Option<Own>,
    images: Option<ImageBytes>,
}

/// The bytes of a tenant's images, with one permit per MiB.
#[derive(Clone, Debug)]
struct ImageBytes {
    reserved: Own,
    /// For pages that need more than they reserved.
    unreserved: Option<Own>,
}

/// The permits that one page needs.
#[derive(Clone, Debug, Default)]
pub struct PermitRequest {
    page: Option<Own>,
    images: Option<(ImageBytes, usize)>,
}

/// The permits of one page, released on drop.
#[derive(Debug, Default)]
pub struct TenantPermits {
    _page: Option<Permit<()>>,
    memory: Option<Arc<PageMemory>>,
}

/// The bytes that one page holds of its tenant's limit, released when the page and everything that it allocated is dropped.
#[derive(Debug)]
pub struct PageMemory {
    images: ImageBytes,
    held: Mutex<PageBytes>,
}

#[derive(Debug, Default)]
struct PageBytes {
    permits: Vec<Permit<()>>,
    /// Bytes of these permits.
    covered: u64,
    used: u64,
    peak: u64,
}

impl TenantLimits {
    /// Makes the limits; 0: no limit. A limit of bytes counts in whole MiB, rounded up.
    pub fn new(pages_max: u32, images_bytes_max: u64) -> Self {
        Self {
            pages: (pages_max > 0).then(|| semaphore(u64::from(pages_max))),
            images: (images_bytes_max > 0).then(|| {
                let mib = images_bytes_max.div_ceil(MIB);
                let unreserved = mib / UNRESERVED_PART;
                ImageBytes {
                    reserved: semaphore(mib - unreserved),
                    unreserved: (unreserved > 0).then(|| semaphore(unreserved)),
                }
            }),
        }
    }

    /// Returns a request for a page that is expected to hold `bytes`; a page that may hold more than can be reserved takes all
    /// of it.
    pub fn of_page(&self, bytes: u64) -> PermitRequest {
        let images = self.images.as_ref().map(|images| {
            let most = images.reserved.total();
            (images.clone(), permits_of(bytes).min(most))
        });
        PermitRequest { page: self.pages.clone(), images }
    }
}

impl TenantPermits {
    /// Returns the account of the page's bytes; `None`: the tenant has no limit.
    pub fn memory(&self) -> Option<&Arc<PageMemory>> {
        self.memory.as_ref()
    }
}

impl ImageBytes {
    /// Takes permits ahead of the pages that wait to begin; `None`: too few are free.
    fn ahead(&self, mib: usize) -> Option<Vec<Permit<()>>> {
        let take = |semaphore: &Own, permits| semaphore.try_acquire_ahead(request(permits, Order::Arrival));
        let first = mib.min(self.reserved.total().saturating_sub(self.reserved.taken()));
        let mut permits = vec![take(&self.reserved, first)?];
        if first < mib {
            permits.push(take(self.unreserved.as_ref()?, mib - first)?);
        }
        Some(permits)
    }
}

impl PageMemory {
    fn new(images: ImageBytes, permit: Permit<()>, mib: usize) -> Arc<Self> {
        let held = PageBytes { permits: vec![permit], covered: mib as u64 * MIB, ..PageBytes::default() };
        Arc::new(Self { images, held: Mutex::new(held) })
    }

    /// Returns the most bytes that the page held at once.
    pub fn peak(&self) -> u64 {
        self.held().peak
    }

    fn held(&self) -> MutexGuard<'_, PageBytes> {
        // A panic cannot leave these numbers inconsistent.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostMemory for PageMemory {
    fn take(&self, bytes: u64) -> Result<(), Fault> {
        let mut held = self.held();
        let used = held.used.saturating_add(bytes);
        if used > held.covered {
            let mib = permits_of(used - held.covered);
            held.permits.extend(self.images.ahead(mib).ok_or_else(images_exceeded)?);
            held.covered = held.covered.saturating_add(mib as u64 * MIB);
        }
        held.used = used;
        held.peak = held.peak.max(used);
        Ok(())
    }

    fn release(&self, bytes: u64) {
        let mut held = self.held();
        held.used = held.used.saturating_sub(bytes);
    }
}

fn images_exceeded() -> Fault {
    let message = "The pages of the tenant in progress hold all the bytes of pixels and tensors that it may hold \
                   (`limits.images_bytes_max`). Try again later, or request fewer pages at a time.";
    Fault::new(Kind::Busy, "tenant_images_exceeded", message).retry_after(Duration::from_secs(1))
}

fn semaphore(most: u64) -> Own {
    FairSemaphore::new(usize::try_from(most.min(PERMITS_MAX)).unwrap_or(usize::MAX))
}

fn permits_of(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(MIB).min(PERMITS_MAX)).unwrap_or(usize::MAX)
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
            Some((images, mib)) => {
                let permit = images.reserved.acquire(request(mib, order)).await;
                Some(PageMemory::new(images, permit, mib))
            }
            None => None,
        };
        TenantPermits { _page: page, memory: images }
    }

    /// Takes the permits if they are free now.
    pub fn try_take(self) -> Option<TenantPermits> {
        let page = match self.page {
            Some(pages) => Some(pages.try_acquire(request(1, Order::Arrival))?),
            None => None,
        };
        let images = match self.images {
            Some((images, mib)) => {
                let permit = images.reserved.try_acquire(request(mib, Order::Arrival))?;
                Some(PageMemory::new(images, permit, mib))
            }
            None => None,
        };
        Some(TenantPermits { _page: page, memory: images })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn pages_and_bytes_are_limited_independently() {
        // 105 MiB can be reserved.
        let limits = TenantLimits::new(3, 120 * MIB);
        let small = || limits.of_page(10 * MIB).try_take();
        let large = || limits.of_page(95 * MIB).try_take();
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

    /// Pages hold what they allocate. One that needs more than it reserved goes ahead of those that wait, and the sum stays
    /// within the limit.
    #[test]
    fn a_page_is_charged_for_the_bytes_that_it_holds() {
        use futures::FutureExt;
        let limits = TenantLimits::new(0, 80 * MIB);
        let pages: Vec<_> = (0..3).map(|_| limits.of_page(20 * MIB).try_take().unwrap()).collect();
        let [a, b, c] = [0, 1, 2].map(|at| pages[at].memory().unwrap().clone());
        let mut waits = Box::pin(limits.of_page(20 * MIB).take(Order::Arrival));
        assert!(waits.as_mut().now_or_never().is_none(), "60 of 70 MiB are reserved");
        for page in [&a, &b, &c] {
            page.take(20 * MIB).unwrap();
        }
        a.take(10 * MIB).unwrap();
        b.take(10 * MIB).unwrap();
        let full = c.take(1).unwrap_err();
        assert_eq!(
            (full.code, full.kind, full.blame),
            ("tenant_images_exceeded", Kind::Busy, lector_core::Blame::Host)
        );
        // Freed bytes are the page's own until it ends.
        b.release(25 * MIB);
        b.take(25 * MIB).unwrap();
        assert_eq!((a.peak(), b.peak(), c.peak()), (30 * MIB, 30 * MIB, 20 * MIB));
        drop((a, b));
        let mut pages = pages.into_iter();
        drop(pages.next());
        let _begun = waits.as_mut().now_or_never().expect("30 MiB were free");
        c.take(10 * MIB).unwrap();
        assert!(c.take(1).is_err());
        drop(pages.next());
        c.take(30 * MIB).unwrap();
    }

    #[test]
    fn a_page_alone_may_hold_all() {
        for mib in [1, 7, 8, 100] {
            let limits = TenantLimits::new(0, mib * MIB);
            let page = limits.of_page(u64::MAX).try_take().unwrap();
            page.memory().unwrap().take(mib * MIB).unwrap();
            assert!(page.memory().unwrap().take(1).is_err());
            drop(page);
            let small = limits.of_page(0).try_take().unwrap();
            for _ in 0..mib {
                small.memory().unwrap().take(MIB).unwrap();
            }
        }
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
