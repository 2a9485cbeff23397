//! The control plane: its state, and the calls that every request makes.
//!
//! Owns the snapshot of tenants, keys and deployments. The mutations are in `mutations/`, the queries in `queries.rs`,
//! the start in `bootstrap.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use lector_core::fair::FairSemaphore;
use lector_core::{Clock, DeploymentName, Documents, Fault, Kind, ModelName, TenantName};
use serde_json::{Map, Value};

use crate::access::{self, Actor, Admin, Credentials, Failures, Principal};
use crate::background_tasks::BackgroundTasks;
use crate::directory::{self, Deployment, Directory, Found};
use crate::events::AuditEvents;
use crate::key::Scope;
use crate::mutations::write_lock::WriteLock;
use crate::quarantine::Found as FoundDamage;
use crate::revision::Lease;
use crate::revision_cache::RevisionCache;
use crate::storage::{Collection, StorageLimits};
use crate::store::{Store, UsageRow};
use crate::tenant::{self, Tenant};
use crate::tenant_data::{ForgetTenant, TenantData};
use crate::usage_flush::UsageFlusher;

/// The tenants, keys, deployments, revisions and routes of a server, and the operations that change them.
pub struct ControlPlane {
    pub(crate) directory: Arc<ArcSwap<Directory>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) revision_cache: RevisionCache,
    /// Held by the mutation that is changing the snapshot; there is at most one.
    pub(crate) write_lock: WriteLock,
    pub(crate) events: AuditEvents,
    /// Limits the number of deploys in progress.
    pub(crate) staging: FairSemaphore,
    /// The values that apply where a tenant or a policy names none.
    pub(crate) defaults: ArcSwap<Defaults>,
    /// Opens the smoke-test page of a deploy.
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) failures: Failures,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) flusher: UsageFlusher,
    /// Deleted tenants with usage that is not yet in the store.
    pub(crate) left: Arc<Mutex<Vec<Arc<Tenant>>>>,
    pub(crate) background_tasks: BackgroundTasks,
    /// The collection of components, and the components that it may not delete.
    pub(crate) collection: Arc<Collection>,
    /// Damaged rows found after the start.
    pub(crate) found_damaged: FoundDamage,
    /// What other parts of the server keep for tenants.
    pub(crate) tenant_data: TenantData,
}

/// The values that apply where a tenant or a policy names none. They come from the configuration, and are replaced by a
/// reload of it.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    /// Models for tenants whose policy names none.
    pub(crate) shared_models: BTreeMap<String, ModelName>,
    /// How long an engine stays loaded after the last revision that needs it is gone.
    pub(crate) engine_idle_ttl: Duration,
    /// Limits of what a tenant without limits of its own keeps in the store.
    pub(crate) storage: StorageLimits,
    /// Bytes of pixels and tensors for a tenant without a limit of its own; 0: no limit.
    pub(crate) tenant_images_bytes_max: u64,
}

/// A lease for each deployment, or the reason that there is none.
pub type Leases = Vec<(DeploymentName, Result<Lease, Fault>)>;

impl ControlPlane {
    pub(crate) fn host(&self, actor: &str) -> Result<Principal, Fault> {
        let directory = self.directory.load();
        let tenant = directory.tenants.get(&directory.host).cloned();
        let tenant = tenant.ok_or_else(|| tenant::tenant_not_found(directory.host.as_str()))?;
        let actor = Actor::named(actor);
        Ok(Principal { tenant, actor, manages: true, tenant_not_named: false })
    }

    /// Returns a principal for the host's own tenant, for the command line of this machine.
    pub fn of_this_machine(&self) -> Result<Principal, Fault> {
        self.host("cli")
    }

    /// Returns a principal for the work on an accepted job of the tenant, whose key may have ended meanwhile. Faults:
    /// `tenant_not_found`, `tenant_quarantined`.
    pub fn principal_of_job(&self, tenant: &TenantName) -> Result<Principal, Fault> {
        let tenant = self.directory.load().tenant(tenant)?.clone();
        let actor = Actor::named("job");
        Ok(Principal { tenant, actor, manages: false, tenant_not_named: false })
    }

    /// Registers a part of the server that keeps data of tenants: `forget` deletes what it keeps for a tenant. Called
    /// when a tenant was deleted, and before one is created.
    pub fn keeps_tenant_data(&self, forget: ForgetTenant) {
        self.tenant_data.add(forget);
    }

    /// Checks that the principal's tenant was not deleted since its authentication. A caller that has stored something
    /// for the tenant checks this afterwards, and deletes it again if the check fails. Faults: `tenant_not_found`,
    /// `tenant_quarantined`.
    pub fn still_exists(&self, principal: &Principal) -> Result<(), Fault> {
        self.directory.load().same_tenant(&principal.tenant)
    }

    /// Checks the right to see and replace the tenant's secrets. Fault: `local_only`.
    pub fn may_see_secrets(&self, principal: &Principal) -> Result<(), Fault> {
        principal.may_manage()
    }

    /// Returns whether the server has no keys. Then requests need no key.
    pub fn is_open(&self) -> bool {
        self.directory.load().is_open()
    }

