//! Looking without changing: deployments, usage, the audit log, and acts as they happen.

use std::sync::Arc;

use lector_core::{DeploymentName, Fault, TenantName};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::access::{Admin, Caller};
use crate::meter::{day_of, now_ms};
use crate::platform::Platform;
use crate::store::{AuditEntry, AuditQuery, Readable, UsageQuery, UsageRow};
use crate::tenant::TenantRecord;
use crate::view::DeploymentView;

/// Acts of one tenant as they happen, or of everybody.
pub struct Acts {
    told: broadcast::Receiver<Arc<AuditEntry>>,
    tenant: Option<TenantName>,
}

/// Acts that came faster than they were taken; the audit log has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed(pub u64);

impl Acts {
    /// The next act; `None` when the house is gone.
    pub async fn next(&mut self) -> Option<Result<Arc<AuditEntry>, Missed>> {
        loop {
            match self.told.recv().await {
                Ok(entry) if self.tenant.is_none() || entry.tenant == self.tenant => return Some(Ok(entry)),
                Ok(_) => {}
                Err(RecvError::Lagged(count)) => return Some(Err(Missed(count))),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl Platform {
    /// The caller's deployments, and those that the host lends to it.
    pub fn deployments(&self, caller: &Caller) -> Vec<DeploymentView> {
        let directory = self.directory.load();
        let own = directory.owned(caller.tenant());
        let lent = directory.owned(&directory.host).filter(|deployment| {
            deployment.route.seed
                && *caller.tenant() != directory.host
                && directory.own(caller.tenant(), &deployment.route.deployment).is_err()
        });
        own.chain(lent).map(|deployment| DeploymentView::of(deployment)).collect()
    }

    /// What the caller means by that name.
    pub fn deployment(&self, caller: &Caller, name: &DeploymentName) -> Result<DeploymentView, Fault> {
        let directory = self.directory.load();
        Ok(DeploymentView::of(directory.find(&caller.tenant, Some(name))?))
    }

    /// The caller's own deployment of that name.
    pub fn own_deployment(&self, caller: &Caller, name: &DeploymentName) -> Result<DeploymentView, Fault> {
        let directory = self.directory.load();
        Ok(DeploymentView::of(directory.own(caller.tenant(), name)?))
    }

    /// The caller's own terms.
    pub fn terms(&self, caller: &Caller) -> TenantRecord {
        caller.tenant.record.clone()
    }

    /// What the caller's tenant used, day by day, today included as far as it is counted.
    pub async fn usage(&self, caller: &Caller, days: u32) -> Result<Readable<UsageRow>, Fault> {
        self.usage_of(Some(caller.tenant().clone()), days).await
    }

    /// The same of all tenants.
    pub async fn all_usage(&self, _: &Admin, days: u32) -> Result<Readable<UsageRow>, Fault> {
        self.usage_of(None, days).await
    }

    async fn usage_of(&self, tenant: Option<TenantName>, days: u32) -> Result<Readable<UsageRow>, Fault> {
        self.flush_usage().await;
        let today = day_of(now_ms());
        let query = UsageQuery { tenant, days: (today.saturating_sub(days.saturating_sub(1)), today) };
        Ok(self.noting(self.store.usage(query).await?))
    }

    /// The caller's part of the audit log, newest first.
    pub async fn audit(
        &self,
        caller: &Caller,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Readable<AuditEntry>, Fault> {
        caller.may_manage()?;
        let query = AuditQuery { tenant: Some(caller.tenant().clone()), before, limit };
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
    pub fn watch(&self, caller: &Caller) -> Result<Acts, Fault> {
        caller.may_manage()?;
        Ok(Acts { told: self.acts.watch(), tenant: Some(caller.tenant().clone()) })
    }

    /// Everybody's acts from now on.
    pub fn watch_all(&self, _: &Admin) -> Acts {
        Acts { told: self.acts.watch(), tenant: None }
    }
}
