//! Tools that are published as Python wheels: pip installs one wheel, checked by its sha256.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::tool::{self, run};

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
        tool::installed(cache, &format!("{}-{}", self.name, self.version), &requirement, |to| {
            let requirements = to.join("requirements.txt");
            fs::write(&requirements, &requirement)
                .with_context(|| format!("writing {}", requirements.display()))?;
            let mut pip = python();
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
            pip.args(["--only-binary=:all:", "--require-hashes", "--no-compile", "--target"]).arg(to);
            pip.arg("--requirement").arg(&requirements);
            let (name, version) = (self.name, self.version);
            let act =
                format!("installing {name} {version} (pip needs a package index or a mirror that has it)");
            run(&mut pip, &act)
        })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TOOL: PipTool = PipTool { name: "a-tool", version: "1.2.3", sha256: "00" };

    #[test]
    fn an_installed_wheel_is_found_by_its_digest() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("guest-tools/a-tool-1.2.3");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("installed.txt"), "a-tool==1.2.3 --hash=sha256:00\n").unwrap();
        assert_eq!(TOOL.installed(cache.path()).unwrap(), folder);
    }
}
