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
    let packages = places.cache.join("python").join(name);
    // Written last, so that an interrupted installation is repeated. Some packages are compiled for one Python.
    let installed = packages.join("installed.txt");
    let python = shell::output(Command::new("python3").arg("--version"))?;
    let wanted = format!("{python}{}", shell::read(requirements)?);
    if shell::read(&installed).ok().as_ref() == Some(&wanted) {
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
    shell::write(&installed, &wanted)?;
    Ok(packages)
}

/// Returns a command that runs a program of the repository with these packages.
pub fn program(program: &Path, packages: &Path) -> Command {
    let mut command = Command::new("python3");
    command.arg("-B").arg(program).env("PYTHONPATH", packages);
    command
}
