//! The runtime against real components: what reaches a guest, what comes back, and how bad ones end.
//!
//! Components are taken from `guest/target/components` (`cargo xtask guests` builds them). A test whose
//! component is missing says so and passes; under `LECTOR_REQUIRE_GUESTS=1` it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod batching_policies;
mod calls;
mod components;
mod hostile;
mod support;
mod wrapping;
