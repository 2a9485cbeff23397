//! What the platform is started with. Made and checked by the host's `config/`; knows no file format.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lector_core::{Budget, DeploymentName, ModelName, TenantName};

/// The whole house.
#[derive(Clone, Debug)]
pub struct PlatformConfig {
    /// Owner of the deployments below; who asks without a key, in a house without keys, is this tenant.
    pub tenant: TenantName,
    /// Pipelines that every tenant may call; at least one.
    pub deployments: Vec<DeploymentConfig>,
    /// Where everything is kept that outlives the process; `None`: nothing does.
    pub data_dir: Option<PathBuf>,
    /// The one that answers when a request names none.
    pub default_deployment: DeploymentName,
    /// Documents admitted at once, bodies that are still being received included.
    pub documents_max: usize,
    /// The longest wait for which a document is taken on; beyond it requests are refused.
    pub wait_max: Duration,
    /// Guest calls at once in the house; tenants that have none are let in beyond it, as many again in all.
    pub pages_in_flight_max: usize,
    /// Most pages read of one document.
    pub pages_per_document_max: u32,
    /// Bytes of submitted documents and of their results held at once.
    pub held_bytes_max: u64,
    /// Of them, those of a tenant that has no bound of its own.
    pub tenant_held_bytes_max: u64,
    /// Bytes of pixels and tensors that the pages being read may hold of a tenant that has no bound of its own; 0: no bound.
    pub tenant_images_bytes_max: u64,
    /// Bytes of the results of one document, its pages and its summary together.
    pub document_result_bytes_max: u64,
    /// How long the engine of a model stays loaded that no revision needs any more: a rollback within it waits for none.
    pub engine_linger: Duration,
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
