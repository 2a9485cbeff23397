//! Damaged rows of the store: who is not served because of them, and what serves the rest.
//!
//! Owns the way from a load with damaged rows to tenants and deployments, the faults that requests for damaged ones get,
//! and the rows that were found damaged while the server runs. A quarantine ends with the change that replaces or deletes
//! the row; a restart without the damage ends it as well.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use lector_core::{DeploymentName, Fault, Kind, TenantName};

use crate::access::Admin;
use crate::directory::Deployment;
use crate::platform::Platform;
use crate::route::RouteRecord;
use crate::store::{DamagedRow, Readable, Records, Table};

/// Damaged rows of usage and of the audit log that are remembered.
const FOUND_MAX: usize = 1000;

/// Highest version of a route that is taken for one.
const VERSION_MAX: u64 = i64::MAX as u64 / 4;

/// Code of the fault of a revision that cannot be read.
pub(crate) const REVISION_QUARANTINED: &str = "revision_quarantined";

/// A request came to a revision whose row is damaged.
pub(crate) fn revision_quarantined(deployment: &DeploymentName, number: u32) -> Fault {
    let message = format!(
        "Revision {number} of deployment `{deployment}` cannot be read from the server's store: promote another \
         revision, deploy it again, or have the operator restore a backup."
    );
    Fault::new(Kind::Unavailable, REVISION_QUARANTINED, message)
}

/// A request came to a deployment whose route is damaged.
pub(crate) fn deployment_quarantined(deployment: &DeploymentName) -> Fault {
    let message = format!(
        "The route of deployment `{deployment}` cannot be read from the server's store: promote a revision, or have the \
         operator restore a backup."
    );
    Fault::new(Kind::Unavailable, "deployment_quarantined", message)
}

/// A request came for a tenant whose row is damaged.
pub(crate) fn tenant_quarantined(tenant: &TenantName) -> Fault {
    let message = format!(
        "The policy of tenant `{tenant}` cannot be read from the server's store: an administrator can put it again or \
         restore a backup."
    );
    Fault::new(Kind::Unavailable, "tenant_quarantined", message)
}

/// Whether a damaged row is the cause of a fault.
pub(crate) fn is_quarantine(fault: &Fault) -> bool {
    [REVISION_QUARANTINED, "deployment_quarantined", "tenant_quarantined"].contains(&fault.code)
}

/// Logs every damaged row of a start.
pub(crate) fn log(damaged: &[DamagedRow]) {
    for row in damaged {
        let DamagedRow { table, tenant, deployment, key, number, reason } = row;
        let tenant = tenant.as_ref().map(TenantName::as_str);
        let deployment = deployment.as_ref().map(DeploymentName::as_str);
        tracing::error!(
            table = table.as_str(),
            tenant,
            deployment,
            key,
            number,
            reason,
            "a stored row is damaged and in quarantine; everything else is served"
        );
    }
}

/// The tenants that cannot be served, each with the reason. `host` is served on default terms, as it is without a row.
pub(crate) fn tenants(records: &Records, host: &TenantName) -> BTreeMap<TenantName, String> {
    let rows = || records.damaged.iter().filter(|row| row.table == Table::Tenants);
    let mut found: BTreeMap<TenantName, String> =
        rows().filter_map(|row| Some((row.tenant.clone()?, row.reason.clone()))).collect();
    if rows().next().is_some() {
        // A row whose name is damaged leaves an owner without a tenant.
        let routes = records.routes.iter().map(|route| &route.tenant);
        let revisions = records.revisions.iter().map(|revision| &revision.tenant);
        let keys = records.keys.iter().filter_map(|key| key.scope.tenant());
        for owner in routes.chain(revisions).chain(keys) {
            found.entry(owner.clone()).or_insert_with(|| "its row is missing".to_owned());
        }
    }
    found.remove(host);
    for tenant in &records.tenants {
        found.remove(&tenant.name);
    }
    found
}

