//! libtesseract and its language data, from Debian's packages: the library with all that it loads, and the data of each
//! language that is asked for. Nothing is installed in the system; the server's workers load the copies in the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::debian::{self, Apt, Archive};
use crate::places::Places;
use crate::shell::{self, Scratch};

/// The default of `--languages`: the most used ones that the ONNX models of the catalog do not read, and English, which
/// is mixed with each; and script detection.
pub const MOST_USED: &str =
    "osd,eng,rus,ukr,bul,srp,ell,kor,ara,fas,urd,heb,hin,ben,tam,tel,tha,vie,kat,hye,mar";

/// The data of script detection: without it a page of which no request names the language is not read in its script.
const DETECTION: &str = "osd";

/// Its language data is of version 4.1 and works with it.
const SUITE: &str = "bookworm";
/// The packages whose versions matter for what is read; they do not change within the suite. The others, which only have
/// to be loaded, are the suite's current ones, as apt verifies them.
const PINNED: [(&str, &str, &str); 2] = [
    ("libtesseract5", "5.3.0-2", "19b1719f30235eaf209866b219d4dbdd4dddd813758a8d5b9715c78c40702ff1"),
    ("liblept5", "1.82.0-3+b3", "cddc18cffc38bb1839f2b5336822646b34dafc5dd40468b658d26c20e0eb97af"),
];
/// Packages of every system on which the server starts.
const OF_THE_SYSTEM: [&str; 4] = ["libc6", "libgcc-s1", "libstdc++6", "gcc-12-base"];

/// Folder of libraries in a package.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// Older packages have theirs here.
const LIBRARIES_BEFORE: &str = "lib/x86_64-linux-gnu";
/// Folder of language data in a package.
const DATA: &str = "usr/share/tesseract-ocr/5/tessdata";
/// Written when all libraries are in their folder, so that an interrupted installation is repeated.
const COMPLETE: &str = "libraries.txt";

/// A package of language data.
#[derive(Debug, PartialEq)]
struct Package<'a> {
    version: &'a str,
    sha256: &'a str,
}

/// Installs the library, where it is missing, and the languages. The caller holds the cache lock.
pub fn install(places: &Places, languages: &[String]) -> Result<()> {
    let list = shell::read(&places.repo("models/tesseract/languages.tsv"))?;
    let known = packages(&list)?;
    let wanted = wanted(&known, languages)?;
    let (dir, scratch) = (places.tesseract(), Scratch::new(&places.cache, "tesseract")?);
    let data = dir.join("tessdata");
    shell::make_folder(&data)?;
    let missing: Vec<_> =
        wanted.iter().filter(|(name, _)| !data.join(format!("{name}.traineddata")).is_file()).collect();
    if dir.join(COMPLETE).is_file() && missing.is_empty() {
        println!("  ok       libtesseract and {} languages", wanted.len());
        return Ok(());
    }
    let apt = Apt::open(scratch.path(), &[(Archive::Main, SUITE)])?;
    if !dir.join(COMPLETE).is_file() {
        let loaded = libraries(&apt, scratch.path(), &dir)?;
        shell::write(&dir.join(COMPLETE), loaded.join("\n"))?;
        println!(
            "  unpacked libtesseract and {} packages of libraries -> {}",
            loaded.len() - 1,
            dir.display()
        );
    }
    for (name, package) in missing {
        let file = format!("{name}.traineddata");
        let full = format!("tesseract-ocr-{}={}", name.replace('_', "-"), package.version);
        let deb = apt.download(&full, Some(package.sha256), &scratch.path().join("packages"))?;
        let unpacked = scratch.path().join("unpacked");
        shell::empty_folder(&unpacked)?;
        debian::unpack(&deb, &unpacked, 0, &[format!("./{DATA}/{file}")])?;
        move_file(&unpacked.join(DATA).join(&file), &data.join(&file))?;
        println!("  unpacked language {name}");
    }
    println!("setup of languages: complete; a server that runs sees new ones when it opens the model again");
    Ok(())
}

