//! Why the inference plane cannot start.

use std::path::PathBuf;

use lector_core::ModelName;

use crate::catalogue::CatalogueError;
use crate::provider::Provider;

/// A start-up error; the one who starts the host can do something about it.
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
}
