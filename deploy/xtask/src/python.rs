//! Python programs of the tests with packages of the Python package index, which pip installs into the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::places::Places;
use crate::shell;

/// Returns the folder of the packages that a requirements file names, for `PYTHONPATH`. Installs them if they are not
/// there. Error: pip is missing, or cannot get a package.
pub fn packages(places: &Places, name: &str, requirements: &Path) -> Result<PathBuf> {
    packages_with(places, name, requirements, &[])
}

/// Returns the folder of packages like [`packages`], with options for pip.
pub fn packages_with(places: &Places, name: &str, requirements: &Path, options: &[&str]) -> Result<PathBuf> {
    let _lock = places.lock()?;
    let packages = folder(places, name);
    if is_installed(places, name, requirements)? {
        return Ok(packages);
    }
    shell::want_pip()?;
    shell::empty_folder(&packages)?;
    let mut install = shell::pip();
    install.args(["install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--target"]);
    install.arg(&packages).args(options).arg("--requirement").arg(requirements);
    println!("$ {}", shell::line(&install));
    shell::run(&mut install).with_context(|| {
        let requirements = places.shown(requirements);
        format!("cannot install {requirements}: pip needs a package index or a mirror that has the packages")
    })?;
    shell::write(&packages.join(INSTALLED), wanted(requirements)?)?;
    Ok(packages)
}

/// Returns whether the packages of a requirements file are in the cache, for this Python.
pub fn is_installed(places: &Places, name: &str, requirements: &Path) -> Result<bool> {
    let found = shell::read(&folder(places, name).join(INSTALLED)).ok();
    Ok(found.as_ref() == Some(&wanted(requirements)?))
}

/// Written last, so that an interrupted installation is repeated.
const INSTALLED: &str = "installed.txt";

fn folder(places: &Places, name: &str) -> PathBuf {
    places.cache.join("python").join(name)
}

/// Returns what [`INSTALLED`] says: some packages are compiled for one Python.
fn wanted(requirements: &Path) -> Result<String> {
    let python = shell::output(Command::new("python3").arg("--version"))?;
    Ok(format!("{python}{}", shell::read(requirements)?))
}

/// Returns a command that runs a program of the repository with these packages.
pub fn program(program: &Path, packages: &Path) -> Command {
    let mut command = Command::new("python3");
    command.arg("-B").arg(program).env("PYTHONPATH", packages);
    command
}
