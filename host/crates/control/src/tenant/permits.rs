//! The limits of one tenant on its pages in progress: their number, and the bytes of their pixels and tensors.
//!
//! The bytes of a page's whole budget are reserved before the page begins: a page that has begun never waits for bytes,
//! so two pages cannot deadlock. The permits are taken before the page waits for a page slot.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Unit of the byte permits.
const MIB: u64 = 1 << 20;

/// The limits of one tenant; `None` fields have no limit.
#[derive(Debug)]
pub struct TenantLimits {
    pages: Option<Arc<Semaphore>>,
    /// Semaphore with one permit per MiB, and the number of permits.
    images: Option<(Arc<Semaphore>, u32)>,
}

/// The permits that one page needs.
#[derive(Clone, Debug, Default)]
pub struct PermitRequest {
    page: Option<Arc<Semaphore>>,
    images: Option<(Arc<Semaphore>, u32)>,
}

/// The permits of one page, released on drop.
#[derive(Debug, Default)]
pub struct TenantPermits {
    _page: Option<OwnedSemaphorePermit>,
    _images: Option<OwnedSemaphorePermit>,
}

impl TenantLimits {
    /// Makes the limits; 0: no limit.
    pub fn new(pages_max: u32, images_bytes_max: u64) -> Self {
        let semaphore = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        let images = u32::try_from(images_bytes_max / MIB).unwrap_or(u32::MAX);
        Self {
            pages: (pages_max > 0).then(|| semaphore(pages_max as usize)),
            images: (images_bytes_max > 0).then(|| (semaphore(images as usize), images)),
        }
    }

    /// Returns a request for a page that may hold `bytes`; a page that may hold more than the limit takes all permits.
    pub fn of_page(&self, bytes: u64) -> PermitRequest {
        let images = self.images.as_ref().map(|(semaphore, most)| {
            let wanted = u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX);
            (semaphore.clone(), wanted.min(*most))
        });
        PermitRequest { page: self.pages.clone(), images }
    }
}

impl PermitRequest {
    /// Waits for the permits.
    pub async fn take(self) -> Result<TenantPermits, AcquireError> {
        let page = match self.page {
            Some(pages) => Some(pages.acquire_owned().await?),
            None => None,
        };
        let images = match self.images {
            Some((images, mib)) => Some(images.acquire_many_owned(mib).await?),
            None => None,
        };
        Ok(TenantPermits { _page: page, _images: images })
    }

    /// Takes the permits if they are free now.
    pub fn try_take(self) -> Option<TenantPermits> {
        let page = match self.page {
            Some(pages) => Some(pages.try_acquire_owned().ok()?),
            None => None,
        };
        let images = match self.images {
            Some((images, mib)) => Some(images.try_acquire_many_owned(mib).ok()?),
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
        let places = TenantLimits::new(3, 100 * MIB);
        let small = || places.of_page(10 * MIB).try_take();
        let large = || places.of_page(90 * MIB).try_take();
        let held = (small().unwrap(), large().unwrap());
        assert!(small().is_none(), "all bytes are reserved");
        drop(held.1);
        let held = (held.0, small().unwrap(), small().unwrap());
        assert!(small().is_none(), "three pages");
        drop(held);
        // A request that fails for its bytes keeps no page permit.
        let whole = places.of_page(u64::MAX).try_take().unwrap();
        for _ in 0..5 {
            assert!(small().is_none());
        }
        drop(whole);
        assert!(large().is_some());
    }

    #[test]
    fn without_limits_every_page_gets_permits() {
        let places = TenantLimits::new(0, 0);
        let held: Vec<_> = (0..1000).map(|_| places.of_page(u64::MAX).try_take().unwrap()).collect();
        assert_eq!(held.len(), 1000);
    }
}
