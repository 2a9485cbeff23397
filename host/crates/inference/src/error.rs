//! Errors of the inference plane: at its start, and when a model is opened.

use std::path::PathBuf;

use lector_core::{Blame, Fault, Kind, ModelName, error_chain};

use crate::catalog::{Catalog, CatalogError};
use crate::openvino::OpenVinoError;
use crate::provider::{EngineVariant, Provider};
use crate::provider_preference::PreferenceError;

/// Why the plane cannot start, or a lane cannot be opened. The operator of the host can correct the cause.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// The configuration is invalid.
    #[error("inference configuration: {0}")]
    Config(String),
    /// ONNX Runtime is not at the configured path.
    #[error("ONNX Runtime is not at {}; run `cargo xtask setup`, or name the library in the configuration", path.display())]
    LibraryMissing {
        /// The configured path.
        path: PathBuf,
    },
    /// ONNX Runtime is there and cannot be loaded.
    #[error("cannot load ONNX Runtime from {}", path.display())]
    LibraryUnusable {
        /// The file.
        path: PathBuf,
        /// The cause: a missing dependency, a file for another architecture, a version that is too old.
        source: ort::LoadDynamicError,
    },
    /// Another copy of ONNX Runtime is loaded in this process, which can hold one.
    #[error("ONNX Runtime is loaded from {} already, so not from {}", loaded.display(), asked.display())]
    LibraryTwice {
        /// The copy in use.
        loaded: PathBuf,
        /// The requested copy.
        asked: PathBuf,
    },
    /// ONNX Runtime could not make its environment.
    #[error("ONNX Runtime's environment: {0}")]
    Environment(String),
    /// The catalog or the files of a model are wrong.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The requested model is not in the catalog.
    #[error("model {model} is not in the catalog; it has: {known}")]
    ModelUnknown {
        /// The requested model.
        model: ModelName,
        /// The models of the catalog.
        known: String,
    },
    /// The configured providers make no valid provider preference list.
    #[error("{key}: {source}")]
    ProviderPreference {
        /// The key of the configuration.
        key: String,
        /// The cause.
        source: PreferenceError,
    },
    /// The configuration names OpenVINO, which cannot be loaded.
    #[error("provider openvino")]
    OpenVino(#[from] OpenVinoError),
    /// The configuration names a provider whose libraries are missing.
    #[error("provider {provider}: {what}")]
    Provider {
        /// The provider.
        provider: Provider,
        /// The missing libraries, each with the package that contains it.
        what: String,
    },
    /// A model's description does not fit its weights.
    #[error("model {model}: {what}")]
    Model {
        /// The model.
        model: ModelName,
        /// The mismatch.
        what: String,
    },
    /// No engine could be made of a model.
    #[error("model {model} on {variant}: {what}")]
    Session {
        /// The model.
        model: ModelName,
        /// The engine variant.
        variant: EngineVariant,
        /// The error text of the runtime.
        what: String,
    },
    /// No variant of a model's provider preference list can serve.
    #[error("model {model} has no engine: {why}")]
    NoEngine {
        /// The model.
        model: ModelName,
        /// The reason of each variant.
        why: String,
    },
    /// The engine upgrader thread could not be started.
    #[error("cannot start the engine upgrader thread")]
    Upgrader {
        /// The cause.
        source: std::io::Error,
    },
    /// An owner thread could not be started.
    #[error("cannot start a thread for model {model}")]
    Thread {
        /// The model.
        model: ModelName,
        /// The cause.
        source: std::io::Error,
    },
    /// The plane has been shut down.
    #[error("no model can be opened: the server is shutting down")]
    Stopped,
}

impl InferenceError {
    pub(crate) fn unknown(model: &ModelName, catalog: &Catalog) -> Self {
        let known = catalog.entries().iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>();
        Self::ModelUnknown { model: model.clone(), known: known.join(", ") }
    }

    /// Returns the error as a fault of the host for a caller that opens a model. The message names the model and the
    /// missing part; the detail has paths and causes.
    pub(crate) fn fault(&self) -> Fault {
        let (kind, code, message) = match self {
            Self::ModelUnknown { .. } => (Kind::NotFound, "model_not_found", self.to_string()),
            Self::Stopped => (Kind::Unavailable, "engine_stopped", self.to_string()),
            Self::Catalog(error) => (Kind::Unavailable, "model_unavailable", error.without_paths()),
            Self::NoEngine { model, .. } => {
                let message =
                    format!("model {model}: no engine variant of its provider preference list is available");
                (Kind::Unavailable, "model_unavailable", message)
            }
            Self::Model { .. } => (Kind::Unavailable, "model_unavailable", self.to_string()),
            Self::Session { model, variant, .. } => {
                let message = format!("model {model}: no engine on {variant} can be made");
                (Kind::Unavailable, "model_unavailable", message)
            }
            _ => (Kind::Unavailable, "model_unavailable", "no engine can be started".to_owned()),
        };
        Fault::new(kind, code, message).blaming(Blame::Host).with_detail(error_chain(self))
    }
}
