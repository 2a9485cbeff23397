//! The store: tenants, keys, revisions, routes, the audit log, usage, components.
//!
//! Owns the port [`Store`] and its records. Independent of their meaning. No request calls the store: requests read the
//! snapshot in `directory.rs`, which is built from these records at the start and updated by each mutation
//! (`mutations.rs`). One contract suite (`contract.rs`) tests every implementation.

pub mod backup;
mod blobs;
#[cfg(test)]
mod contract;
mod damage;
/// Damage of a data folder, for tests.
#[cfg(any(test, feature = "testing"))]
#[allow(missing_docs)]
pub mod damaging;
mod error;
pub mod jobs;
mod pinned_blobs;
mod reserve;
mod sqlite;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use lector_core::{DeploymentName, TenantName};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::key::{KeyId, KeyRecord};
use crate::revision::RevisionRecord;
use crate::route::RouteRecord;
use crate::tenant::TenantRecord;
use crate::usage_counters::UsageCounts;

pub use damage::{DamagedRow, Readable, Table};
pub use error::StoreError;
pub use pinned_blobs::{BlobPin, PinnedBlobs, StagedBlob};
pub use sqlite::{SqliteJobStore, SqliteStore};

/// Opens a store, and waits for at most `wait` where another process holds its folder: a server that is being replaced
/// ends soon.
pub async fn when_free<T>(
    wait: Duration,
    mut open: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let until = Instant::now() + wait;
    loop {
        match open() {
            Err(StoreError::InUse { .. }) if Instant::now() < until => {
                tokio::time::sleep(LOOK_INTERVAL).await
            }
            opened => return opened,
        }
    }
}

/// Interval of the looks at a lock that another process holds.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The answer of a store; it comes when the change is durable.
pub type Stored<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A store of records.
pub trait Store: Send + Sync + 'static {
    /// Loads all records that a start needs, and lists the unreadable rows. A damaged row does not prevent the other
    /// rows from being read, and is not changed.
    fn load(&self) -> Stored<'_, Records>;
    /// Makes all changes and writes their audit entry, or changes nothing. Durable when it returns the number of the
    /// entry.
    ///
    /// Fails with [`StoreError::Conflict`] if a revision exists already, or if a route's version is not that of the
    /// stored route plus 1 (a new route begins at 1).
    fn commit(&self, action: ChangeSet) -> Stored<'_, u64>;
    /// Returns entries of the audit log, newest first. At least the newest [`AUDIT_ENTRIES_MAX`] of each tenant, and of
    /// the host, are kept.
    fn audit(&self, query: AuditQuery) -> Stored<'_, Readable<AuditEntry>>;
    /// Adds to the counts of (tenant, day), once for each `flush`: repeating a flush changes nothing, so that a flush
    /// with a lost answer can be repeated. The newest [`FLUSHES_KEPT`] are remembered.
    fn add_usage(&self, flush: FlushId, rows: Vec<UsageRow>) -> Stored<'_, ()>;
    /// Returns counts by tenant and day, in that order.
    fn usage(&self, query: UsageQuery) -> Stored<'_, Readable<UsageRow>>;
    /// Stores bytes under their digest, and repairs a damaged blob.
    fn put_blob(&self, bytes: Arc<Vec<u8>>) -> Stored<'_, Digest>;
    /// Returns the bytes with that digest, verified; `None` if there are none.
    fn blob(&self, digest: Digest) -> Stored<'_, Option<Vec<u8>>>;
    /// Deletes blobs that no revision names; deletes no blob while a damaged row hides the name of its blob. `pinned`:
    /// blobs that are kept in any case; the caller excludes commits meanwhile. `None`: at the start, before any write;
    /// then unfinished files of a crash are deleted, too.
    fn collect(&self, pinned: Option<Arc<PinnedBlobs>>) -> Stored<'_, Collected>;
}

/// Flushes that a store remembers, at least. A flush is repeated until it is confirmed, and the next one follows only
/// then.
pub const FLUSHES_KEPT: u32 = 16;

/// The unique id of one usage flush.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushId(pub String);

/// All records except audit, usage and blobs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// Tenants, by name.
    pub tenants: Vec<TenantRecord>,
    /// Keys, by id.
    pub keys: Vec<KeyRecord>,
    /// Revisions, by tenant, deployment, number.
    pub revisions: Vec<RevisionRecord>,
    /// Routes, by tenant and deployment.
    pub routes: Vec<RouteRecord>,
    /// Unreadable rows of all these tables.
    pub damaged: Vec<DamagedRow>,
}

