//! The `lector` server: configuration, command line, gateway, and composition root.
//!
//! The only crate that uses axum and clap. `lector-serving` reads documents; only [`app`] names the concrete engines,
//! renderers and sandbox.

#![deny(unsafe_code)]

pub mod app;
pub mod cli;
pub mod config;
pub mod descriptors;
pub mod doctor;
mod events;
mod handover;
pub mod http;
mod mcp;
pub mod memory;
pub mod metrics;
mod reload;
pub mod shutdown;
pub mod telemetry;
mod tls;
mod webhooks;
