//! The crates that are compiled into a release, from `cargo metadata` of both workspaces.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::places::Places;
use crate::shell;

/// Version of the release, which is that of all crates of this repository.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// SPDX expression; empty: the crate names none.
    pub(super) license: String,
    /// Folder of its sources.
    pub(super) folder: PathBuf,
    /// sha256 of the downloaded crate; `None`: a crate of this repository.
    pub(super) sha256: Option<String>,
    /// `NAME@VERSION` of the crates that it uses.
    pub(super) uses: BTreeSet<String>,
}

impl Package {
    pub(super) fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Returns whether it comes from a registry.
    pub(super) fn is_foreign(&self) -> bool {
        self.sha256.is_some()
    }
}

/// The crates of a release.
pub(super) struct Packages {
    /// By `NAME@VERSION`, of both workspaces.
    pub(super) all: BTreeMap<String, Package>,
    /// The program.
    pub(super) program: String,
}

impl Packages {
    /// Reads both workspaces.
    pub(super) fn of_release(places: &Places) -> Result<Self> {
        let mut all = reached(&places.root, "x86_64-unknown-linux-gnu", |name| name == "lector")?;
        let components: BTreeSet<PathBuf> = shell::list(&places.repo("guest/components"))?
            .into_iter()
            .map(|dir| dir.join("Cargo.toml"))
            .collect();
        all.extend(reached_of(&places.repo("guest"), "wasm32-unknown-unknown", |package| {
            package["manifest_path"].as_str().is_some_and(|path| components.contains(Path::new(path)))
        })?);
        let program = all
            .values()
            .find(|package| package.name == "lector")
            .context("the workspace has no lector")?
            .id();
        Ok(Self { all, program })
    }
}

fn reached(folder: &Path, target: &str, is_root: impl Fn(&str) -> bool) -> Result<BTreeMap<String, Package>> {
    reached_of(folder, target, |package| package["name"].as_str().is_some_and(&is_root))
}

fn reached_of(
    folder: &Path,
    target: &str,
    is_root: impl Fn(&Value) -> bool,
) -> Result<BTreeMap<String, Package>> {
    let text = shell::output(
        shell::cargo()
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target])
            .current_dir(folder),
    )?;
    let metadata: Value = serde_json::from_str(&text).context("the output of cargo metadata is not JSON")?;
    let digests = digests(&shell::read(&folder.join("Cargo.lock"))?)?;
    Ok(of_metadata(&metadata, &digests, is_root))
}

/// Returns what the roots reach by normal dependencies: tests and build scripts are not part of a program.
fn of_metadata(
    metadata: &Value,
    digests: &BTreeMap<String, String>,
    is_root: impl Fn(&Value) -> bool,
) -> BTreeMap<String, Package> {
    let empty = Vec::new();
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let by_id: BTreeMap<&str, &Value> = metadata["packages"]
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let name = |id: &str| {
        let package = by_id.get(id)?;
        Some(format!("{}@{}", package["name"].as_str()?, package["version"].as_str()?))
    };
    let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let normal = list(&node["deps"])
            .into_iter()
            .filter(|dep| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()));
        let ids = normal.filter_map(|dep| dep["pkg"].as_str().map(str::to_owned)).collect();
        uses.insert(node["id"].as_str().unwrap_or_default().to_owned(), ids);
    }
    let mut waiting: Vec<String> =
        by_id.iter().filter(|(_, package)| is_root(package)).map(|(id, _)| (*id).to_owned()).collect();
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let (Some(package), Some(key)) = (by_id.get(id.as_str()), name(&id)) else { continue };
        let used = uses.get(&id).cloned().unwrap_or_default();
        let text = |member: &str| package[member].as_str().unwrap_or_default().to_owned();
        let manifest = PathBuf::from(text("manifest_path"));
        found.insert(
            key.clone(),
            Package {
                name: text("name"),
                version: text("version"),
                // The form before SPDX expressions.
                license: text("license").replace('/', " OR "),
                folder: manifest.parent().map(Path::to_owned).unwrap_or_default(),
                sha256: digests.get(&key).cloned(),
                uses: used.iter().filter_map(|id| name(id)).collect(),
            },
        );
        waiting.extend(used);
    }
    found
}

/// Reads the digests of a lock file, by `NAME@VERSION`.
fn digests(lock: &str) -> Result<BTreeMap<String, String>> {
    let lock: toml::Table = lock.parse().context("cannot parse Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let digest = |package: &toml::Value| {
        let text = |member: &str| package.get(member)?.as_str().map(str::to_owned);
        Some((format!("{}@{}", text("name")?, text("version")?), text("checksum")?))
    };
    Ok(packages.into_iter().flatten().filter_map(digest).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_release_has_what_the_program_reaches_and_no_tools() {
        let package = |name: &str| json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "manifest_path": format!("/r/{name}/Cargo.toml") });
        let dep = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": (["lector", "used", "deep", "tool", "tested"].map(package)),
            "resolve": { "nodes": [
                { "id": "lector", "deps": [dep("used", Value::Null), dep("tool", json!("build")), dep("tested", json!("dev"))] },
                { "id": "used", "deps": [dep("deep", Value::Null)] },
            ]},
        });
        let lock = "[[package]]\nname = \"used\"\nversion = \"1.0.0\"\nchecksum = \"aa\"\n[[package]]\nname = \"lector\"\nversion = \"1.0.0\"\n";
        let found = of_metadata(&metadata, &digests(lock).unwrap(), |package| package["name"] == "lector");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["deep@1.0.0", "lector@1.0.0", "used@1.0.0"]);
        let used = &found["used@1.0.0"];
        assert_eq!((used.license.as_str(), used.sha256.as_deref()), ("MIT OR Apache-2.0", Some("aa")));
        assert_eq!(found["lector@1.0.0"].uses.iter().collect::<Vec<_>>(), ["used@1.0.0"]);
        assert!(used.is_foreign() && !found["lector@1.0.0"].is_foreign());
    }
}
