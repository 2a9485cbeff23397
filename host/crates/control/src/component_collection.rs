//! The background task that deletes the components that no revision names.

use lector_core::Fault;

use crate::plane::ControlPlane;

impl ControlPlane {
    /// Deletes the components that no revision names.
    pub(crate) async fn collect_components(&self) -> Result<(), Fault> {
        if !self.collection.begin() {
            return Ok(());
        }
        let collected = self.store.collect(Some(self.collection.pinned.clone())).await;
        self.collection.end();
        let collected = collected.inspect_err(|_| self.collection.written())?;
        if collected.unnamed > 0 {
            tracing::info!(components = collected.unnamed, "components that no revision names were deleted");
        }
        Ok(())
    }
}
