//! Measurements, each next to a named reference taken in the same run, and stamped with the machine and the commit.
//! Results are printed as a table and written as JSON to target/bench.

mod acceptance;
mod company;
mod floor;
mod guest;
mod load;
mod peer;
mod procs;
#[path = "../../../tests/src/quantile.rs"]
mod quantile;
mod scenario;
mod start;
mod tenants;

pub use load::traffic;
use quantile::quantile;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::places::Places;
use crate::{guests, setup, shell, test};

/// `cargo xtask bench …`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// Measure what was built before, as it is
    #[arg(long, global = true)]
    no_build: bool,
}

#[derive(Subcommand)]
enum Bench {
    /// Lector next to RapidOCR (ONNX Runtime, OpenVINO) over the same pages: speed, memory, accuracy
    Peer(peer::Arguments),
    /// What agreement on a model's golden batch is worth in text: the limits of its acceptance, derived
    Acceptance(acceptance::Arguments),
    /// The server's pace next to that of its own runs alone, and where the rest goes
    Floor(floor::Arguments),
    /// Every page alone, then all in a full house: the same texts, and confidences within the stated tolerance
    Company(company::Arguments),
    /// Where a page's time goes; the guest's share of it
    Guest(guest::Arguments),
    /// Throughput and latency at rising concurrency, next to one request at a time
    Load(load::Arguments),
    /// Time until a server is ready and until its first answer, with an empty and a full cache of engines
    Start(start::Arguments),
    /// A steady tenant's p99 beside guests that misbehave, next to its p99 alone
    Neighbours,
    /// A thousand swaps of revisions under steady load: requests lost or mixed, time to the first page, memory
    Swap,
    /// Deploys with a cold and a warm code cache; memory and start of a house with 200 revisions
    Deploys,
}

/// Runs one.
pub fn run(places: &Places, arguments: Arguments) -> Result<()> {
    if !arguments.no_build {
        build(places)?;
    }
    match arguments.bench {
        Bench::Peer(arguments) => peer::run(places, &arguments),
        Bench::Acceptance(arguments) => acceptance::run(places, &arguments),
        Bench::Floor(arguments) => floor::run(places, &arguments),
        Bench::Company(arguments) => company::run(places, &arguments),
        Bench::Guest(arguments) => guest::run(places, &arguments),
        Bench::Load(arguments) => load::run(places, &arguments),
        Bench::Start(arguments) => start::run(places, &arguments),
        Bench::Neighbours => scenario::neighbours(places),
        Bench::Swap => scenario::swap(places),
        Bench::Deploys => scenario::deploys(places),
    }
}

/// `bench load --short`, on what was built before.
pub fn load_in_short(places: &Places) -> Result<()> {
    load::run(places, &load::Arguments::short())
}

/// `bench company --short`, on what was built before.
pub fn company_in_short(places: &Places) -> Result<()> {
    company::run(places, &company::Arguments::short())
}

/// Everything that a gateway needs.
pub fn build(places: &Places) -> Result<()> {
    setup::everything(places)?;
    guests::build(places)?;
    test::build_host(places)
}

/// An example of the workspace, built.
fn example(places: &Places, name: &str) -> Result<PathBuf> {
    // Not `cargo run`: it cannot select the whole workspace, and another selection would compile wasmtime once more.
    let build = ["build", "--release", "--locked", "--workspace", "--example", name, "--quiet"];
    shell::run(shell::cargo().args(build).current_dir(&places.root))
        .with_context(|| format!("building the example `{name}`"))?;
    Ok(places.repo("target/release/examples").join(name))
}

/// What keeps a command to so many cores, as a prefix for it. Both sides of a comparison get the same.
fn on_cores(count: usize) -> Result<Vec<String>> {
    let there = thread::available_parallelism().context("cannot count the cores")?.get();
    ensure!(count > 0 && count <= there, "{count} threads on {there} cores");
    if count == there {
        return Ok(Vec::new());
    }
    Ok(vec!["taskset".into(), "--cpu-list".into(), format!("0-{}", count - 1)])
}

/// Machine, commit and time of a result.
pub fn stamp(places: &Places) -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        text.lines().find_map(|line| {
            line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
        })
    });
    let git = |arguments: &[&str]| {
        shell::output(Command::new("git").args(arguments).current_dir(&places.root))
            .ok()
            .map(|text| text.trim().to_owned())
    };
    json!({
        "cpu": cpu,
        "cores": thread::available_parallelism().map_or(0, usize::from),
        "commit": git(&["rev-parse", "--short", "HEAD"]),
        "dirty": git(&["status", "--porcelain"]).is_some_and(|text| !text.is_empty()),
        "unix_time_s": std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_secs()),
    })
}

/// Writes target/bench/NAME.json.
fn write(places: &Places, name: &str, mut result: Value) -> Result<()> {
    result["stamp"] = stamp(places);
    let folder = places.repo("target/bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{name}.json"));
    fs::write(&path, serde_json::to_string_pretty(&result)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("\nwritten to {}", places.shown(&path));
    Ok(())
}

/// Adds a page's times to those of the stages, in milliseconds; what a stage tells by part is summed up.
fn note_stages(page: &Value, stages_ms: &mut BTreeMap<String, f64>) {
    for (stage, time) in page["timing_ms"].as_object().into_iter().flatten() {
        let inner = time.as_object().into_iter().flatten().filter_map(|(_, ms)| ms.as_f64());
        let ms = time.as_f64().unwrap_or_else(|| inner.sum());
        *stages_ms.entry(stage.clone()).or_default() += ms;
    }
}
