//! The guest sources embedded in the program, and their layout in a project.
//!
//! Owns the layout of a project: the files of the template, and below `lector/` the SDK, the steps and the contract
//! with the relative paths of the repository. `build.rs` generates the table.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use super::language::Language;

/// Path in the repository, content.
static KIT: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/kit.rs"));

/// Folder of a project that holds the vendored sources.
pub(super) const VENDORED: &str = "lector";
/// Files of the repository that are copied unchanged into a project in Rust.
const SHARED: [(&str, &str); 2] =
    [("guest/.cargo/config.toml", ".cargo/config.toml"), ("guest/Cargo.lock", "Cargo.lock")];
/// Members of the vendored workspace; the guests of the repository are not included.
const MEMBERS: &str = r#"members = ["sdk", "vision", "steps", "find"]"#;

const VENDORED_README: &str = "# Lector's guest side

Written by `lector VERSION`: the contract (`wit/`), the SDK, the standard steps, their algorithms, finders of values (`guest/`), as that
program was built with them. Commit it with your guest, and do not edit it: `lector guest vendor` replaces the whole
folder by the sources that the installed program contains.
";

const VENDORED_CONTRACT: &str = "# The contract

Written by `lector VERSION`: the contract between host and guests (`wit/`) of that program. Commit it with your guest, and do not edit
it: `lector guest vendor` replaces the whole folder by the contract of the installed program.
";

/// Writes a new project called `name` into `dir`, which must not exist, or be an empty folder.
pub(super) fn write_project(dir: &Path, name: &str, language: Language) -> anyhow::Result<()> {
    let empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("listing {}", dir.display())),
    };
    ensure!(empty, "{} exists and is not empty: choose another name, or remove it", dir.display());
    for (path, bytes) in KIT {
        let Some(path) = path.strip_prefix(language.template()) else { continue };
        let Some(plain) = path.strip_suffix(".in") else {
            write(&dir.join(path), bytes)?;
            continue;
        };
        let text = std::str::from_utf8(bytes).with_context(|| format!("the template's {path}"))?;
        let to = if plain == "gitignore" { ".gitignore" } else { plain };
        write(&dir.join(to), text.replace("{{name}}", name).as_bytes())?;
    }
    for (from, to) in SHARED.iter().filter(|_| language == Language::Rust) {
        write(&dir.join(to), carried(from)?)?;
    }
    vendor(dir, language)
}

/// Replaces the vendored sources of the project in `dir`.
pub(super) fn vendor(dir: &Path, language: Language) -> anyhow::Result<()> {
    let to = dir.join(VENDORED);
    let (fresh, old) = (dir.join(".lector.new"), dir.join(".lector.old"));
    remove(&fresh)?;
    for (path, bytes) in KIT {
        let shared = SHARED.iter().any(|(from, _)| from == path);
        if !language.carries(path) || shared {
            continue;
        }
        if *path == "guest/Cargo.toml" {
            write(&fresh.join(path), workspace(bytes)?.as_bytes())?;
        } else {
            write(&fresh.join(path), bytes)?;
        }
    }
    let about = match language {
        Language::Rust => VENDORED_README,
        Language::Python | Language::C | Language::Typescript => VENDORED_CONTRACT,
    };
    let about = about.replace("VERSION", env!("CARGO_PKG_VERSION"));
    write(&fresh.join("README.md"), about.as_bytes())?;
    remove(&old)?;
    if to.exists() {
        fs::rename(&to, &old).with_context(|| format!("moving {}", to.display()))?;
    }
    fs::rename(&fresh, &to).with_context(|| format!("placing {}", to.display()))?;
    remove(&old)
}

/// Returns whether the vendored sources of a project are those of this program.
pub(super) fn vendored_is_ours(dir: &Path, language: Language) -> bool {
    let to = dir.join(VENDORED);
    KIT.iter()
        .filter(|(path, _)| path.starts_with("wit/") || path.ends_with(".rs"))
        .filter(|(path, _)| language.carries(path))
        .all(|(path, bytes)| fs::read(to.join(path)).is_ok_and(|found| found == *bytes))
}

fn carried(path: &str) -> anyhow::Result<&'static [u8]> {
    let found = KIT.iter().find(|(carried, _)| *carried == path);
    found.map(|(_, bytes)| *bytes).with_context(|| format!("this program does not contain {path}"))
}

