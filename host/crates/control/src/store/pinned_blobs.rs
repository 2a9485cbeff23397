//! Blobs that no record names yet, and that must not be collected: components that a deploy is writing, and inputs of
//! jobs before their job is added.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;

/// The pinned blobs, with the number of their pins.
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

    /// Pins a blob. Call it before the blob is written, and drop the pin after the record that names it is committed.
    pub fn pin(self: &Arc<Self>, digest: Digest) -> BlobPin {
        *self.lock().entry(digest.clone()).or_default() += 1;
        BlobPin { blobs: self.clone(), digest }
    }

    /// Runs `delete` if the blob is not pinned. No pin begins meanwhile.
    pub(super) fn unless_pinned<T>(&self, digest: &Digest, delete: impl FnOnce() -> T) -> Option<T> {
        let pinned = self.lock();
        (!pinned.contains_key(digest)).then(delete)
    }
}

impl BlobPin {
    /// Returns the digest of the blob.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
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

/// What deletes a blob that no record names.
type Forget = Box<dyn FnOnce(Digest) + Send + Sync>;

/// A stored input of a job that is not added yet. If this is dropped before a job names the input, the input is deleted.
pub struct StagedBlob {
    digest: Digest,
    pin: Option<BlobPin>,
    forget: Option<Forget>,
}

impl std::fmt::Debug for StagedBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StagedBlob").field(&self.digest).finish()
    }
}

impl StagedBlob {
    /// Makes the handle of a pinned blob. `forget` deletes the blob unless a record names it, or another pin holds it.
    pub(super) fn new(pin: BlobPin, forget: impl FnOnce(Digest) + Send + Sync + 'static) -> Self {
        Self { digest: pin.digest.clone(), pin: Some(pin), forget: Some(Box::new(forget)) }
    }

    /// Returns the digest of the blob.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Ends the pin, and leaves the blob to the caller: a record names it, or the caller deletes it.
    pub(super) fn release(mut self) -> Digest {
        self.forget = None;
        self.digest.clone()
    }
}

impl Drop for StagedBlob {
    fn drop(&mut self) {
        // First the pin, which would keep the blob.
        self.pin = None;
        if let Some(forget) = self.forget.take() {
            forget(self.digest.clone());
        }
    }
}
