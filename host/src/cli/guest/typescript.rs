//! Builds the component of a project in TypeScript or JavaScript with componentize-qjs, which contains QuickJS.
//!
//! The tool cannot bind `async func`. It gets the contract without them (`plain`), so that every call waits in JavaScript, and
//! the functions of its component get their types back afterwards (`async_types.rs`). `declarations.rs` writes the contract for
//! the author's editor. The modules in the folder `typescript` are JavaScript: `componentize.cjs` runs the tool, `main.js` and
//! `console.js` become a part of every component.

mod async_types;
mod declarations;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use wit_parser::{FunctionKind, PackageId, Resolve, WorldId};

use self::async_types::Functions;
use super::contract;
use super::npm_tool::{NpmPackage, NpmTool};
use super::project::Project;
use super::tool::{run, write_if_changed};

/// componentize-qjs as a program for Linux on x86-64, and the program of Node.js that takes types out of TypeScript.
const TOOL: NpmTool = NpmTool {
    name: "componentize-qjs",
    version: "0.4.5",
    packages: &[
        NpmPackage {
            name: "@andreiltd/componentize-qjs-binding-linux-x64-gnu",
            version: "0.4.5",
            integrity: "sha512-Xec4O4sy/xHlhPPhf7GAV41D+AT7f9vxxjBpE7lUIElZNhX/kc+Ty6AQG50xbHsT5Mi4XQvSmtJJqhnB6xi8Vw==",
        },
        NpmPackage {
            name: "@swc/wasm-typescript",
            version: "1.16.2",
            integrity: "sha512-ll8qaJBPyBNYRZ3MyRBB7KwM/BEWsxiNPSeX34wtFvRrWFO8wHgn1xoQbEp6Zoe3Um+rbd6Jtsb8Xhn96hiz2g==",
        },
    ],
};
/// The module that exports the pipeline; the first that exists.
const ENTRIES: [&str; 4] = ["app.ts", "app.mts", "app.js", "app.mjs"];
const SCRIPT: &str = include_str!("typescript/componentize.cjs");
const MAIN: &str = include_str!("typescript/main.js");
const CONSOLE: &str = include_str!("typescript/console.js");

/// Builds a project; returns the component. Messages of the tools go to standard error.
pub(super) fn build(project: &Project, cache: &Path) -> anyhow::Result<PathBuf> {
    let src = project.dir.join("src");
    let Some(entry) = ENTRIES.into_iter().find(|name| src.join(name).is_file()) else {
        bail!("{} has no src/app.ts or src/app.js, the module that exports `pipeline`", project.name)
    };
    let modules = TOOL.installed(cache)?;
    let target = project.dir.join("target");
    let (bindings, staged) = (target.join("bindings"), target.join("typescript"));
    if staged.exists() {
        fs::remove_dir_all(&staged).with_context(|| format!("removing {}", staged.display()))?;
    }
    for folder in [&bindings, &staged] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let (resolve, world) = contract::read(&project.contract()?)?;
    write_if_changed(
        &bindings.join("lector.d.ts"),
        declarations::declarations(&resolve, world).context("writing the declarations")?.as_bytes(),
    )?;
    let functions = Functions::of(&resolve, world)?;
    let given = staged.join("contract.wasm");
    let written = staged.join("component.wasm");
    for (file, bytes) in [
        (&given, plain(resolve, world)?.as_slice()),
        (&staged.join("main.js"), MAIN.replace("ENTRY", entry).as_bytes()),
        (&staged.join("console.js"), CONSOLE.as_bytes()),
    ] {
        fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))?;
    }
    let mut node = Command::new("node");
    node.args(["-e", SCRIPT, "--"]).arg(&project.dir).arg(format!("src/{entry}")).arg(&given).arg(&written);
    node.env("NODE_PATH", modules);
    run(&mut node, "building the component")?;
    let mut component = fs::read(&written).with_context(|| format!("reading {}", written.display()))?;
    functions.apply(&mut component).with_context(|| {
        format!("changing the functions of {} to those of the contract", written.display())
    })?;
    let built = target.join("typescript.wasm");
    fs::write(&built, component).with_context(|| format!("writing {}", built.display()))?;
    Ok(built)
}

/// Returns the package of a world, encoded, with functions of which none is async.
fn plain(mut resolve: Resolve, world: WorldId) -> anyhow::Result<Vec<u8>> {
    for (_, interface) in resolve.interfaces.iter_mut() {
        for function in interface.functions.values_mut() {
            function.kind = match &function.kind {
                FunctionKind::AsyncFreestanding => FunctionKind::Freestanding,
                FunctionKind::AsyncMethod(of) => FunctionKind::Method(*of),
                FunctionKind::AsyncStatic(of) => FunctionKind::Static(*of),
                _ => continue,
            };
        }
    }
    let package: Option<PackageId> = resolve.worlds.get(world).and_then(|world| world.package);
    wit_component::encode(&resolve, package.context("a world without a package")?)
        .context("writing the contract for the tool")
}

#[cfg(test)]
mod tests;
