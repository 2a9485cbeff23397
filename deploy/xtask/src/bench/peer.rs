//! `bench peer`: Lector next to RapidOCR over the same pages, at the same dpi, on the same number of cores, embedded text
//! unused. One after the other, never at once. RapidOCR lives in a virtual environment of its own in the cache.
//!
//! Time is from the first page asked for to the last answered, rendering included, models loaded before. CPU seconds and
//! memory are those of the whole process tree, read from outside in the same way for all. Accuracy is scored against
//! the pages' embedded text by tests/bench/score.py.

pub(super) mod rapidocr;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::procs::{self, Peak, Watch};
use super::{on_cores, write};
use crate::gateway::{Gateway, Upload, settled};
use crate::places::Places;
use crate::{corpus, shell};

/// Which pages are read.
#[derive(Args)]
pub struct Pages {
    /// Pages, as FILE<tab>PAGES<tab>CLASS<tab>LANGUAGE a line
    #[arg(long, default_value = "tests/bench/pages.tsv")]
    pages: PathBuf,
    /// Folder with the files of the list; the corpus otherwise. `tests/bench/degrade.py` makes such folders
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Most pages of the list, the first of each document before the second; all of them otherwise
    #[arg(long)]
    pages_max: Option<usize>,
    /// Resolution of the pages
    #[arg(long, default_value_t = 200)]
    pub dpi: u32,
}

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

/// Pages of one document.
pub struct Row {
    pub file: String,
    pub pages: String,
}

impl Pages {
    /// The list that ships, of the corpus.
    pub fn shipped() -> Self {
        Self { pages: "tests/bench/pages.tsv".into(), folder: None, pages_max: None, dpi: 200 }
    }

    /// The folder and the list; the corpus is fetched where no folder is named.
    pub fn read(&self, places: &Places) -> Result<(PathBuf, Vec<Row>)> {
        self.read_at_most(places, usize::MAX)
    }

    /// The same, with so many pages where no number was given.
    pub fn read_at_most(&self, places: &Places, pages_max: usize) -> Result<(PathBuf, Vec<Row>)> {
        let folder = match &self.folder {
            Some(folder) => places.root.join(folder),
            None => corpus::fetch(places, None)?,
        };
        let list =
            fs::read_to_string(places.root.join(&self.pages)).context("cannot read the list of pages")?;
        let mut rows = rows(&list)?;
        cut(&mut rows, self.pages_max.unwrap_or(pages_max));
        Ok((folder, rows))
    }
}

/// So many pages of the list: the first of each document, then the second, ...
fn cut(rows: &mut Vec<Row>, pages_max: usize) {
    let pages: Vec<Vec<&str>> = rows.iter().map(|row| row.pages.split(',').collect()).collect();
    let mut taken = vec![0; rows.len()];
    let (mut left, mut round) = (pages_max, 0);
    while left > 0 && pages.iter().any(|pages| pages.len() > round) {
        for (taken, pages) in taken.iter_mut().zip(&pages) {
            let more = usize::from(left > 0 && pages.len() > round);
            *taken += more;
            left -= more;
        }
        round += 1;
    }
    let kept: Vec<String> =
        pages.iter().zip(&taken).map(|(p, &n)| p.get(..n).unwrap_or(p).join(",")).collect();
    rows.iter_mut().zip(kept).for_each(|(row, kept)| row.pages = kept);
    rows.retain(|row| !row.pages.is_empty());
}

/// What one side did.
struct Measured {
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
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
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

fn rows(text: &str) -> Result<Vec<Row>> {
    let rows: Vec<Row> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut cells = line.split('\t');
            match (cells.next(), cells.next()) {
                (Some(file), Some(pages)) if !file.contains('/') => {
                    Ok(Row { file: file.to_owned(), pages: pages.to_owned() })
                }
                _ => Err(anyhow!("not FILE<tab>PAGES: {line}")),
            }
        })
        .collect::<Result<_>>()?;
    let files: BTreeSet<&str> = rows.iter().map(|row| row.file.as_str()).collect();
    ensure!(!rows.is_empty(), "the list of pages is empty");
    ensure!(files.len() == rows.len(), "a file is listed twice: name its pages in one line");
    Ok(rows)
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
    let uploads: Vec<(Upload, &Row)> =
        rows.iter().map(|row| Ok((Upload::read(&folder.join(&row.file))?, row))).collect::<Result<_>>()?;
    let mut prefix = on_cores(arguments.threads)?;
    if side == "lector-onnxruntime" {
        prefix.extend(["env".to_owned(), r#"LECTOR__ENGINES__PROVIDERS=["cpu"]"#.to_owned()]);
    }
    let mut env = Vec::new();
    if let Some(config) = arguments.tier.config() {
        let path = places.repo(arguments.tier.folder()).join("lector.toml");
        fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))?;
        env.push(("LECTOR_CONFIG", path.display().to_string()));
    }
    let gateway = Gateway::start_with(places, "bench-peer", &prefix, &env)?;
    // A builder at work beside it would be measured with it.
    settled(&gateway)?;
    let watch = Watch::start(gateway.pid());
    let cpu_before = procs::cpu_s(gateway.pid());
    let start = Instant::now();
    let read = read(&gateway, &uploads, &format!("dpi={}", arguments.list.dpi));
    let wall_s = start.elapsed().as_secs_f64();
    let cpu_s = procs::cpu_s(gateway.pid()) - cpu_before;
    let peak = watch.peak();
    gateway.stop()?;
    let pages = keep(read?, &readings)?;
    Ok(Measured { name: side.to_owned(), pages, wall_s, cpu_s, peak, readings })
}

