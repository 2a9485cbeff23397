//! A tenant's own bounds on what is read for it at once: pages, and bytes of their pixels and tensors.
//!
//! Bytes are set aside before a page begins, as many as its budget lets it hold: a page that has begun is never in want of
//! what another one took, and no two wait for each other. Taken before a page waits for its turn in the house.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// What bytes are counted in.
const MIB: u64 = 1 << 20;

/// The bounds of one tenant; none where it has none.
#[derive(Debug)]
pub struct TenantLimits {
    pages: Option<Arc<Semaphore>>,
    /// One permit a MiB, and how many there are.
    images: Option<(Arc<Semaphore>, u32)>,
}

/// What one page takes of them.
#[derive(Clone, Debug, Default)]
pub struct PermitRequest {
    page: Option<Arc<Semaphore>>,
    images: Option<(Arc<Semaphore>, u32)>,
}

/// It is taken, until dropped.
#[derive(Debug, Default)]
pub struct TenantPermits {
    _page: Option<OwnedSemaphorePermit>,
    _images: Option<OwnedSemaphorePermit>,
}

impl TenantLimits {
    /// 0: no bound.
    pub fn new(pages_max: u32, images_bytes_max: u64) -> Self {
        let semaphore = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        let images = u32::try_from(images_bytes_max / MIB).unwrap_or(u32::MAX);
        Self {
            pages: (pages_max > 0).then(|| semaphore(pages_max as usize)),
            images: (images_bytes_max > 0).then(|| (semaphore(images as usize), images)),
        }
    }

    /// What a page takes that may hold `bytes`; one that may hold more than there is takes all of it.
    pub fn of_page(&self, bytes: u64) -> PermitRequest {
        let images = self.images.as_ref().map(|(semaphore, most)| {
            let wanted = u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX);
            (semaphore.clone(), wanted.min(*most))
        });
        PermitRequest { page: self.pages.clone(), images }
    }
}

impl PermitRequest {
    /// Waits until it is there.
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

    /// Takes it if it is there now.
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
    fn pages_and_bytes_are_bounded_each_for_itself() {
        let places = TenantLimits::new(3, 100 * MIB);
        let small = || places.of_page(10 * MIB).try_take();
        let large = || places.of_page(90 * MIB).try_take();
        let held = (small().unwrap(), large().unwrap());
        assert!(small().is_none(), "the bytes are taken");
        drop(held.1);
        let held = (held.0, small().unwrap(), small().unwrap());
        assert!(small().is_none(), "three pages");
        drop(held);
        // Refused for its bytes it keeps no place either.
        let whole = places.of_page(u64::MAX).try_take().unwrap();
        for _ in 0..5 {
            assert!(small().is_none());
        }
        drop(whole);
        assert!(large().is_some());
    }

    #[test]
    fn without_bounds_there_is_nothing_to_take() {
        let places = TenantLimits::new(0, 0);
        let held: Vec<_> = (0..1000).map(|_| places.of_page(u64::MAX).try_take().unwrap()).collect();
        assert_eq!(held.len(), 1000);
    }
}
