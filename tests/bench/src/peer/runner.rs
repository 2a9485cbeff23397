//! The other programs of `bench peer`: their virtual environment, and their runner as a process that is measured from
//! outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use xtask::places::Places;
use xtask::shell;

use super::{Arguments, Measured, Tier};
use crate::pages::Row;
use crate::procs::Watch;
use crate::{on_cores, rows};

const PACKAGES: &[&str] = &[
    "rapidocr==3.10.0",
    "faster-paddle==1.0.4",
    "onnxruntime==1.31.1",
    "openvino==2026.4.1",
    "pypdfium2==5.15.2",
    "rapidfuzz==3.14.6",
];

/// Creates the virtual environment if it does not exist; returns its Python.
pub fn environment(places: &Places) -> Result<PathBuf> {
    let folder = places.cache.join("peers");
    let python = folder.join("bin/python");
    let _lock = places.lock()?;
    if !python.is_file() {
        shell::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))
            .context("Python cannot create virtual environments: run `sudo apt-get install python3-venv`")?;
    }
    let stamp = folder.join("packages.txt");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    println!("installing the peers into {}", folder.display());
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--disable-pip-version-check", "--quiet"]).args(PACKAGES);
    shell::run(&mut install)?;
    shell::write(&stamp, wanted)?;
    Ok(python)
}

/// Reads the pages with one of the programs; `engine` is its name in the runner. The runner measures its own time, without
/// the start before the first page and the extraction of the truth.
pub(super) fn read(
    places: &Places,
    arguments: &Arguments,
    python: &Path,
    (side, engine): (&str, &str),
    folder: &Path,
    listed: &[Row],
    readings: PathBuf,
) -> Result<Measured> {
    let mut command: Vec<String> = on_cores(arguments.threads)?;
    command.extend([
        python.display().to_string(),
        places.repo("tests/bench/peer_runner.py").display().to_string(),
        "--engine".into(),
        engine.to_owned(),
        "--dpi".into(),
        arguments.list.dpi.to_string(),
        "--threads".into(),
        arguments.threads.to_string(),
        "--tier".into(),
        arguments.tier.name().into(),
    ]);
    if side.starts_with("rapidocr") && arguments.tier == Tier::Tiny {
        // The package does not contain these weights and downloads some at its first start: it uses the files that
        // Lector uses.
        let file = |path: &str| places.repo("models").join(path).display().to_string();
        command.extend(["--det".into(), file("pp-ocrv6-tiny-det/model.onnx")]);
        command.extend(["--rec".into(), file("pp-ocrv6-tiny-rec/model.onnx")]);
        command.extend(["--keys".into(), file("pp-ocrv6-tiny-rec/labels.txt")]);
    }
    command.extend(pages(folder, listed));
    let (program, rest) = command.split_first().context("the command is empty")?;
    let out = fs::File::create(&readings).with_context(|| format!("cannot write {}", readings.display()))?;
    let mut child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(out)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let watch = Watch::start(child.id());
    let status = child.wait().context("cannot wait for the peer")?;
    let peak = watch.peak();
    ensure!(status.success(), "{side} ended with {status}");
    let summary = rows(&shell::read(&readings)?)?.pop().context("no summary line")?;
    let number = |key: &str| summary[key].as_f64().with_context(|| format!("the summary has no {key}"));
    Ok(Measured {
        name: side.to_owned(),
        pages: number("pages")? as usize,
        wall_s: number("wall_s")?,
        cpu_s: number("cpu_s")?,
        peak,
        readings,
    })
}

/// Extracts the embedded text of the pages in the form of score.py, without OCR.
pub fn truth(places: &Places, python: &Path, folder: &Path, rows: &[Row], to: PathBuf) -> Result<PathBuf> {
    let mut command = Command::new(python);
    command.arg(places.repo("tests/bench/peer_runner.py"));
    command.args(["--engine", "none", "--dpi", "1", "--threads", "1"]).args(pages(folder, rows));
    shell::write(&to, shell::output(&mut command)?)?;
    Ok(to)
}

fn pages(folder: &Path, rows: &[Row]) -> impl Iterator<Item = String> {
    rows.iter().map(move |row| format!("{}:{}:{}", folder.join(&row.file).display(), row.pages, row.language))
}
