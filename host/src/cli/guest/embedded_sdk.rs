//! What the program carries of the guest side, and how it becomes files of a project.
//!
//! Owns the layout of a project: the template's own files, and below `lector/` the SDK, the steps and the contract as
//! in the repository, which is the layout that their relative paths need. `build.rs` makes the table.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};

/// Path in the repository, content.
static KIT: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/kit.rs"));

const TEMPLATE: &str = "guest/template/";
/// Folder of a project that holds the vendored sources.
pub(super) const VENDORED: &str = "lector";
/// Files of the repository that are a project's as they are.
const SHARED: [(&str, &str); 2] =
    [("guest/.cargo/config.toml", ".cargo/config.toml"), ("guest/Cargo.lock", "Cargo.lock")];
/// The workspace of the vendored sources has these members; the guests of the repository are not carried.
const MEMBERS: &str = r#"members = ["sdk", "vision", "steps"]"#;

const VENDORED_README: &str = "# Lector's guest side

Written by `lector VERSION`: the contract (`wit/`), the SDK, the standard steps and their algorithms (`guest/`), as that
program was built with them. Commit it with your guest, and leave it as it is: `lector guest vendor` replaces the whole
folder by what the program at hand carries.
";

/// Writes a new project called `name` into `dir`, which must not exist, or be an empty folder.
pub(super) fn write_project(dir: &Path, name: &str) -> anyhow::Result<()> {
    let empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("looking into {}", dir.display())),
    };
    ensure!(empty, "{} exists and is not empty: give another name, or remove it", dir.display());
    for (path, bytes) in KIT {
        let Some(path) = path.strip_prefix(TEMPLATE) else { continue };
        let Some(plain) = path.strip_suffix(".in") else {
            write(&dir.join(path), bytes)?;
            continue;
        };
        let text = std::str::from_utf8(bytes).with_context(|| format!("the template's {path}"))?;
        let to = if plain == "gitignore" { ".gitignore" } else { plain };
        write(&dir.join(to), text.replace("{{name}}", name).as_bytes())?;
    }
    for (from, to) in SHARED {
        write(&dir.join(to), carried(from)?)?;
    }
    vendor(dir)
}

/// Writes the vendored sources of the project in `dir` anew. What was there before is replaced as a whole.
pub(super) fn vendor(dir: &Path) -> anyhow::Result<()> {
    let to = dir.join(VENDORED);
    let (fresh, old) = (dir.join(".lector.new"), dir.join(".lector.old"));
    remove(&fresh)?;
    for (path, bytes) in KIT {
        let shared = SHARED.iter().any(|(from, _)| from == path);
        if path.starts_with(TEMPLATE) || shared {
            continue;
        }
        if *path == "guest/Cargo.toml" {
            write(&fresh.join(path), workspace(bytes)?.as_bytes())?;
        } else {
            write(&fresh.join(path), bytes)?;
        }
    }
    let about = VENDORED_README.replace("VERSION", env!("CARGO_PKG_VERSION"));
    write(&fresh.join("README.md"), about.as_bytes())?;
    remove(&old)?;
    if to.exists() {
        fs::rename(&to, &old).with_context(|| format!("setting {} aside", to.display()))?;
    }
    fs::rename(&fresh, &to).with_context(|| format!("placing {}", to.display()))?;
    remove(&old)
}

/// Whether the sources that a project holds are those of this program.
pub(super) fn vendored_is_ours(dir: &Path) -> bool {
    let to = dir.join(VENDORED);
    KIT.iter()
        .filter(|(path, _)| path.starts_with("wit/") || path.ends_with(".rs"))
        .filter(|(path, _)| !path.starts_with(TEMPLATE))
        .all(|(path, bytes)| fs::read(to.join(path)).is_ok_and(|found| found == *bytes))
}

fn carried(path: &str) -> anyhow::Result<&'static [u8]> {
    let found = KIT.iter().find(|(carried, _)| *carried == path);
    found.map(|(_, bytes)| *bytes).with_context(|| format!("this program was built without {path}"))
}

/// The guest workspace's manifest with the members that are carried.
fn workspace(manifest: &[u8]) -> anyhow::Result<String> {
    let text = std::str::from_utf8(manifest).context("guest/Cargo.toml")?;
    let Some(line) = text.lines().find(|line| line.starts_with("members = ")) else {
        bail!("guest/Cargo.toml names its members no more: this program was built wrongly")
    };
    Ok(text.replace(line, MEMBERS))
}

fn write(to: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    fs::write(to, bytes).with_context(|| format!("writing {}", to.display()))
}

fn remove(dir: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_project_is_whole() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("greet");
        write_project(&dir, "greet").unwrap();
        for path in [
            "Cargo.toml",
            "Cargo.lock",
            ".cargo/config.toml",
            ".gitignore",
            "README.md",
            "src/lib.rs",
            "golden/golden.toml",
            "golden/hello.pdf",
            "golden/hello.pdf.json",
            "lector/README.md",
            "lector/guest/Cargo.toml",
            "lector/guest/sdk/src/lib.rs",
            "lector/guest/steps/Cargo.toml",
            "lector/guest/vision/Cargo.toml",
            "lector/wit/world.wit",
        ] {
            assert!(dir.join(path).is_file(), "{path}");
        }
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"greet\"") && !manifest.contains("{{"), "{manifest}");
        let workspace = fs::read_to_string(dir.join("lector/guest/Cargo.toml")).unwrap();
        assert!(workspace.contains(MEMBERS) && !workspace.contains("components/*"), "{workspace}");
        assert!(!dir.join("lector/guest/template").exists());
        assert!(vendored_is_ours(&dir));

        // A second one on top of it is refused; its sources are renewed where they are stale.
        assert!(write_project(&dir, "greet").unwrap_err().to_string().contains("not empty"));
        fs::write(dir.join("lector/wit/world.wit"), "old").unwrap();
        fs::write(dir.join("lector/stray"), "old").unwrap();
        assert!(!vendored_is_ours(&dir));
        vendor(&dir).unwrap();
        assert!(vendored_is_ours(&dir) && !dir.join("lector/stray").exists());
    }
}
