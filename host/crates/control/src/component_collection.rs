//! The background task that deletes the components that no revision names.

use lector_core::Fault;

use crate::plane::ControlPlane;

impl ControlPlane {
    /// Deletes the components that no revision names.
    pub(crate) async fn collect_components(&self) -> Result<(), Fault> {
        if !self.collection.take() {
            return Ok(());
        }
        // No commit may name a component between the look at the names and the deletion.
        let _write_lock = self.write_lock.lock().await;
        let collected = self.store.collect(Some(self.pinned_blobs.clone())).await;
        let collected = collected.inspect_err(|_| self.collection.written())?;
        if collected.unnamed > 0 {
            tracing::info!(components = collected.unnamed, "components that no revision names were deleted");
        }
        Ok(())
    }
}
