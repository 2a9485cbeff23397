//! The provider preference lists of this host: the default list, and the lists of single models.

use std::collections::BTreeMap;

use lector_core::ModelName;

use crate::catalog::{Catalog, Task};
use crate::config::InferenceConfig;
use crate::error::InferenceError;
use crate::machine::Machine;
use crate::openvino::OpenVino;
use crate::preflight::{self, GpuPlaces};
use crate::provider::{EngineVariant, Named, Provider};
use crate::provider_preference::{Availability, PreferredProvider, ProviderPreference};

/// Lists by model.
pub(super) struct ProviderPreferences {
    all: ProviderPreference,
    single: BTreeMap<ModelName, ProviderPreference>,
}

impl ProviderPreferences {
    /// Resolves the configuration on this machine, and loads the runtimes that it needs beside ONNX Runtime.
    pub(super) fn raise(
        config: &InferenceConfig,
        catalog: &Catalog,
    ) -> Result<(Self, Option<OpenVino>), InferenceError> {
        let lists = || std::iter::once(&config.providers).chain(config.model_providers.values());
        let hints = || lists().flatten();
        let machine = Machine::detect(&config.cpu_features);
        let openvino = openvino(config, hints())?;
        let here = Availability { machine: &machine, openvino_missing: openvino.as_ref().err().cloned() };
        let preference = |key: String, hints: &[PreferredProvider]| {
            let preference = ProviderPreference::resolve(hints, &here)
                .map_err(|source| InferenceError::ProviderPreference { key: key.clone(), source })?;
            for reason in &preference.reasons {
                tracing::info!(key, %preference, "{reason}");
            }
            Ok::<_, InferenceError>(preference)
        };
        let all = preference("engines.providers".to_owned(), &config.providers)?;
        let mut single = BTreeMap::new();
        for (model, hints) in &config.model_providers {
            if catalog.find(model).is_none() {
                return Err(InferenceError::unknown(model, catalog));
            }
            single.insert(model.clone(), preference(format!("engines.model_providers.{model}"), hints)?);
        }
        for entry in catalog.entries().iter().filter(|entry| entry.task == Task::Transcription) {
            let reasons = vec!["tesseract: nothing else reads text of this model".to_owned()];
            let preference = ProviderPreference {
                variants: vec![EngineVariant::TESSERACT],
                measured: Vec::new(),
                reasons,
            };
            single.insert(entry.name.clone(), preference);
        }
        let preferences = Self { all, single };
        preferences.require_gpu_libraries(config)?;
        Ok((preferences, openvino.ok()))
    }

    pub(super) fn of(&self, model: &ModelName) -> &ProviderPreference {
        self.single.get(model).unwrap_or(&self.all)
    }

    fn require_gpu_libraries(&self, config: &InferenceConfig) -> Result<(), InferenceError> {
        let places = GpuPlaces { library: config.library.clone(), dirs: config.gpu_dirs.clone() };
        for variant in self.single.values().chain([&self.all]).flat_map(|preference| &preference.variants) {
            let missing = preflight::missing(variant.provider, &places);
            if !missing.is_empty() {
                let what = preflight::sentence(&missing);
                return Err(InferenceError::Provider { provider: variant.provider, what });
            }
        }
        Ok(())
    }
}

/// Returns OpenVINO, or the reason why it is missing. An error where the configuration names it.
fn openvino<'a>(
    config: &InferenceConfig,
    mut hints: impl Iterator<Item = &'a PreferredProvider> + Clone,
) -> Result<Result<OpenVino, String>, InferenceError> {
    let by_name = |hint: &PreferredProvider| {
        matches!(hint, PreferredProvider::Named(Named { provider: Provider::OpenVino, .. }))
    };
    if hints.clone().any(by_name) {
        return Ok(Ok(OpenVino::load(&config.openvino_dir)?));
    }
    if !hints.any(|hint| *hint == PreferredProvider::Auto) {
        return Ok(Err("the configuration does not use it".to_owned()));
    }
    Ok(OpenVino::load(&config.openvino_dir).map_err(|error| error.to_string()))
}
