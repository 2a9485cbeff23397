//! The inference plane: the models, the engines that run them, and a lane in front of the engines of each model.
//!
//! Owns the model catalog ([`catalog`]), the provider preference list ([`provider_preference`]), the runtimes loaded
//! into this process, the engines and their owner threads, the bounded queues, and their metrics. The only crate that
//! uses `ort`, OpenVINO and libtesseract.
//! Must not know guests, documents, the transport, or more of a tenant than its name. Built by `host/src/app.rs`;
//! called by `lector-runtime` through [`lector_core::Engines`].
//!
//! The path of a run: [`Inference`] finds the lane by the model's name -> `check` compares the tensors with the model's
//! ports -> `lane::queue` accepts or rejects the item -> an owner thread acquires the cores that it needs (`cores`),
//! takes the batch that `lector_core::batching` selects, runs it (`engine`, `session`), splits the outputs and answers.
//! Items whose caller has gone are skipped.
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
pub mod lane_counters;
mod machine;
mod onnx;
mod openvino;
mod plane;
pub mod preflight;
mod profile;
pub mod provider;
pub mod provider_preference;
mod session;
pub mod simulated;
mod sync;
pub mod tesseract;

pub use acceptance::{AcceptanceReport, Measure};
pub use build::process::builder_main;
pub use build::{BuildOrder, BuilderMessage, Outcome, Step};
pub use cache::EngineCache;
pub use catalog::{Catalog, CatalogError, ModelEntry, Task};
pub use config::{CpuPlan, InferenceConfig, SessionConfig};
pub use error::InferenceError;
pub use lane_counters::{HistogramStatus, LaneStatus, SizesStatus};
pub use machine::{CpuFeatures, UnknownCpuFeature};
pub use openvino::OpenVinoError;
pub use plane::{BuiltStatus, EngineStatus, Inference, ServingStatus, VariantState, VariantStatus};
pub use provider::{EngineVariant, Precision, Provider};
pub use provider_preference::{PreferenceError, PreferredProvider, ProviderPreference};
