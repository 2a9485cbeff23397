//! What outlives the process: tenants, keys, revisions, routes, the audit log, usage, components.
//!
//! Owns the port [`Store`] and the records that pass through it. Knows nothing of what they mean. Nothing on the
//! way of a request calls it: requests read the snapshot in `directory.rs`, which is made from these records at the
//! start and kept in step with them by `acts.rs`. One contract suite (`contract.rs`) holds every implementation to it.

pub mod backup;
mod blobs;
#[cfg(test)]
mod contract;
mod damage;
/// Damage to a data folder, for tests.
#[cfg(any(test, feature = "testing"))]
#[allow(missing_docs)]
pub mod damaging;
mod error;
mod sqlite;

use std::sync::Arc;

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
pub use sqlite::SqliteStore;

/// Answers of the store come when they are durable.
pub type Stored<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Where records are kept.
pub trait Store: Send + Sync + 'static {
    /// All records that a start needs, and the rows that cannot be read: one that is damaged keeps no other from being
    /// read, and is left as it is.
    fn load(&self) -> Stored<'_, Records>;
    /// Makes all changes and writes their audit entry, or does nothing. On disk when it answers, with the number of
    /// the entry.
    ///
    /// Fails with [`StoreError::Conflict`] where a revision is there already, or a route is not at the version
    /// before the one that is put (a new one begins at 1).
    fn commit(&self, action: ChangeSet) -> Stored<'_, u64>;
    /// Entries of the audit log, newest first.
    fn audit(&self, query: AuditQuery) -> Stored<'_, Readable<AuditEntry>>;
    /// Adds to the counts of (tenant, day), once for each `flush`: the same one again changes nothing, so that a flush
    /// whose answer was lost can be repeated. The newest [`FLUSHES_KEPT`] are remembered.
    fn add_usage(&self, flush: FlushId, rows: Vec<UsageRow>) -> Stored<'_, ()>;
    /// Counts by tenant and day, in that order.
    fn usage(&self, query: UsageQuery) -> Stored<'_, Readable<UsageRow>>;
    /// Keeps bytes under their digest; again, if they are there already.
    fn put_blob(&self, bytes: Arc<Vec<u8>>) -> Stored<'_, Digest>;
    /// The bytes with that digest, verified; `None` where there are none.
    fn blob(&self, digest: Digest) -> Stored<'_, Option<Vec<u8>>>;
    /// Drops what a crash left half-made and blobs that no revision names; no blob while a damaged row hides which one it
    /// names. Called at the start, before anything is put.
    fn collect(&self) -> Stored<'_, Collected>;
}

/// Flushes that a store remembers, at least. One is repeated until it is answered, before there is another.
pub const FLUSHES_KEPT: u32 = 16;

/// Name of one writing of usage; no two have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushId(pub String);

/// Everything but audit, usage and blobs.
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
    /// Rows of all of them that cannot be read.
    pub damaged: Vec<DamagedRow>,
}

/// One record put or dropped.
#[derive(Clone, Debug)]
pub enum Change {
    /// Puts a tenant, new or changed.
    PutTenant(TenantRecord),
    /// Drops a tenant with its keys, revisions, routes. Usage and audit stay.
    DeleteTenant(TenantName),
    /// Puts a key, new or changed.
    PutKey(KeyRecord),
    /// Drops the row of a key.
    DropKey(KeyId),
    /// Puts a new revision.
    PutRevision(RevisionRecord),
    /// Drops a revision.
    DeleteRevision(TenantName, DeploymentName, u32),
    /// Puts the routes of a deployment at their next version.
    PutRoute(RouteRecord),
    /// Drops the routes and all revisions of a deployment.
    DeleteDeployment(TenantName, DeploymentName),
}

/// Changes that are made together, and what the audit log says of them.
#[derive(Clone, Debug)]
pub struct ChangeSet {
    /// In this order.
    pub changes: Vec<Change>,
    /// Written with them.
    pub entry: AuditEntry,
}

/// Who did what, when, from and to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Rising; the store gives it, and ignores what stands here.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Whose things were changed; `None`: the host's own (administrators' keys).
    pub tenant: Option<TenantName>,
    /// Id of the key, or `open`, `config`, `rollback_policy`, `cli`.
    pub actor: String,
    /// `promote`, `key_create`, ...
    pub action: String,
    /// Name of the deployment, id of the key, name of the tenant.
    pub target: String,
    /// As it was.
    pub from: serde_json::Value,
    /// As it is.
    pub to: serde_json::Value,
    /// Request that did it, where one did.
    pub request: Option<String>,
}

/// Which entries of the audit log.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only this tenant's.
    pub tenant: Option<TenantName>,
    /// Only those before this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// What a tenant used on one day (UTC).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Who.
    pub tenant: TenantName,
    /// Days since 1970-01-01, UTC.
    pub day: u32,
    /// How much.
    #[serde(flatten)]
    pub counts: UsageCounts,
}

/// Which usage.
#[derive(Clone, Debug, Default)]
pub struct UsageQuery {
    /// Only this tenant's.
    pub tenant: Option<TenantName>,
    /// Days since 1970, first and last.
    pub days: (u32, u32),
}

/// What [`Store::collect`] dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Files that were never finished.
    pub unfinished: usize,
    /// Blobs that no revision names.
    pub unnamed: usize,
}

/// Which key a record belongs to: the store finds keys by id alone.
pub(crate) fn key_row(record: &KeyRecord) -> (&KeyId, Option<&TenantName>) {
    (&record.id, record.scope.tenant())
}

impl DamagedRow {
    /// Whether `change` replaces or deletes the row.
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
