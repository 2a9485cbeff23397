//! Guests: the only home of wasmtime.
//!
//! Owns: the engine, the cache of compiled code, the contract's imports, and the limits under which a guest
//! is called. A call gets a fresh Store and instance; whatever ends it ends as one `Fault`, and the Store
//! is thrown away.
//! Must not know: how models run (`Engines`), how pages are made (`PageSource`), who calls and why.
//! Called by `platform`, which holds a [`Guest`] per revision; put together in `host/src/app.rs`.

mod answer;
mod bindings;
mod blocking;
mod cache;
mod compiler;
mod convert;
mod engine;
#[cfg(test)]
mod fuzz;
mod guest;
mod held;
mod imports;
mod inspect;
mod invoke;
mod ledger;
mod limits;
mod log;
mod meter;
mod program;
mod runtime;
mod state;
mod status;
mod stop;
mod threads;
mod ticker;
mod verdict;
mod wakes;
mod wrapped;

pub use compiler::{CompilerConfig, compiler_main};
pub use guest::Guest;
pub use inspect::{Inspection, WORLD_VERSION, within as component_within};
pub use program::{BUDGET as PROGRAM_BUDGET, Program, STRIKES_MAX as PROGRAM_STRIKES_MAX};
pub use runtime::{Runtime, RuntimeConfig, RuntimeError};
pub use status::RuntimeStatus;
pub use wrapped::{Stage, Wrapped};
