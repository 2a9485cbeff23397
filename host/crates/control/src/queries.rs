//! Queries: deployments, usage, the audit log and its events, background tasks. Queries do not change the state.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use lector_core::{DeploymentName, Fault, OptionsSchema, TenantName};

use crate::access::{Actor, Admin, Principal};
use crate::api_types::{DeploymentView, RevisionView, TenantView};
use crate::background_tasks::BackgroundTaskStatus;
use crate::directory::{Deployment, Directory};
use crate::events::{AuditEventStream, CountedStream, StreamAccess, StreamRight};
use crate::guest_logs::{GuestLogLine, GuestLogStream};
use crate::mutations::routes::revision_not_found;
use crate::plane::ControlPlane;
use crate::store::{AuditEntry, AuditQuery, DamagedRow, Readable, Table, UsageQuery, UsageRow};
use crate::tenant::Tenant;
use crate::usage_counters::day_of;

/// Most revisions in a page of deployments. A tenant may have thousands.
const PAGE_REVISIONS_MAX: usize = 200;

/// The state of a deployment at one moment.
#[derive(Clone, Debug)]
pub struct DeploymentStatus {
    /// Its owner.
    pub tenant: TenantName,
    /// Its name.
    pub name: DeploymentName,
    /// Whether it serves requests that name no deployment.
    pub default: bool,
    /// Number of the stable revision.
    pub revision: u32,
    /// SHA-256 of its component, hexadecimal.
    pub digest: String,
    /// Leases held on its revisions now, including the draining ones.
    pub leases: usize,
    /// Models in the guest's pipeline info, by alias.
    pub models: Vec<String>,
    /// Result features beyond plain lines.
    pub features: Vec<String>,
    /// Schema of the guest's own options, if it has any.
    pub options_schema: Option<OptionsSchema>,
}

impl ControlPlane {
    /// Returns the deployments of the principal's tenant, and the shared ones, by name.
    pub fn deployments(&self, principal: &Principal) -> Vec<DeploymentView> {
        let directory = self.directory.load();
        let visible = visible(&directory, principal.tenant());
        visible.into_iter().map(|deployment| DeploymentView::of(deployment)).collect()
    }

    /// Returns a page of at most `limit` of [`deployments`](Self::deployments), those with names behind `after`, and whether
    /// there are more. The page ends after 200 revisions, but has at least one deployment.
    pub fn deployments_page(
        &self,
        principal: &Principal,
        after: Option<&DeploymentName>,
        limit: usize,
    ) -> (Vec<DeploymentView>, bool) {
        let directory = self.directory.load();
        let mut rest = visible(&directory, principal.tenant())
            .into_iter()
            .filter(|deployment| after.is_none_or(|after| deployment.route.deployment > *after))
            .peekable();
        let (mut views, mut revisions) = (Vec::new(), 0);
        while views.len() < limit {
            let fits = |next: &&Arc<Deployment>| revisions + next.revisions.len() <= PAGE_REVISIONS_MAX;
            let Some(next) = rest.next_if(|next| views.is_empty() || fits(next)) else { break };
            revisions += next.revisions.len();
            views.push(DeploymentView::of(next));
        }
        (views, rest.peek().is_some())
    }

    /// Returns the deployment of that name: the tenant's own, else a shared one.
    pub fn deployment(&self, principal: &Principal, name: &DeploymentName) -> Result<DeploymentView, Fault> {
        let directory = self.directory.load();
        Ok(DeploymentView::of(directory.find(&principal.tenant, Some(name))?))
    }

    /// Returns a revision with all its parts, of the tenant's own deployment of that name, else of a shared one. Faults:
    /// `deployment_not_found`, `revision_not_found`.
    pub fn revision(
        &self,
        principal: &Principal,
        name: &DeploymentName,
        number: u32,
    ) -> Result<RevisionView, Fault> {
        let directory = self.directory.load();
        let deployment = directory.find(&principal.tenant, Some(name))?;
        RevisionView::of(deployment, number).ok_or_else(|| revision_not_found(name, number))
    }

    /// Returns the number of shared deployments.
    pub fn shared_deployments_count(&self) -> usize {
        let directory = self.directory.load();
        directory.owned(&directory.host).filter(|deployment| deployment.route.shared).count()
    }

