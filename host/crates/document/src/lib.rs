//! Documents: converts PDF and picture files to page images and text layers.
//!
//! Owns the pool of render worker processes, and all parsing of document bytes. Only this crate uses
//! pdfium and the image codecs, and only inside worker processes: the host process parses no byte of a document beyond
//! its magic number. Independent of guests, engines, tenants and transport. Called by `control` and `serving` through
//! `lector_core::Documents`; only `host/src/app.rs` names this crate.
//!
//! ```text
//! open / page / text_layer / render        (any task of the host)
//!   -> pool         fair queue, one tenant per process, one supervisor thread per worker, limits, respawn
//!     -> channel    postcard frames over a socket pair; descriptors ride along (SCM_RIGHTS)
//!       -> worker   [sandboxed process] pdfium, codecs; document in: sealed memfd, pixels out: memfd
//! ```
#![warn(missing_docs)]

mod channel;
mod config;
mod faults;
#[cfg(test)]
mod fuzz;
mod kind;
mod open;
mod pool;
mod shared;
mod sync;
mod wire;
mod worker;

pub use config::{DocumentConfig, DocumentError};
pub use open::DocumentWorkers;
pub use pool::status::{WorkerProcess, WorkerTask, WorkersStatus};
pub use worker::worker_main;
