//! Components that a deploy is writing: no revision names them yet, and they must not be collected.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;

/// The pinned components, with the number of their pins.
#[derive(Debug, Default)]
pub struct PinnedBlobs(Mutex<BTreeMap<Digest, usize>>);

/// A pin, which ends when it is dropped.
#[derive(Debug)]
pub struct BlobPin {
    blobs: Arc<PinnedBlobs>,
    digest: Digest,
}

impl PinnedBlobs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, usize>> {
        // The map is consistent at every panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pins a component. Call it before the component is written, and drop the pin after its revision is committed.
    pub fn pin(self: &Arc<Self>, digest: Digest) -> BlobPin {
        *self.lock().entry(digest.clone()).or_default() += 1;
        BlobPin { blobs: self.clone(), digest }
    }

    /// Runs `delete` if the component is not pinned. No pin begins meanwhile.
    pub(super) fn unless_pinned<T>(&self, digest: &Digest, delete: impl FnOnce() -> T) -> Option<T> {
        let pinned = self.lock();
        (!pinned.contains_key(digest)).then(delete)
    }
}

impl Drop for BlobPin {
    fn drop(&mut self) {
        let mut pinned = self.blobs.lock();
        if let Some(pins) = pinned.get_mut(&self.digest) {
            *pins -= 1;
            if *pins == 0 {
                pinned.remove(&self.digest);
            }
        }
    }
}
