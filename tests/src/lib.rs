//! The harness of the integration tests: a real gateway as a child process, real clients, real files.
//!
//! [`Gateway`] starts `target/release/lector serve` on an ephemeral loopback port with a folder of its
//! own. Dropping it stops the server and asserts that no process of it is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

pub mod answer;
pub mod gateway;
pub mod paths;
pub mod pdf;
pub mod process;
pub mod quantile;

pub use answer::Answer;
pub use gateway::{Gateway, GatewayBuilder};
pub use quantile::quantile;
