//! The start configuration of the control plane. Built and checked by the host's `config/`; independent of the file
//! format.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lector_core::{Budget, DeploymentName, ModelName, TenantName};

use crate::storage::StorageLimits;

/// Configuration of the control plane.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Owner of the deployments below. On a server without keys, a request without a key acts for this tenant.
    pub tenant: TenantName,
    /// Deployments shared with all tenants; at least one.
    pub deployments: Vec<DeploymentConfig>,
    /// Folder for everything that outlives the process; `None`: nothing is kept.
    pub data_dir: Option<PathBuf>,
    /// The deployment for requests that name none.
    pub default_deployment: DeploymentName,
    /// Most bytes of pixels and tensors held by the pages in progress of a tenant without a limit of its own; 0: no
    /// limit.
    pub tenant_images_bytes_max: u64,
    /// Limits of what a tenant without limits of its own keeps in the store. They do not apply to deployments of the
    /// configuration.
    pub tenant_storage: StorageLimits,
    /// How long the engine of a model stays loaded after the last revision that needs it is gone. A rollback within
    /// this time does not wait for the engine.
    pub engine_idle_ttl: Duration,
}

/// A deployment that the configuration defines.
#[derive(Clone, Debug)]
pub struct DeploymentConfig {
    /// Its name in requests, logs and metrics.
    pub name: DeploymentName,
    /// The guest's wasm component.
    pub component: PathBuf,
    /// Settings for the guest's `configure`: a JSON object.
    pub settings: serde_json::Value,
    /// Models that the guest may open, by alias.
    pub grants: BTreeMap<String, ModelName>,
    /// Limits of each guest call.
    pub budget: Budget,
    /// The configured deployment that it wraps, for a guest that imports `pipeline`.
    pub wraps: Option<DeploymentName>,
}
