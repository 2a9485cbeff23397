//! Why the inference plane cannot start or a model cannot be opened.

use std::path::PathBuf;

use lector_core::{Blame, Fault, Kind, ModelName};

use crate::catalogue::CatalogueError;
use crate::provider::Provider;

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
    /// The catalogue, or a model's files.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A model was asked for that the catalogue has not.
    #[error("model {model} is not in the catalogue; it has: {known}")]
    ModelUnknown {
        /// Which one.
        model: ModelName,
        /// Those it has.
        known: String,
    },
    /// A session could not be made of a model.
    #[error("model {model} on provider {provider}: {what}")]
    Session {
        /// Which model.
        model: ModelName,
        /// On whom.
        provider: Provider,
        /// Why not, with ONNX Runtime's own words.
        what: String,
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
    /// As a fault of the host towards those who want a model opened: the sentence names the model and what is missing,
    /// the detail has paths and causes.
    pub(crate) fn fault(&self) -> Fault {
        let (kind, code, message) = match self {
            Self::ModelUnknown { .. } => (Kind::NotFound, "model_not_found", self.to_string()),
            Self::Stopped => (Kind::Unavailable, "engine_stopped", self.to_string()),
            Self::Catalogue(error) => (Kind::Unavailable, "model_unavailable", error.without_paths()),
            Self::Session { model, provider, .. } => {
                let message = format!("model {model}: no engine on provider {provider}");
                (Kind::Unavailable, "model_unavailable", message)
            }
            _ => (Kind::Unavailable, "model_unavailable", "no engine can be started".to_owned()),
        };
        let first: &dyn std::error::Error = self;
        let causes = std::iter::successors(first.source(), |cause| cause.source());
        let chain = causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"));
        Fault::new(kind, code, message).blaming(Blame::Host).with_detail(chain)
    }
}
