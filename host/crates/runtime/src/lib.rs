//! Guests: the only home of wasmtime.
//!
//! Owns: the engine, the cache of compiled code, the contract's imports, and the limits under which a guest
//! is called. A call gets a fresh Store and instance; whatever ends it ends as one `Fault`, and the Store
//! is thrown away.
//! Must not know: how models run (`Engines`), how pages are made (`PageSource`), who calls and why.
//! Called by `platform`, which holds a [`Guest`] per revision; put together in `host/src/app.rs`.

mod abort;
mod answer;
mod batching_policy;
mod bindings;
mod blocking;
mod cache;
mod compiler;
mod convert;
mod engine;
mod epoch_ticker;
mod error_mapping;
#[cfg(test)]
mod fuzz;
mod guest;
mod handles;
mod imports;
mod inspect;
mod invoke;
mod limits;
mod log;
mod meter;
mod resource_accounting;
mod runtime;
mod state;
mod status;
mod threads;
mod wakes;
mod wrapped;

pub use batching_policy::{
    BUDGET as PROGRAM_BUDGET, BatchingPolicyRunner, FAILURES_MAX as PROGRAM_STRIKES_MAX,
};
pub use compiler::{CompilerConfig, compiler_main};
pub use guest::Guest;
pub use inspect::{Inspection, WORLD_VERSION, within as component_within};
pub use runtime::{Runtime, RuntimeConfig, RuntimeError};
pub use status::RuntimeStatus;
pub use wrapped::{Stage, Wrapped};
