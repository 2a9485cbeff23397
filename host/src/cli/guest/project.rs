//! A guest project on disk: its folder, its name, and how it is created.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::embedded_sdk;
use super::language::Language;
use crate::cli::terminal;

/// A folder that contains the manifest of a guest.
pub(super) struct Project {
    /// The folder, absolute.
    pub(super) dir: PathBuf,
    /// Name of the package.
    pub(super) name: String,
    /// Its language.
    pub(super) language: Language,
}

impl Project {
    /// Opens the project in `dir`.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let Some(language) = Language::of(dir) else {
            bail!("{} is not a guest project: it has no {}", dir.display(), Language::manifests())
        };
        let manifest = dir.join(language.manifest());
        let text =
            std::fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
        let name =
            language.name_in(&text).with_context(|| format!("{} is not a manifest", manifest.display()))?;
        let Some(name) = name else {
            bail!("{} names no package: give the folder of the guest itself", manifest.display())
        };
        let dir = dir.canonicalize().with_context(|| format!("resolving {}", dir.display()))?;
        Ok(Self { dir, name, language })
    }

    /// Returns the path of the built component.
    pub(super) fn component(&self) -> PathBuf {
        self.dir.join("target").join(format!("{}.wasm", self.name))
    }

    /// Returns the folder of the contract that the project carries.
    pub(super) fn contract(&self) -> anyhow::Result<PathBuf> {
        let contract = self.dir.join(embedded_sdk::VENDORED).join("wit");
        ensure!(
            contract.is_dir(),
            "{} has no contract: `lector guest vendor` writes the one of this program",
            contract.display()
        );
        Ok(contract)
    }

    /// Returns the folder of the golden documents.
    pub(super) fn golden(&self) -> PathBuf {
        self.dir.join("golden")
    }
}

/// `lector guest new PATH --lang LANGUAGE`.
pub(super) fn new(path: &Path, language: Language) -> anyhow::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !is_name(name) {
        bail!(
            "`{name}` cannot be the name of a guest: use 1 to 63 of a-z, 0-9 and -, with a letter first, and not a \
             keyword of Rust"
        );
    }
    embedded_sdk::write_project(path, name, language)?;
    let about = match language {
        Language::Rust => "a guest that works like the standard one, and removes lines in capitals",
        Language::Python | Language::C | Language::Typescript => {
            "a guest that wraps another deployment, and finds the fields of invoices"
        }
    };
    terminal::print(&format!(
        "created {0}: {about}\n\n  cd {0}\n  lector guest build\n  lector guest test\n",
        path.display()
    ))
}

/// `lector guest vendor DIR`.
pub(super) fn vendor(dir: &Path) -> anyhow::Result<()> {
    let project = Project::open(dir)?;
    if !project.dir.join(embedded_sdk::VENDORED).is_dir() {
        bail!(
            "{} has no folder `{}`: it has no vendored SDK to replace",
            dir.display(),
            embedded_sdk::VENDORED
        );
    }
    if embedded_sdk::vendored_is_ours(&project.dir, project.language) {
        return terminal::print("the sources in lector/ are those of this program\n");
    }
    embedded_sdk::vendor(&project.dir, project.language)?;
    terminal::print("the sources in lector/ were replaced by those of this program\n")
}

/// Returns whether a name is valid for a package, a deployment and a path.
fn is_name(name: &str) -> bool {
    /// Package names that cargo refuses: keywords and reserved names.
    const TAKEN: &[&str] = &[
        "abstract",
        "as",
        "async",
        "await",
        "become",
        "box",
        "break",
        "build",
        "const",
        "continue",
        "core",
        "crate",
        "deps",
        "do",
        "dyn",
        "else",
        "enum",
        "examples",
        "extern",
        "false",
        "final",
        "fn",
        "for",
        "gen",
        "if",
        "impl",
        "in",
        "incremental",
        "let",
        "loop",
        "macro",
        "match",
        "mod",
        "move",
        "mut",
        "override",
        "priv",
        "proc-macro",
        "pub",
        "ref",
        "return",
        "self",
        "static",
        "std",
        "struct",
        "super",
        "test",
        "trait",
        "true",
        "try",
        "type",
        "typeof",
        "unsafe",
        "unsized",
        "use",
        "virtual",
        "where",
        "while",
        "yield",
        "alloc",
        "serde",
        "app",
        "lector-find",
        "lector-sdk",
        "lector-steps",
        "lector-vision",
    ];
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && !TAKEN.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, good) in [
            ("greet", true),
            ("a1-b", true),
            ("", false),
            ("Greet", false),
            ("1a", false),
            ("a_b", false),
            ("a-", false),
            ("async", false),
            ("serde", false),
            ("grüße", false),
        ] {
            assert_eq!(is_name(name), good, "{name}");
        }
    }
}
