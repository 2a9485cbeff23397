//! The harness of the integration tests: a real gateway as a child process, real clients, real files.
//!
//! [`Gateway`] starts `target/release/lector serve` on an ephemeral loopback port with a temporary folder. Dropping it
//! stops the server and asserts that none of its processes is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

pub mod answer;
pub mod collector;
pub mod gateway;
pub mod paths;
pub mod pdf;
pub mod process;
pub mod quantile;

/// Timeout of every wait, long enough for a busy machine. No test passes or fails by the duration of something.
pub const HANG: std::time::Duration = std::time::Duration::from_secs(600);

pub use answer::Answer;
pub use gateway::{Gateway, GatewayBuilder};
pub use quantile::quantile;
