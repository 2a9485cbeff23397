//! The licenses of everything in the archive: those of the crates in one text, each license once; those of the libraries and
//! models as files of their wheels.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::packages::{Package, Packages};
use crate::places::Places;
use crate::setup::{self, wheels};
use crate::shell;

/// Starts of the names of files with a license, in lower case.
const NAMES: [&str; 7] =
    ["license", "licence", "copying", "copyright", "notice", "unlicense", "thirdpartynotices"];
/// Largest such file.
const BYTES_MAX: u64 = 8 << 20;

/// Writes the folder `licenses`.
pub(super) fn write(places: &Places, packages: &Packages, folder: &Path) -> Result<()> {
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut without = BTreeSet::new();
    for package in packages.all.values().filter(|package| package.is_foreign()) {
        let found = of_crate(&package.folder)?;
        if found.is_empty() {
            without.insert(package.id());
        }
        for text in found {
            texts.entry(text).or_default().insert(package.id());
        }
    }
    shell::write(&folder.join("licenses/rust-crates.txt"), joined(packages.all.values(), &texts, &without))?;
    for wheel in wheels_of(places)? {
        let to = folder.join("licenses").join(format!("{}-{}", wheel.package, wheel.version));
        let files = of_wheel(&wheels::obtain(&places.wheels(), &wheel)?)?;
        ensure!(!files.is_empty(), "the wheel of {} has no license", wheel.package);
        for (name, text) in files {
            shell::write(&to.join(name), text)?;
        }
    }
    Ok(())
}

/// Returns the wheels that libraries and models come from.
pub(super) fn wheels_of(places: &Places) -> Result<BTreeSet<wheels::Wheel>> {
    let mut wanted = setup::libraries(places)?;
    wanted.extend(setup::models::wanted(places)?);
    Ok(wanted.into_iter().map(|one| one.wheel).collect())
}

fn is_license(name: &str) -> bool {
    let name = name.to_lowercase();
    NAMES.iter().any(|start| name.starts_with(start)) && !name.ends_with(".rs") && !name.ends_with(".py")
}

fn of_crate(folder: &Path) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for file in shell::list(folder)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if file.is_file() && is_license(&name) {
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            texts.push(normal(&String::from_utf8_lossy(&bytes)));
        }
    }
    Ok(texts)
}

/// Returns the text with line ends of one kind, so that the same license is there once.
fn normal(text: &str) -> String {
    let lines: Vec<&str> = text.trim_matches(['\r', '\n', ' ']).lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

fn joined<'a>(
    packages: impl Iterator<Item = &'a Package>,
    texts: &BTreeMap<String, BTreeSet<String>>,
    without: &BTreeSet<String>,
) -> String {
    let mut out = String::from(
        "Crates that are compiled into the program and the guests, with their licenses (SPDX):\n\n",
    );
    for package in packages.filter(|package| package.is_foreign()) {
        let note =
            if without.contains(&package.id()) { "  (its package has no file with the text)" } else { "" };
        out.push_str(&format!("{} {}: {}{note}\n", package.name, package.version, package.license));
    }
    out.push_str(
        "\nThe standard library of Rust (MIT OR Apache-2.0) is part of the program and of the guests. \
         SQLite, which libsqlite3-sys contains, is in the public domain.\n",
    );
    for (text, users) in texts {
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        out.push_str(&format!("\n{}\n{}\n{}\n\n{text}", "=".repeat(100), users.join(", "), "-".repeat(100)));
    }
    out
}

/// Returns the licenses in a wheel: their paths as file names, and their bytes.
fn of_wheel(archive: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let file = File::open(archive).with_context(|| format!("cannot open {}", archive.display()))?;
    let mut zip =
        zip::ZipArchive::new(file).with_context(|| format!("{} is not a wheel", archive.display()))?;
    let names: Vec<String> = zip
        .file_names()
        .map(|name| Ok(name?.into_owned()))
        .collect::<Result<_>>()
        .context("reading the names")?;
    let mut found = Vec::new();
    for name in names {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name.as_str()));
        let in_folder_of_licenses = folder.split('/').any(|part| part.eq_ignore_ascii_case("licenses"));
        if file.is_empty() || !(is_license(file) || in_folder_of_licenses) {
            continue;
        }
        let mut bytes = Vec::new();
        let member = zip.by_name(&name).with_context(|| format!("cannot read {name}"))?;
        member.take(BYTES_MAX).read_to_end(&mut bytes).with_context(|| format!("cannot unpack {name}"))?;
        // The folder of the metadata is named by the version; what follows it says which part the license is for.
        let short = name.split_once(".dist-info/").map_or(name.as_str(), |(_, rest)| rest);
        found.push((short.replace('/', "_"), bytes));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_license_of_several_crates_is_there_once() {
        let dir = tempfile::tempdir().unwrap();
        let package = |name: &str, file: &str, text: &str| {
            let folder = dir.path().join(name);
            shell::write(&folder.join(file), text).unwrap();
            shell::write(&folder.join("src_license.rs"), "no").unwrap();
            assert_eq!(of_crate(&folder).unwrap().len(), 1);
            of_crate(&folder).unwrap().remove(0)
        };
        let one = package("one", "LICENSE-MIT", "Permission\r\nis granted  \r\n\r\n");
        assert_eq!(one, package("two", "license.md", "Permission\nis granted\n"));
        let texts = BTreeMap::from([(one, BTreeSet::from(["one@1".to_owned(), "two@1".to_owned()]))]);
        let text = joined(std::iter::empty(), &texts, &BTreeSet::new());
        assert!(text.contains("one@1, two@1\n"), "{text}");
        assert!(is_license("ThirdPartyNotices.txt") && is_license("COPYING") && !is_license("licenses.rs"));
    }
}