/// Reads the list of language packages.
fn packages(list: &str) -> Result<BTreeMap<&str, Package<'_>>> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [name, version, sha256] => Ok((name, Package { version, sha256 })),
            _ => bail!("languages.tsv: `{line}` has no name, version and digest"),
        })
        .collect()
}

/// Returns the packages of the languages that were asked for, and that of script detection.
fn wanted<'a, 'b>(
    known: &'b BTreeMap<&'a str, Package<'a>>,
    languages: &[String],
) -> Result<BTreeMap<&'a str, &'b Package<'a>>> {
    let all = known.iter().map(|(name, package)| (*name, package));
    if languages.iter().any(|language| language == "all") {
        return Ok(all.collect());
    }
    let asked: BTreeSet<&str> = languages.iter().map(String::as_str).chain([DETECTION]).collect();
    let found: BTreeMap<_, _> = all.filter(|(name, _)| asked.contains(name)).collect();
    let unknown: Vec<_> = asked.into_iter().filter(|name| !found.contains_key(name)).collect();
    let names: Vec<_> = known.keys().copied().collect();
    ensure!(unknown.is_empty(), "no package for {}; known are {}", unknown.join(", "), names.join(", "));
    Ok(found)
}

/// Unpacks libtesseract and everything that it loads into `dir`; returns the names of the packages.
fn libraries(apt: &Apt, scratch: &Path, dir: &Path) -> Result<Vec<String>> {
    let (mut done, mut open) = (BTreeSet::new(), vec!["libtesseract5".to_owned()]);
    while let Some(package) = open.pop() {
        if OF_THE_SYSTEM.contains(&package.as_str()) || !done.insert(package.clone()) {
            continue;
        }
        open.extend(apt.dependencies(&package)?);
        let pinned = PINNED.iter().find(|(name, ..)| *name == package);
        let full = pinned.map_or_else(|| package.clone(), |(name, version, _)| format!("{name}={version}"));
        let deb = apt.download(&full, pinned.map(|(.., sha256)| *sha256), &scratch.join("packages"))?;
        let unpacked = scratch.join("unpacked");
        shell::empty_folder(&unpacked)?;
        debian::unpack(&deb, &unpacked, 0, &[])?;
        for folder in [LIBRARIES, LIBRARIES_BEFORE].map(|folder| unpacked.join(folder)) {
            // A package of translations or plug-ins has none.
            for path in if folder.is_dir() { shell::list(&folder)? } else { Vec::new() } {
                let name = path.file_name().context("a library without a name")?;
                if name.to_string_lossy().contains(".so") {
                    move_file(&path, &dir.join(name))?;
                }
            }
        }
    }
    Ok(done.into_iter().collect())
}

/// Moves a file or a link within the cache.
fn move_file(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const LIST: &str = include_str!("../../../../models/tesseract/languages.tsv");

    #[test]
    fn every_language_has_a_version_and_a_digest_and_the_most_used_are_there() {
        let known = packages(LIST).unwrap();
        assert_eq!(known.len(), 124);
        let digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(known.values().all(|package| digest(package.sha256) && package.version.contains('-')));
        let most_used: Vec<String> = MOST_USED.split(',').map(str::to_owned).collect();
        assert_eq!(wanted(&known, &most_used).unwrap().len(), 21);
    }

    #[test]
    fn an_unknown_language_is_named_and_all_are_all() {
        let known = packages("# head\nrus\t1-2\taa\nkor\t1-2\tbb\nosd\t1-2\tcc\n").unwrap();
        let ask =
            |names: &[&str]| wanted(&known, &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(ask(&["all"]).unwrap().len(), 3);
        assert_eq!(ask(&["rus"]).unwrap()["rus"], &Package { version: "1-2", sha256: "aa" });
        assert!(
            ask(&["rus"]).unwrap().keys().eq(&["osd", "rus"]),
            "script detection comes with any language"
        );
        let error = ask(&["rus", "ru"]).unwrap_err().to_string();
        assert!(error.contains("no package for ru; known are kor, osd, rus"), "{error}");
        assert!(packages("rus 1-2 aa").is_err());
    }
}
