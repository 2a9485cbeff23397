//! HTTP behavior of the whole router, in this process: real handlers, control plane, document service and store; fake
//! guests, documents and engines; a clock that the tests set.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod answers;
pub(crate) mod app;
mod batches;
mod compat;
mod conformance;
mod files;
mod gateway;
mod guest_options;
mod hostile;
mod jobs;
mod limits;
mod problems;
mod revisions;
