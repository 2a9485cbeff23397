//! `cargo xtask dist`: packs a release as one relocatable archive, with its digest and its bill of materials.
//!
//! The archive holds the program and everything that it reads: libraries, model weights, guests, and what an operator
//! installs beside it. The program finds these files relative to itself (`host/src/config/paths.rs`). Two runs over the same
//! files give the same bytes: entries are sorted, owned by nobody, and have the time of the commit.

mod check;
mod contents;
mod licenses;
mod packages;
mod sbom;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::places::Places;
use crate::{guests, setup, shell};

/// Level of the compression; more takes minutes and saves a few percent of machine code and weights.
const LEVEL: &str = "-12";

/// Arguments of `cargo xtask dist`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Pack this program, and the guests that are built already; build nothing
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Folder for the archive (default: target/dist)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Unpack the archive in a minimal Debian without toolchain and network, and read pages there; needs root
    #[arg(long)]
    check: bool,
    /// Check this archive, and pack none
    #[arg(long, requires = "check", value_name = "FILE")]
    archive: Option<PathBuf>,
}

/// Runs `cargo xtask dist`.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let archive = match &arguments.archive {
        Some(archive) => archive.clone(),
        None => pack(places, arguments)?,
    };
    if arguments.check { check::run(places, &archive) } else { Ok(()) }
}

fn pack(places: &Places, arguments: &Arguments) -> Result<PathBuf> {
    setup::files_of_the_server(places)?;
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => {
            guests::build(places)?;
            shell::build_host(&places.root)?;
            places.lector()
        }
    };
    let out = arguments.out.clone().unwrap_or_else(|| places.repo("target/dist"));
    let name = format!("lector-{}-x86_64-linux", packages::VERSION);
    let folder = out.join(&name);
    println!("==> {}", places.shown(&folder));
    shell::empty_folder(&folder)?;
    contents::lay_out(places, &program, &folder)?;

    let archive = out.join(format!("{name}.tar.zst"));
    let start = Instant::now();
    compress(&out, &name, &archive, commit_time(places)?)?;
    let digest = shell::sha256(&archive)?;
    let file = format!("{name}.tar.zst");
    shell::write(&out.join(format!("{file}.sha256")), format!("{digest}  {file}\n"))?;
    // Also apart from the archive, for those who look before they unpack.
    std::fs::copy(folder.join(contents::SBOM), out.join(format!("{name}.cdx.json")))
        .context("copying the bill of materials")?;
    let bytes = std::fs::metadata(&archive).map_or(0, |meta| meta.len());
    println!(
        "{}: {:.1} MB, sha256 {digest}, compressed in {:.1} s",
        places.shown(&archive),
        bytes as f64 / 1e6,
        start.elapsed().as_secs_f64()
    );
    Ok(archive)
}

/// Returns the time of all entries: `SOURCE_DATE_EPOCH` (reproducible-builds.org), else that of the commit.
fn commit_time(places: &Places) -> Result<u64> {
    let text = match std::env::var_os("SOURCE_DATE_EPOCH") {
        Some(text) => text.to_string_lossy().into_owned(),
        None => {
            shell::output(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(&places.root))?
        }
    };
    text.trim().parse().with_context(|| format!("`{}` is not a time in seconds", text.trim()))
}

/// Packs `folder/name`. GNU tar and zstd do it: both are on every machine that unpacks the archive, and their output
/// depends on their input alone.
fn compress(folder: &Path, name: &str, archive: &Path, time: u64) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--format=gnu", "--owner=0", "--group=0", "--numeric-owner"])
        .arg(format!("--mtime=@{time}"))
        .arg("--mode=u=rwX,go=rX")
        .arg(format!("--use-compress-program=zstd -T0 -q {LEVEL}"))
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(folder)
        .arg(name);
    shell::want("zstd")?;
    shell::run(&mut tar)?;
    ensure!(archive.is_file(), "tar wrote no archive");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_same_files_give_the_same_archive() {
        if shell::want("zstd").is_err() {
            println!("SKIPPED: no zstd");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let packed = |out: &str, names: &[&str], time: u64| {
            let folder = dir.path().join(out);
            for name in names {
                shell::write(&folder.join("lector-1").join(name), name).unwrap();
            }
            let archive = dir.path().join(format!("{out}.tar.zst"));
            compress(&folder, "lector-1", &archive, time).unwrap();
            std::fs::read(archive).unwrap()
        };
        let first = packed("a", &["x/1", "y", "x/2"], 7);
        assert_eq!(first, packed("b", &["y", "x/2", "x/1"], 7), "in another order, at another time");
        assert_ne!(first, packed("c", &["y", "x/2", "x/1"], 8));
    }
}
