//! Tools of other languages in the cache: each is installed once, into a folder that its version names, by the installer of its
//! package index, which checks its digest.
//!
//! The only downloads of `lector guest`. The project's own packages are never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// Returns the folder `name` of the tools; `install` writes it if it is not there, or is that of another `requirement`.
pub(super) fn installed(
    cache: &Path,
    name: &str,
    requirement: &str,
    install: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let parent = cache.join("guest-tools");
    let tool = parent.join(name);
    // Written last, so that an interrupted installation is repeated.
    let mark = tool.join("installed.txt");
    let is_complete = || fs::read_to_string(&mark).is_ok_and(|text| text == requirement);
    if is_complete() {
        return Ok(tool);
    }
    fs::create_dir_all(&parent).with_context(|| format!("making {}", parent.display()))?;
    // Another build may install it at the same time: each installs into a folder of its own.
    let part =
        tempfile::tempdir_in(&parent).with_context(|| format!("making a folder in {}", parent.display()))?;
    let to = part.path().join("tool");
    fs::create_dir(&to).with_context(|| format!("making {}", to.display()))?;
    install(&to)?;
    fs::write(to.join("installed.txt"), requirement).with_context(|| format!("writing {}", to.display()))?;
    if tool.exists() {
        fs::remove_dir_all(&tool).with_context(|| format!("removing {}", tool.display()))?;
    }
    match fs::rename(&to, &tool) {
        // The other build was faster.
        Err(_) if is_complete() => Ok(tool),
        placed => placed.with_context(|| format!("placing {}", tool.display())).map(|()| tool),
    }
}

/// Runs a tool whose messages go to standard error; standard output belongs to the results of `lector`. `act` is what the
/// tool does, for the error.
pub(super) fn run(command: &mut Command, act: &str) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr())).status();
    let status = match (status, missing(&program)) {
        (Err(error), Some(missing)) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("{act}: {missing}")
        }
        (status, _) => status.with_context(|| format!("{act}: starting {program}"))?,
    };
    let name = Path::new(&program).file_name().map_or_else(String::new, |name| name.display().to_string());
    ensure!(status.success(), "{act} failed: {name} ended with {status}");
    Ok(())
}

/// Keeps the time of a file that has this content: builds that compare times do not repeat.
pub(super) fn write_if_changed(to: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if fs::read(to).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    fs::write(to, bytes).with_context(|| format!("writing {}", to.display()))
}

/// Returns what to do where a program that the user must install is missing.
fn missing(program: &str) -> Option<&'static str> {
    match program {
        "python3" => Some("python3 is not in the path: install Python 3.9 or later with pip"),
        "node" | "npm" => Some("Node.js is not in the path: install Node.js 18 or later with npm"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_installed_tool_is_taken_and_an_interrupted_one_is_not() {
        let cache = tempfile::tempdir().unwrap();
        let mut runs = 0;
        let mut install = |requirement: &str, works: bool| {
            installed(cache.path(), "a-tool-1", requirement, |to| {
                runs += 1;
                fs::write(to.join("program"), requirement).unwrap();
                ensure!(works, "no index");
                Ok(())
            })
        };
        assert_eq!(install("a", false).unwrap_err().to_string(), "no index");
        let folder = cache.path().join("guest-tools/a-tool-1");
        assert!(!folder.exists());
        for _ in 0..2 {
            assert_eq!(install("a", true).unwrap(), folder);
        }
        install("b", true).unwrap();
        assert_eq!(runs, 3, "installed once, and again for other packages");
        assert_eq!(fs::read_to_string(folder.join("program")).unwrap(), "b");
    }

    #[test]
    fn a_failed_tool_is_named_with_its_act() {
        let error = run(Command::new("false").arg("x"), "building the component").unwrap_err().to_string();
        assert!(error.starts_with("building the component failed: false ended with"), "{error}");
        let error = run(&mut Command::new("/not/there"), "building").unwrap_err();
        assert!(format!("{error:#}").starts_with("building: starting /not/there: "), "{error:#}");
        let error =
            run(Command::new("npm").env_clear().env("PATH", "/not/there"), "installing a").unwrap_err();
        assert!(format!("{error:#}").starts_with("installing a: Node.js is not in the path: "), "{error:#}");
    }
}
