//! Quarantine: tenants, deployments and revisions whose rows in the store are damaged. The rest is served.
//!
//! Owns the conversion of a load with damaged rows into tenants and deployments, the faults of requests to quarantined
//! objects, and the list of rows that were found damaged while the server runs. A quarantine ends with the mutation
//! that replaces or deletes the row, or with a restart that finds no damage.

pub(crate) mod faults;
mod found;

use std::collections::{BTreeMap, BTreeSet};

use lector_core::{DeploymentName, TenantName};

use crate::directory::Deployment;
use crate::route::RouteRecord;
use crate::store::{DamagedRow, Records, Table};

pub(crate) use found::{Found, log};

/// Highest plausible version of a route.
const VERSION_MAX: u64 = i64::MAX as u64 / 4;

/// Returns the quarantined tenants, each with the reason. `host` is served with the default policy, as it is without a
/// row.
pub(crate) fn tenants(records: &Records, host: &TenantName) -> BTreeMap<TenantName, String> {
    let rows = || records.damaged.iter().filter(|row| row.table == Table::Tenants);
    let mut found: BTreeMap<TenantName, String> =
        rows().filter_map(|row| Some((row.tenant.clone()?, row.reason.clone()))).collect();
    if rows().next().is_some() {
        // A row with a damaged name leaves deployments whose tenant is missing.
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

/// Builds the deployments from the records, with their damage.
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
            // The store continues from 0 after an implausible version, too.
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

/// Adds the revisions that the route names and no row holds, and sets a free number for the next revision.
fn complete(deployment: &mut Deployment) {
    let mut route = (*deployment.route).clone();
    for number in route.wanted().collect::<BTreeSet<_>>() {
        if !deployment.revisions.contains_key(&number) {
            let missing = || "its row is missing".to_owned();
            deployment.quarantined.entry(number).or_insert_with(missing);
        }
    }
    let numbers = deployment.revisions.keys().chain(deployment.quarantined.keys());
    // A damaged number may have any value; the next numbers must not overflow.
    let highest = numbers.copied().filter(|number| *number < u32::MAX / 2).max().unwrap_or(0);
    route.next_revision = route.next_revision.max(highest + 1);
    deployment.route = std::sync::Arc::new(route);
}
