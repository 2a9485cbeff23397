//! The parts of the task runner: the repository's layout, the tools around it, set-up, builds, and a server as a child process.
//!
//! The binary `xtask` calls them, and so does the crate `lector-bench` (`tests/bench`), which the task runner builds when a
//! benchmark is asked for and not before. It depends on no crate of the host.

// A task runner talks to a terminal, and it is not a runtime path: it reads the environment where it needs to.
#![allow(clippy::print_stdout, clippy::print_stderr)]

pub mod bench;
pub mod corpus;
mod cycles;
pub mod demo;
mod dependency_rule;
pub mod fuzz;
pub mod gateway;
pub mod guests;
pub mod places;
pub mod processor;
pub mod setup;
pub mod shell;
pub mod test;
pub mod tidy;
mod tokens;
pub mod wit;
