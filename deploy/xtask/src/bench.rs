//! Builds and runs the crate `lector-bench`: the benchmarks are a separate crate, so that `cargo xtask demo` does not
//! compile them.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::Result;

use crate::places::Places;
use crate::{guests, setup, shell};

/// Runs `lector-bench` with these arguments.
pub fn run(places: &Places, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<()> {
    // Not `cargo run`: it cannot select the whole workspace.
    let mut build = shell::cargo();
    build.arg("build").args(shell::HOST).args(["--bin", "lector-bench", "--quiet"]);
    shell::run(build.current_dir(&places.root))?;
    shell::run(Command::new(places.repo("target/release/lector-bench")).args(arguments))
}

/// Builds everything that a server needs; `lector-bench` calls it before it measures.
pub fn build_server(places: &Places) -> Result<()> {
    setup::everything(places)?;
    guests::build(places)?;
    shell::build_host(&places.root)
}