    /// Returns the tenant's own deployment of that name.
    pub fn own_deployment(
        &self,
        principal: &Principal,
        name: &DeploymentName,
    ) -> Result<DeploymentView, Fault> {
        let directory = self.directory.load();
        Ok(DeploymentView::of(directory.own(principal.tenant(), name)?))
    }

    /// Returns the tenant's own record, with its policy.
    pub fn policy(&self, principal: &Principal) -> TenantView {
        TenantView::of(&principal.tenant.record)
    }

    /// Returns the usage of the principal's tenant by day, today's included as far as it is counted.
    pub async fn usage(&self, principal: &Principal, days: u32) -> Result<Readable<UsageRow>, Fault> {
        self.usage_of(Some(principal.tenant().clone()), days).await
    }

    /// Returns the usage of all tenants by day.
    pub async fn all_usage(&self, _: &Admin, days: u32) -> Result<Readable<UsageRow>, Fault> {
        self.usage_of(None, days).await
    }

    async fn usage_of(&self, tenant: Option<TenantName>, days: u32) -> Result<Readable<UsageRow>, Fault> {
        // A failure is logged where it happens; the answer then has the usage that is in the store.
        let _ = self.flush_usage().await;
        let today = day_of(self.clock.now_ms());
        let query = UsageQuery { tenant, days: (today.saturating_sub(days.saturating_sub(1)), today) };
        Ok(self.noting(self.store.usage(query).await?))
    }

