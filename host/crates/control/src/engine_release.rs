//! Releases engines that no revision needs.

use std::collections::BTreeSet;

use lector_core::ModelName;

use crate::plane::ControlPlane;

impl ControlPlane {
    /// Closes idle engines: those that no revision in memory, no deploy in progress, and no ready revision newer than
    /// the routed ones has needed for the idle TTL.
    pub async fn release_engines(&self) {
        let needed = || -> BTreeSet<ModelName> {
            let directory = self.directory.load();
            directory.deployments.values().flat_map(|deployment| deployment.models_to_come()).collect()
        };
        let retain = |stay| self.revision_cache.engines().retain(stay);
        let idle_ttl = self.defaults.load().engine_idle_ttl;
        self.revision_cache.model_references().release_idle(idle_ttl, needed, retain).await;
    }
}
