//! The adversary suite: attacks on a real gateway beside a victim, whose p99 and errors are asserted relative to its own
//! quiet run in the same test. All traffic is on loopback addresses, and bounded in count and time.
//!
//! `cargo xtask test --only adversary` runs it short, with a loose bound that an attack which delays the victim by a
//! constant or a multiple still violates. `cargo xtask adversary --minutes N` runs it long, with the target (1.5 times
//! the p99 alone). Guests that misbehave are in `scenarios/hostile.rs`, memory used by words in `scenarios/words.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

// One module around all, so that `--skip adversary::` excludes the suite from a run of all tests.
#[path = "suite.rs"]
mod adversary;
