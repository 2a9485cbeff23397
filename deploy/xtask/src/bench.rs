//! Builds the crate `lector-bench` and runs it: the benchmarks are no part of the task runner, so that `cargo xtask demo` does
//! not compile them.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::Result;

use crate::places::Places;
use crate::{guests, setup, shell, test};

/// Runs `lector-bench` with these arguments.
pub fn run(places: &Places, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<()> {
    // Not `cargo run`: it cannot select the whole workspace, and another selection would compile dependencies once more.
    let build = ["build", "--release", "--locked", "--workspace", "--bin", "lector-bench", "--quiet"];
    shell::run(shell::cargo().args(build).current_dir(&places.root))?;
    shell::run(Command::new(places.repo("target/release/lector-bench")).args(arguments))
}

/// Builds everything that a server needs; `lector-bench` calls it before it measures.
pub fn build_server(places: &Places) -> Result<()> {
    setup::everything(places)?;
    guests::build(places)?;
    test::build_host(places)
}
