//! The `lector` host: configuration, command line, gateway, and the composition of the rooms behind them.
//!
//! The only home of axum and clap. Everything that reads a document goes through `lector-platform`;
//! [`app`] alone names the concrete engines, renderers and sandbox.

pub mod app;
pub mod cli;
pub mod config;
pub mod descriptors;
pub mod format;
pub mod http;
pub mod memory;
pub mod metrics;
pub mod shutdown;
pub mod telemetry;
