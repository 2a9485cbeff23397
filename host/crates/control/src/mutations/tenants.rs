//! Tenants: creation, change, deletion.

use std::sync::{Arc, PoisonError};

use lector_core::{Fault, Kind, TenantName};
use serde_json::Value;

use super::AuditContext;
use crate::access::Admin;
use crate::api_types::TenantView;
use crate::plane::ControlPlane;
use crate::store::Change;
use crate::tenant::{Tenant, TenantPolicy, TenantRecord, is_name, name_invalid, tenant_not_found};
use crate::usage_counters::UsageCounters;

/// Most tenants of one server.
const TENANTS_MAX: usize = 10_000;

impl ControlPlane {
    /// Returns all tenants, by name.
    pub fn tenants(&self, _: &Admin) -> Vec<TenantView> {
        self.directory.load().tenants.values().map(|tenant| TenantView::of(&tenant.record)).collect()
    }

    /// Returns one tenant.
    pub fn tenant(&self, _: &Admin, name: &TenantName) -> Result<TenantView, Fault> {
        let directory = self.directory.load();
        Ok(TenantView::of(&directory.tenant(name)?.record))
    }

    /// Creates a tenant. Fault: `tenant_exists`; the policy of the existing tenant stays.
    pub async fn create_tenant(
        &self,
        admin: &Admin,
        name: TenantName,
        policy: TenantPolicy,
    ) -> Result<TenantView, Fault> {
        Ok(self.write_tenant(admin, name, policy, true).await?.0)
    }

    /// Creates a tenant, or sets the policy of an existing one; returns whether it was created. A new policy applies to
    /// later requests.
    pub async fn put_tenant(
        &self,
        admin: &Admin,
        name: TenantName,
        policy: TenantPolicy,
    ) -> Result<(TenantView, bool), Fault> {
        self.write_tenant(admin, name, policy, false).await
    }

    async fn write_tenant(
        &self,
        admin: &Admin,
        name: TenantName,
        policy: TenantPolicy,
        only_new: bool,
    ) -> Result<(TenantView, bool), Fault> {
        if !is_name(name.as_str()) {
            return Err(name_invalid("tenant", name.as_str()));
        }
        if policy.weight == 0 {
            let message = "`weight` must be 1 or more: with 0 the tenant's pages are never scheduled.";
            return Err(Fault::new(Kind::Invalid, "limits_invalid", message));
        }
        let policy = TenantPolicy { limits: policy.limits.checked()?, ..policy };
        policy.settings.checked()?;
        // A creation waits until the data of a former tenant of that name is deleted.
        let mut changing = None;
        if !self.directory.load().has_tenant(&name) {
            let right = self.tenant_data.changing().await;
            if !self.directory.load().has_tenant(&name) {
                right.forget(&name).await?;
                self.revision_cache.guest_logs().forget(&name);
            }
            changing = Some(right);
        }
        let mut mutation = self.begin(&admin.actor).await?;
        let before = mutation.directory.tenants.get(&name).cloned();
        let unreadable = mutation.directory.quarantined.remove(&name).is_some();
        let new = before.is_none() && !unreadable;
        if new && changing.is_none() {
            // It was deleted since the look: this is an update of a tenant that does not exist.
            return Err(tenant_not_found(name.as_str()));
        }
        if only_new && !new {
            let message =
                format!("Tenant `{name}` exists, and nothing was changed: update it with its whole policy.");
            return Err(Fault::new(Kind::Conflict, "tenant_exists", message));
        }
        if before.is_none() && mutation.directory.tenants.len() >= TENANTS_MAX {
            let message = format!("The server has {TENANTS_MAX} tenants, the limit: delete one first.");
            return Err(Fault::new(Kind::Conflict, "too_many_tenants", message));
        }
        let created_at_ms =
            before.as_ref().map_or_else(|| self.clock.now_ms(), |tenant| tenant.record.created_at_ms);
        let record = TenantRecord { name: name.clone(), created_at_ms, policy };
        let fresh = || Arc::new(UsageCounters::new(self.clock.clone()));
        let usage = before.as_ref().map_or_else(fresh, |tenant| tenant.usage.clone());
        mutation.directory.tenants.insert(
            name.clone(),
            Tenant::new(record.clone(), usage, self.defaults.load().tenant_images_bytes_max),
        );
        mutation.change(Change::PutTenant(record.clone()));
        let note = AuditContext {
            actor: &admin.actor,
            tenant: Some(&name),
            action: if new { "tenant_create" } else { "tenant_update" },
            target: name.to_string(),
            from: before.as_ref().map_or(Value::Null, |tenant| shown(&tenant.record.policy)),
            to: shown(&record.policy),
        };
        mutation.commit(note).await?;
        Ok((TenantView::of(&record), new))
    }

    /// Deletes a tenant with its keys, its deployments and all that other parts of the server keep for it; its usage and
    /// its audit log stay. Requests in flight are finished, and keep nothing for it.
    pub async fn delete_tenant(&self, admin: &Admin, name: &TenantName) -> Result<(), Fault> {
        let changing = self.tenant_data.changing().await;
        let mut mutation = self.begin(&admin.actor).await?;
        if *name == mutation.directory.host {
            let message = format!(
                "Tenant `{name}` owns the shared deployments and cannot be deleted: choose another tenant."
            );
            return Err(Fault::new(Kind::Conflict, "tenant_is_configured", message));
        }
        let tenant = mutation.directory.tenants.remove(name);
        let unreadable = mutation.directory.quarantined.remove(name).is_some();
        if tenant.is_none() && !unreadable {
            return Err(tenant_not_found(name.as_str()));
        }
        mutation.directory.keys.retain(|_, key| key.scope.tenant() != Some(name));
        mutation.directory.deployments.retain(|(owner, _), _| owner != name);
        mutation.change(Change::DeleteTenant(name.clone()));
        let (former, left) = (name.clone(), self.left.clone());
        let (logs, deleted) = (self.revision_cache.guest_logs().clone(), tenant.clone());
        // Only once it is deleted: the store may refuse the change.
        mutation.after = Some(Box::pin(async move {
            logs.forget(&former);
            // Its counters are kept until its last document has ended and the usage flush has written them.
            left.lock().unwrap_or_else(PoisonError::into_inner).extend(deleted);
            if let Err(fault) = changing.forget(&former).await {
                // Deleted before a tenant of that name is created.
                tracing::error!(tenant = %former, %fault, "data of a deleted tenant is left");
            }
        }));
        let note = AuditContext {
            actor: &admin.actor,
            tenant: Some(name),
            action: "tenant_delete",
            target: name.to_string(),
            from: tenant.as_ref().map_or(Value::Null, |tenant| shown(&tenant.record.policy)),
            to: Value::Null,
        };
        mutation.commit(note).await
    }
}

/// Returns a policy for the audit log. Settings from a damaged store may be JSON that is no `Value`, such as `1e999`.
fn shown(policy: &TenantPolicy) -> Value {
    serde_json::to_value(policy).unwrap_or_else(|error| Value::from(format!("not readable: {error}")))
}
