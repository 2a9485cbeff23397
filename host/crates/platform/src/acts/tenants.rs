//! Tenants: put and dropped.

use std::sync::Arc;

use lector_core::{Fault, Kind, TenantName};
use serde_json::{Value, json};

use super::Note;
use crate::access::{Admin, tenant_not_found};
use crate::meter::{Meter, now_ms};
use crate::platform::Platform;
use crate::store::Change;
use crate::tenant::{Tenant, TenantRecord, TenantTerms, is_name, name_invalid};

/// Tenants of one house.
const TENANTS_MAX: usize = 10_000;

impl Platform {
    /// All tenants.
    pub fn tenants(&self, _: &Admin) -> Vec<TenantRecord> {
        self.directory.load().tenants.values().map(|tenant| tenant.record.clone()).collect()
    }

    /// One tenant.
    pub fn tenant(&self, _: &Admin, name: &TenantName) -> Result<TenantRecord, Fault> {
        let directory = self.directory.load();
        Ok(directory.tenant(name)?.record.clone())
    }

    /// Makes a tenant, or gives one new terms; whether it was made. New terms hold for the requests that come after.
    pub async fn put_tenant(
        &self,
        admin: &Admin,
        name: TenantName,
        terms: TenantTerms,
    ) -> Result<(TenantRecord, bool), Fault> {
        if !is_name(name.as_str()) {
            return Err(name_invalid("tenant", name.as_str()));
        }
        if terms.weight == 0 {
            let message = "`weight` must be 1 or more: with 0 the tenant's pages would wait for ever.";
            return Err(Fault::new(Kind::Invalid, "limits_invalid", message));
        }
        let terms = TenantTerms { limits: terms.limits.checked()?, ..terms };
        terms.settings.checked()?;
        let mut doing = self.begin().await;
        let before = doing.directory.tenants.get(&name).cloned();
        let unreadable = doing.directory.quarantined.remove(&name).is_some();
        let new = before.is_none() && !unreadable;
        if before.is_none() && doing.directory.tenants.len() >= TENANTS_MAX {
            let message = format!("A house has at most {TENANTS_MAX} tenants.");
            return Err(Fault::new(Kind::Conflict, "too_many_tenants", message));
        }
        let created_at_ms = before.as_ref().map_or_else(now_ms, |tenant| tenant.record.created_at_ms);
        let record = TenantRecord { name: name.clone(), created_at_ms, terms };
        let meter = before.as_ref().map_or_else(|| Arc::new(Meter::default()), |tenant| tenant.meter.clone());
        doing
            .directory
            .tenants
            .insert(name.clone(), Tenant::new(record.clone(), meter, self.tenant_images_bytes_max));
        doing.change(Change::PutTenant(record.clone()));
        let note = Note {
            actor: &admin.actor,
            tenant: Some(&name),
            act: if new { "tenant_create" } else { "tenant_change" },
            target: name.to_string(),
            from: before.as_ref().map_or(Value::Null, |tenant| json!(tenant.record.terms)),
            to: json!(record.terms),
        };
        doing.done(note).await?;
        Ok((record, new))
    }

    /// Drops a tenant with its keys and deployments; its usage and its audit log stay. Requests that are being
    /// answered are answered to their end.
    pub async fn drop_tenant(&self, admin: &Admin, name: &TenantName) -> Result<(), Fault> {
        let mut doing = self.begin().await;
        if *name == doing.directory.host {
            let message =
                format!("Tenant `{name}` owns the deployments of the configuration: it cannot be dropped.");
            return Err(Fault::new(Kind::Conflict, "tenant_is_the_hosts", message));
        }
        let tenant = doing.directory.tenants.remove(name);
        let unreadable = doing.directory.quarantined.remove(name).is_some();
        if tenant.is_none() && !unreadable {
            return Err(tenant_not_found(name.as_str()));
        }
        doing.directory.keys.retain(|_, key| key.scope.tenant() != Some(name));
        doing.directory.deployments.retain(|(owner, _), _| owner != name);
        doing.change(Change::DropTenant(name.clone()));
        // What it used and is not yet on disk goes there with the next round.
        if let Some(tenant) = &tenant {
            self.leave(tenant.clone());
        }
        let note = Note {
            actor: &admin.actor,
            tenant: Some(name),
            act: "tenant_drop",
            target: name.to_string(),
            from: tenant.as_ref().map_or(Value::Null, |tenant| json!(tenant.record.terms)),
            to: Value::Null,
        };
        doing.done(note).await
    }
}
