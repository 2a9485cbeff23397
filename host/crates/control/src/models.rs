//! The models that a tenant may use, as a client that runs them without a guest sees them.

use std::collections::BTreeSet;
use std::sync::Arc;

use lector_core::{Engines, ModelInfo, ModelName};

use crate::access::Principal;
use crate::plane::ControlPlane;

/// A model that the tenant may use.
#[derive(Clone, Debug)]
pub struct GrantedModel {
    /// Its name in the catalog.
    pub name: ModelName,
    /// The model; `None` while no deployment has it loaded.
    pub info: Option<Arc<ModelInfo>>,
}

impl ControlPlane {
    /// Returns the models that the tenant's policy grants, by name.
    pub fn models(&self, principal: &Principal) -> Vec<GrantedModel> {
        let names: BTreeSet<ModelName> = self.models_of(principal.account()).into_values().collect();
        let engines = self.engines();
        names.into_iter().map(|name| GrantedModel { info: engines.model(&name), name }).collect()
    }

    /// Returns the model of this name, if the tenant may use it.
    pub fn model(&self, principal: &Principal, name: &str) -> Option<GrantedModel> {
        let granted = self.models_of(principal.account());
        let name = granted.into_values().find(|granted| granted.as_str() == name)?;
        Some(GrantedModel { info: self.engines().model(&name), name })
    }

    /// Returns the engines.
    pub fn engines(&self) -> &Arc<dyn Engines> {
        self.revision_cache.engines()
    }
}
