//! Builds the guest components. The guest side is a separate workspace (`guest/`, with the test guests as members). The
//! output folder is `guest/target/components`, where server, demo and tests expect it: `NAME.wasm` for every component,
//! by the name of its folder, and `standard.wasip2.wasm`, which shows that a guest built for WASI also runs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::places::Places;
use crate::setup::wasm::{self, GuestRust, PLAIN, WASI};
use crate::shell::{self, Scratch};

/// The guest that is also built for WASI.
const WASI_PROOF: &str = "standard";

/// A package of the guest workspace that is built as a component.
#[derive(Debug, PartialEq)]
struct Component {
    /// Name of its folder.
    name: String,
    /// Name of its package.
    package: String,
    /// Name of cargo's output file.
    file: String,
    /// Whether it is built for WASI alone: `target` in `[package.metadata.lector]` of its manifest.
    wasi_only: bool,
}

/// Builds all components in release and copies them to the output folder, which is returned.
pub fn build(places: &Places) -> Result<PathBuf> {
    let rust = rust(places)?;
    let components = components(places)?;
    let (wasi_only, components): (Vec<_>, Vec<_>) =
        components.into_iter().partition(|component| component.wasi_only);
    compile(places, &rust, PLAIN, &components)?;
    let proof = components.into_iter().filter(|component| component.name == WASI_PROOF);
    compile(places, &rust, WASI, &proof.chain(wasi_only).collect::<Vec<_>>())?;
    Ok(places.components())
}

/// Returns the packages that are built for WASI alone.
pub fn wasi_only(places: &Places) -> Result<Vec<String>> {
    let found = components(places)?.into_iter().filter(|component| component.wasi_only);
    Ok(found.map(|component| component.package).collect())
}

/// Builds the components with these names alone, and only the std that they need.
pub fn build_some(places: &Places, names: &[String]) -> Result<()> {
    let rust = rust_for(places, &[PLAIN])?;
    let mut components = components(places)?;
    for name in names {
        let known = components.iter().any(|component| component.name == *name && !component.wasi_only);
        ensure!(known, "no guest of {PLAIN} has the name {name}");
    }
    components.retain(|component| names.contains(&component.name));
    compile(places, &rust, PLAIN, &components)
}

/// Returns the names of the components that are part of a release: those in `guest/components`.
pub fn of_release(places: &Places) -> Result<Vec<String>> {
    let folders = shell::list(&places.repo("guest/components"))?;
    let names = folders.iter().filter(|folder| folder.join("Cargo.toml").is_file());
    Ok(names.filter_map(|folder| Some(folder.file_name()?.to_string_lossy().into_owned())).collect())
}

/// Returns the compiler for guests, for a caller that checks guests without building them.
pub fn rust(places: &Places) -> Result<GuestRust> {
    rust_for(places, &wasm::TARGETS)
}

fn rust_for(places: &Places, targets: &[&'static str]) -> Result<GuestRust> {
    let _lock = places.lock()?;
    wasm::ensure(places, targets)
}

fn compile(places: &Places, rust: &GuestRust, target: &str, components: &[Component]) -> Result<()> {
    if components.is_empty() {
        return Ok(());
    }
    for component in components {
        // One by one: a joint build would unify the features of the SDK, and a guest with the feature `wrapper` imports
        // the pipeline of another deployment.
        let mut cargo = shell::cargo();
        cargo.args(["build", "--release", "--locked", "--target", target, "--package", &component.package]);
        rust.apply(cargo.current_dir(places.repo("guest")));
        shell::run(&mut cargo).with_context(|| format!("{} does not build for {target}", component.name))?;
    }
    let built = places.repo("guest/target").join(target).join("release");
    for component in components {
        let suffix = if target == WASI { "wasip2.wasm" } else { "wasm" };
        let to = places.components().join(format!("{}.{suffix}", component.name));
        let bytes = publish(&built.join(&component.file), &to)?;
        println!("  {:>6} KiB {}", bytes / 1024, places.shown(&to));
    }
    Ok(())
}

/// Copies to a temporary name first: a server that starts meanwhile reads the old component or the new one. An
/// unchanged component keeps its file, so that file watchers are not triggered.
fn publish(from: &Path, to: &Path) -> Result<u64> {
    let folder = to.parent().context("the component has no folder")?;
    shell::make_folder(folder)?;
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(bytes.len() as u64);
    }
    let scratch = Scratch::new(folder, "publishing")?;
    let part = scratch.path().join("part");
    shell::write(&part, &bytes)?;
    fs::rename(&part, to).with_context(|| format!("cannot place {}", to.display()))?;
    Ok(bytes.len() as u64)
}

fn components(places: &Places) -> Result<Vec<Component>> {
    let text = shell::output(
        shell::cargo()
            .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
            .current_dir(places.repo("guest")),
    )?;
    let metadata: Value = serde_json::from_str(&text).context("the output of cargo metadata is not JSON")?;
    let components = of_metadata(&metadata);
    ensure!(
        !components.is_empty(),
        "the guest workspace has no component (a package with crate-type cdylib)"
    );
    Ok(components)
}

fn of_metadata(metadata: &Value) -> Vec<Component> {
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let Some(folder) =
            package["manifest_path"].as_str().and_then(|path| Path::new(path).parent()?.file_name())
        else {
            continue;
        };
        for target in package["targets"].as_array().into_iter().flatten() {
            let kinds = target["crate_types"].as_array();
            if kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib")) {
                found.push(Component {
                    name: folder.to_string_lossy().into_owned(),
                    package: package["name"].as_str().unwrap_or_default().to_owned(),
                    file: format!("{}.wasm", target["name"].as_str().unwrap_or_default().replace('-', "_")),
                    wasi_only: package["metadata"]["lector"]["target"] == WASI,
                });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn components_are_the_cdylibs_by_folder() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "lector-sdk", "manifest_path": "/x/guest/sdk/Cargo.toml",
              "targets": [{ "name": "lector_sdk", "crate_types": ["lib"] }] },
            { "name": "lector-guest-standard", "manifest_path": "/x/guest/components/standard/Cargo.toml",
              "targets": [{ "name": "lector-guest-standard", "crate_types": ["cdylib", "rlib"] }] },
            { "name": "timed", "manifest_path": "/x/tests/guests/timed/Cargo.toml", "metadata": { "lector": { "target": WASI } },
              "targets": [{ "name": "timed", "crate_types": ["cdylib"] }] },
        ]});
        assert_eq!(
            of_metadata(&metadata),
            [
                Component {
                    name: "standard".into(),
                    package: "lector-guest-standard".into(),
                    file: "lector_guest_standard.wasm".into(),
                    wasi_only: false,
                },
                Component {
                    name: "timed".into(),
                    package: "timed".into(),
                    file: "timed.wasm".into(),
                    wasi_only: true,
                },
            ]
        );
    }
}
