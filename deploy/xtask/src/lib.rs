//! The parts of the task runner: paths, external tools, set-up, builds, and a server as a child process.
//!
//! Used by the binary `xtask` and by the crate `lector-bench` (`tests/bench`), which is a separate crate so that only a
//! benchmark compiles it. Depends on no crate of the host.

// The task runner is a terminal program and not a runtime path: it prints, and reads the environment.
#![allow(clippy::print_stdout, clippy::print_stderr)]

pub mod adversary;
pub mod bench;
pub mod clients;
pub mod contract;
pub mod corpus;
mod cycles;
pub mod demo;
mod dependency_rule;
mod deployment;
pub mod dist;
mod feature_unity;
mod formats;
pub mod fuzz;
pub mod gateway;
pub mod guests;
pub mod image;
mod integration;
pub mod languages;
pub mod places;
pub mod processor;
pub mod python;
mod required;
pub mod setup;
pub mod shell;
pub mod test;
pub mod tidy;
mod tokens;
pub mod wit;