/// A change of one record.
#[derive(Clone, Debug)]
pub enum Change {
    /// Writes a tenant, new or changed.
    PutTenant(TenantRecord),
    /// Deletes a tenant with its keys, revisions, routes. Usage and audit stay.
    DeleteTenant(TenantName),
    /// Writes a key, new or changed.
    PutKey(KeyRecord),
    /// Deletes the row of a key.
    DropKey(KeyId),
    /// Writes a new revision.
    PutRevision(RevisionRecord),
    /// Deletes a revision.
    DeleteRevision(TenantName, DeploymentName, u32),
    /// Writes the route of a deployment at its next version.
    PutRoute(RouteRecord),
    /// Deletes the route and all revisions of a deployment.
    DeleteDeployment(TenantName, DeploymentName),
}

impl Change {
    /// Returns whether the change may delete revisions.
    pub(crate) fn deletes_revisions(&self) -> bool {
        matches!(self, Self::DeleteTenant(_) | Self::DeleteRevision(..) | Self::DeleteDeployment(..))
    }
}

/// Changes that are committed together, with their audit entry.
#[derive(Clone, Debug)]
pub struct ChangeSet {
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// The audit entry.
    pub entry: AuditEntry,
}

/// Actions that an operator needs on a full disk: they take rights or load away, or free space.
const URGENT: [&str; 9] = [
    "auto_rollback",
    "deployment_delete",
    "key_drop_damaged",
    "key_revoke",
    "key_rotate",
    "promote",
    "rollback",
    "tenant_delete",
    "tenant_update",
];

impl ChangeSet {
    /// Returns whether the changes may use the disk space in reserve.
    pub(crate) fn is_urgent(&self) -> bool {
        URGENT.contains(&self.entry.action.as_str())
    }
}

/// Most audit entries of one tenant, and of the host; older ones are deleted. The server's log has every entry, too.
pub const AUDIT_ENTRIES_MAX: u32 = 10_000;

/// An entry of the audit log: actor, action, time, and the state before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Sequence number, assigned by the store, which ignores the value in a commit.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Owner of the changed object; `None`: the host (administrator keys).
    pub tenant: Option<TenantName>,
    /// Id of the key, or `open`, `config`, `rollback_policy`, `cli`.
    pub actor: String,
    /// `promote`, `key_create`, ...
    pub action: String,
    /// Name of the deployment, id of the key, name of the tenant.
    pub target: String,
    /// The state before.
    pub from: serde_json::Value,
    /// The state after.
    pub to: serde_json::Value,
    /// Id of the request, if there was one.
    pub request: Option<String>,
}

/// A query of the audit log.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only entries of this tenant.
    pub tenant: Option<TenantName>,
    /// Only entries before this number.
    pub before: Option<u64>,
    /// Most entries to return.
    pub limit: u32,
}

/// The usage of a tenant on one day (UTC).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// The tenant.
    pub tenant: TenantName,
    /// Days since 1970-01-01, UTC.
    pub day: u32,
    /// The counts.
    #[serde(flatten)]
    pub counts: UsageCounts,
}

/// A query of usage.
#[derive(Clone, Debug, Default)]
pub struct UsageQuery {
    /// Only rows of this tenant.
    pub tenant: Option<TenantName>,
    /// Days since 1970, first and last.
    pub days: (u32, u32),
}

/// The result of [`Store::collect`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Deleted unfinished files.
    pub unfinished: usize,
    /// Deleted blobs that no revision named.
    pub unnamed: usize,
}

/// Returns the id and the owner of a key record: the store finds keys by id alone.
pub(crate) fn key_row(record: &KeyRecord) -> (&KeyId, Option<&TenantName>) {
    (&record.id, record.scope.tenant())
}

impl DamagedRow {
    /// Returns whether `change` replaces or deletes the row.
    pub(crate) fn is_ended_by(&self, change: &Change) -> bool {
        let of = |tenant: &TenantName| self.tenant.as_ref() == Some(tenant);
        let at = |tenant: &TenantName, deployment: &DeploymentName| {
            of(tenant) && self.deployment.as_ref() == Some(deployment)
        };
        match (self.table, change) {
            (Table::Usage | Table::Audit, _) => false,
            (Table::Tenants, Change::PutTenant(tenant)) => of(&tenant.name),
            (_, Change::DeleteTenant(name)) => of(name),
            (Table::Keys, Change::PutKey(key)) => self.key.as_deref() == Some(key_row(key).0.as_str()),
            (Table::Keys, Change::DropKey(id)) => self.key.as_deref() == Some(id.as_str()),
            (Table::Revisions, Change::DeleteRevision(tenant, deployment, number)) => {
                at(tenant, deployment) && self.number == Some(u64::from(*number))
            }
            (Table::Routes, Change::PutRoute(route)) => at(&route.tenant, &route.deployment),
            (Table::Revisions | Table::Routes, Change::DeleteDeployment(tenant, deployment)) => {
                at(tenant, deployment)
            }
            _ => false,
        }
    }
}
