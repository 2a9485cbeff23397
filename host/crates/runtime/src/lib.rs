//! WebAssembly guests. The only crate that uses wasmtime.
//!
//! Owns the wasmtime engine, the cache of compiled code, the host functions of the contract, and the limits of a guest
//! call. Every call gets a fresh Store and instance. A call that fails ends as one `Fault`, and its Store is dropped.
//!
//! Does not know how models run (`Engines`), how pages are rendered (`PageSource`), or which request a call belongs to.
//! Called by `lector-serving`, which holds a [`Guest`] per revision; constructed in `host/src/app.rs`.

mod abort;
mod answer;
mod batching_policy;
mod bindings;
mod blocking;
mod cache;
mod call_deadline;
mod call_state;
mod compiler;
mod compute_meter;
mod config;
mod convert;
mod engine;
mod epoch_ticker;
mod error_mapping;
mod executor;
#[cfg(test)]
mod fuzz;
mod guest;
mod handles;
mod imports;
mod inspect;
mod installed_code;
mod invoke;
mod limits;
mod log;
mod log_rate;
mod resource_accounting;
mod runtime;
mod state;
mod status;
mod threads;
mod view;
mod wakes;
mod wrapped;

pub use batching_policy::{
    BUDGET as POLICY_BUDGET, BatchingPolicyRunner, FAILURES_MAX as POLICY_FAILURES_MAX,
};
pub use compiler::compiler_main;
pub use config::{CompilerConfig, InstalledCodeConfig, RuntimeConfig, RuntimeError};
pub use guest::Guest;
pub use inspect::{Inspection, WORLD_VERSION, within as component_within};
pub use installed_code::installable_code;
pub use runtime::Runtime;
pub use status::RuntimeStatus;
pub use wrapped::{Stage, Wrapped};
