//! The benchmarks: each compares with a named reference measured in the same run, and records the machine and the
//! commit. Results are printed as a table and written as JSON to target/bench. `cargo xtask bench` builds and runs this
//! program; it starts servers as child processes and depends on no crate of the host.

// A terminal program and not a runtime path: it prints, and reads the environment.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod acceptance;
mod client;
mod cobatch;
mod floor;
mod gpu_check;
mod guest;
mod guests;
mod jobs;
mod load;
mod pages;
mod parse;
mod pdf;
mod peer;
mod procs;
#[path = "../../src/quantile.rs"]
mod quantile;
mod renamed;
mod report;
mod scenario;
mod start;
mod table;
mod traffic;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use xtask::gateway::{Gateway, Upload};
use xtask::places::Places;
use xtask::{bench, shell};

#[derive(Parser)]
#[command(bin_name = "cargo xtask bench", about = "Lector's benchmarks", disable_version_flag = true)]
#[command(after_help = renamed::help())]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// Do not build; measure the existing programs
    #[arg(long, global = true)]
    no_build: bool,
}

#[derive(Subcommand)]
enum Bench {
    /// Compare Lector with RapidOCR (ONNX Runtime, OpenVINO), faster-paddle and Tesseract on the same pages: speed, memory, accuracy
    Peer(peer::Arguments),
    /// Score the structure of documents: tables, reading order, headings, scripts, beside the figures that are asked for
    Parse(parse::Arguments),
    /// Derive the acceptance limits of a model: the loss of text at falling agreement on its golden images
    Acceptance(acceptance::Arguments),
    /// Compare the server's throughput with that of its model runs alone, and list the cost of the rest
    Floor(floor::Arguments),
    /// Read every page alone, then all at once for several tenants: equal texts, and confidences within the tolerance
    Cobatch(cobatch::Arguments),
    /// Measure the time of a page by stage, and the guest's share of it
    Guest(guest::Arguments),
    /// Compare guests by language, and wrapped with monolithic: start, call overhead, page time, size, memory
    Guests(guests::Arguments),
    /// Measure throughput and latency under several workloads, compared with one request at a time
    Load(load::Arguments),
    /// Read 2,000 pages in 200 jobs over three kills of the server; the overhead of a job; a neighbor's p99 beside one
    Jobs(jobs::Arguments),
    /// Measure the time until a server is ready and until its first response, with an empty and a full engine cache
    Start(start::Arguments),
    /// Compare a tenant's p99 beside guests that misbehave with its p99 alone
    MisbehavingGuests,
    /// Swap revisions a thousand times under steady load: lost or mixed requests, time to the first page, memory
    Swap,
    /// Deploy with a cold and a warm code cache; memory, machine code and stored components over 500 deploys of each
    /// example guest; memory and start of a server with 200 revisions
    Deploys(Deploys),
    /// Read a victim's letters, pages and jobs for minutes beside one group of attacks after another
    Soak(Soak),
    /// Run every check that needs a GPU, and store the figures
    GpuCheck(gpu_check::Arguments),
}

/// Arguments of `bench deploys`.
#[derive(clap::Args)]
struct Deploys {
    /// 100 deploys of each example guest and nothing else, to check that it runs
    #[arg(long)]
    short: bool,
    /// Deploys of each example guest
    #[arg(long, default_value_t = 500)]
    count: usize,
}

