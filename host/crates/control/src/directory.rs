//! Who is there and what answers them: tenants, keys and deployments as one immutable snapshot.
//!
//! Owns finding: a key's owner, a deployment by a caller's name for it, a revision for a request. A request reads the
//! snapshot by one atomic load and sees one state of the world. Made by `acts.rs`, after the store has it.

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
    /// All that are kept, by number.
    pub(crate) revisions: BTreeMap<u32, Arc<RevisionRecord>>,
    /// Those that the route wants, in memory; or why one is not.
    pub(crate) loaded: BTreeMap<u32, Result<Arc<Revision>, Fault>>,
    /// Those that it wanted before; gone with their last lease.
    pub(crate) draining: Vec<Weak<Revision>>,
    /// Revisions whose rows cannot be read, and why.
    pub(crate) quarantined: BTreeMap<u32, String>,
    /// Why the row of the route cannot be read; `route` is then that of a deployment without revisions.
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

    /// The revision in memory, whatever its standing.
    pub(crate) fn in_memory(&self, number: u32) -> Option<Arc<Revision>> {
        let loaded = self.loaded.get(&number).and_then(|loaded| loaded.as_ref().ok()).cloned();
        let draining = || self.draining.iter().filter_map(Weak::upgrade);
        loaded.or_else(|| draining().find(|revision| revision.record.number == number))
    }

    /// Models of revisions that are newer than all that were ever routed to: they are about to be.
    pub(crate) fn models_to_come(&self) -> impl Iterator<Item = ModelName> + '_ {
        let newest = self.route.newest_routed();
        self.revisions.range(newest.saturating_add(1)..).flat_map(|(_, record)| record.models())
    }

    /// The revision that answers a request with that key.
    pub(crate) fn choose(&self, key: &str) -> Result<&Arc<Revision>, Fault> {
        let name = &self.route.deployment;
        if self.damage.is_some() {
            return Err(deployment_quarantined(name));
        }
        let Some(number) = self.route.choose(key) else {
            return Err(Fault::new(
                Kind::NotFound,
                "deployment_not_live",
                format!("Deployment `{name}` has no live revision: promote one."),
            ));
        };
        match self.loaded.get(&number) {
            Some(Ok(revision)) => Ok(revision),
            Some(Err(fault)) if fault.code == REVISION_QUARANTINED => Err(fault.clone()),
            Some(Err(fault)) => Err(Fault::new(
                Kind::Unavailable,
                "revision_unavailable",
                format!("Revision {number} of deployment `{name}` cannot be run on this host at the moment; its owner and the operator find why in the log."),
            )
            .with_detail(fault)),
            None => Err(Fault::new(Kind::Bug, "internal", "A live revision is not in memory; report it.")),
        }
    }

    /// The revision that reads along with a request with that key.
    pub(crate) fn shadow(&self, key: &str) -> Option<Arc<Revision>> {
        self.loaded.get(&self.route.shadow_of(key)?)?.as_ref().ok().cloned()
    }
}

/// The snapshot.
#[derive(Clone)]
pub(crate) struct Directory {
    /// Owner of the deployments that come from the configuration.
    pub(crate) host: TenantName,
    /// The deployment for requests that name none.
    pub(crate) default: DeploymentName,
    pub(crate) tenants: BTreeMap<TenantName, Arc<Tenant>>,
    pub(crate) keys: HashMap<KeyId, Arc<KeyRecord>>,
    pub(crate) deployments: BTreeMap<(TenantName, DeploymentName), Arc<Deployment>>,
    /// Tenants whose rows cannot be read, and why.
    pub(crate) quarantined: BTreeMap<TenantName, String>,
    /// Rows that could not be read at the start, and were not replaced since.
    pub(crate) damaged: Vec<DamagedRow>,
}

/// What a request got.
pub struct Found {
    /// On the revision that answers it.
    pub lease: Lease,
    /// The revision that reads the same pages in the background, where the request is in its sample.
    pub shadow: Option<Arc<Revision>>,
}

impl Directory {
    /// Whether nobody has made a key yet: then whoever reaches the house on this machine is its owner.
    pub(crate) fn is_open(&self) -> bool {
        // A key that cannot be read opens nothing, and does not open the server to everybody either.
        self.keys.is_empty() && !self.damaged.iter().any(|row| row.table == Table::Keys)
    }

    /// The tenant of that name. `tenant_quarantined` where its row is damaged, else `tenant_not_found`.
    pub(crate) fn tenant(&self, name: &TenantName) -> Result<&Arc<Tenant>, Fault> {
        self.tenants.get(name).ok_or_else(|| match self.quarantined.get(name) {
            Some(_) => tenant_quarantined(name),
            None => tenant_not_found(name.as_str()),
        })
    }

    /// A deployment of the tenant's own.
    pub(crate) fn own(&self, tenant: &TenantName, name: &DeploymentName) -> Result<&Arc<Deployment>, Fault> {
        self.deployments.get(&(tenant.clone(), name.clone())).ok_or_else(|| not_found(name))
    }

    /// All deployments of the tenant's own.
    pub(crate) fn owned<'a>(&'a self, tenant: &'a TenantName) -> impl Iterator<Item = &'a Arc<Deployment>> {
        self.deployments
            .iter()
            .filter(move |((owner, _), _)| owner == tenant)
            .map(|(_, deployment)| deployment)
    }

    /// What `tenant` means by that name: its own deployment, else one that the host lends to all.
    pub(crate) fn find(
        &self,
        tenant: &Tenant,
        name: Option<&DeploymentName>,
    ) -> Result<&Arc<Deployment>, Fault> {
        let name = name.or(tenant.record.policy.default_deployment.as_ref()).unwrap_or(&self.default);
        let key = |owner: &TenantName| (owner.clone(), name.clone());
        let own = self.deployments.get(&key(tenant.name()));
        let shared = || self.deployments.get(&key(&self.host)).filter(|deployment| deployment.route.shared);
        own.or_else(shared).ok_or_else(|| not_found(name))
    }

    /// A lease on the revision that answers a request of `tenant` with that key.
    pub(crate) fn lease(
        &self,
        tenant: &Tenant,
        name: Option<&DeploymentName>,
        key: &str,
        holder: &str,
    ) -> Result<Found, Fault> {
        let deployment = self.find(tenant, name)?;
        let lease = deployment.choose(key)?.lease(holder)?;
        Ok(Found { lease, shadow: deployment.shadow(key) })
    }
}

/// The same words for what is not there and for what is another tenant's.
pub(crate) fn not_found(name: &DeploymentName) -> Fault {
    let shown: String = name.as_str().chars().filter(|c| !c.is_control()).take(64).collect();
    Fault::new(
        Kind::NotFound,
        "deployment_not_found",
        format!("There is no deployment `{shown}`: leave the name out for the default one."),
    )
}
