//! The inference plane: models on engines, a lane in front of each.
//!
//! Owns: the model catalogue ([`catalogue`]), the one ONNX Runtime environment of the process, sessions and their
//! owner threads, the bounded queues in front of them, and the figures about all that. The only home of `ort`.
//! Must not know: guests, documents, tenants beyond their name, transport. Built by `host/src/app.rs`; called by
//! `lector-runtime` through [`lector_core::Engines`].
//!
//! One run, one direction: [`Inference`] finds the lane by the model's name -> `check` holds the tensors against
//! the model -> `lane::queue` takes the item or refuses it -> an owner thread gets the cores it needs (`cores`),
//! takes the batch that `lector_core::batching` decides on, runs (`engine`, `session`), splits and answers; who has gone
//! meanwhile is skipped.
#![warn(missing_docs)]

pub mod catalogue;
mod check;
pub mod config;
mod cores;
pub mod ctc;
mod engine;
mod environment;
mod error;
#[cfg(test)]
mod fuzz;
mod lane;
pub mod meter;
mod onnx;
mod plane;
pub mod provider;
mod session;
pub mod simulated;

pub use catalogue::{Catalogue, CatalogueError, ModelEntry, Task};
pub use config::{CpuPlan, InferenceConfig, Seats};
pub use error::InferenceError;
pub use meter::{HistogramStatus, LaneStatus, SizesStatus};
pub use plane::Inference;
pub use provider::Provider;
