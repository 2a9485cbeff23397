//! The benchmarks: each measures next to a named reference taken in the same run, and stamps its result with the machine and
//! the commit. Results are printed as a table and written as JSON to target/bench. `cargo xtask bench` builds and runs this
//! program; it starts servers as child processes and depends on no crate of the host.

// A program for a terminal, and no runtime path: it reads the environment where it needs to.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod acceptance;
mod client;
mod cobatch;
mod floor;
mod gpu_check;
mod guest;
mod load;
mod pages;
mod peer;
mod procs;
#[path = "../../src/quantile.rs"]
mod quantile;
mod renamed;
mod scenario;
mod start;
mod traffic;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use xtask::gateway::Upload;
use xtask::places::Places;
use xtask::{bench, shell};

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Lector's benchmarks", disable_version_flag = true)]
#[command(after_help = renamed::help())]
struct Arguments {
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
    /// Derive the limits of a model's acceptance: the loss of text at falling agreement on its golden batch
    Acceptance(acceptance::Arguments),
    /// The server's throughput next to that of its own model runs alone, and the cost of the rest
    Floor(floor::Arguments),
    /// Every page alone, then all at once for several tenants: the same texts, and confidences within the stated tolerance
    Cobatch(cobatch::Arguments),
    /// Time of a page by stage, and the guest's share of it
    Guest(guest::Arguments),
    /// Throughput and latency under several workloads, next to one request at a time
    Load(load::Arguments),
    /// Time until a server is ready and until its first answer, with an empty and a full cache of engines
    Start(start::Arguments),
    /// A tenant's p99 beside guests that misbehave, next to its p99 alone
    MisbehavingGuests,
    /// A thousand swaps of revisions under steady load: requests lost or mixed, time to the first page, memory
    Swap,
    /// Deploys with a cold and a warm code cache; memory and start of a server with 200 revisions
    Deploys,
    /// Check everything that needs a GPU on the machine that has one, and keep the figures
    GpuCheck(gpu_check::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| renamed::explain(error).exit());
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let places = &Places::find()?;
    if !arguments.no_build {
        bench::build_server(places)?;
    }
    match arguments.bench {
        Bench::Peer(arguments) => peer::run(places, &arguments),
        Bench::Acceptance(arguments) => acceptance::run(places, &arguments),
        Bench::Floor(arguments) => floor::run(places, &arguments),
        Bench::Cobatch(arguments) => cobatch::run(places, &arguments),
        Bench::Guest(arguments) => guest::run(places, &arguments),
        Bench::Load(arguments) => load::run(places, &arguments),
        Bench::Start(arguments) => start::run(places, &arguments),
        Bench::MisbehavingGuests => scenario::misbehaving_guests(places),
        Bench::Swap => scenario::swap(places),
        Bench::Deploys => scenario::deploys(places),
        Bench::GpuCheck(arguments) => gpu_check::run(places, &arguments),
    }
}

/// Reads these files; the shipped demo document where none is named.
fn documents(places: &Places, files: &[PathBuf]) -> Result<Vec<Upload>> {
    if files.is_empty() {
        return Ok(vec![Upload::read(&places.repo("tests/data/demo.pdf"))?]);
    }
    files.iter().map(|file| Upload::read(file)).collect()
}

/// Reads this file; the shipped demo document where none is named.
fn document(places: &Places, file: Option<&PathBuf>) -> Result<Upload> {
    let files = file.map_or(&[][..], std::slice::from_ref);
    documents(places, files)?.pop().context("no document")
}

/// Returns the lines of JSON that a program printed; other lines are passed over.
fn rows(text: &str) -> Result<Vec<Value>> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).context("a row is no JSON")).collect()
}

/// Builds an example of the workspace and returns its path.
fn example(places: &Places, name: &str) -> Result<PathBuf> {
    // Not `cargo run`: it cannot select the whole workspace, and another selection would compile wasmtime once more.
    let build = ["build", "--release", "--locked", "--workspace", "--example", name, "--quiet"];
    shell::run(shell::cargo().args(build).current_dir(&places.root))
        .with_context(|| format!("building the example `{name}`"))?;
    Ok(places.repo("target/release/examples").join(name))
}

/// Returns the prefix that limits a command to a number of cores. Both sides of a comparison get the same.
fn on_cores(count: usize) -> Result<Vec<String>> {
    let there = thread::available_parallelism().context("cannot count the cores")?.get();
    ensure!(count > 0 && count <= there, "{count} threads on {there} cores");
    if count == there {
        return Ok(Vec::new());
    }
    Ok(vec!["taskset".into(), "--cpu-list".into(), format!("0-{}", count - 1)])
}

/// Returns the machine, the commit and the time of a result.
fn stamp(places: &Places) -> Value {
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
fn write(places: &Places, name: &str, result: Value) -> Result<()> {
    write_to(places, Path::new("target/bench"), name, result)
}

/// Writes NAME.json into a folder of the repository.
fn write_to(places: &Places, folder: &Path, name: &str, mut result: Value) -> Result<()> {
    result["stamp"] = stamp(places);
    let folder = places.root.join(folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{name}.json"));
    fs::write(&path, serde_json::to_string_pretty(&result)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("\nwritten to {}", places.shown(&path));
    Ok(())
}
