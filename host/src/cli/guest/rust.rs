//! Builds the component of a project in Rust with cargo, and a standard library for the guest's target.
//!
//! The target is `wasm32-wasip2`: the standard library has clocks, random numbers and output, which the host links. Uses the
//! toolchain's own std if the target is installed, else the one that `cargo xtask setup` built into the cache
//! (`deploy/xtask/src/setup/wasm.rs` defines its layout). Never downloads a standard library. Errors that are long and say
//! little are replaced by explanations (`explained.rs`).

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::explained::{self, Shown};
use super::project::Project;

/// The target of guests. `.cargo/config.toml` of a project enables SIMD for it.
const TARGET: &str = "wasm32-wasip2";
/// The profile of a build that is tried once. Made of arguments, so that projects need not have it: dependencies are optimized
/// and compiled once, the guest itself quickly.
const TRY: &str = "guest-try";
const TRY_SETTINGS: [&str; 7] = [
    "inherits=\"release\"",
    "opt-level=1",
    "lto=false",
    "codegen-units=16",
    "incremental=true",
    "debug=false",
    "package.\"*\".opt-level=3",
];

/// What a build is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be deployed: small and fast.
    Deploy,
    /// To be tried once: built as fast as possible. Builds in other languages do not differ.
    Try,
}

/// Builds a project; returns the output file of cargo.
pub(super) fn build(project: &Project, cache: &Path, purpose: Purpose) -> anyhow::Result<PathBuf> {
    let std = GuestStd::find(&project.dir, cache)?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--target", TARGET, "--message-format", "json-diagnostic-rendered-ansi"]);
    match purpose {
        Purpose::Deploy => drop(cargo.arg("--release")),
        Purpose::Try => {
            cargo.args(["--profile", TRY]);
            cargo.args(
                TRY_SETTINGS
                    .iter()
                    .flat_map(|setting| ["--config".to_owned(), format!("profile.{TRY}.{setting}")]),
            );
            // Dependencies of the registry are compiled once for all projects.
            if std::env::var_os("CARGO_TARGET_DIR").is_none() {
                cargo.env("CARGO_TARGET_DIR", cache.join("guest-target"));
            }
        }
    }
    cargo.current_dir(&project.dir).stdin(Stdio::null()).stdout(Stdio::piped());
    std.apply(&mut cargo);
    let mut child = cargo.spawn().map_err(|error| missing("cargo", error))?;
    let mut built = None;
    let mut explained = Shown::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.context("reading the output of cargo")?;
            let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
            show(&message, &mut explained);
            built = artifact(&message, &project.dir).or(built);
        }
    }
    let status = child.wait().context("waiting for cargo")?;
    ensure!(status.success(), "{} does not build: cargo ended with {status}", project.name);
    let Some(built) = built else {
        bail!(
            "cargo built no component of {}: its Cargo.toml needs `crate-type = [\"cdylib\"]` under [lib]",
            project.name
        )
    };
    Ok(built)
}

