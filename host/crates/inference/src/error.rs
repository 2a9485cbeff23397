//! Why the inference plane cannot start or a model cannot be opened.

use std::path::PathBuf;

use lector_core::{Blame, Fault, Kind, ModelName};

use crate::catalog::{Catalog, CatalogError};
use crate::openvino::OpenVinoError;
use crate::provider::{EngineVariant, Provider};
use crate::provider_preference::PreferenceError;

/// Why the plane cannot start, or a lane cannot be opened; who runs the host can do something about it.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// The configuration cannot be.
    #[error("inference configuration: {0}")]
    Config(String),
    /// ONNX Runtime is not where it was said to be.
    #[error("ONNX Runtime is not at {}; run `cargo xtask setup`, or name the library in the configuration", path.display())]
    LibraryMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// ONNX Runtime is there and cannot be loaded.
    #[error("cannot load ONNX Runtime from {}", path.display())]
    LibraryUnusable {
        /// Which file.
        path: PathBuf,
        /// Why: a missing library of its own, another machine's format, too old a version.
        source: ort::LoadDynamicError,
    },
    /// Another copy of ONNX Runtime is loaded in this process; there can be one.
    #[error("ONNX Runtime is loaded from {} already, so not from {}", loaded.display(), asked.display())]
    LibraryTwice {
        /// The one in use.
        loaded: PathBuf,
        /// The one asked for.
        asked: PathBuf,
    },
    /// ONNX Runtime refused its environment.
    #[error("ONNX Runtime's environment: {0}")]
    Environment(String),
    /// The catalog, or a model's files.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A model was asked for that the catalog has not.
    #[error("model {model} is not in the catalog; it has: {known}")]
    ModelUnknown {
        /// Which one.
        model: ModelName,
        /// Those it has.
        known: String,
    },
    /// The configured providers make no ladder.
    #[error("{key}: {source}")]
    ProviderPreference {
        /// Which key of the configuration.
        key: String,
        /// Why.
        source: PreferenceError,
    },
    /// OpenVINO was asked for by name and is not to be had.
    #[error("provider openvino")]
    OpenVino(#[from] OpenVinoError),
    /// A provider was asked for by name and lacks libraries.
    #[error("provider {provider}: {what}")]
    Provider {
        /// Which one.
        provider: Provider,
        /// What is missing, each with what brings it.
        what: String,
    },
    /// A model's description does not fit its weights.
    #[error("model {model}: {what}")]
    Model {
        /// Which one.
        model: ModelName,
        /// What does not fit.
        what: String,
    },
    /// No engine could be made of a model.
    #[error("model {model} on {variant}: {what}")]
    Session {
        /// Which model.
        model: ModelName,
        /// On whom.
        variant: EngineVariant,
        /// Why not, with the runtime's own words.
        what: String,
    },
    /// No rung of a model's ladder can serve.
    #[error("model {model} has no engine: {why}")]
    NoEngine {
        /// Which model.
        model: ModelName,
        /// Why not, rung by rung.
        why: String,
    },
    /// The thread that has engines built could not be started.
    #[error("cannot start the thread that has engines built")]
    Upgrader {
        /// Why.
        source: std::io::Error,
    },
    /// An owner thread could not be started.
    #[error("cannot start a thread for model {model}")]
    Thread {
        /// For which model.
        model: ModelName,
        /// Why.
        source: std::io::Error,
    },
    /// The plane has been shut down.
    #[error("no model can be opened: the host stops")]
    Stopped,
}

impl InferenceError {
    pub(crate) fn unknown(model: &ModelName, catalog: &Catalog) -> Self {
        let known = catalog.entries().iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>();
        Self::ModelUnknown { model: model.clone(), known: known.join(", ") }
    }

    /// As a fault of the host towards those who want a model opened: the sentence names the model and what is missing,
    /// the detail has paths and causes.
    pub(crate) fn fault(&self) -> Fault {
        let (kind, code, message) = match self {
            Self::ModelUnknown { .. } => (Kind::NotFound, "model_not_found", self.to_string()),
            Self::Stopped => (Kind::Unavailable, "engine_stopped", self.to_string()),
            Self::Catalog(error) => (Kind::Unavailable, "model_unavailable", error.without_paths()),
            Self::NoEngine { model, .. } => {
                let message = format!("model {model}: no rung of its ladder can serve");
                (Kind::Unavailable, "model_unavailable", message)
            }
            Self::Model { .. } => (Kind::Unavailable, "model_unavailable", self.to_string()),
            Self::Session { model, variant, .. } => {
                let message = format!("model {model}: no engine on {variant}");
                (Kind::Unavailable, "model_unavailable", message)
            }
            _ => (Kind::Unavailable, "model_unavailable", "no engine can be started".to_owned()),
        };
        Fault::new(kind, code, message).blaming(Blame::Host).with_detail(chain(self))
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
