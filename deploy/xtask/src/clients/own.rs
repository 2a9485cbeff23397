//! The client libraries of this repository (`deploy/clients`): their generated files, and the tests that need no server.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::places::Places;
use crate::shell;

/// The program of `tests/clients` for the library of each runtime.
const PYTHON: &str = "lector_python";
const NODE: &str = "lector_node";
/// The name of the library for Node, and of its folder beside the packages.
const NODE_PACKAGE: &str = "lector-client";

/// Checks that the generated files of the libraries are current.
pub fn check_generated(places: &Places) -> Result<()> {
    let mut check = Command::new("python3");
    check.args(["-B", "deploy/clients/generate.py", "--check"]).current_dir(&places.root);
    shell::run(&mut check).context("the client libraries do not follow the OpenAPI document")
}

/// Builds and tests the library that the client with this name uses, if it is one of this repository.
pub(super) fn prepare(places: &Places, client: &str, packages: &Path) -> Result<()> {
    match client {
        PYTHON => check_python(places, packages),
        NODE => build_node(places, packages),
        _ => Ok(()),
    }
}

/// Checks the types and runs the unit tests of the library for Python.
fn check_python(places: &Places, packages: &Path) -> Result<()> {
    let module = |name: &str| {
        let mut command = Command::new("python3");
        command.args(["-B", "-m", name]).env("PYTHONPATH", packages);
        command.current_dir(places.repo("deploy/clients/python"));
        command
    };
    let mut types = module("mypy");
    types.arg("--cache-dir").arg(places.cache.join("python/mypy-lector-client"));
    run_printed(&mut types)?;
    run_printed(module("pytest").args(["-q", "-p", "no:cacheprovider"]))
}

/// Compiles the library for Node beside the packages, runs its unit tests, and makes it a package.
fn build_node(places: &Places, packages: &Path) -> Result<()> {
    let source = places.repo("deploy/clients/typescript");
    let folder = packages.join(NODE_PACKAGE);
    shell::empty_folder(&folder)?;
    for path in ["package.json", "README.md", "tsconfig.json", "src", "tests"] {
        copy(&source.join(path), &folder.join(path))?;
    }
    let mut compile = Command::new("node");
    compile.arg(packages.join("node_modules/typescript/bin/tsc")).arg("-p").arg(&folder);
    run_printed(&mut compile)?;
    let mut test = Command::new("node");
    test.args(["--test", "--test-reporter=dot"]).arg(folder.join("tests/client.test.mjs"));
    run_printed(&mut test)?;
    let link = packages.join("node_modules").join(NODE_PACKAGE);
    if !link.exists() {
        std::os::unix::fs::symlink(&folder, &link)
            .with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(())
}

/// Copies a file or a folder of files.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return shell::write(to, shell::read(from)?);
    }
    for path in shell::list(from)?.into_iter().filter(|path| path.is_file()) {
        let name: PathBuf = path.file_name().unwrap_or_default().into();
        shell::write(&to.join(name), shell::read(&path)?)?;
    }
    Ok(())
}

fn run_printed(command: &mut Command) -> Result<()> {
    println!("$ {}", shell::line(command));
    shell::run(command)
}
