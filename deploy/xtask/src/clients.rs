//! Client libraries of other APIs, from PyPI, against a running gateway (`tests/clients`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::gateway::Gateway;
use crate::places::Places;
use crate::shell;

/// Beginning of the first line of a script: the packages that it needs.
const REQUIRES: &str = "# requires: ";
/// Beginning of the second line, if there is one: packages whose dependencies are not needed.
const REQUIRES_ALONE: &str = "# requires without dependencies: ";

/// Arguments of `cargo xtask clients`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Scripts to run, without `.py`; without any: all
    names: Vec<String>,
}

/// Installs the packages of each script, starts a gateway without keys, and runs the scripts. A script whose packages
/// cannot be installed is skipped, and reported with the reason.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let folder = places.repo("tests/clients");
    let scripts = scripts(&folder, &arguments.names)?;
    shell::want_pip()?;
    let (mut ready, mut skipped) = (Vec::new(), Vec::new());
    for (name, script) in &scripts {
        match install(places, name, script) {
            Ok(packages) => ready.push((name, script, packages)),
            Err(error) => skipped.push(format!("{name}: its packages cannot be installed: {error:#}")),
        }
    }
    let gateway = Gateway::start(places, "clients", &[])?;
    let (mut passed, mut failed) = (Vec::new(), Vec::new());
    for (name, script, packages) in ready {
        let mut client = Command::new("python3");
        client
            .arg(script)
            .arg(gateway.base())
            .args(["demo.pdf", "line.png"].map(|file| places.repo("tests/data").join(file)));
        client.env("PYTHONPATH", packages);
        println!("$ {}", shell::line(&client));
        match shell::run(&mut client) {
            Ok(()) => passed.push(name.as_str()),
            Err(_) => failed.push(name.as_str()),
        }
    }
    gateway.stop()?;
    println!("\nclients that work: {}", passed.join(", "));
    for skipped in &skipped {
        println!("skipped: {skipped}");
    }
    if !failed.is_empty() {
        bail!("these clients fail: {} (the log of the gateway is target/clients.log)", failed.join(", "));
    }
    if passed.is_empty() {
        bail!("no client ran");
    }
    Ok(())
}

/// Returns the scripts with their names.
fn scripts(folder: &Path, names: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for path in shell::list(folder)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let wanted = names.is_empty() || names.contains(&name);
        if path.extension().is_some_and(|extension| extension == "py") && wanted {
            found.push((name, path));
        }
    }
    let known = |name: &&String| found.iter().any(|(known, _)| known == *name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        bail!("there is no tests/clients/{unknown}.py");
    }
    Ok(found)
}

/// Installs the packages of a script to target/clients/NAME, unless they are there; returns the folder.
fn install(places: &Places, name: &str, script: &Path) -> Result<PathBuf> {
    let text = shell::read(script)?;
    let find = |start| text.lines().take(2).find_map(|line| line.strip_prefix(start));
    let wanted =
        find(REQUIRES).with_context(|| format!("the first line does not begin with `{REQUIRES}`"))?;
    let alone = find(REQUIRES_ALONE).unwrap_or_default();
    let stamp = format!("{wanted} {alone}");
    let packages = places.repo("target/clients").join(name);
    // The list of what is installed is written last, so that an interrupted installation is repeated.
    let installed = packages.join("installed.txt");
    if shell::read(&installed).ok().as_deref() != Some(stamp.as_str()) {
        shell::make_folder(&places.repo("target/clients"))?;
        shell::empty_folder(&packages)?;
        let pip = |packages_wanted: &str, options: &[&str]| {
            let mut install = shell::pip();
            install.args(["install", "--quiet", "--disable-pip-version-check", "--target"]).arg(&packages);
            shell::run(install.args(options).args(packages_wanted.split_whitespace()))
        };
        pip(wanted, &[])?;
        if !alone.is_empty() {
            pip(alone, &["--no-deps"])?;
        }
        shell::write(&installed, stamp)?;
    }
    Ok(packages)
}
