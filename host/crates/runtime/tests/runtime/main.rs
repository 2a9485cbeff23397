//! Tests of the runtime with real components: calls, results, and failures.
//!
//! Components are taken from `guest/target/components` (`cargo xtask guests` builds them). A test whose component is
//! missing prints that and passes; with `LECTOR_REQUIRE_GUESTS=1` it fails. Other components are made by the tests
//! themselves (`lector-test-components`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod batching_policies;
mod calls;
mod components;
mod hostile;
mod hostile_components;
mod options;
mod support;
mod wrapping;