/// Reads every document, each as one request and all at once, embedded text unused; gives the events of their pages, with
/// the file's name in them.
pub fn read(gateway: &Gateway, uploads: &[(Upload, &Row)], options: &str) -> Result<Vec<Value>> {
    let (pages, failures) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for (upload, row) in uploads {
            let (pages, failures) = (&pages, &failures);
            scope.spawn(move || {
                let query = format!("?text_layer=never&{options}&pages={}", row.pages);
                let outcome = gateway.batch(std::slice::from_ref(upload), &query, |mut event| {
                    match event["event"].as_str() {
                        Some("page") => {
                            event["file"] = json!(row.file);
                            if let Ok(mut pages) = pages.lock() {
                                pages.push(event);
                            }
                        }
                        Some("page_error" | "document_error") => bail!("{}: {}", row.file, event["error"]),
                        _ => {}
                    }
                    Ok(())
                });
                if let (Err(error), Ok(mut failures)) = (outcome, failures.lock()) {
                    failures.push(format!("{error:#}"));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    ensure!(failures.is_empty(), "not every page was read:\n{}", failures.join("\n"));
    Ok(pages.into_inner().unwrap_or_default())
}

/// Writes the pages down in their order, as score.py takes them, and says how many there are.
pub fn keep(mut pages: Vec<Value>, readings: &Path) -> Result<usize> {
    pages.sort_by_key(|page| (page["file"].as_str().unwrap_or_default().to_owned(), page["page"].as_u64()));
    let text: String = pages.iter().map(|page| format!("{page}\n")).collect();
    fs::write(readings, text).with_context(|| format!("cannot write {}", readings.display()))?;
    Ok(pages.len())
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
    let reference = measured.first().context("nobody took part")?;
    println!(
        "\n{:<24}{:>6}{:>10}{:>8}{:>12}{:>8}{:>10}{:>10}{:>9}{:>9}{:>9}",
        "", "pages", "pages/s", "ratio", "cpu s/page", "ratio", "rss MiB", "pss MiB", "CER", "miss", "extra"
    );
    let mut sides = Vec::new();
    for side in measured {
        let pace = |side: &Measured| side.pages as f64 / side.wall_s;
        let cpu = |side: &Measured| side.cpu_s / side.pages as f64;
        let found = &scores[side.name.as_str()];
        let row = json!({
            "side": side.name,
            "pages": side.pages,
            "wall_s": side.wall_s,
            "pages_per_s": pace(side),
            "pages_per_s_ratio": pace(side) / pace(reference),
            "cpu_s_per_page": cpu(side),
            "cpu_ratio": cpu(side) / cpu(reference),
            "peak_rss_mib": side.peak.rss_kib / 1024,
            "peak_pss_mib": side.peak.pss_kib / 1024,
            "score": found,
        });
        let total = |key: &str| found["all"][key].as_f64().unwrap_or(f64::NAN);
        println!(
            "{:<24}{:>6}{:>10.3}{:>8.2}{:>12.2}{:>8.2}{:>10}{:>10}{:>9.4}{:>9.4}{:>9.4}",
            side.name,
            side.pages,
            pace(side),
            pace(side) / pace(reference),
            cpu(side),
            cpu(side) / cpu(reference),
            side.peak.rss_kib / 1024,
            side.peak.pss_kib / 1024,
            total("cer"),
            total("miss"),
            total("extra"),
        );
        sides.push(row);
    }
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
                let number = |key: &str| found[key].as_f64().unwrap_or(f64::NAN);
                format!("{} {:.4} / {:.4}", side.name, number("cer"), number("miss"))
            })
            .collect();
        println!("  {class:<16}{}", cells.join("   "));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_list_of_pages() {
        let rows = rows("# note\na.pdf\t1,2\tpaper\ten\n").unwrap();
        assert_eq!((rows[0].file.as_str(), rows[0].pages.as_str()), ("a.pdf", "1,2"));
        for text in ["", "a.pdf\n", "../a.pdf\t1\n", "a.pdf\t1\na.pdf\t2\n"] {
            assert!(super::rows(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_cut_list_has_a_page_of_each_document_first() {
        let check = |most: usize, expect: &[(&str, &str)]| {
            let mut rows = rows("a.pdf\t1,2,3\nb.pdf\t7\nc.pdf\t4,5\n").unwrap();
            cut(&mut rows, most);
            let kept: Vec<(&str, &str)> = rows.iter().map(|r| (r.file.as_str(), r.pages.as_str())).collect();
            assert_eq!(kept, expect, "{most}");
        };
        check(2, &[("a.pdf", "1"), ("b.pdf", "7")]);
        check(4, &[("a.pdf", "1,2"), ("b.pdf", "7"), ("c.pdf", "4")]);
        check(usize::MAX, &[("a.pdf", "1,2,3"), ("b.pdf", "7"), ("c.pdf", "4,5")]);
    }

    #[test]
    fn the_shipped_list_is_understood() {
        let places = Places::find().unwrap();
        assert!(rows(&fs::read_to_string(places.repo("tests/bench/pages.tsv")).unwrap()).unwrap().len() >= 8);
    }
}
