//! Embeds the guest sources in the program: the template of `lector guest new`, and the sources that a new project is
//! built from (contract, SDK, standard steps). A guest author needs no checkout.
//!
//! Writes one table, `$OUT_DIR/kit.rs`, for `src/cli/guest/embedded_sdk.rs`. It walks the folders, so that it includes
//! new files; cargo runs it again when a file in these folders changes.
#![allow(clippy::print_stdout, reason = "cargo reads instructions from standard output")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Embedded paths, relative to the root of the repository.
const TAKEN: [&str; 12] = [
    "guest/.cargo",
    "guest/Cargo.toml",
    "guest/Cargo.lock",
    "guest/examples/c",
    "guest/examples/python",
    "guest/examples/typescript",
    "guest/find",
    "guest/sdk",
    "guest/steps",
    "guest/template",
    "guest/vision",
    "wit",
];

fn main() -> io::Result<()> {
    let here = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let root = here.join("..").canonicalize()?;
    let mut files = Vec::new();
    for taken in TAKEN {
        let path = root.join(taken);
        println!("cargo:rerun-if-changed={}", path.display());
        walk(&path, &mut files)?;
    }
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&root).map_err(io::Error::other)?;
        let _ = writeln!(table, "    ({name:?}, include_bytes!({file:?})),");
    }
    table.push(']');
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    fs::write(out.join("kit.rs"), table)
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        // Build output of a guest workspace.
        if path.file_name().is_none_or(|name| name != "target") {
            walk(&path, files)?;
        }
    }
    Ok(())
}
