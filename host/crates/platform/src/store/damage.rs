//! Rows that cannot be read back: what is known of them, and the change that ends the damage.

use lector_core::{DeploymentName, TenantName};
use serde::Serialize;

use super::{Change, key_row};

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

    /// Whether `change` replaces or deletes the row.
    pub(crate) fn is_ended_by(&self, change: &Change) -> bool {
        let of = |tenant: &TenantName| self.tenant.as_ref() == Some(tenant);
        let at = |tenant: &TenantName, deployment: &DeploymentName| {
            of(tenant) && self.deployment.as_ref() == Some(deployment)
        };
        match (self.table, change) {
            (Table::Usage | Table::Audit, _) => false,
            (Table::Tenants, Change::PutTenant(tenant)) => of(&tenant.name),
            (_, Change::DropTenant(name)) => of(name),
            (Table::Keys, Change::PutKey(key)) => self.key.as_deref() == Some(key_row(key).0.as_str()),
            (Table::Keys, Change::DropKey(id)) => self.key.as_deref() == Some(id.as_str()),
            (Table::Revisions, Change::DropRevision(tenant, deployment, number)) => {
                at(tenant, deployment) && self.number == Some(u64::from(*number))
            }
            (Table::Routes, Change::PutRoute(route)) => at(&route.tenant, &route.deployment),
            (Table::Revisions | Table::Routes, Change::DropDeployment(tenant, deployment)) => {
                at(tenant, deployment)
            }
            _ => false,
        }
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
