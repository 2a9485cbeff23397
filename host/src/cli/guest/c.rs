//! Builds the component of a project in C: bindings by `wit-bindgen-c`, compiled by clang with wasi-libc, made a component by
//! `wit-component`.
//!
//! Bindings and component are made in this process; the compiler is the only tool, and is that of the wheel `ziglang`, which
//! contains clang, its linker and wasi-libc for every distribution. Calls of the contract that are `async func` wait in C.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_bindgen_core::{AsyncFilterSet, Files};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use super::contract::{self, WORLD};
use super::pip_tool::PipTool;
use super::project::Project;
use super::tool::{run, write_if_changed};

const TOOL: PipTool = PipTool {
    name: "ziglang",
    version: "0.17.1",
    sha256: "ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54",
};
/// Start of the name of the function in the object file that names the world.
const LINKED: &str = "__component_type_object_force_link";
/// SIMD as in the guests in Rust. Warnings of the author's own code only: the bindings are compiled without.
const FLAGS: [&str; 6] = ["-target", "wasm32-wasi", "-O2", "-msimd128", "-std=gnu17", "-mexec-model=reactor"];
const WARNINGS: [&str; 2] = ["-Wall", "-Wextra"];

/// Builds a project; returns the component. Messages of the compiler go to standard error.
pub(super) fn build(project: &Project, cache: &Path) -> anyhow::Result<PathBuf> {
    let sources = sources(&project.dir.join("src"))?;
    let tool = TOOL.installed(cache)?;
    let target = project.dir.join("target");
    let (resolve, world) = contract::read(&project.contract()?)?;
    let bindings = target.join("bindings");
    fs::create_dir_all(&bindings).with_context(|| format!("making {}", bindings.display()))?;
    for (name, bytes) in generate(resolve.clone(), world)?.iter() {
        write_if_changed(&bindings.join(name), bytes)?;
    }
    let compiler = Compiler { program: tool.join("ziglang/zig"), cache: cache.join("guest-tools/zig-cache") };
    let object = target.join("bindings.o");
    let mut command = compiler.command(&target);
    command.arg("-c").arg(bindings.join(format!("{WORLD}.c"))).arg("-o").arg(&object);
    run(&mut command, "compiling the bindings")?;
    let core = target.join("core.wasm");
    let mut command = compiler.command(&target);
    command.args(WARNINGS).arg("-I").arg(&bindings).args(&sources).arg(&object);
    // Without debug information and names of functions, which a component does not need.
    command.args(["-Wl,--strip-all", "-o"]).arg(&core);
    run(&mut command, &format!("compiling {}", project.name))?;
    let module = fs::read(&core).with_context(|| format!("reading {}", core.display()))?;
    let built = target.join("c.wasm");
    fs::write(&built, component(module, &resolve, world)?)
        .with_context(|| format!("writing {}", built.display()))?;
    Ok(built)
}

/// The C compiler of the wheel.
struct Compiler {
    program: PathBuf,
    /// Folder of wasi-libc, which the compiler builds from its source once.
    cache: PathBuf,
}

impl Compiler {
    fn command(&self, target: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("cc")
            .args(FLAGS)
            .env("ZIG_GLOBAL_CACHE_DIR", &self.cache)
            .env("ZIG_LOCAL_CACHE_DIR", target.join("zig-cache"));
        command
    }
}

/// Returns the C files of a folder, in the order of their names.
fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut sources: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "c"))
        .collect();
    ensure!(!sources.is_empty(), "{} contains no C file", folder.display());
    sources.sort();
    Ok(sources)
}

/// Returns the header and the source of the bindings.
fn generate(mut resolve: Resolve, world: WorldId) -> anyhow::Result<Files> {
    let options = wit_bindgen_c::Opts {
        // The type is put into the linked module instead: the linker would strip it.
        no_object_file: true,
        // Functions that wait: C has no `await`.
        async_: AsyncFilterSet::all(false),
        ..wit_bindgen_c::Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).context("writing the bindings")?;
    // The source calls a function of the object file in any case. `push` appends.
    files.push(&format!("{WORLD}.c"), format!("\nvoid {LINKED}_{WORLD}(void) {{}}\n").as_bytes());
    Ok(files)
}

/// Makes a linked module a component of the world. `wasi-libc` calls WASI 0.1, which the adapter translates to 0.2.
fn component(mut module: Vec<u8>, resolve: &Resolve, world: WorldId) -> anyhow::Result<Vec<u8>> {
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8)
        .context("naming the world of the component")?;
    let encoder = ComponentEncoder::default().validate(true).module(&module);
    encoder
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(|mut encoder| encoder.encode())
        .context(
            "making the component; a function that `target/bindings/wrapper.h` declares as exported may be missing",
        )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn contract() -> (Resolve, WorldId) {
        contract::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).unwrap()
    }

    #[test]
    fn the_bindings_of_the_contract_wait() {
        let (resolve, world) = contract();
        let files = generate(resolve, world).unwrap();
        let file = |wanted: &str| {
            let (_, bytes) = files.iter().find(|(name, _)| *name == wanted).unwrap();
            std::str::from_utf8(bytes).unwrap()
        };
        let header = file("wrapper.h");
        for function in [
            "bool exports_lector_ocr_pipeline_configure(",
            "bool exports_lector_ocr_pipeline_recognize(",
            "bool lector_ocr_pipeline_recognize(",
        ] {
            assert!(header.contains(function), "{function}");
        }
        assert!(!header.contains("subtask"), "functions that wait have no subtasks");
        let source = file("wrapper.c");
        let called = format!("extern void {LINKED}_wrapper(void);");
        let defined = format!("void {LINKED}_wrapper(void) {{}}");
        assert!(source.contains(&called) && source.contains(&defined), "every function is defined");
    }

    #[test]
    fn a_module_without_the_exports_is_refused_with_their_names() {
        let (resolve, world) = contract();
        let error = component(b"\0asm\x01\0\0\0".to_vec(), &resolve, world).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.starts_with("making the component") && text.contains("lector:ocr/pipeline"), "{text}");
    }

    #[test]
    fn only_c_files_are_compiled() {
        let home = tempfile::tempdir().unwrap();
        assert!(format!("{:#}", sources(&home.path().join("src")).unwrap_err()).contains("listing"));
        assert!(sources(home.path()).unwrap_err().to_string().contains("contains no C file"));
        for name in ["b.c", "a.c", "a.h", "notes"] {
            fs::write(home.path().join(name), "").unwrap();
        }
        let found = sources(home.path()).unwrap();
        assert_eq!(found, [home.path().join("a.c"), home.path().join("b.c")]);
    }
}
