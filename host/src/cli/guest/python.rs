//! Builds the component of a Python project with componentize-py.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::pip_tool::{PipTool, python};
use super::project::Project;
use super::tool::run;

/// Of the versions tried, 0.25.1 lowers `async func` onto asyncio.
const TOOL: PipTool = PipTool {
    name: "componentize-py",
    version: "0.25.1",
    sha256: "8623cd8cab8453cb0cd8bf03f3c7103420d06f2f3d360186a280a70a1ca5e89f",
};
/// Runs the tool from a folder that pip installed it into.
const MAIN: &str = "import sys; from componentize_py import script; sys.exit(script())";
const WORLD: &str = "lector:ocr/wrapper";

/// Builds a project; returns the tool's output file. Its messages go to standard error.
pub(super) fn build(project: &Project, cache: &Path) -> anyhow::Result<PathBuf> {
    let tool = TOOL.installed(cache)?;
    let target = project.dir.join("target");
    fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?;
    let contract = project.contract()?;
    // For an editor; the tool itself generates them again.
    let bindings = target.join("bindings");
    if bindings.exists() {
        fs::remove_dir_all(&bindings).with_context(|| format!("removing {}", bindings.display()))?;
    }
    run(componentize(&tool, &contract).arg("bindings").arg(&bindings), "writing the bindings")?;
    let built = target.join("componentize-py.wasm");
    let mut command = componentize(&tool, &contract);
    command.args(["componentize", "app", "--python-path"]).arg(&project.dir).arg("--output").arg(&built);
    run(&mut command, "building the component")?;
    Ok(built)
}

fn componentize(tool: &Path, contract: &Path) -> Command {
    let mut command = python();
    command
        .args(["-c", MAIN, "--quiet", "--world", WORLD, "--wit-path"])
        .arg(contract)
        .env("PYTHONPATH", tool);
    // The tool would search packages of an active environment, and make them part of the component.
    command.env_remove("VIRTUAL_ENV");
    command
}
