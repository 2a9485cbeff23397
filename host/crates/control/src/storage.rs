//! The storage of tenants: the limits on the revisions and components that a tenant keeps, and the components that no
//! collection may delete.
//!
//! Owns the measurement, and the order of a collection beside the deploys that name components. Independent of the store's
//! form. Called by deploys.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lector_core::{Fault, Kind, TenantName};
use tokio::sync::Notify;

use crate::digest::Digest;
use crate::directory::Directory;
use crate::revision::WrappedRevision;
use crate::store::{BlobPin, PinnedBlobs};
use crate::tenant::Limits;

/// The most that a tenant keeps in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageLimits {
    /// Revisions of all its deployments.
    pub revisions: u64,
    /// Bytes of their components and settings, and of those that they wrap, which are stored as long as they are. A
    /// component of several revisions counts once, whichever tenant deployed it.
    pub bytes: u64,
}

/// The parts of a revision that the tenant would add.
#[derive(Clone, Copy)]
pub(crate) struct NewRevision<'a> {
    pub(crate) component: &'a Digest,
    pub(crate) component_bytes: u64,
    /// With the settings of the stages that it wraps.
    pub(crate) settings_bytes: u64,
    pub(crate) wraps: Option<&'a WrappedRevision>,
}

/// What a tenant keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stored {
    revisions: u64,
    bytes: u64,
}

impl StorageLimits {
    /// Returns the limits of a tenant: its own, and these where it has none.
    fn of(self, limits: &Limits) -> Self {
        let own = |own: u64, default: u64| if own == 0 { default } else { own };
        Self {
            revisions: own(u64::from(limits.revisions_max), self.revisions),
            bytes: own(limits.stored_bytes_max, self.bytes),
        }
    }

    /// Checks that the tenant may add a revision. Fault: `tenant_storage_exceeded`.
    pub(crate) fn check(
        self,
        directory: &Directory,
        tenant: &TenantName,
        limits: &Limits,
        new: NewRevision<'_>,
    ) -> Result<(), Fault> {
        let most = self.of(limits);
        let mut components: BTreeMap<&Digest, u64> = BTreeMap::from([(new.component, new.component_bytes)]);
        let stages = new.wraps.into_iter().flat_map(WrappedRevision::stages);
        components.extend(stages.map(|stage| (&stage.component, stage.component_bytes)));
        let mut stored = Stored { revisions: 1, bytes: new.settings_bytes };
        for revision in directory.owned(tenant).flat_map(|deployment| deployment.revisions.values()) {
            components.insert(&revision.component, revision.component_bytes);
            // Deleting the wrapped deployment, or its tenant, leaves the component to this revision.
            components
                .extend(revision.wrapped_stages().map(|stage| (&stage.component, stage.component_bytes)));
            stored.revisions += 1;
            stored.bytes = stored.bytes.saturating_add(revision.settings_bytes());
        }
        stored.bytes = components.values().fold(stored.bytes, |sum, bytes| sum.saturating_add(*bytes));
        let exceeded = |what: &str, value: u64, most: u64, key: &str| {
            let message = format!(
                "With this revision the tenant would keep {value} {what}, and its limit is {most} (`limits.{key}`): \
                 delete deployments that are not needed, or ask an administrator for a higher limit."
            );
            Err(Fault::new(Kind::Conflict, "tenant_storage_exceeded", message))
        };
        if stored.revisions > most.revisions {
            return exceeded("revisions", stored.revisions, most.revisions, "revisions_max");
        }
        if stored.bytes > most.bytes {
            let what = "bytes of components and settings";
            return exceeded(what, stored.bytes, most.bytes, "stored_bytes_max");
        }
        Ok(())
    }
}

/// The collection of components that no revision names. It runs beside the commits, which may name a component after the
/// collection has read the names: a pin that ends during a collection is kept until the collection has ended.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    /// Whether there may be components to delete. Not at the start, which has deleted them.
    due: AtomicBool,
    /// Starts a collection.
    pub(crate) notify: Arc<Notify>,
    /// The components that deploys are about to name.
    pub(crate) pinned: Arc<PinnedBlobs>,
    /// The pins that ended during the collection in progress; `None`: none is in progress.
    ended: Mutex<Option<Vec<BlobPin>>>,
}

/// Pins of the components that a deploy is about to name. They end after the commit.
#[derive(Debug)]
pub(crate) struct ComponentPins {
    collection: Arc<Collection>,
    pins: Vec<BlobPin>,
}

impl Collection {
    /// Notes that revisions were deleted: the collection begins at once.
    pub(crate) fn deleted(&self) {
        self.due.store(true, Relaxed);
        self.notify.notify_one();
    }

    /// Notes that a component is written: if its deploy fails, the next periodic collection deletes it.
    pub(crate) fn written(&self) {
        self.due.store(true, Relaxed);
    }

    /// Begins a collection if one is due, and returns whether it does. The caller reads the names afterwards.
    pub(crate) fn begin(&self) -> bool {
        let due = self.due.swap(false, Relaxed);
        if due {
            self.ended().get_or_insert_default();
        }
        due
    }

    /// Ends the collection in progress. A collection that is dropped before does not end: its deletions may go on.
    pub(crate) fn end(&self) {
        let pins = self.ended().take();
        // Outside of the lock.
        drop(pins);
    }

    /// Returns pins of the components of the stages that a new revision wraps.
    pub(crate) fn pins(self: &Arc<Self>, wraps: Option<&WrappedRevision>) -> ComponentPins {
        let mut pins = ComponentPins { collection: self.clone(), pins: Vec::new() };
        wraps.into_iter().flat_map(WrappedRevision::stages).for_each(|stage| pins.add(&stage.component));
        pins
    }

    fn ended(&self) -> MutexGuard<'_, Option<Vec<BlobPin>>> {
        // The list is consistent at every panic.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ComponentPins {
    /// Pins a component. A component that was there before may be deleted until then: the caller writes or reads it
    /// afterwards.
    pub(crate) fn add(&mut self, component: &Digest) {
        self.pins.push(self.collection.pinned.pin(component.clone()));
    }
}

impl Drop for ComponentPins {
    fn drop(&mut self) {
        let mut pins = std::mem::take(&mut self.pins);
        if let Some(ended) = &mut *self.collection.ended() {
            ended.append(&mut pins);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::store::{SqliteStore, Store};

    /// A commit that ends during a collection may name a component that the collection did not find among the names.
    #[tokio::test]
    async fn a_pin_that_ends_during_a_collection_holds_until_its_end() {
        let store = SqliteStore::in_memory().unwrap();
        let collection = Arc::new(Collection::default());
        let written = async |text: &str| {
            let bytes = Arc::new(text.as_bytes().to_vec());
            let mut pins = collection.pins(None);
            pins.add(&Digest::of(&bytes));
            store.put_blob(bytes).await.unwrap();
            pins
        };
        let collect = async || store.collect(Some(collection.pinned.clone())).await.unwrap().unnamed;
        let before = written("before").await;
        drop(before);
        assert!(!collection.begin(), "nothing is due");
        collection.written();
        assert!(collection.begin());
        let during = written("during").await;
        drop(during);
        assert_eq!(collect().await, 1, "the one whose pin had ended before");
        collection.end();
        assert_eq!(collect().await, 1, "no revision was committed");
    }
}
