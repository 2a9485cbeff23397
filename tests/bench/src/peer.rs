//! `bench peer`: Lector next to RapidOCR over the same pages, at the same dpi, on the same number of cores, embedded text
//! unused. One after the other, never at once. RapidOCR lives in a virtual environment of its own in the cache.
//!
//! Time is from the first page asked for to the last answered, rendering included, models loaded before. CPU seconds and
//! memory are those of the whole process tree, read from outside in the same way for all. Accuracy is scored against
//! the pages' embedded text by tests/bench/score.py.

pub(super) mod rapidocr;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use xtask::gateway::Gateway;
use xtask::places::Places;
use xtask::shell;

use crate::client::settled;
use crate::pages::{Pages, Row, keep, read, uploads};
use crate::procs::{Peak, Usage};
use crate::{number, on_cores, table, write};

/// The weights on all sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Tier {
    /// PP-OCRv6 small: Lector's default, and RapidOCR's
    Small,
    /// PP-OCRv6 tiny: Lector's `standard-tiny` alone, and RapidOCR with the same files
    Tiny,
}

/// What to compare.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    list: Pages,
    /// What stands on the pages, as JSON lines with `file`, `page`, `truth`; their embedded text otherwise
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Which weights read, on all sides
    #[arg(long, value_enum, default_value = "small")]
    tier: Tier,
    /// Who takes part; `lector` serves as it is configured, `lector-onnxruntime` on the engine of its namesake alone
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "rapidocr-onnxruntime,rapidocr-openvino,lector-onnxruntime,lector"
    )]
    sides: Vec<String>,
    /// Cores, and threads, of each side
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

const COLUMNS: &str = "side pages pages_per_s:3 pages_per_s_ratio:2 cpu_s_per_page:2 cpu_ratio:2 peak_rss_mib peak_pss_mib \
                       score/all/cer:4 score/all/miss:4 score/all/extra:4";

/// What one side did.
pub struct Measured {
    name: String,
    pages: usize,
    wall_s: f64,
    cpu_s: f64,
    peak: Peak,
    readings: PathBuf,
}

/// Runs it.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let (folder, rows) = arguments.list.read(places)?;
    let python = rapidocr::environment(places)?;
    let out = places.repo(arguments.tier.folder());
    shell::make_folder(&out)?;
    let mut measured = Vec::new();
    for side in &arguments.sides {
        println!("\n==> {side}");
        let readings = out.join(format!("{side}.jsonl"));
        measured.push(match side.strip_prefix("rapidocr-") {
            Some(engine) => rapidocr::read(places, arguments, &python, engine, &folder, &rows, readings)?,
            None if matches!(side.as_str(), "lector" | "lector-onnxruntime") => {
                lector(places, arguments, side, &folder, &rows, readings)?
            }
            None => bail!(
                "`{side}` takes no part: rapidocr-onnxruntime, rapidocr-openvino, lector-onnxruntime, lector"
            ),
        });
    }
    let scores = score(places, arguments, &python, &measured)?;
    report(places, arguments.tier, &measured, &scores)
}

impl Tier {
    /// Where its readings go.
    fn folder(self) -> &'static str {
        match self {
            Self::Small => "target/bench",
            Self::Tiny => "target/bench/tiny",
        }
    }

    /// The server's configuration; `None`: its own defaults. The tiny tier is served alone, so that memory is its own.
    fn config(self) -> Option<&'static str> {
        match self {
            Self::Small => None,
            Self::Tiny => Some(self.config_alone()),
        }
    }

    /// The configuration of a server that serves this tier alone.
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

    /// Name of its results.
    fn results(self) -> &'static str {
        match self {
            Self::Small => "peer",
            Self::Tiny => "peer-tiny",
        }
    }
}

/// Every document is one request, and all are sent at once: what a gateway is for.
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
    if side == "lector-onnxruntime" {
        prefix.extend(["env".to_owned(), r#"LECTOR__ENGINES__PROVIDERS=["cpu"]"#.to_owned()]);
    }
    let mut env = Vec::new();
    if let Some(config) = arguments.tier.config() {
        let path = places.repo(arguments.tier.folder()).join("lector.toml");
        shell::write(&path, config)?;
        env.push(("LECTOR_CONFIG", path.display().to_string()));
    }
    let gateway = Gateway::start_with(places, "bench-peer", &prefix, &env)?;
    // A builder at work beside it would be measured with it.
    settled(&gateway)?;
    let options = format!("dpi={}", arguments.list.dpi);
    let (read, Usage { wall_s, cpu_s, peak, .. }) =
        Usage::during(gateway.pid(), || read(&gateway, &uploads, &options));
    gateway.stop()?;
    let pages = keep(read?, &readings)?;
    Ok(Measured { name: side.to_owned(), pages, wall_s, cpu_s, peak, readings })
}

/// CER, miss and extra by side, over all pages and by class, as score.py prints them.
fn score(places: &Places, arguments: &Arguments, python: &Path, measured: &[Measured]) -> Result<Value> {
    let given = arguments.truth.as_ref().map(|truth| places.root.join(truth));
    let peer = measured.iter().find(|side| side.name.starts_with("rapidocr"));
    let Some(truth) = given.or_else(|| Some(peer?.readings.clone())) else {
        println!("no peer took part, and its runner extracts the truth: nothing is scored (or pass --truth)");
        return Ok(Value::Null);
    };
    let classes = places.root.join(&arguments.list.pages);
    let readings: Vec<&Path> = measured.iter().map(|side| side.readings.as_path()).collect();
    scored(places, python, &truth, &readings, Some(&classes))
}

/// What score.py says of readings against the truth, by the name of their file; by class as well where a list has classes.
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
    serde_json::from_str(&shell::output(&mut command)?).context("score.py printed no JSON")
}

fn report(places: &Places, tier: Tier, measured: &[Measured], scores: &Value) -> Result<()> {
    let reference = measured.first().context("no side took part")?;
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
