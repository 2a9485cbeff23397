//! A reload of the configuration: its values for tenants without values of their own, and the audit event of the whole
//! reload.

use lector_core::Fault;
use serde_json::Value;

use super::AuditContext;
use crate::access::{Actor, Admin};
use crate::bootstrap::{check, defaults};
use crate::config::ControlConfig;
use crate::plane::ControlPlane;
use crate::tenant::Tenant;

/// The reload of a configuration, for the audit log.
#[derive(Clone, Debug)]
pub struct ConfigReload {
    /// The changed keys with the values before.
    pub from: Value,
    /// The changed keys with the values after.
    pub to: Value,
}

impl Admin {
    /// Returns the right of a user that may send a signal to the process of this server.
    pub fn by_signal() -> Self {
        Self { actor: Actor::named("signal") }
    }
}

impl ControlPlane {
    /// Replaces the defaults for tenants (bytes of images, storage, models), the default deployment and the idle TTL of
    /// engines, and writes the audit event of the whole reload. `config` has the deployments, the tenant and the data
    /// folder of this server; those are not replaced. Documents in flight keep what they have.
    ///
    /// Faults: `platform_config`, and those of the store; then nothing has changed.
    pub async fn reload(
        &self,
        admin: &Admin,
        config: &ControlConfig,
        changes: ConfigReload,
    ) -> Result<(), Fault> {
        check(config)?;
        let new = defaults(config);
        let mut mutation = self.begin(&admin.actor).await?;
        let old = self.defaults.load_full();
        mutation.directory.default = config.default_deployment.clone();
        if old.tenant_images_bytes_max != new.tenant_images_bytes_max {
            for tenant in mutation.directory.tenants.values_mut() {
                let (record, usage) = (tenant.record.clone(), tenant.usage.clone());
                *tenant = Tenant::new(record, usage, new.tenant_images_bytes_max);
            }
        }
        let note = AuditContext {
            actor: &admin.actor,
            tenant: None,
            action: "config_reload",
            target: "configuration".to_owned(),
            from: changes.from,
            to: changes.to,
        };
        mutation.commit(note).await?;
        self.defaults.store(std::sync::Arc::new(new));
        Ok(())
    }
}
