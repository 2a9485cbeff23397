//! What the control plane is started with. Made and checked by the host's `config/`; knows no file format.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lector_core::{Budget, DeploymentName, ModelName, TenantName};

/// Configuration of the control plane.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Owner of the deployments below; a request without a key, on a server without keys, acts for this tenant.
    pub tenant: TenantName,
    /// Pipelines that every tenant may call; at least one.
    pub deployments: Vec<DeploymentConfig>,
    /// Where everything is kept that outlives the process; `None`: nothing does.
    pub data_dir: Option<PathBuf>,
    /// The deployment that answers when a request names none.
    pub default_deployment: DeploymentName,
    /// Bytes of pixels and tensors that the pages being read may hold of a tenant that has no bound of its own; 0: no bound.
    pub tenant_images_bytes_max: u64,
    /// How long the engine of a model stays loaded that no revision needs any more: a rollback within it waits for none.
    pub engine_idle_ttl: Duration,
}

/// One pipeline.
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
}
