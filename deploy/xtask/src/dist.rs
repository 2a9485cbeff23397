//! `cargo xtask dist`: packs a release as one relocatable archive, with its digest and its bill of materials, and as a wheel.
//!
//! The archive holds the program and everything that it reads: libraries, model weights, guests, and what an operator
//! installs beside it. The program finds these files relative to itself (`host/src/config/paths.rs`). Two runs over the same
//! files give the same bytes: entries are sorted, have no owner, and have the time of the commit.

mod check;
mod contents;
mod elf;
mod guides;
mod licenses;
mod packages;
mod sbom;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::places::Places;
use crate::shell::{self, Scratch};
use crate::{guests, setup};

pub(crate) use check::system as minimal_system;

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
    /// Also make a package for pip of the archive, with the platform tag that its libraries need
    #[arg(long)]
    wheel: bool,
    /// Unpack the archive in a minimal Debian without toolchain and network, and read pages there; needs root. Pack it again,
    /// and compare. Install the wheel, and read pages
    #[arg(long)]
    check: bool,
    /// Use this archive, and pack none
    #[arg(long, conflicts_with = "program", value_name = "FILE")]
    archive: Option<PathBuf>,
}

/// Runs `cargo xtask dist`.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let out = arguments.out.clone().unwrap_or_else(|| places.repo("target/dist"));
    let archive = match &arguments.archive {
        Some(archive) => {
            ensure!(arguments.check || arguments.wheel, "--archive needs --check or --wheel");
            archive.clone()
        }
        None => pack(places, arguments, &out)?,
    };
    let wheel = match arguments.wheel {
        true => Some(wheel_of(places, &archive, &out)?),
        false => None,
    };
    if arguments.check {
        check::run(places, &archive)?;
        if let Some(wheel) = &wheel {
            wheel::check(places, wheel, check::EXPECT)?;
        }
    }
    Ok(())
}

/// Returns the path of the archive that `cargo xtask dist` makes.
pub(crate) fn archive(places: &Places) -> PathBuf {
    places.repo("target/dist").join(format!("{}.tar.zst", name()))
}

/// Name of the archive without its extension, and of its folder.
fn name() -> String {
    format!("lector-{}-x86_64-linux", packages::VERSION)
}

fn pack(places: &Places, arguments: &Arguments, out: &Path) -> Result<PathBuf> {
    setup::files_of_the_server(places)?;
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => {
            guests::build_some(places, &guests::of_release(places)?)?;
            shell::build_host(&places.root)?;
            places.lector()
        }
    };
    let archive = out.join(format!("{}.tar.zst", name()));
    let digest = pack_in(places, &program, out, &archive)?;
    let file = archive.file_name().unwrap_or_default().to_string_lossy();
    shell::write(&out.join(format!("{file}.sha256")), format!("{digest}  {file}\n"))?;
    // Also apart from the archive, for those who look before they unpack.
    std::fs::copy(out.join(name()).join(contents::SBOM), out.join(format!("{}.cdx.json", name())))
        .context("copying the bill of materials")?;
    if arguments.check {
        let again = Scratch::new(out, "again")?;
        let second = pack_in(places, &program, again.path(), &again.path().join("again.tar.zst"))?;
        ensure!(
            digest == second,
            "packed again, the archive has the digest {second}: it is not reproducible"
        );
        println!("packed again: the same bytes");
    }
    Ok(archive)
}

/// Lays the files out in a folder of `out`, packs them, and returns the digest of the archive.
fn pack_in(places: &Places, program: &Path, out: &Path, archive: &Path) -> Result<String> {
    let folder = out.join(name());
    println!("==> {}", places.shown(&folder));
    shell::empty_folder(&folder)?;
    contents::lay_out(places, program, &folder)?;
    let start = Instant::now();
    compress(out, &name(), archive, commit_time(places)?)?;
    let digest = shell::sha256(archive)?;
    let bytes = std::fs::metadata(archive).map_or(0, |meta| meta.len());
    println!(
        "{}: {:.1} MB, sha256 {digest}, compressed in {:.1} s",
        places.shown(archive),
        bytes as f64 / 1e6,
        start.elapsed().as_secs_f64()
    );
    Ok(digest)
}

/// Unpacks an archive, so that the wheel has its files and no others, and packs them.
fn wheel_of(places: &Places, archive: &Path, out: &Path) -> Result<PathBuf> {
    shell::make_folder(out)?;
    let unpacked = Scratch::new(out, "unpacked")?;
    unpack(archive, unpacked.path())?;
    wheel::pack(places, unpacked.path(), out)
}

/// Unpacks the content of an archive's folder into `to`.
pub(crate) fn unpack(archive: &Path, to: &Path) -> Result<()> {
    ensure!(archive.is_file(), "there is no archive {}", archive.display());
    shell::want("zstd")?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--zstd", "--no-same-owner", "--strip-components=1", "--file"]).arg(archive);
    shell::run(tar.arg("--directory").arg(to))
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
