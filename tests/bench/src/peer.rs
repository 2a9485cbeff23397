//! `bench peer`: compares Lector with other OCR programs on the same pages, at the same dpi, on the same number of cores,
//! without embedded text, one after another. RapidOCR and faster-paddle are installed in a virtual environment in the
//! cache; Tesseract is the machine's own program.
//!
//! Time is measured from the request of the first page to the response of the last, rendering included, with models
//! loaded before. CPU seconds and memory are those of the whole process tree, measured from outside in the same way for
//! all. Accuracy is scored against the embedded text of the pages by tests/bench/score.py.

pub(super) mod runner;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use xtask::gateway::Gateway;
use xtask::places::Places;
use xtask::shell;

use crate::client::settled;
use crate::pages::{Pages, Row, keep, read, uploads};
use crate::procs::{Peak, Usage};
use crate::{number, on_cores, table, write};

/// Weights for all sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Tier {
    /// PP-OCRv6 small: RapidOCR's default; Lector's own default (`auto`) reads with tiny first
    Small,
    /// PP-OCRv6 tiny: Lector's `standard-tiny` only, and RapidOCR with the same files
    Tiny,
}

/// Arguments of `bench peer`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    list: Pages,
    /// Truth as JSON lines with `file`, `page`, `truth` (default: the embedded text of the pages)
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Weights for all sides
    #[arg(long, value_enum, default_value = "small")]
    tier: Tier,
    /// Sides to compare: `rapidocr-onnxruntime`, `rapidocr-openvino`, `faster-paddle`, `tesseract` (skipped if the program
    /// is not installed), and `lector` in its default configuration, also with
    /// `-onnxruntime` (only that provider) and then `-small` (the accurate recognizer for every line)
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "rapidocr-onnxruntime,rapidocr-openvino,faster-paddle,tesseract,lector-onnxruntime-small,lector-onnxruntime,lector-small,lector"
    )]
    sides: Vec<String>,
    /// Number of cores and threads of each side
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Sides that are other programs, with the engine of the runner.
const OTHER_SIDES: [(&str, &str); 4] = [
    ("rapidocr-onnxruntime", "onnxruntime"),
    ("rapidocr-openvino", "openvino"),
    ("faster-paddle", "faster-paddle"),
    ("tesseract", "tesseract"),
];

/// Sides that are Lector.
const LECTOR_SIDES: [&str; 4] = ["lector", "lector-small", "lector-onnxruntime", "lector-onnxruntime-small"];

const COLUMNS: &str = "side pages pages_per_s:3 pages_per_s_ratio:2 cpu_s_per_page:2 cpu_ratio:2 peak_rss_mib peak_pss_mib \
                       score/all/cer:4 score/all/miss:4 score/all/extra:4 score/all/word_miss:4";

/// Measurements of one side.
pub struct Measured {
    name: String,
    pages: usize,
    wall_s: f64,
    cpu_s: f64,
    peak: Peak,
    readings: PathBuf,
}

/// Runs the benchmark.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let (folder, rows) = arguments.list.read(places)?;
    let python = runner::environment(places)?;
    let out = places.repo(arguments.tier.folder());
    shell::make_folder(&out)?;
    for side in &arguments.sides {
        ensure!(
            OTHER_SIDES.iter().any(|(name, _)| name == side) || LECTOR_SIDES.contains(&side.as_str()),
            "unknown side `{side}`: use {}, {}",
            OTHER_SIDES.map(|(name, _)| name).join(", "),
            LECTOR_SIDES.join(", ")
        );
    }
    let (mut measured, mut failed) = (Vec::new(), Vec::new());
    for side in &arguments.sides {
        println!("\n==> {side}");
        if side == "tesseract" && Command::new(side).arg("--version").output().is_err() {
            println!(
                "SKIPPED: the program `tesseract` is not installed: run `apt-get install tesseract-ocr tesseract-ocr-deu \
                 tesseract-ocr-fra`"
            );
            continue;
        }
        let readings = out.join(format!("{side}.jsonl"));
        let read = match OTHER_SIDES.iter().find(|(name, _)| name == side) {
            Some(&other) => runner::read(places, arguments, &python, other, &folder, &rows, readings),
            None => lector(places, arguments, side, &folder, &rows, readings),
        };
        match read {
            Ok(read) => measured.push(read),
            // The measurements of the others, which took minutes, are reported all the same.
            Err(error) => {
                println!("FAILED: {error:#}");
                failed.push(side.as_str());
            }
        }
    }
    let scores = score(places, arguments, &python, &measured)?;
    report(places, arguments.tier, &measured, &scores)?;
    ensure!(failed.is_empty(), "sides that failed, see above: {}", failed.join(", "));
    Ok(())
}