/// Returns the manifest of the guest workspace with the embedded members only.
fn workspace(manifest: &[u8]) -> anyhow::Result<String> {
    let text = std::str::from_utf8(manifest).context("guest/Cargo.toml")?;
    let Some(line) = text.lines().find(|line| line.starts_with("members = ")) else {
        bail!("the embedded guest/Cargo.toml has no line `members`: this program was built incorrectly")
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
        write_project(&dir, "greet", Language::Rust).unwrap();
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
            "lector/guest/find/Cargo.toml",
            "lector/guest/vision/Cargo.toml",
            "lector/wit/world.wit",
        ] {
            assert!(dir.join(path).is_file(), "{path}");
        }
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"greet\"") && !manifest.contains("{{"), "{manifest}");
        let workspace = fs::read_to_string(dir.join("lector/guest/Cargo.toml")).unwrap();
        assert!(workspace.contains(MEMBERS) && !workspace.contains("components/*"), "{workspace}");
        assert!(!dir.join("lector/guest/template").exists() && !dir.join("lector/guest/examples").exists());
        assert!(vendored_is_ours(&dir, Language::Rust));

        // A project in a folder that is not empty is refused; stale sources are replaced.
        assert!(write_project(&dir, "greet", Language::Rust).unwrap_err().to_string().contains("not empty"));
        fs::write(dir.join("lector/wit/world.wit"), "old").unwrap();
        fs::write(dir.join("lector/stray"), "old").unwrap();
        assert!(!vendored_is_ours(&dir, Language::Rust));
        vendor(&dir, Language::Rust).unwrap();
        assert!(vendored_is_ours(&dir, Language::Rust) && !dir.join("lector/stray").exists());
    }

    #[test]
    fn a_python_project_has_the_contract_and_no_crates() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("bills");
        write_project(&dir, "bills", Language::Python).unwrap();
        for path in [
            ".gitignore",
            "README.md",
            "app.py",
            "golden/golden.toml",
            "golden/invoice.pdf",
            "golden/invoice.pdf.json",
            "lector/README.md",
            "lector/wit/world.wit",
            "pyproject.toml",
        ] {
            assert!(dir.join(path).is_file(), "{path}");
        }
        let manifest = fs::read_to_string(dir.join("pyproject.toml")).unwrap();
        assert!(manifest.contains("name = \"bills\"") && !manifest.contains("{{"), "{manifest}");
        assert!(!dir.join("lector/guest").exists() && !dir.join("Cargo.lock").exists());
        assert!(vendored_is_ours(&dir, Language::Python));
    }

    #[test]
    fn a_c_project_has_the_contract_and_no_crates() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("bills");
        write_project(&dir, "bills", Language::C).unwrap();
        for path in [
            ".gitignore",
            "README.md",
            "compile_flags.txt",
            "golden/golden.toml",
            "golden/invoice.pdf",
            "golden/invoice.pdf.json",
            "guest.toml",
            "lector/README.md",
            "lector/wit/world.wit",
            "src/invoice.c",
        ] {
            assert!(dir.join(path).is_file(), "{path}");
        }
        let manifest = fs::read_to_string(dir.join("guest.toml")).unwrap();
        assert!(manifest.contains("name = \"bills\"") && !manifest.contains("{{"), "{manifest}");
        assert!(!dir.join("lector/guest").exists() && !dir.join("Cargo.lock").exists());
        assert!(vendored_is_ours(&dir, Language::C));
    }
    #[test]
    fn a_typescript_project_has_the_contract_and_no_crates() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("bills");
        write_project(&dir, "bills", Language::Typescript).unwrap();
        for path in [
            ".gitignore",
            "README.md",
            "golden/golden.toml",
            "golden/invoice.pdf",
            "golden/invoice.pdf.json",
            "lector/README.md",
            "lector/wit/world.wit",
            "package.json",
            "src/app.ts",
            "src/values.ts",
            "tsconfig.json",
        ] {
            assert!(dir.join(path).is_file(), "{path}");
        }
        let manifest = fs::read_to_string(dir.join("package.json")).unwrap();
        assert!(manifest.contains("\"name\": \"bills\"") && !manifest.contains("{{"), "{manifest}");
        assert!(!dir.join("lector/guest").exists() && !dir.join("Cargo.lock").exists());
        assert!(vendored_is_ours(&dir, Language::Typescript));
    }
}