/// Writes a message of the compiler to standard error: itself, or an explanation.
fn show(message: &Value, shown: &mut Shown) {
    if message["reason"] != "compiler-message" {
        return;
    }
    let diagnostic = &message["message"];
    let rendered = diagnostic["rendered"].as_str().unwrap_or_default();
    let text = explained::shown(diagnostic["message"].as_str().unwrap_or_default(), rendered, shown);
    // If standard error is closed, the message cannot be shown.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Returns the wasm file of the project's own package if this message of cargo names it.
fn artifact(message: &Value, dir: &Path) -> Option<PathBuf> {
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let ours = message["reason"] == "compiler-artifact" && manifest.parent() == Some(dir);
    let files = message["filenames"].as_array().filter(|_| ours)?;
    files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// Source of the standard library for guests.
#[derive(Debug, Default, PartialEq)]
struct GuestStd {
    /// Compiler to use instead of the toolchain's, if std is available only for it.
    rustc: Option<PathBuf>,
    /// Folder with std, if the compiler itself lacks it.
    sysroot: Option<PathBuf>,
}

impl GuestStd {
    fn find(dir: &Path, cache: &Path) -> anyhow::Result<Self> {
        let version = rustc(dir, &["--version"])?;
        let version = version.split_whitespace().nth(1).unwrap_or_default();
        let sysroot = PathBuf::from(rustc(dir, &["--print", "sysroot"])?.trim());
        Self::among(&sysroot, version, cache).with_context(|| {
            format!(
                "Rust {version} has no standard library for {TARGET}. Install it with `rustup target \
                 add {TARGET}`; in a checkout of Lector `cargo xtask setup` builds one for the toolchain that is \
                 pinned there (searched in {})",
                cache.display()
            )
        })
    }

    /// Returns the first that has std: the toolchain, the std built for it, Debian's compiler for browsers.
    fn among(toolchain: &Path, version: &str, cache: &Path) -> Option<Self> {
        if has_std(toolchain) {
            return Some(Self::default());
        }
        let built = cache.join(format!("wasm-std-{version}/sysroot"));
        if has_std(&built) {
            return Some(Self { rustc: None, sysroot: Some(built) });
        }
        let (rustc, sysroot) = (cache.join("rustc-web/rustc"), cache.join("rustc-web/sysroot"));
        (rustc.is_file() && has_std(&sysroot)).then_some(Self { rustc: Some(rustc), sysroot: Some(sysroot) })
    }

    /// Sets the compiler and sysroot. cargo joins the flags of the target's variable with those of
    /// `.cargo/config.toml`; RUSTFLAGS would replace them, the linker's features included, so that variable is removed.
    fn apply(&self, cargo: &mut Command) {
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
        if let Some(rustc) = &self.rustc {
            cargo.env("RUSTC", rustc);
        }
        if let Some(sysroot) = &self.sysroot {
            let flag = format!("--sysroot={}", sysroot.display());
            cargo.env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", flag);
        }
    }
}

fn has_std(sysroot: &Path) -> bool {
    let Ok(entries) = fs::read_dir(sysroot.join("lib/rustlib").join(TARGET).join("lib")) else {
        return false;
    };
    entries.filter_map(Result::ok).any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

/// Runs the rustc that is active in the project.
fn rustc(dir: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("rustc").args(arguments).current_dir(dir).stdin(Stdio::null()).output();
    let output = output.map_err(|error| missing("rustc", error))?;
    if !output.status.success() {
        bail!("rustc failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn missing(program: &str, error: std::io::Error) -> anyhow::Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return anyhow::anyhow!("{program} is not in the path: install Rust with rustup");
    }
    anyhow::Error::new(error).context(format!("starting {program}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn std_in(sysroot: &Path) {
        let lib = sysroot.join("lib/rustlib").join(TARGET).join("lib");
        fs::create_dir_all(&lib).unwrap();
        fs::write(lib.join("libstd-0.rlib"), "").unwrap();
    }

    #[test]
    fn the_nearest_std_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let (toolchain, cache) = (home.path().join("toolchain"), home.path().join("cache"));
        let found = || GuestStd::among(&toolchain, "1.0.0", &cache);
        assert_eq!(found(), None);
        let web = cache.join("rustc-web");
        std_in(&web.join("sysroot"));
        assert_eq!(found(), None, "std without its compiler");
        fs::write(web.join("rustc"), "").unwrap();
        assert_eq!(found().unwrap().rustc, Some(web.join("rustc")));
        std_in(&cache.join("wasm-std-0.9.0/sysroot"));
        assert!(found().unwrap().rustc.is_some(), "std of another version");
        std_in(&cache.join("wasm-std-1.0.0/sysroot"));
        let built = GuestStd { rustc: None, sysroot: Some(cache.join("wasm-std-1.0.0/sysroot")) };
        assert_eq!(found(), Some(built));
        std_in(&toolchain);
        assert_eq!(found(), Some(GuestStd::default()));
    }

    #[test]
    fn only_the_projects_own_component_counts() {
        let message = |manifest: &str, file: &str| serde_json::json!({ "reason": "compiler-artifact", "manifest_path": manifest, "filenames": [file] });
        let dir = Path::new("/p");
        assert_eq!(artifact(&message("/p/Cargo.toml", "/t/g.wasm"), dir), Some(PathBuf::from("/t/g.wasm")));
        assert_eq!(artifact(&message("/p/lector/Cargo.toml", "/t/g.wasm"), dir), None);
        assert_eq!(artifact(&message("/p/Cargo.toml", "/t/g.rlib"), dir), None);
        assert_eq!(artifact(&serde_json::json!({ "reason": "build-finished" }), dir), None);
    }
}
