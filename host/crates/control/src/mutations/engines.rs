//! Engines that could not be built or loaded: tried again.

use lector_core::port::FailedEngine;
use lector_core::{Fault, ModelName};
use serde_json::{Value, json};

use super::AuditContext;
use crate::access::Admin;
use crate::plane::ControlPlane;

impl ControlPlane {
    /// Has the engines that failed tried again, of one model or of all, and answers which these are. `model_unknown` for a
    /// name that the catalog does not have. What becomes of them shows where engines are shown.
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
        self.begin().await.commit(note).await?;
        self.revision_cache.engines().retry(&failed);
        Ok(failed)
    }
}
