//! The ladders of this host: one for all models, others for single ones.

use std::collections::BTreeMap;

use lector_core::ModelName;

use crate::catalogue::Catalogue;
use crate::config::InferenceConfig;
use crate::error::InferenceError;
use crate::ladder::{Circumstances, Ladder, Wish};
use crate::machine::Machine;
use crate::openvino::OpenVino;
use crate::preflight::{self, GpuPlaces};
use crate::provider::{Named, Provider};

/// By model.
pub(super) struct Ladders {
    all: Ladder,
    single: BTreeMap<ModelName, Ladder>,
}

impl Ladders {
    /// Resolves the configuration on this machine, and loads what it needs beside ONNX Runtime.
    pub(super) fn raise(
        config: &InferenceConfig,
        catalogue: &Catalogue,
    ) -> Result<(Self, Option<OpenVino>), InferenceError> {
        let lists = || std::iter::once(&config.providers).chain(config.model_providers.values());
        let wishes = || lists().flatten();
        let machine = Machine::detect(&config.cpu_features);
        let openvino = openvino(config, &machine, wishes())?;
        let here = Circumstances { machine: &machine, openvino_missing: openvino.as_ref().err().cloned() };
        let ladder = |key: String, wishes: &[Wish]| {
            let ladder = Ladder::resolve(wishes, &here)
                .map_err(|source| InferenceError::Ladder { key: key.clone(), source })?;
            for reason in &ladder.reasons {
                tracing::info!(key, %ladder, "{reason}");
            }
            Ok::<_, InferenceError>(ladder)
        };
        let all = ladder("engines.providers".to_owned(), &config.providers)?;
        let mut single = BTreeMap::new();
        for (model, wishes) in &config.model_providers {
            if catalogue.find(model).is_none() {
                return Err(InferenceError::unknown(model, catalogue));
            }
            single.insert(model.clone(), ladder(format!("engines.model_providers.{model}"), wishes)?);
        }
        let ladders = Self { all, single };
        ladders.require_gpu_libraries(config)?;
        Ok((ladders, openvino.ok()))
    }

    pub(super) fn of(&self, model: &ModelName) -> &Ladder {
        self.single.get(model).unwrap_or(&self.all)
    }

    fn require_gpu_libraries(&self, config: &InferenceConfig) -> Result<(), InferenceError> {
        let places = GpuPlaces { library: config.library.clone(), dirs: config.gpu_dirs.clone() };
        for rung in self.single.values().chain([&self.all]).flat_map(|ladder| &ladder.rungs) {
            let missing = preflight::missing(rung.provider, &places);
            if !missing.is_empty() {
                let what = preflight::sentence(&missing);
                return Err(InferenceError::Provider { provider: rung.provider, what });
            }
        }
        Ok(())
    }
}

/// OpenVINO, or why not. An error where it was asked for by name.
fn openvino<'a>(
    config: &InferenceConfig,
    machine: &Machine,
    mut wishes: impl Iterator<Item = &'a Wish> + Clone,
) -> Result<Result<OpenVino, String>, InferenceError> {
    let by_name = |wish: &Wish| matches!(wish, Wish::Named(Named { provider: Provider::OpenVino, .. }));
    if wishes.clone().any(by_name) {
        return Ok(Ok(OpenVino::load(&config.openvino_dir)?));
    }
    if !wishes.any(|wish| *wish == Wish::Auto) || !machine.has_bf16() {
        return Ok(Err("nobody asked for it".to_owned()));
    }
    Ok(OpenVino::load(&config.openvino_dir).map_err(|error| error.to_string()))
}
