//! The snapshot: tenants, keys and deployments as one immutable value.
//!
//! Owns the lookups: the tenant of a key, a deployment by name, the revision for a request. A request reads the
//! snapshot with one atomic load and sees one consistent state. A mutation makes a new snapshot after the store has the
//! change.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use lector_core::{DeploymentName, Fault, Kind, ModelName, TenantName};

use crate::key::{KeyId, KeyRecord};
use crate::quarantine::faults::{REVISION_QUARANTINED, deployment_quarantined, tenant_quarantined};
use crate::revision::{Lease, Revision, RevisionRecord};
use crate::route::RouteRecord;
use crate::store::{DamagedRow, Table};
use crate::tenant::{Tenant, tenant_not_found};

/// A deployment with its revisions.
#[derive(Clone)]
pub(crate) struct Deployment {
    pub(crate) route: Arc<RouteRecord>,
    /// All stored revisions, by number.
    pub(crate) revisions: BTreeMap<u32, Arc<RevisionRecord>>,
    /// The revisions that the route wants: loaded, or the fault that prevented it.
    pub(crate) loaded: BTreeMap<u32, Result<Arc<Revision>, Fault>>,
    /// Revisions that the route wanted before; freed with their last lease.
    pub(crate) draining: Vec<Weak<Revision>>,
    /// Revisions with unreadable rows, and the reasons.
    pub(crate) quarantined: BTreeMap<u32, String>,
    /// The reason that the row of the route is unreadable; `route` is then that of a deployment without revisions.
    pub(crate) damage: Option<String>,
}

impl Deployment {
    pub(crate) fn new(route: RouteRecord) -> Self {
        Self {
            route: Arc::new(route),
            revisions: BTreeMap::new(),
            loaded: BTreeMap::new(),
            draining: Vec::new(),
            quarantined: BTreeMap::new(),
            damage: None,
        }
    }

    /// Returns the revision if it is in memory, in any state.
    pub(crate) fn in_memory(&self, number: u32) -> Option<Arc<Revision>> {
        let loaded = self.loaded.get(&number).and_then(|loaded| loaded.as_ref().ok()).cloned();
        let draining = || self.draining.iter().filter_map(Weak::upgrade);
        loaded.or_else(|| draining().find(|revision| revision.record.number == number))
    }

    /// Returns the models of revisions newer than all that were ever routed to; they are likely to be routed to next.
    pub(crate) fn models_to_come(&self) -> impl Iterator<Item = ModelName> + '_ {
        let newest = self.route.newest_routed();
        let withdrawn = |number: &u32| self.route.withdrawn.contains_key(number);
        let newer = self.revisions.range(newest.saturating_add(1)..);
        newer.filter(move |(number, _)| !withdrawn(number)).flat_map(|(_, record)| record.models())
    }

    /// Returns the revision that serves a request with the routing key `key`.
    pub(crate) fn choose(&self, key: &str) -> Result<&Arc<Revision>, Fault> {
        let name = &self.route.deployment;
        if self.damage.is_some() {
            return Err(deployment_quarantined(name));
        }
        let Some(number) = self.route.choose(key) else {
            return Err(Fault::new(
                Kind::Conflict,
                "deployment_not_live",
                format!("Deployment `{name}` has no live revision: promote a revision."),
            ));
        };
        match self.loaded.get(&number) {
            Some(Ok(revision)) => Ok(revision),
            Some(Err(fault)) if fault.code == REVISION_QUARANTINED => Err(fault.clone()),
            Some(Err(fault)) => {
                // A component that this host cannot run is the tenant's own; other reasons are for the operator.
                let reason = match fault.kind {
                    Kind::Invalid => format!(": {}", fault.message),
                    _ => " at the moment: see the server's log for the reason.".to_owned(),
                };
                let message =
                    format!("Revision {number} of deployment `{name}` cannot run on this host{reason}");
                Err(Fault::new(Kind::Unavailable, "revision_unavailable", message).with_detail(fault))
            }
            None => Err(Fault::new(Kind::Bug, "internal", "A live revision is not in memory; report it.")),
        }
    }

    /// Returns the revision that gets shadow traffic of a request with the routing key `key`.
    pub(crate) fn shadow(&self, key: &str) -> Option<Arc<Revision>> {
        self.loaded.get(&self.route.shadow_of(key)?)?.as_ref().ok().cloned()
    }
}

/// The snapshot.
#[derive(Clone)]
pub(crate) struct Directory {
    /// Owner of the shared deployments.
    pub(crate) host: TenantName,
    /// The deployment for requests that name none.
    pub(crate) default: DeploymentName,
    pub(crate) tenants: BTreeMap<TenantName, Arc<Tenant>>,
    pub(crate) keys: HashMap<KeyId, Arc<KeyRecord>>,
    pub(crate) deployments: BTreeMap<(TenantName, DeploymentName), Arc<Deployment>>,
    /// Tenants with unreadable rows, and the reasons.
    pub(crate) quarantined: BTreeMap<TenantName, String>,
    /// Rows that were unreadable at the start and have not been replaced since.
    pub(crate) damaged: Vec<DamagedRow>,
}

