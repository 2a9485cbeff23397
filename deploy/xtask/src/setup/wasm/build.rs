//! Compiles std for one wasm target with cargo's `-Zbuild-std`, from a source tree of the compiler's version.
//! `RUSTC_BOOTSTRAP` is set for this build only; guests are compiled as stable code.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Target of a guest that may also use WASI.
pub const WASI: &str = "wasm32-wasip2";

/// A compiler and its files.
pub struct Compiler {
    /// Path of rustc.
    rustc: PathBuf,
    /// Its sysroot.
    pub sysroot: PathBuf,
    /// Version in the output of `rustc --version`.
    pub version: String,
}

impl Compiler {
    /// Returns the compiler that `rust-toolchain.toml` pins.
    pub fn of_toolchain() -> Result<Self> {
        let sysroot =
            PathBuf::from(shell::output(Command::new("rustc").args(["--print", "sysroot"]))?.trim());
        Ok(Self { rustc: sysroot.join("bin/rustc"), version: version(Path::new("rustc"))?, sysroot })
    }

    /// Returns the compiler unpacked below `root`; writes `wrapper`, a script that runs it. Uses the wasm linkers of
    /// `linkers`, a rustup sysroot.
    pub fn unpacked(root: &Path, wrapper: &Path, linkers: &Path) -> Result<Self> {
        let usr = root.join("usr");
        let host = "x86_64-unknown-linux-gnu";
        let tools = usr.join("lib/rustlib").join(host).join("bin");
        if !tools.exists() {
            link(&linkers.join("lib/rustlib").join(host).join("bin"), &tools)?;
        }
        let libraries = usr.join("lib/x86_64-linux-gnu");
        let llvm = fs::read_dir(usr.join("lib"))
            .context("cannot list the unpacked libraries")?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("llvm-")))
            .map_or_else(|| libraries.clone(), |path| path.join("lib"));
        let rustc = usr.join("bin/rustc");
        script(
            wrapper,
            &format!(
                "LD_LIBRARY_PATH=\"{}:{}\" exec \"{}\" \"$@\"",
                libraries.display(),
                llvm.display(),
                rustc.display()
            ),
        )?;
        Ok(Self { rustc: wrapper.to_owned(), version: version(wrapper)?, sysroot: usr })
    }
}

fn version(rustc: &Path) -> Result<String> {
    let text = shell::output(Command::new(rustc).arg("--version"))?;
    text.split_whitespace()
        .nth(1)
        .map(str::to_owned)
        .with_context(|| format!("no version in `{}`", text.trim()))
}

/// A std source tree: `library/` with its vendored crates.
pub struct Source {
    /// The folder `library`.
    pub library: PathBuf,
}

impl Source {
    /// Returns the source tree that a Debian source package put under `usr/src`.
    pub fn below(folder: &Path) -> Result<Self> {
        shell::list(folder)?
            .into_iter()
            .map(|path| path.join("library"))
            .find(|path| path.is_dir())
            .map(|library| Self { library })
            .with_context(|| format!("no std source in {}", folder.display()))
    }
}

/// Returns whether the sysroot has std for the target.
pub fn has_std(sysroot: &Path, target: &str) -> bool {
    let Ok(entries) = fs::read_dir(sysroot.join("lib/rustlib").join(target).join("lib")) else {
        return false;
    };
    entries.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

/// Builds std for the target into `sysroot`; `libc` is the folder of objects that WASI's std links with.
pub fn std(
    compiler: &Compiler,
    source: &Source,
    target: &str,
    libc: Option<&Path>,
    sysroot: &Path,
    work: &Path,
) -> Result<()> {
    if has_std(sysroot, target) {
        return Ok(());
    }
    println!("  building std for {target}");
    let rustc = shadow(compiler, source, &work.join("shadow"))?;
    let package = work.join("package");
    shell::write(&package.join("src/lib.rs"), "")?;
    shell::write(
        &package.join("Cargo.toml"),
        "[package]\nname = \"stdonly\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
         [profile.release]\npanic = \"abort\"\ncodegen-units = 1\n[workspace]\n",
    )?;
    let out = work.join("target");
    let mut cargo = shell::cargo();
    cargo
        .args(["build", "--release", "-Zbuild-std=std,panic_abort", "--target", target, "--target-dir"])
        .arg(&out)
        .current_dir(&package)
        .env("RUSTC", &rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_INCREMENTAL", "0")
        .env("RUSTFLAGS", "-Cembed-bitcode=yes -Zforce-unstable-if-unmarked -Ctarget-feature=+simd128");
    for name in ["CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER"] {
        cargo.env_remove(name);
    }
    if target == WASI {
        // Debian removes a prebuilt archive that WASI's std needs from a vendored crate, so the same locked versions
        // come from the crate registry.
    } else {
        let vendor = source.library.join("vendor");
        cargo.args(["--offline", "--config", "source.crates-io.replace-with='vendored'", "--config"]);
        cargo.arg(format!("source.vendored.directory='{}'", vendor.display()));
    }
    shell::run(&mut cargo).with_context(|| format!("cannot build std for {target}"))?;
    place(&out.join(target).join("release/deps"), libc, &sysroot.join("lib/rustlib").join(target).join("lib"))
}

/// Copies the libraries to the folder that rustc reads, atomically.
fn place(built: &Path, libc: Option<&Path>, to: &Path) -> Result<()> {
    let parent = to.parent().context("the library folder has no parent")?;
    let part = shell::Scratch::new(parent, "lib")?;
    let whole = part.path().join("lib");
    shell::make_folder(&whole)?;
    let mut copied = 0;
    for path in shell::list(built)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libstdonly") {
            fs::copy(&path, whole.join(&name)).with_context(|| format!("cannot copy {name}"))?;
            copied += 1;
        }
    }
    if copied == 0 {
        bail!("the build left no library in {}", built.display());
    }
    if let Some(libc) = libc {
        let objects = whole.join("self-contained");
        shell::make_folder(&objects)?;
        for path in shell::list(libc)? {
            fs::copy(&path, objects.join(path.file_name().unwrap_or_default()))
                .context("cannot copy wasi-libc")?;
        }
    }
    shell::remove_folder(to)?;
    fs::rename(&whole, to).with_context(|| format!("cannot place {}", to.display()))
}

/// Creates a copy of a compiler's sysroot in which `lib/rustlib/src` is the given source, as `-Zbuild-std` requires.
/// Returns a script that runs it.
fn shadow(compiler: &Compiler, source: &Source, at: &Path) -> Result<PathBuf> {
    shell::remove_folder(at)?;
    let rust = at.join("lib/rustlib/src/rust");
    shell::make_folder(&rust)?;
    for (from, skip) in [("lib", "rustlib"), ("lib/rustlib", "src")] {
        for path in shell::list(&compiler.sysroot.join(from))? {
            let name = path.file_name().unwrap_or_default();
            if name != skip {
                link(&path, &at.join(from).join(name))?;
            }
        }
    }
    link(&source.library, &rust.join("library"))?;
    let rustc = at.join("rustc");
    script(&rustc, &format!("exec \"{}\" --sysroot \"{}\" \"$@\"", compiler.rustc.display(), at.display()))?;
    Ok(rustc)
}

fn link(from: &Path, to: &Path) -> Result<()> {
    symlink(from, to).with_context(|| format!("cannot link {}", to.display()))
}

fn script(path: &Path, body: &str) -> Result<()> {
    shell::write(path, format!("#!/bin/sh\n{body}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}
