//! Queries: deployments, usage, the audit log and its events, background tasks. They change nothing.

use std::collections::BTreeMap;
use std::sync::Weak;

use lector_core::{DeploymentName, Fault, TenantName};

use crate::access::{Admin, Principal};
use crate::api_types::DeploymentView;
use crate::background_tasks::BackgroundTaskStatus;
use crate::directory::{Deployment, Directory};
use crate::events::AuditEventStream;
use crate::plane::ControlPlane;
use crate::store::{AuditEntry, AuditQuery, DamagedRow, Readable, Table, UsageQuery, UsageRow};
use crate::tenant::TenantRecord;
use crate::usage_counters::{day_of, now_ms};

/// A deployment at one moment.
#[derive(Clone, Debug)]
pub struct DeploymentStatus {
    /// Its owner.
    pub tenant: TenantName,
    /// Its name.
    pub name: DeploymentName,
    /// Whether it answers requests that name none.
    pub default: bool,
    /// Number of the revision that answers, or most of what answers.
    pub revision: u32,
    /// SHA-256 of its component, hexadecimal.
    pub digest: String,
    /// Leases held on its revisions now, those that drain included.
    pub leases: usize,
    /// Models that its guest declared to open, by alias.
    pub models: Vec<String>,
    /// What its results hold beyond plain lines.
    pub features: Vec<String>,
}

impl ControlPlane {
    /// The caller's deployments, and those that the host lends to it.
    pub fn deployments(&self, principal: &Principal) -> Vec<DeploymentView> {
        let directory = self.directory.load();
        let own = directory.owned(principal.tenant());
        let shared = directory.owned(&directory.host).filter(|deployment| {
            deployment.route.shared
                && *principal.tenant() != directory.host
                && directory.own(principal.tenant(), &deployment.route.deployment).is_err()
        });
        own.chain(shared).map(|deployment| DeploymentView::of(deployment)).collect()
    }

    /// What the caller means by that name.
    pub fn deployment(&self, principal: &Principal, name: &DeploymentName) -> Result<DeploymentView, Fault> {
        let directory = self.directory.load();
        Ok(DeploymentView::of(directory.find(&principal.tenant, Some(name))?))
    }

    /// The caller's own deployment of that name.
    pub fn own_deployment(
        &self,
        principal: &Principal,
        name: &DeploymentName,
    ) -> Result<DeploymentView, Fault> {
        let directory = self.directory.load();
        Ok(DeploymentView::of(directory.own(principal.tenant(), name)?))
    }

    /// The caller's own terms.
    pub fn policy(&self, principal: &Principal) -> TenantRecord {
        principal.tenant.record.clone()
    }

    /// What the caller's tenant used, day by day, today included as far as it is counted.
    pub async fn usage(&self, principal: &Principal, days: u32) -> Result<Readable<UsageRow>, Fault> {
        self.usage_of(Some(principal.tenant().clone()), days).await
    }

    /// The same of all tenants.
    pub async fn all_usage(&self, _: &Admin, days: u32) -> Result<Readable<UsageRow>, Fault> {
        self.usage_of(None, days).await
    }

    async fn usage_of(&self, tenant: Option<TenantName>, days: u32) -> Result<Readable<UsageRow>, Fault> {
        // A failure is logged where it happens; the store answers with the usage that it has.
        let _ = self.flush_usage().await;
        let today = day_of(now_ms());
        let query = UsageQuery { tenant, days: (today.saturating_sub(days.saturating_sub(1)), today) };
        Ok(self.noting(self.store.usage(query).await?))
    }

    /// The caller's part of the audit log, newest first.
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

    /// The whole audit log, newest first.
    pub async fn all_audit(
        &self,
        _: &Admin,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Readable<AuditEntry>, Fault> {
        Ok(self.noting(self.store.audit(AuditQuery { tenant: None, before, limit }).await?))
    }

    /// The caller's acts from now on.
    pub fn subscribe(&self, principal: &Principal) -> Result<AuditEventStream, Fault> {
        principal.may_manage()?;
        Ok(self.events.subscribe(Some(principal.tenant().clone())))
    }

    /// Everybody's acts from now on.
    pub fn subscribe_all(&self, _: &Admin) -> AuditEventStream {
        self.events.subscribe(None)
    }

    /// The background tasks of this server and their last runs.
    pub fn background_task_status(&self, _: &Admin) -> Vec<BackgroundTaskStatus> {
        self.background_tasks.status()
    }

    /// The deployments that have a live revision.
    pub fn deployment_status(&self) -> Vec<DeploymentStatus> {
        let directory = self.directory.load();
        directory.deployments.values().filter_map(|of| deployment_status(&directory, of)).collect()
    }
}

/// A deployment with something live in it.
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
    })
}

impl ControlPlane {
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
    pub fn damaged_counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts: BTreeMap<_, _> = Table::ALL.iter().map(|table| (table.as_str(), 0)).collect();
        for row in self.damaged() {
            *counts.entry(row.table.as_str()).or_default() += 1;
        }
        counts
    }
}