#[cfg(test)]
impl Directory {
    /// Makes a directory with these keys and nothing else.
    pub(crate) fn with_keys(keys: Vec<KeyRecord>) -> Self {
        Self {
            host: "default".into(),
            default: "standard".into(),
            tenants: BTreeMap::new(),
            keys: keys.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect(),
            deployments: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            damaged: Vec::new(),
        }
    }
}

/// The result of a lookup for a request.
pub struct Found {
    /// A lease on the revision that serves the request.
    pub lease: Lease,
    /// The revision that reads the same pages in the background, if the request is in its sample.
    pub shadow: Option<Arc<Revision>>,
}

impl Directory {
    /// Returns whether the server has no keys. Then requests need no key, and local ones may change everything.
    pub(crate) fn is_open(&self) -> bool {
        // An unreadable key gives no rights, and the server still requires keys.
        self.keys.is_empty() && !self.damaged.iter().any(|row| row.table == Table::Keys)
    }

    /// Returns the tenant of that name. Faults: `tenant_quarantined` if its row is damaged, else `tenant_not_found`.
    pub(crate) fn tenant(&self, name: &TenantName) -> Result<&Arc<Tenant>, Fault> {
        self.tenants.get(name).ok_or_else(|| match self.quarantined.get(name) {
            Some(_) => tenant_quarantined(name),
            None => tenant_not_found(name.as_str()),
        })
    }

    /// Returns whether there is a tenant of that name, readable or not.
    pub(crate) fn has_tenant(&self, name: &TenantName) -> bool {
        self.tenants.contains_key(name) || self.quarantined.contains_key(name)
    }

    /// Checks that this tenant exists, and not only another one that was created with its name after its deletion.
    pub(crate) fn same_tenant(&self, tenant: &Tenant) -> Result<(), Fault> {
        let known = self.tenant(tenant.name())?;
        // The counters of a tenant stay the same for as long as it exists.
        let same = Arc::ptr_eq(&known.usage, &tenant.usage);
        if same { Ok(()) } else { Err(tenant_not_found(tenant.name().as_str())) }
    }

    /// Returns a deployment that the tenant owns.
    pub(crate) fn own(&self, tenant: &TenantName, name: &DeploymentName) -> Result<&Arc<Deployment>, Fault> {
        self.deployments.get(&(tenant.clone(), name.clone())).ok_or_else(|| not_found(name))
    }

    /// Returns all deployments that the tenant owns.
    pub(crate) fn owned<'a>(&'a self, tenant: &'a TenantName) -> impl Iterator<Item = &'a Arc<Deployment>> {
        self.deployments
            .iter()
            .filter(move |((owner, _), _)| owner == tenant)
            .map(|(_, deployment)| deployment)
    }

    /// Returns the tenant's own deployment of that name, else the shared one.
    pub(crate) fn find(
        &self,
        tenant: &Tenant,
        name: Option<&DeploymentName>,
    ) -> Result<&Arc<Deployment>, Fault> {
        let name = name.or(tenant.record.policy.default_deployment.as_ref()).unwrap_or(&self.default);
        let own = self.deployments.get(&(tenant.name().clone(), name.clone()));
        own.or_else(|| self.shared(name)).ok_or_else(|| not_found(name))
    }

    /// Returns the shared deployment of that name.
    pub(crate) fn shared(&self, name: &DeploymentName) -> Option<&Arc<Deployment>> {
        let deployment = self.deployments.get(&(self.host.clone(), name.clone()));
        deployment.filter(|deployment| deployment.route.shared)
    }

    /// Returns a lease on the revision that serves a request of `tenant` with that routing key.
    pub(crate) fn lease(
        &self,
        tenant: &Tenant,
        name: Option<&DeploymentName>,
        key: &str,
        holder: &str,
    ) -> Result<Found, Fault> {
        let deployment = self.find(tenant, name)?;
        let lease = deployment.choose(key)?.lease(holder)?;
        // A candidate may get shadow traffic, too; it is not compared with itself.
        let shadow = deployment.shadow(key).filter(|shadow| shadow.record.number != lease.number());
        Ok(Found { lease, shadow })
    }
}

/// Returns the fault for a missing deployment; the same for another tenant's deployment.
pub(crate) fn not_found(name: &DeploymentName) -> Fault {
    let shown: String = name.as_str().chars().filter(|c| !c.is_control()).take(64).collect();
    Fault::new(
        Kind::NotFound,
        "deployment_not_found",
        format!("There is no deployment `{shown}`: leave the name out for the default one."),
    )
}
