//! The Rust standard library for the guests' targets.
//!
//! Uses a toolchain with the targets (`rustup target add …`) if installed. Otherwise builds std once from Debian's
//! `rust-src` of the same version, in a private sysroot in the cache; if that version has left the archive, Debian's
//! `rustc-web` with its own source compiles the guests. Nothing outside the cache changes, and rustup is never asked to
//! download. Called by `setup` and by every task that compiles a guest.

mod build;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian::{self, Apt, Archive};
use crate::places::Places;
use crate::shell;
pub use build::WASI;
use build::{Compiler, Source};

/// Target of a guest that imports only the contract.
pub const PLAIN: &str = "wasm32-unknown-unknown";
/// The targets of all guests.
pub const TARGETS: [&str; 2] = [PLAIN, WASI];

/// Its version must be that of rustc: std and compiler must come from one source tree.
const RUST_SRC: [(&str, &str, &str); 1] = [(
    "1.95.0",
    "rust-src=1.95.0+dfsg1-2~bpo13+1",
    "7b76db5b880a77f9e52975d2baa6209d2f76d2c9c2789515c3088cb960e2c83b",
)];
const RUST_SRC_SUITE: &str = "trixie-backports";
const WASI_LIBC: (&str, &str) = (
    "wasi-libc=0.0~git20260129.ec0effd-3~bpo13+1",
    "45eb80a2d4dcf7fe54c8e5c5d6a3cd165a3682fccc124c46f7abc6255c9b1bce",
);
const RUSTC_WEB_SUITE: &str = "bookworm-security";

/// The compiler and std for guests on this machine.
#[derive(Debug)]
pub struct GuestRust {
    /// Compiler to use instead of the toolchain's, if std is available only for it.
    rustc: Option<PathBuf>,
    /// Sysroot with std for the targets that the compiler itself lacks.
    sysroot: Option<PathBuf>,
    /// Those targets.
    lacking: Vec<&'static str>,
}

impl GuestRust {
    /// Configures a cargo command for it. cargo joins these flags with those of guest/.cargo/config.toml.
    pub fn apply(&self, command: &mut Command) {
        if let Some(rustc) = &self.rustc {
            command.env("RUSTC", rustc);
        }
        if let Some(sysroot) = &self.sysroot {
            for target in &self.lacking {
                let name = target.to_uppercase().replace('-', "_");
                command.env(
                    format!("CARGO_TARGET_{name}_RUSTFLAGS"),
                    format!("--sysroot={}", sysroot.display()),
                );
            }
        }
    }

    /// Returns whether the toolchain's own compiler is used; then clippy can read the std as well.
    pub fn is_the_toolchains(&self) -> bool {
        self.rustc.is_none()
    }
}

