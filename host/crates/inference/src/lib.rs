//! The inference plane: models on engines, a lane in front of each.
//!
//! Owns: the model catalog ([`catalog`]), the ladder of providers ([`preference`]), the runtimes loaded into this process,
//! engines and their owner threads, the bounded queues in front of them, and the figures about all that. The only home of
//! `ort` and OpenVINO.
//! Must not know: guests, documents, tenants beyond their name, transport. Built by `host/src/app.rs`; called by
//! `lector-runtime` through [`lector_core::Engines`].
//!
//! One run, one direction: [`Inference`] finds the lane by the model's name -> `check` holds the tensors against
//! the model -> `lane::queue` takes the item or refuses it -> an owner thread gets the cores it needs (`cores`),
//! takes the batch that `lector_core::batching` decides on, runs (`engine`, `session`), splits and answers; who has gone
//! meanwhile is skipped.
#![warn(missing_docs)]

pub mod acceptance;
pub mod build;
pub mod cache;
pub mod catalog;
mod check;
pub mod config;
mod cores;
pub mod ctc;
mod engine;
mod engine_builder;
mod environment;
mod error;
mod file_fingerprint;
#[cfg(test)]
mod fuzz;
pub mod gpu;
mod lane;
mod machine;
pub mod meter;
mod onnx;
mod openvino;
mod plane;
pub mod preflight;
mod profile;
pub mod provider;
pub mod provider_preference;
mod session;
pub mod simulated;

pub use acceptance::{Measure, Verdict};
pub use build::process::builder_main;
pub use build::{BuildOrder, BuilderMessage, Outcome, Step};
pub use cache::EngineCache;
pub use catalog::{Catalog, CatalogError, ModelEntry, Task};
pub use config::{CpuPlan, InferenceConfig, SessionConfig};
pub use error::InferenceError;
pub use machine::{CpuFeatures, UnknownCpuFeature};
pub use meter::{HistogramStatus, LaneStatus, SizesStatus};
pub use openvino::OpenVinoError;
pub use plane::{BuiltStatus, EngineStatus, Inference, ServingStatus, VariantState, VariantStatus};
pub use provider::{EngineVariant, Precision, Provider};
pub use provider_preference::{PreferenceError, PreferredProvider, ProviderPreference};