/// The deployments of the records, with what is damaged of them.
pub(crate) fn deployments(records: &mut Records) -> BTreeMap<(TenantName, DeploymentName), Deployment> {
    let mut deployments = BTreeMap::new();
    for route in std::mem::take(&mut records.routes) {
        deployments.insert((route.tenant.clone(), route.deployment.clone()), Deployment::new(route));
    }
    let at = |row: &DamagedRow| Some((row.tenant.clone()?, row.deployment.clone()?));
    let damaged = |table| records.damaged.iter().filter(move |row| row.table == table);
    for row in damaged(Table::Routes) {
        if let Some(key) = at(row) {
            let mut route = RouteRecord::new(key.0.clone(), key.1.clone());
            // As the store counts on from a version that is none.
            route.version = row.number.filter(|version| *version <= VERSION_MAX).unwrap_or(0);
            let deployment = Deployment { damage: Some(row.reason.clone()), ..Deployment::new(route) };
            deployments.entry(key).or_insert(deployment);
        }
    }
    let without_route = |key: &(TenantName, DeploymentName)| Deployment {
        damage: Some("its route is missing".to_owned()),
        ..Deployment::new(RouteRecord::new(key.0.clone(), key.1.clone()))
    };
    for record in std::mem::take(&mut records.revisions) {
        let key = (record.tenant.clone(), record.deployment.clone());
        let deployment = deployments.entry(key).or_insert_with_key(without_route);
        deployment.revisions.insert(record.number, std::sync::Arc::new(record));
    }
    for row in damaged(Table::Revisions) {
        if let Some(key) = at(row) {
            let deployment = deployments.entry(key).or_insert_with_key(without_route);
            if let Some(number) = row.number.and_then(|number| u32::try_from(number).ok()) {
                deployment.quarantined.insert(number, row.reason.clone());
            }
        }
    }
    deployments.values_mut().for_each(complete);
    deployments
}

/// Enters the revisions that the route names and no row holds, and has the next one get a number that is free.
fn complete(deployment: &mut Deployment) {
    let mut route = (*deployment.route).clone();
    for number in route.wanted().collect::<BTreeSet<_>>() {
        if !deployment.revisions.contains_key(&number) {
            let missing = || "its row is missing".to_owned();
            deployment.quarantined.entry(number).or_insert_with(missing);
        }
    }
    let numbers = deployment.revisions.keys().chain(deployment.quarantined.keys());
    // A damaged number may be any; the next ones must not run out.
    let highest = numbers.copied().filter(|number| *number < u32::MAX / 2).max().unwrap_or(0);
    route.next_revision = route.next_revision.max(highest + 1);
    deployment.route = std::sync::Arc::new(route);
}

/// Rows that were found damaged while the server runs.
#[derive(Debug, Default)]
pub(crate) struct Found(Mutex<BTreeMap<(Table, String), DamagedRow>>);

impl Found {
    fn remember(&self, damaged: &[DamagedRow]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in damaged {
            let tenant = row.tenant.as_ref().map_or("", TenantName::as_str);
            let at = (row.table, format!("{tenant}/{:?}", row.number));
            if known.len() < FOUND_MAX && !known.contains_key(&at) {
                log(std::slice::from_ref(row));
                known.insert(at, row.clone());
            }
        }
    }

    fn all(&self) -> Vec<DamagedRow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Platform {
    /// Every row of the store that is known to be damaged.
    pub fn damaged_rows(&self, _: &Admin) -> Vec<DamagedRow> {
        self.damaged()
    }

    pub(crate) fn damaged(&self) -> Vec<DamagedRow> {
        let mut rows = self.directory.load().damaged.clone();
        rows.extend(self.found_damaged.all());
        rows
    }

    /// Passes on what was read, after it has noted the rows that could not be.
    pub(crate) fn noting<T>(&self, read: Readable<T>) -> Readable<T> {
        self.found_damaged.remember(&read.damaged);
        read
    }

    /// How many rows are damaged, by table.
    pub(crate) fn damaged_counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts: BTreeMap<_, _> = Table::ALL.iter().map(|table| (table.as_str(), 0)).collect();
        for row in self.damaged() {
            *counts.entry(row.table.as_str()).or_default() += 1;
        }
        counts
    }
}
