//! The contract test: schemathesis against a running gateway (`tests/contract`).

use std::process::Command;

use anyhow::Result;

use crate::gateway::Gateway;
use crate::places::Places;
use crate::shell;

/// Installs the pinned packages to target/contract, starts a gateway without keys, and runs the check.
pub fn run(places: &Places) -> Result<()> {
    let folder = places.repo("tests/contract");
    let requirements = folder.join("requirements.txt");
    let packages = places.repo("target/contract");
    // The list of what is installed is written last, so that an interrupted installation is repeated.
    let installed = packages.join("installed.txt");
    let wanted = shell::read(&requirements)?;
    if shell::read(&installed).ok().as_ref() != Some(&wanted) {
        shell::want_pip()?;
        shell::empty_folder(&packages)?;
        let mut install = shell::pip();
        install.args(["install", "--quiet", "--disable-pip-version-check", "--target"]).arg(&packages);
        shell::run(install.arg("--requirement").arg(&requirements))?;
        shell::write(&installed, &wanted)?;
    }
    let gateway = Gateway::start(places, "contract", &[])?;
    let mut check = Command::new("python3");
    check.arg(folder.join("contract.py")).arg(gateway.base()).env("PYTHONPATH", &packages);
    check.arg("--report").arg(places.repo("target/contract.xml"));
    println!("$ {}", shell::line(&check));
    shell::run(&mut check)?;
    gateway.stop()
}
