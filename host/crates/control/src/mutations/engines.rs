//! Retries of engines that could not be built or loaded.

use lector_core::port::FailedEngine;
use lector_core::{Fault, ModelName};
use serde_json::{Value, json};

use super::AuditContext;
use crate::access::Admin;
use crate::plane::ControlPlane;

impl ControlPlane {
    /// Retries the failed engines of one model or of all, and returns these engines. Fault: `model_unknown` if the
    /// catalog does not have the model. The list of engines shows the progress.
    pub async fn retry_engines(
        &self,
        admin: &Admin,
        model: Option<&ModelName>,
    ) -> Result<Vec<FailedEngine>, Fault> {
        let failed = self.revision_cache.engines().failed(model)?;
        let note = AuditContext {
            actor: &admin.actor,
            tenant: None,
            action: "engines_retry",
            target: model.map_or_else(|| "all".to_owned(), ToString::to_string),
            from: json!(failed),
            to: Value::Null,
        };
        self.begin(&admin.actor).await?.commit(note).await?;
        self.revision_cache.engines().retry(&failed);
        Ok(failed)
    }
}
