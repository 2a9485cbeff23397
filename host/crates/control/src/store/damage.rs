//! Rows that cannot be read back: what is known of them, and the change that ends the damage.

use lector_core::{DeploymentName, TenantName};
use serde::Serialize;

/// A table of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
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
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Tenants, Self::Keys, Self::Revisions, Self::Routes, Self::Usage, Self::Audit];

    /// As it is written.
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

/// A row that cannot be read back. The store leaves it as it is until a change replaces or deletes it. Members that name
/// the row are absent where the damage is in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedRow {
    /// Where it is.
    pub table: Table,
    /// Owner of the row.
    pub tenant: Option<TenantName>,
    /// Its deployment, of a revision or a route.
    pub deployment: Option<DeploymentName>,
    /// Id of a key.
    pub key: Option<String>,
    /// Number of a revision, version of a route, day of usage, number of an audit entry.
    pub number: Option<u64>,
    /// What is wrong with it.
    pub reason: String,
}

impl DamagedRow {
    /// A row of which nothing but the table is known.
    pub(crate) fn new(table: Table, reason: String) -> Self {
        Self { table, tenant: None, deployment: None, key: None, number: None, reason }
    }
}

/// Rows that were asked for: those that could be read, and the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Readable<T> {
    /// In the order asked for.
    pub rows: Vec<T>,
    /// The others.
    pub damaged: Vec<DamagedRow>,
}

impl<T> Default for Readable<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), damaged: Vec::new() }
    }
}