    /// Returns the right to act for a tenant, given the credentials of a request. Faults: `key_missing`, `key_invalid`,
    /// `tenant_not_found`, `auth_throttled`, `foreign_host`.
    pub fn principal(&self, shown: Credentials<'_>) -> Result<Principal, Fault> {
        access::principal(&self.directory.load(), &self.failures, shown)
    }

    /// Returns the right to administer the server, given the credentials of a request. Faults: those of
    /// [`principal`](Self::principal), and `admin_only`.
    pub fn admin(&self, shown: Credentials<'_>) -> Result<Admin, Fault> {
        access::admin(&self.directory.load(), &self.failures, shown)
    }

    /// Counts a request against the tenant's rate limit. Fault: `rate_limited`, with the time to wait before the next
    /// attempt.
    pub fn enter(&self, principal: &Principal) -> Result<(), Fault> {
        principal.tenant.enter(self.clock.now())
    }

    /// Returns a lease on the revision that serves `deployment` (`None`: the principal's default deployment). Fault:
    /// `deployment_not_found`. A document takes a lease of its own; this one is for callers that need the revision
    /// earlier.
    pub fn lease(&self, principal: &Principal, deployment: Option<&DeploymentName>) -> Result<Lease, Fault> {
        Ok(self.directory.load().lease(&principal.tenant, deployment, "look", "look")?.lease)
    }

    /// Begins a request of the principal: finds the revision that serves it, by the routing key `key`, counts the request
    /// against the rate limit, and checks its options for the guest. Returns the deployment. The reading checks the options
    /// again: by then another revision may serve.
    ///
    /// Faults: `deployment_not_found`, those of a deployment without a usable revision, `rate_limited`, `guest_option_invalid`.
    pub fn begin_request(
        &self,
        principal: &Principal,
        deployment: Option<&DeploymentName>,
        key: &str,
        guest_options: &Map<String, Value>,
    ) -> Result<DeploymentName, Fault> {
        let lease = self.directory.load().lease(&principal.tenant, deployment, key, "look")?.lease;
        self.enter(principal)?;
        lease.revision().options(guest_options.clone())?;
        Ok(lease.deployment().clone())
    }

    /// Returns a lease on the revision that serves a request of `tenant` with the routing key `key`, and its shadow.
    pub fn find(
        &self,
        tenant: &Tenant,
        deployment: Option<&DeploymentName>,
        key: &str,
        holder: &str,
    ) -> Result<Found, Fault> {
        self.directory.load().lease(tenant, deployment, key, holder)
    }

    /// Checks that there is a shared deployment of that name. Fault: `deployment_not_found`.
    pub fn expect_shared_deployment(&self, name: &DeploymentName) -> Result<(), Fault> {
        let directory = self.directory.load();
        directory.shared(name).map(drop).ok_or_else(|| directory::not_found(name))
    }

    /// Returns the host's own tenant, and for each shared deployment a lease or the reason that there is none.
    pub fn shared_deployments(&self, holder: &str) -> Result<(Arc<Tenant>, Leases), Fault> {
        let directory = self.directory.load_full();
        let missing = || Fault::new(Kind::Bug, "internal", "The host's own tenant is missing; report it.");
        let host = directory.tenants.get(&directory.host).cloned().ok_or_else(missing)?;
        let shared = directory.owned(&directory.host).filter(|deployment| deployment.route.shared);
        let lease = |deployment: &Deployment| deployment.choose(holder)?.lease(holder);
        let leases = shared.map(|deployment| (deployment.route.deployment.clone(), lease(deployment)));
        Ok((host, leases.collect()))
    }

    /// Returns whether the server has keys but no readable administrator key, because the row is damaged.
    pub fn lost_admin_key(&self) -> bool {
        let directory = self.directory.load();
        !directory.is_open() && !directory.keys.values().any(|key| key.scope == Scope::Admin)
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Returns the background tasks.
    pub fn background_tasks(&self) -> &BackgroundTasks {
        &self.background_tasks
    }

    /// Ends all event streams; later watchers get an empty stream. Called when the server begins to drain.
    pub fn close_event_streams(&self) {
        self.events.close();
        self.revision_cache.guest_logs().close();
    }

    /// Ends the background tasks and writes the usage a last time. Called when the last document has ended.
    pub async fn stop(&self) {
        self.background_tasks.stop().await;
        // A failure is logged where it happens; there is no later attempt.
        let _ = self.flush_usage().await;
    }

    /// Writes the usage since the last flush, after the rows that earlier flushes could not write.
    pub async fn flush_usage(&self) -> Result<(), Fault> {
        self.flusher.flush(&*self.store, || self.take_usage()).await
    }

    /// Takes the usage since the last flush from the counters.
    fn take_usage(&self) -> Vec<UsageRow> {
        let directory = self.directory.load_full();
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = |tenant: &Arc<Tenant>| -> Vec<UsageRow> {
            let taken = tenant.usage.take().into_iter();
            taken.map(|(day, counts)| UsageRow { tenant: tenant.name().clone(), day, counts }).collect()
        };
        let mut taken: Vec<UsageRow> = directory.tenants.values().flat_map(rows).collect();
        left.retain(|tenant| {
            // Looked at before the counts are taken: a document that ends in between is counted by the next flush.
            let in_flight = Arc::strong_count(tenant) > 1 || Arc::strong_count(&tenant.usage) > 1;
            taken.extend(rows(tenant));
            in_flight
        });
        taken
    }
}
