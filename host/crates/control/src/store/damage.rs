//! Damaged rows: their description, and the change that ends the damage.

use lector_core::{DeploymentName, TenantName};
use serde::Serialize;
use utoipa::ToSchema;

/// A table of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = StoreTable)]
pub enum Table {
    /// Tenants and their policies.
    Tenants,
    /// Keys.
    Keys,
    /// Revisions with their settings.
    Revisions,
    /// Routes of deployments.
    Routes,
    /// Usage by tenant and day.
    Usage,
    /// The audit log.
    Audit,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 6] =
        [Self::Tenants, Self::Keys, Self::Revisions, Self::Routes, Self::Usage, Self::Audit];

    /// Returns the name of the table in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenants => "tenants",
            Self::Keys => "keys",
            Self::Revisions => "revisions",
            Self::Routes => "routes",
            Self::Usage => "usage",
            Self::Audit => "audit",
        }
    }
}

/// An unreadable row. The store does not change it until a change replaces or deletes it. Members that identify the row
/// are absent if they are damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DamagedRow {
    /// Its table.
    pub table: Table,
    /// Owner of the row.
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantName>,
    /// Deployment of a revision or a route.
    #[schema(value_type = Option<String>)]
    pub deployment: Option<DeploymentName>,
    /// Id of a key.
    pub key: Option<String>,
    /// Number of a revision, version of a route, day of usage, number of an audit entry.
    pub number: Option<u64>,
    /// The damage.
    pub reason: String,
}

impl DamagedRow {
    /// Makes a damaged row of which only the table is known.
    pub(crate) fn new(table: Table, reason: String) -> Self {
        Self { table, tenant: None, deployment: None, key: None, number: None, reason }
    }
}

/// The result of a read: the readable rows, and the damaged ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Readable<T> {
    /// The readable rows, in the requested order.
    pub rows: Vec<T>,
    /// The damaged rows.
    pub damaged: Vec<DamagedRow>,
}

impl<T> Default for Readable<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), damaged: Vec::new() }
    }
}
