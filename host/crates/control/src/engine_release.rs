//! Releases engines that no revision needs.

use std::collections::BTreeSet;

use lector_core::ModelName;

use crate::plane::ControlPlane;

impl ControlPlane {
    /// Closes the engines that nothing has needed for a while: neither a revision in memory nor one that is being staged,
    /// nor one that is ready and was not routed to yet.
    pub async fn release_engines(&self) {
        let needed = || -> BTreeSet<ModelName> {
            let directory = self.directory.load();
            directory.deployments.values().flat_map(|deployment| deployment.models_to_come()).collect()
        };
        let retain = |stay| self.revision_cache.engines().retain(stay);
        self.revision_cache.model_references().release_idle(self.engine_idle_ttl, needed, retain).await;
    }
}
