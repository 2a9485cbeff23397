//! The contract test: schemathesis against a running gateway (`tests/contract`).

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::gateway::Gateway;
use crate::places::Places;
use crate::{guests, python, setup, shell};

/// Cases of an operation and phase.
const EXAMPLES_SHORT: u32 = 8;
/// Cases of an operation and phase with `--long`.
const EXAMPLES_LONG: u32 = 100;

/// Arguments of `cargo xtask contract`.
#[derive(Args)]
pub struct Arguments {
    /// Make many more requests
    #[arg(long)]
    long: bool,
    /// Seed of other requests than the same in every run
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs `cargo xtask contract`.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    setup::everything(places)?;
    guests::build(places)?;
    shell::build_host(&places.root)?;
    check(
        places,
        &packages(places)?,
        if arguments.long { EXAMPLES_LONG } else { EXAMPLES_SHORT },
        arguments.seed,
    )
}

/// Runs the check in its short form on the existing server. Returns the reason if the packages cannot be installed.
pub fn short(places: &Places) -> Result<Option<String>> {
    let packages = match packages(places) {
        Ok(packages) => packages,
        Err(error) => return Ok(Some(format!("{error:#}"))),
    };
    check(places, &packages, EXAMPLES_SHORT, None).map(|()| None)
}

fn packages(places: &Places) -> Result<PathBuf> {
    python::packages(places, "contract", &places.repo(REQUIREMENTS))
}

const REQUIREMENTS: &str = "tests/contract/requirements.txt";

/// Starts a gateway without keys on an empty data folder, and runs the check.
fn check(places: &Places, packages: &Path, examples: u32, seed: Option<u64>) -> Result<()> {
    let folder = places.repo("tests/contract");
    let configuration = folder.join("server.toml").to_string_lossy().into_owned();
    let gateway = Gateway::start_with(places, "contract", &[], &[("LECTOR_CONFIG", configuration)])?;
    let mut check = python::program(&folder.join("contract.py"), packages);
    check.arg(gateway.base()).arg("--component").arg(places.components().join("echo.wasm"));
    check.arg("--examples").arg(examples.to_string());
    if let Some(seed) = seed {
        check.arg("--seed").arg(seed.to_string());
    }
    check.arg("--report").arg(places.repo("target/contract.xml"));
    println!("$ {}", shell::line(&check));
    shell::run(&mut check)?;
    gateway.stop()
}
