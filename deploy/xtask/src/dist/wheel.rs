//! `cargo xtask dist --wheel`: the archive as a package for pip, `lector-ocr`.
//!
//! Written here and not by a tool: a wheel is a zip file with three text files of its own, and the tools that build one want
//! to build the program, too. Python code in it is a start of the program (`deploy/wheel`).

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

use super::elf::Needs;
use super::packages::VERSION;
use crate::places::Places;
use crate::shell::{self, Scratch};

/// Name in file names; pip knows the package as `lector-ocr`.
const NAME: &str = "lector_ocr";
/// Sources of the package in the repository.
const SOURCES: &str = "deploy/wheel";
/// Folder of the archive in the package.
const ARCHIVE: &str = "lector_ocr/archive";
/// `pipx run lector-ocr` and `uvx lector-ocr` start the command of that name.
const ENTRY_POINTS: &str = "[console_scripts]\nlector = lector_ocr:main\nlector-ocr = lector_ocr:main\n";

/// Packs the unpacked archive `folder` as a wheel in `out`, and returns its path.
pub(super) fn pack(places: &Places, folder: &Path, out: &Path) -> Result<PathBuf> {
    let start = Instant::now();
    let needs = Needs::of_folder(folder)?;
    let tag = format!("py3-none-{}", needs.platform_tag()?);
    println!("needs of the system: {}", needs.shown());
    let wheel = out.join(format!("{NAME}-{VERSION}-{tag}.whl"));
    let info = format!("{NAME}-{VERSION}.dist-info");
    let mut zip = Writer::new(&wheel)?;
    let sources = places.repo(SOURCES);
    for (source, to) in [(sources.join(NAME), NAME.to_owned()), (folder.to_owned(), ARCHIVE.to_owned())] {
        for file in shell::files_below(&source)?.into_iter().filter(|file| is_source(file)) {
            let name = format!("{to}/{}", file.strip_prefix(&source)?.display());
            let mode =
                fs::metadata(&file).with_context(|| format!("reading {}", file.display()))?.permissions();
            zip.add(&name, mode.mode() & 0o111 != 0, &mut open(&file)?)?;
        }
    }
    let metadata = metadata(&shell::read(&sources.join("README.md"))?);
    let about =
        format!("Wheel-Version: 1.0\nGenerator: cargo xtask dist\nRoot-Is-Purelib: false\nTag: {tag}\n");
    zip.add(&format!("{info}/METADATA"), false, &mut metadata.as_bytes())?;
    zip.add(&format!("{info}/WHEEL"), false, &mut about.as_bytes())?;
    zip.add(&format!("{info}/entry_points.txt"), false, &mut ENTRY_POINTS.as_bytes())?;
    zip.add(&format!("{info}/licenses/LICENSE"), false, &mut open(&folder.join("LICENSE"))?)?;
    zip.finish(&format!("{info}/RECORD"))?;
    println!(
        "{}: {:.1} MB, sha256 {}, in {:.1} s",
        places.shown(&wheel),
        fs::metadata(&wheel).map_or(0, |meta| meta.len()) as f64 / 1e6,
        shell::sha256(&wheel)?,
        start.elapsed().as_secs_f64()
    );
    Ok(wheel)
}

fn open(file: &Path) -> Result<File> {
    File::open(file).with_context(|| format!("cannot open {}", file.display()))
}

/// Returns whether a file is not compiled by a Python that ran the sources.
fn is_source(file: &Path) -> bool {
    file.extension().is_none_or(|extension| extension != "pyc")
}

fn metadata(readme: &str) -> String {
    format!(
        "Metadata-Version: 2.4\nName: lector-ocr\nVersion: {VERSION}\nSummary: OCR server and command line for PDFs and images\n\
         License-Expression: Apache-2.0\nLicense-File: LICENSE\nKeywords: ocr,pdf\nRequires-Python: >=3.8\n\
         Classifier: Operating System :: POSIX :: Linux\nClassifier: Environment :: Console\n\
         Classifier: Topic :: Scientific/Engineering :: Image Recognition\n\
         Description-Content-Type: text/markdown\n\n{readme}"
    )
}

/// A wheel that is being written. Two runs over the same files give the same bytes: entries have the oldest time of the
/// format.
struct Writer {
    zip: zip::ZipWriter<File>,
    /// Lines of `RECORD`: name, digest and size of each entry.
    record: String,
}

