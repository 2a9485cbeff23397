//! Tools that are published as npm packages: npm installs a few packages, each checked by its digest, and runs no script of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::tool::{self, run};

/// A tool made of npm packages without dependencies.
pub(super) struct NpmTool {
    /// Name of the tool.
    pub(super) name: &'static str,
    /// Its version.
    pub(super) version: &'static str,
    /// Its packages.
    pub(super) packages: &'static [NpmPackage],
}

/// A package of a registry.
pub(super) struct NpmPackage {
    /// Name of the package.
    pub(super) name: &'static str,
    /// Its version.
    pub(super) version: &'static str,
    /// Its digest, as a lock file of npm writes it.
    pub(super) integrity: &'static str,
}

impl NpmTool {
    /// Returns the folder `node_modules` of the tool; installs it if it is not there.
    pub(super) fn installed(&self, cache: &Path) -> anyhow::Result<PathBuf> {
        let (package, lock) = self.files();
        let (name, version) = (self.name, self.version);
        let folder = tool::installed(cache, &format!("{name}-{version}"), &lock, |to| {
            for (file, text) in [("package.json", &package), ("package-lock.json", &lock)] {
                fs::write(to.join(file), text).with_context(|| format!("writing {file}"))?;
            }
            let mut npm = Command::new("npm");
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
                .current_dir(to);
            let act =
                format!("installing {name} {version} (npm needs a package index or a mirror that has it)");
            run(&mut npm, &act)
        })?;
        Ok(folder.join("node_modules"))
    }

    /// Returns the manifest and the lock file. The lock names no registry, so that npm takes the one that it is configured for.
    fn files(&self) -> (String, String) {
        let wanted: Map<String, Value> =
            self.packages.iter().map(|one| (one.name.to_owned(), json!(one.version))).collect();
        let mut locked = Map::from_iter([(String::new(), json!({ "dependencies": wanted }))]);
        for one in self.packages {
            let entry = json!({ "version": one.version, "integrity": one.integrity });
            locked.insert(format!("node_modules/{}", one.name), entry);
        }
        let package = json!({ "private": true, "dependencies": wanted });
        let lock = json!({ "lockfileVersion": 3, "requires": true, "packages": locked });
        (package.to_string(), lock.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TOOL: NpmTool = NpmTool {
        name: "a-tool",
        version: "1.2.3",
        packages: &[NpmPackage { name: "@a/b", version: "4.5.6", integrity: "sha512-AA==" }],
    };

    #[test]
    fn packages_are_pinned_by_their_digests() {
        let (package, lock) = TOOL.files();
        let package: Value = serde_json::from_str(&package).unwrap();
        assert_eq!(package["dependencies"]["@a/b"], "4.5.6");
        let lock: Value = serde_json::from_str(&lock).unwrap();
        let entry = &lock["packages"]["node_modules/@a/b"];
        assert_eq!(entry, &json!({ "version": "4.5.6", "integrity": "sha512-AA==" }));
        assert_eq!(lock["packages"][""]["dependencies"]["@a/b"], "4.5.6");
    }

    #[test]
    fn an_installed_tool_is_found_by_its_lock() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("guest-tools/a-tool-1.2.3");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("installed.txt"), TOOL.files().1).unwrap();
        assert_eq!(TOOL.installed(cache.path()).unwrap(), folder.join("node_modules"));
    }
}