/// Arguments of `bench soak`.
#[derive(clap::Args)]
struct Soak {
    /// A few seconds of each group of attacks, as in `cargo xtask test`
    #[arg(long)]
    short: bool,
    /// Minutes of all attacks together
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
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
        Bench::Parse(arguments) => parse::run(places, &arguments),
        Bench::Acceptance(arguments) => acceptance::run(places, &arguments),
        Bench::Floor(arguments) => floor::run(places, &arguments),
        Bench::Cobatch(arguments) => cobatch::run(places, &arguments),
        Bench::Guest(arguments) => guest::run(places, &arguments),
        Bench::Guests(arguments) => guests::run(places, &arguments),
        Bench::Load(arguments) => load::run(places, &arguments),
        Bench::Jobs(arguments) => jobs::run(places, &arguments),
        Bench::Start(arguments) => start::run(places, &arguments),
        Bench::MisbehavingGuests => {
            scenario::run(places, "misbehaving-guests", "hostile::a_neighbor_is_not_affected")
        }
        Bench::Swap => scenario::run(places, "swap", "swap::a_thousand_swaps_lose_nothing"),
        Bench::Deploys(Deploys { short, count }) => {
            let count = if short { count.min(100) } else { count };
            let env = [("LECTOR_BENCH", "deploys".to_owned()), ("LECTOR_BENCH_DEPLOYS", count.to_string())];
            let flat = ("scenarios", "flat::deploys_of_each_example_guest_leave_nothing");
            scenario::run_test(places, flat, "deploys", &env)?;
            if short {
                return Ok(());
            }
            scenario::run(places, "deploys", "deploys::traffic_does_not_wait_for_a_compile")?;
            scenario::run(places, "deploys", "resident::a_deploy_and_a_server_of_many_revisions")
        }
        Bench::Soak(Soak { short, minutes }) => {
            let env = (!short).then(|| ("LECTOR_SOAK_MINUTES", minutes.to_string()));
            let soak = ("adversary", "adversary::soak::a_soak_under_mixed_attack_loses_nothing");
            scenario::run_test(places, soak, "soak", env.as_slice())
        }
        Bench::GpuCheck(arguments) => gpu_check::run(places, &arguments),
    }
}

/// Reads these files, or the shipped demo document.
fn documents(places: &Places, files: &[PathBuf]) -> Result<Vec<Upload>> {
    if files.is_empty() {
        return Ok(vec![Upload::read(&places.repo("tests/data/demo.pdf"))?]);
    }
    files.iter().map(|file| Upload::read(file)).collect()
}

/// Returns the JSON lines of a program's output; other lines are skipped.
fn rows(text: &str) -> Result<Vec<Value>> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).context("a row is not JSON")).collect()
}

/// Runs jobs on a number of threads, each with the number of its thread; returns the results in the order of the jobs,
/// or all failures.
fn in_parallel<T: Send>(
    threads: usize,
    jobs: usize,
    job: impl Fn(usize, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = |thread| {
        loop {
            let at = next.fetch_add(1, Relaxed);
            if at >= jobs {
                return;
            }
            let result = job(thread, at);
            let Ok(mut results) = results.lock() else { return };
            results.push((at, result));
        }
    };
    let work = &work;
    thread::scope(|scope| (0..threads).for_each(|thread| _ = scope.spawn(move || work(thread))));
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(at, _)| *at);
    let failed = results.iter().filter_map(|(_, result)| Some(format!("{:#}", result.as_ref().err()?)));
    let failed: Vec<String> = failed.collect();
    ensure!(failed.is_empty() && results.len() == jobs, "not everything was read:\n{}", failed.join("\n"));
    results.into_iter().map(|(_, result)| result).collect()
}

/// Starts a server with this provider preference list and this engine cache; returns it and the seconds until it was
/// ready.
fn server_on(places: &Places, name: &str, preferred: &[&str], cache: &Path) -> Result<(Gateway, f64)> {
    let env = [
        ("LECTOR__ENGINES__PROVIDERS", serde_json::to_string(preferred)?),
        ("LECTOR__ENGINES__CACHE_DIR", cache.display().to_string()),
    ];
    let began = Instant::now();
    let gateway = Gateway::start_with(places, name, &[], &env)?;
    Ok((gateway, began.elapsed().as_secs_f64()))
}

/// Returns a number member of an object; NaN if it is missing.
fn number(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap_or(f64::NAN)
}

/// Builds an example of the workspace and returns its path.
fn example(places: &Places, name: &str) -> Result<PathBuf> {
    // Not `cargo run`: it cannot select the whole workspace.
    let mut build = shell::cargo();
    build.arg("build").args(shell::HOST).args(["--example", name, "--quiet"]);
    shell::run(build.current_dir(&places.root)).with_context(|| format!("building the example `{name}`"))?;
    Ok(places.repo("target/release/examples").join(name))
}

/// Returns the prefix that limits a command to a number of cores, the same for both sides of a comparison.
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
    let path = folder.join(format!("{name}.json"));
    shell::write(&path, serde_json::to_string_pretty(&result)? + "\n")?;
    println!("\nwritten to {}", places.shown(&path));
    Ok(())
}
