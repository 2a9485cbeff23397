//! The storage of tenants: the limits on the revisions and components that a tenant keeps, and whether components are due
//! for collection.
//!
//! Owns the measurement. Independent of the store's form. Called by deploys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lector_core::{Fault, Kind, TenantName};
use tokio::sync::Notify;

use crate::digest::Digest;
use crate::directory::Directory;
use crate::revision::WrappedRevision;
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

/// Whether the store may have components that no revision names. Not at the start, which has deleted them.
#[derive(Debug, Default)]
pub(crate) struct CollectionDue {
    due: AtomicBool,
    /// Starts a collection.
    pub(crate) notify: Arc<Notify>,
}

impl CollectionDue {
    /// Notes that revisions were deleted: the collection begins at once.
    pub(crate) fn deleted(&self) {
        self.due.store(true, Relaxed);
        self.notify.notify_one();
    }

    /// Returns whether a collection is due, and begins it.
    pub(crate) fn take(&self) -> bool {
        self.due.swap(false, Relaxed)
    }

    /// Notes that a component is written: if its deploy fails, the next periodic collection deletes it.
    pub(crate) fn written(&self) {
        self.due.store(true, Relaxed);
    }
}