    /// Returns the tenant's part of the audit log, newest first.
    pub async fn audit(
        &self,
        principal: &Principal,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Readable<AuditEntry>, Fault> {
        principal.may_manage()?;
        let query = AuditQuery { tenant: Some(principal.tenant().clone()), before, limit };
        Ok(self.noting(self.store.audit(query).await?))
    }

    /// Returns the whole audit log, newest first.
    pub async fn all_audit(
        &self,
        _: &Admin,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Readable<AuditEntry>, Fault> {
        Ok(self.noting(self.store.audit(AuditQuery { tenant: None, before, limit }).await?))
    }

    /// Returns the tenant's audit events: those after the entry with the number `after`, or from now on. The stream ends
    /// with the right of the principal. Fault: `too_many_event_streams`.
    pub fn subscribe(&self, principal: &Principal, after: Option<u64>) -> Result<AuditEventStream, Fault> {
        principal.may_manage()?;
        let access = self.stream_access(&principal.actor);
        self.events.subscribe(Some(principal.tenant().clone()), after, access)
    }

    /// Returns all audit events: those after the entry with the number `after`, or from now on. The stream ends with the
    /// right of the administrator. Fault: `too_many_event_streams`.
    pub fn subscribe_all(&self, admin: &Admin, after: Option<u64>) -> Result<AuditEventStream, Fault> {
        let access = self.stream_access(&admin.actor);
        self.events.subscribe(None, after, access)
    }

    fn stream_access(&self, actor: &Actor) -> StreamAccess {
        StreamAccess::new(actor.grant.clone(), self.directory.clone(), self.clock.clone())
    }

    /// Returns the right of the principal, for a stream that ends with it.
    pub fn stream_right(&self, principal: &Principal) -> StreamRight {
        let access = self.stream_access(&principal.actor);
        StreamRight::new(access, self.events.changes())
    }

    /// Counts an event stream of the principal's tenant, for streams outside of this crate. The bound is that of all
    /// event streams of a tenant. Fault: `too_many_event_streams`.
    pub fn count_stream(&self, principal: &Principal) -> Result<CountedStream, Fault> {
        self.events.count(principal.tenant().clone())
    }

    /// Returns the kept log lines that a deployment's guests wrote for the principal's tenant, oldest first; of one
    /// revision if it is given (0: deploys in progress or failed).
    pub fn guest_log(
        &self,
        principal: &Principal,
        deployment: &DeploymentName,
        revision: Option<u32>,
    ) -> Result<Vec<Arc<GuestLogLine>>, Fault> {
        principal.may_manage()?;
        let lines = self.revision_cache.guest_logs().lines(principal.tenant(), deployment, revision);
        self.logs_of(principal, deployment, lines.is_empty())?;
        Ok(lines)
    }

    /// Returns the kept lines like [`guest_log`](Self::guest_log), and a stream of the lines after them.
    /// The stream ends with the right of the principal. Fault: `followers_too_many`.
    pub fn follow_guest_log(
        &self,
        principal: &Principal,
        deployment: &DeploymentName,
        revision: Option<u32>,
    ) -> Result<(Vec<Arc<GuestLogLine>>, GuestLogStream), Fault> {
        principal.may_manage()?;
        let access = self.stream_access(&principal.actor);
        let (logs, changes) = (self.revision_cache.guest_logs(), self.events.changes());
        let (lines, stream) = logs.follow(principal.tenant(), deployment, revision, access, changes)?;
        self.logs_of(principal, deployment, lines.is_empty())?;
        Ok((lines, stream))
    }

    /// Checks that a deployment without lines exists. One whose first deploy failed does not exist, and has lines.
    fn logs_of(&self, principal: &Principal, deployment: &DeploymentName, none: bool) -> Result<(), Fault> {
        if none {
            self.directory.load().find(&principal.tenant, Some(deployment))?;
        }
        Ok(())
    }

    /// Returns the background tasks of this server and their last runs.
    pub fn background_task_status(&self, _: &Admin) -> Vec<BackgroundTaskStatus> {
        self.background_tasks.status()
    }

    /// Returns all tenants with their counters, by name.
    pub fn tenants_with_counters(&self) -> Vec<Arc<Tenant>> {
        self.directory.load().tenants.values().cloned().collect()
    }

    /// Returns the deployments that have a live revision.
    pub fn deployment_status(&self) -> Vec<DeploymentStatus> {
        let directory = self.directory.load();
        directory.deployments.values().filter_map(|of| deployment_status(&directory, of)).collect()
    }
}

/// Returns the deployments of the tenant, and the shared ones that it sees, by name.
fn visible<'a>(directory: &'a Directory, tenant: &'a TenantName) -> Vec<&'a Arc<Deployment>> {
    let own = directory.owned(tenant);
    let shared = directory.owned(&directory.host).filter(|deployment| {
        deployment.route.shared
            && *tenant != directory.host
            && directory.own(tenant, &deployment.route.deployment).is_err()
    });
    let mut visible: Vec<_> = own.chain(shared).collect();
    visible.sort_by(|a, b| a.route.deployment.cmp(&b.route.deployment));
    visible
}

/// Returns the state of a deployment with a live revision.
fn deployment_status(directory: &Directory, deployment: &Deployment) -> Option<DeploymentStatus> {
    let route = &deployment.route;
    let record = deployment.revisions.get(&route.stable()?)?;
    let in_memory = deployment.loaded.values().filter_map(|loaded| loaded.as_ref().ok().cloned());
    let draining = deployment.draining.iter().filter_map(Weak::upgrade);
    Some(DeploymentStatus {
        tenant: route.tenant.clone(),
        name: route.deployment.clone(),
        default: route.shared && route.deployment == directory.default,
        revision: record.number,
        digest: record.component.to_string(),
        leases: in_memory.chain(draining).map(|revision| revision.gate.count()).sum(),
        models: record.pipeline_info.models.clone(),
        features: record.pipeline_info.features.clone(),
        options_schema: record.options_schema.clone(),
    })
}

impl ControlPlane {
    /// Returns every row of the store that is known to be damaged.
    pub fn damaged_rows(&self, _: &Admin) -> Vec<DamagedRow> {
        self.damaged()
    }

    pub(crate) fn damaged(&self) -> Vec<DamagedRow> {
        let mut rows = self.directory.load().damaged.clone();
        rows.extend(self.found_damaged.all());
        rows
    }

    /// Records the damaged rows of a read, and returns the read.
    pub(crate) fn noting<T>(&self, read: Readable<T>) -> Readable<T> {
        self.found_damaged.remember(&read.damaged);
        read
    }

    /// Returns the number of damaged rows by table.
    pub fn damaged_counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts: BTreeMap<_, _> = Table::ALL.iter().map(|table| (table.as_str(), 0)).collect();
        for row in self.damaged() {
            *counts.entry(row.table.as_str()).or_default() += 1;
        }
        counts
    }
}
