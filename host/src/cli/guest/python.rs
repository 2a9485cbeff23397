//! Builds the component of a Python project with componentize-py.
//!
//! Owns the pinned tool: pip installs the one wheel, checked by its sha256, into a folder of the cache that its version names.
//! The only command of `lector guest` that downloads anything, once. The project's own packages are not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::embedded_sdk::VENDORED;
use super::project::Project;

/// The tool, in the syntax of a requirements file of pip. Of the versions tried, 0.25.1 lowers `async func` onto asyncio.
const REQUIREMENT: &str = "componentize-py==0.25.1 \
     --hash=sha256:8623cd8cab8453cb0cd8bf03f3c7103420d06f2f3d360186a280a70a1ca5e89f\n";
/// Folder of the tool in the cache.
const TOOL: &str = "guest-tools/componentize-py-0.25.1";
/// Runs the tool from a folder that pip installed it into.
const MAIN: &str = "import sys; from componentize_py import script; sys.exit(script())";
const WORLD: &str = "lector:ocr/wrapper";

/// Builds a project; returns the tool's output file. Its messages go to standard error.
pub(super) fn build(project: &Project, cache: &Path) -> anyhow::Result<PathBuf> {
    let tool = tool(cache)?;
    let target = project.dir.join("target");
    fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?;
    let contract = project.dir.join(VENDORED).join("wit");
    ensure!(
        contract.is_dir(),
        "{} has no contract: `lector guest vendor` writes the one of this program",
        contract.display()
    );
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
    let mut command = Command::new("python3");
    command
        .args(["-c", MAIN, "--quiet", "--world", WORLD, "--wit-path"])
        .arg(contract)
        .env("PYTHONPATH", tool);
    // The tool would search packages of an active environment, and make them part of the component.
    command.env_remove("VIRTUAL_ENV");
    command
}

/// Returns the folder of the tool; installs it if it is not there.
fn tool(cache: &Path) -> anyhow::Result<PathBuf> {
    let tool = cache.join(TOOL);
    // Written last, so that an interrupted installation is repeated.
    let installed = tool.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|text| text == REQUIREMENT) {
        return Ok(tool);
    }
    let parent = tool.parent().unwrap_or(cache);
    fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    // Another build may install it at the same time: each installs into a folder of its own.
    let part =
        tempfile::tempdir_in(parent).with_context(|| format!("making a folder in {}", parent.display()))?;
    let requirements = part.path().join("requirements.txt");
    fs::write(&requirements, REQUIREMENT).with_context(|| format!("writing {}", requirements.display()))?;
    let to = part.path().join("tool");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--require-hashes", "--target"]).arg(&to);
    pip.arg("--requirement").arg(&requirements);
    run(&mut pip, "installing componentize-py 0.25.1; pip needs a package index or a mirror that has it")?;
    fs::write(to.join("installed.txt"), REQUIREMENT).with_context(|| format!("writing {}", to.display()))?;
    if tool.exists() {
        fs::remove_dir_all(&tool).with_context(|| format!("removing {}", tool.display()))?;
    }
    match fs::rename(&to, &tool) {
        // The other build was faster.
        Err(_) if installed.is_file() => Ok(tool),
        placed => placed.with_context(|| format!("placing {}", tool.display())).map(|()| tool),
    }
}

fn run(command: &mut Command, act: &str) -> anyhow::Result<()> {
    // Standard output belongs to the results of `lector`.
    let status = command.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr())).status();
    let status = match status {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            anyhow::bail!("python3 is not in the path: install Python 3.9 or later with pip")
        }
        status => status.with_context(|| act.to_owned())?,
    };
    ensure!(status.success(), "{act} failed: python3 ended with {status}");
    Ok(())
}