impl Tier {
    /// Returns the folder for its results.
    fn folder(self) -> &'static str {
        match self {
            Self::Small => "target/bench",
            Self::Tiny => "target/bench/tiny",
        }
    }

    /// Returns the configuration of the server; `None`: the default. The tiny tier is served alone, so that memory is
    /// its own.
    fn config(self) -> Option<&'static str> {
        match self {
            Self::Small => None,
            Self::Tiny => Some(self.config_alone()),
        }
    }

    /// Returns the configuration of a server that serves this tier only.
    pub(super) fn config_alone(self) -> &'static str {
        match self {
            Self::Small => include_str!("peer/small.toml"),
            Self::Tiny => include_str!("peer/tiny.toml"),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Tiny => "tiny",
        }
    }

    /// Returns the name of its results.
    fn results(self) -> &'static str {
        match self {
            Self::Small => "peer",
            Self::Tiny => "peer-tiny",
        }
    }
}

/// Sends each document as one request, all at once, as a gateway is used.
fn lector(
    places: &Places,
    arguments: &Arguments,
    side: &str,
    folder: &Path,
    rows: &[Row],
    readings: PathBuf,
) -> Result<Measured> {
    let uploads = uploads(folder, rows)?;
    let mut prefix = on_cores(arguments.threads)?;
    if side.contains("onnxruntime") {
        prefix.extend(["env".to_owned(), r#"LECTOR__ENGINES__PROVIDERS=["cpu"]"#.to_owned()]);
    }
    let mut env = Vec::new();
    let small = side.ends_with("-small").then(|| Tier::Small.config_alone());
    if let Some(config) = small.or(arguments.tier.config()) {
        let path = places.repo(arguments.tier.folder()).join("lector.toml");
        shell::write(&path, config)?;
        env.push(("LECTOR_CONFIG", path.display().to_string()));
    }
    let gateway = Gateway::start_with(places, "bench-peer", &prefix, &env)?;
    // An engine builder in the background would be measured too.
    settled(&gateway)?;
    let options = format!("dpi={}", arguments.list.dpi);
    let (read, Usage { wall_s, cpu_s, peak, .. }) =
        Usage::during(gateway.pid(), || read(&gateway, &uploads, &options));
    gateway.stop()?;
    let pages = keep(read?, &readings)?;
    Ok(Measured { name: side.to_owned(), pages, wall_s, cpu_s, peak, readings })
}

/// Returns the error rates by side, over all pages and by class, as score.py prints them.
fn score(places: &Places, arguments: &Arguments, python: &Path, measured: &[Measured]) -> Result<Value> {
    let given = arguments.truth.as_ref().map(|truth| places.root.join(truth));
    let peer = measured.iter().find(|side| !LECTOR_SIDES.contains(&side.name.as_str()));
    let Some(truth) = given.or_else(|| Some(peer?.readings.clone())) else {
        println!(
            "no other program was run, and their runner extracts the truth: nothing is scored (pass --truth)"
        );
        return Ok(Value::Null);
    };
    let classes = places.root.join(&arguments.list.pages);
    let readings: Vec<&Path> = measured.iter().map(|side| side.readings.as_path()).collect();
    scored(places, python, &truth, &readings, Some(&classes))
}

/// Returns the scores of results against the truth, by the name of their file; also by class if the list has classes.
pub fn scored(
    places: &Places,
    python: &Path,
    truth: &Path,
    readings: &[&Path],
    classes: Option<&Path>,
) -> Result<Value> {
    let mut command = Command::new(python);
    command.arg(places.repo("tests/bench/score.py"));
    if let Some(list) = classes {
        command.arg("--classes").arg(list);
    }
    command.arg("--truth").arg(truth).args(readings);
    serde_json::from_str(&shell::output(&mut command)?).context("the output of score.py is not JSON")
}

fn report(places: &Places, tier: Tier, measured: &[Measured], scores: &Value) -> Result<()> {
    let reference = measured.first().context("no side was run")?;
    let pace = |side: &Measured| side.pages as f64 / side.wall_s;
    let cpu = |side: &Measured| side.cpu_s / side.pages as f64;
    let row = |side: &Measured| {
        json!({
            "side": side.name, "pages": side.pages, "wall_s": side.wall_s,
            "pages_per_s": pace(side), "pages_per_s_ratio": pace(side) / pace(reference),
            "cpu_s_per_page": cpu(side), "cpu_ratio": cpu(side) / cpu(reference),
            "peak_rss_mib": side.peak.rss_kib / 1024, "peak_pss_mib": side.peak.pss_kib / 1024,
            "score": scores[side.name.as_str()],
        })
    };
    let sides: Vec<Value> = measured.iter().map(row).collect();
    table::print(COLUMNS, &sides);
    println!("ratios are to {}", reference.name);
    by_class(measured, scores);
    let result = json!({ "reference": reference.name, "tier": tier.name(), "sides": sides });
    write(places, tier.results(), result)
}

fn by_class(measured: &[Measured], scores: &Value) {
    let Some(classes) = measured.first().and_then(|side| scores[side.name.as_str()]["classes"].as_object())
    else {
        return;
    };
    println!("\nCER / miss by class of pages");
    for class in classes.keys() {
        let cells: Vec<String> = measured
            .iter()
            .map(|side| {
                let found = &scores[side.name.as_str()]["classes"][class];
                format!("{} {:.4} / {:.4}", side.name, number(found, "cer"), number(found, "miss"))
            })
            .collect();
        println!("  {class:<16}{}", cells.join("   "));
    }
}