/// Finds std for guests of these targets, and builds what is missing. The caller holds the cache lock.
pub fn ensure(places: &Places, targets: &[&'static str]) -> Result<GuestRust> {
    let toolchain = Compiler::of_toolchain()?;
    find_or_build(places, &toolchain, targets)
}

/// Uses the last resort even if another way would work, to test it.
pub fn ensure_by_rustc_web(places: &Places) -> Result<GuestRust> {
    match web_compiler(places)? {
        Some(found) => Ok(found),
        None => from_rustc_web(places, &Compiler::of_toolchain()?),
    }
}

fn find_or_build(places: &Places, toolchain: &Compiler, targets: &[&'static str]) -> Result<GuestRust> {
    let lacking: Vec<&'static str> =
        targets.iter().copied().filter(|target| !build::has_std(&toolchain.sysroot, target)).collect();
    if lacking.is_empty() {
        println!("  ok       wasm std (installed targets)");
        return Ok(GuestRust { rustc: None, sysroot: None, lacking });
    }
    let folder = places.cache.join(format!("wasm-std-{}", toolchain.version));
    let sysroot = folder.join("sysroot");
    if lacking.iter().all(|target| build::has_std(&sysroot, target)) {
        println!("  ok       wasm std {}", toolchain.version);
        return Ok(GuestRust { rustc: None, sysroot: Some(sysroot), lacking });
    }
    if let Some(found) = web_compiler(places)? {
        println!("  ok       wasm std (Debian's rustc-web)");
        return Ok(found);
    }
    match from_rust_src(&folder, toolchain, &lacking) {
        Ok(()) => {
            println!("  built    wasm std {} -> {}", toolchain.version, sysroot.display());
            return Ok(GuestRust { rustc: None, sysroot: Some(sysroot), lacking });
        }
        Err(error) => {
            println!("  wasm std could not be built from Debian's rust-src: {error:#}\n  trying rustc-web")
        }
    }
    from_rustc_web(places, toolchain).context(
        "guests need std for wasm, and no way to install it worked; with rustup, run:\n  \
         rustup target add wasm32-unknown-unknown wasm32-wasip2",
    )
}

/// Builds std for the same compiler from Debian's source package of its version.
fn from_rust_src(folder: &Path, toolchain: &Compiler, lacking: &[&'static str]) -> Result<()> {
    let Some((version, package, sha256)) =
        RUST_SRC.into_iter().find(|(version, ..)| *version == toolchain.version)
    else {
        bail!("no rust-src is pinned for rustc {}", toolchain.version);
    };
    println!("  building std for wasm, once: downloads 46 MB, then takes a minute for each target");
    let work = shell::Scratch::new(folder, "work")?;
    let apt = Apt::open(work.path(), &[(Archive::Main, RUST_SRC_SUITE)])?;
    let file = apt.download(package, Some(sha256), &work.path().join("deb"))?;
    let source = work.path().join("src");
    debian::unpack(&file, &source, 4, &[format!("./usr/src/rustc-{version}/library")])?;
    let source = Source { library: source.join("library") };
    for target in lacking {
        let libc = (*target == WASI).then(|| wasi_libc(&apt, work.path())).transpose()?;
        build::std(toolchain, &source, target, libc.as_deref(), &folder.join("sysroot"), work.path())?;
    }
    Ok(())
}

/// Last resort: unpacks Debian's newest compiler for browsers into the cache, with its own std.
fn from_rustc_web(places: &Places, toolchain: &Compiler) -> Result<GuestRust> {
    println!("  fetching Debian's rustc-web (140 MB) and building its std for wasm, once");
    let folder = web_folder(places);
    let work = shell::Scratch::new(&folder, "work")?;
    let apt =
        Apt::open(work.path(), &[(Archive::Security, RUSTC_WEB_SUITE), (Archive::Main, RUST_SRC_SUITE)])?;
    let root = folder.join("root");
    let mut packages =
        vec!["rustc-web".to_owned(), "rust-web-src".to_owned(), "libstd-rust-web-dev".to_owned()];
    // libstd-rust-web-1.NN contains the compiler's library, which needs one libllvmNN.
    let runtime = apt
        .dependencies("libstd-rust-web-dev")?
        .into_iter()
        .find(|name| name.starts_with("libstd-rust-web-"));
    let runtime = runtime.context("libstd-rust-web-dev names no runtime package")?;
    packages.extend(apt.dependencies(&runtime)?.into_iter().filter(|name| name.starts_with("libllvm")));
    packages.push(runtime);
    for package in &packages {
        let file = apt.download(package, None, &work.path().join("deb"))?;
        debian::unpack(&file, &root, 0, &[])?;
    }
    let compiler = Compiler::unpacked(&root, &folder.join("rustc"), &toolchain.sysroot)?;
    let source = Source::below(&root.join("usr/src"))?;
    for target in TARGETS {
        let libc = (target == WASI).then(|| wasi_libc(&apt, work.path())).transpose()?;
        build::std(&compiler, &source, target, libc.as_deref(), &folder.join("sysroot"), work.path())?;
    }
    fs::remove_dir_all(root.join("usr/src")).context("cannot remove the std source")?;
    web_compiler(places)?.context("rustc-web was unpacked and its std built, but it is incomplete")
}

fn web_folder(places: &Places) -> PathBuf {
    places.cache.join("rustc-web")
}

fn web_compiler(places: &Places) -> Result<Option<GuestRust>> {
    let folder = web_folder(places);
    let (rustc, sysroot) = (folder.join("rustc"), folder.join("sysroot"));
    if !rustc.is_file() || !TARGETS.iter().all(|target| build::has_std(&sysroot, target)) {
        return Ok(None);
    }
    Ok(Some(GuestRust { rustc: Some(rustc), sysroot: Some(sysroot), lacking: TARGETS.to_vec() }))
}

/// Unpacks the C library for WASI's std; the suite's version if the pinned one is gone.
fn wasi_libc(apt: &Apt, work: &Path) -> Result<PathBuf> {
    let folder = work.join("deb");
    let (pinned, sha256) = WASI_LIBC;
    let file = apt.download(pinned, Some(sha256), &folder).or_else(|error| {
        println!("  {error:#}; using the suite's version");
        apt.download("wasi-libc", None, &folder)
    })?;
    let to = work.join("wasi-libc");
    let members: Vec<String> = ["crt1-command.o", "crt1-reactor.o", "libc.a"]
        .iter()
        .map(|name| format!("./usr/lib/{WASI}/{name}"))
        .collect();
    debian::unpack(&file, &to, 4, &members)?;
    Ok(to)
}