impl Writer {
    fn new(path: &Path) -> Result<Self> {
        path.parent().map_or(Ok(()), shell::make_folder)?;
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { zip: zip::ZipWriter::new(file), record: String::new() })
    }

    fn start(&mut self, name: &str, executable: bool) -> Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(if executable { 0o755 } else { 0o644 });
        self.zip.start_file(name, options).with_context(|| format!("cannot write {name}"))
    }

    fn add(&mut self, name: &str, executable: bool, content: &mut dyn Read) -> Result<()> {
        ensure!(!name.contains([',', '"', '\n']), "the name `{name}` would need quotes in RECORD");
        self.start(name, executable)?;
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0_u64, vec![0; 256 * 1024]);
        loop {
            let n = content.read(&mut buffer).with_context(|| format!("cannot read {name}"))?;
            let Some(part) = buffer.get(..n).filter(|part| !part.is_empty()) else { break };
            hash.update(part);
            bytes += part.len() as u64;
            self.zip.write_all(part).with_context(|| format!("cannot write {name}"))?;
        }
        let digest = URL_SAFE_NO_PAD.encode(hash.finalize());
        self.record.push_str(&format!("{name},sha256={digest},{bytes}\n"));
        Ok(())
    }

    /// Writes the record of all entries, which has no digest itself, as the last entry.
    fn finish(mut self, name: &str) -> Result<()> {
        self.start(name, false)?;
        let record = format!("{}{name},,\n", self.record);
        self.zip.write_all(record.as_bytes()).context("cannot write RECORD")?;
        self.zip.finish().context("cannot finish the wheel")?;
        Ok(())
    }
}

/// Runs in a shell with `$1` the wheel, `$2` a folder, `$3` a document. The environment has no cache, so that nothing but the
/// wheel has libraries and models.
const INSTALLED: &str = r#"set -e
python3 -m venv "$2/venv"
"$2/venv/bin/python" -m pip install --quiet --no-index --disable-pip-version-check "$1"
cd "$2"
venv/bin/lector --version
venv/bin/python -m lector_ocr ocr --pages 1 "$3" > read
grep -q "$EXPECT" read || { cat read; echo "lector ocr printed another text"; exit 1; }
venv/bin/lector-ocr serve --listen 127.0.0.1:0 --port-file port 2> log &
server=$!
until [ -e port ]; do
    if ! kill -0 $server; then cat log; exit 1; fi
    sleep 0.05
done
url=$(sed 's/.*"\(http[^"]*\)".*/\1/' port)
venv/bin/lector healthcheck "$url" || { cat log; exit 1; }
kill $server
wait $server || { cat log; exit 1; }
"$2/venv/bin/python" -m pip check --disable-pip-version-check
"#;

/// Installs the wheel into a fresh environment, reads a page by the command and asks a server of it.
pub(super) fn check(places: &Places, wheel: &Path, expect: &str) -> Result<()> {
    let wheel = wheel.canonicalize().with_context(|| format!("there is no wheel {}", wheel.display()))?;
    let mut venv = Command::new("python3");
    venv.args(["-c", "import venv, ensurepip"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !venv.status().is_ok_and(|status| status.success()) {
        println!(
            "SKIPPED: the check of the wheel: Python's venv is missing: sudo apt-get install python3-venv"
        );
        return Ok(());
    }
    let start = Instant::now();
    let scratch = Scratch::new(&places.repo("target"), "wheel")?;
    println!("==> {} in a fresh environment", places.shown(&wheel));
    let mut shell = Command::new("sh");
    shell.args(["-c", &INSTALLED.replace("$EXPECT", expect), "sh"]).arg(&wheel).arg(scratch.path());
    shell.arg(places.repo("tests/data/demo.pdf")).env_clear();
    shell.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", scratch.path());
    let ran = shell.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("starting sh")?;
    if !ran.status.success() {
        bail!("the wheel does not work:\n{}", String::from_utf8_lossy(&ran.stdout));
    }
    println!("  {:>6.2} s  installed, a page read, a server asked", start.elapsed().as_secs_f64());
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_wheel_records_its_entries_and_keeps_the_mode_of_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = dir.path().join(name);
            let mut writer = Writer::new(&path).unwrap();
            writer.add("p/lector", true, &mut &b"hello"[..]).unwrap();
            writer.add("p/x.txt", false, &mut &b""[..]).unwrap();
            writer.finish("p-1.dist-info/RECORD").unwrap();
            path
        };
        let path = write("a.whl");
        assert_eq!(fs::read(&path).unwrap(), fs::read(write("b.whl")).unwrap(), "the same bytes");
        let mut zip = zip::ZipArchive::new(File::open(&path).unwrap()).unwrap();
        let mut record = String::new();
        zip.by_name("p-1.dist-info/RECORD").unwrap().read_to_string(&mut record).unwrap();
        // sha256 of `hello` and of nothing, in base64 without padding.
        assert_eq!(
            record,
            "p/lector,sha256=LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ,5\n\
             p/x.txt,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n\
             p-1.dist-info/RECORD,,\n"
        );
        // pip makes a file executable if it is a regular file with such a mode.
        assert_eq!(zip.by_name("p/lector").unwrap().unix_mode(), Some(0o100_755));
        assert_eq!(zip.by_name("p/x.txt").unwrap().unix_mode(), Some(0o100_644));
        let mut writer = Writer::new(&path).unwrap();
        assert!(writer.add("a,b", false, &mut &b""[..]).is_err());
    }

    #[test]
    fn the_metadata_ends_before_the_description() {
        let text = metadata("# lector-ocr\n");
        let (head, body) = text.split_once("\n\n").unwrap();
        assert!(head.starts_with("Metadata-Version: 2.4\nName: lector-ocr\n"), "{head}");
        assert!(head.lines().all(|line| line.contains(": ")), "{head}");
        assert_eq!(body, "# lector-ocr\n");
    }
}
