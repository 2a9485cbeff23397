//! `bench floor`: compares the server with pure inference. The server reads pages and lists the runs of each
//! (`explain=true`); then the same runs are executed back to back on the same engines, without anything else. The
//! difference is the cost of the pipeline; its CPU time is listed by thread and process of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use xtask::gateway::Gateway;
use xtask::places::Places;
use xtask::shell;

use crate::client::{answers, settled};
use crate::pages::{self, Row};
use crate::procs::Usage;
use crate::{example, number, on_cores, table, write};

/// Target: the server's throughput as a share of the floor's.
const SHARE_MIN: f64 = 0.9;
/// Maximum cores that other processes may use during the measurement.
const OTHERS_MAX: f64 = 0.1;

/// Arguments of `bench floor`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    list: pages::Pages,
    /// Number of cores and threads for server and floor
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Number of floor runs; the fastest counts
    #[arg(long, default_value_t = 2)]
    turns: usize,
    /// Also run the floor with other session layouts (sessions x threads), and print a table
    #[arg(long)]
    session_layouts: bool,
    /// Fail if a target is missed
    #[arg(long)]
    strict: bool,
}

/// Measurements of the server.
#[derive(Default)]
struct Served {
    pages: usize,
    usage: Usage,
    runs: Vec<Value>,
    variants: BTreeMap<String, String>,
    /// Time of the pages by stage, summed, in milliseconds.
    stages_ms: BTreeMap<String, f64>,
}

/// Runs the benchmark.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let (folder, rows) = arguments.list.read(places)?;
    println!("\n==> the server");
    let served = serve(places, arguments, &folder, &rows)?;
    let runs = places.repo("target/bench/floor-runs.json");
    let recorded = json!({
        "library": places.onnxruntime(), "models_dir": places.repo("models"), "openvino_dir": places.openvino(),
        "cache_dir": places.cache.join("engines"), "builder": places.lector(), "threads": arguments.threads,
        "variants": served.variants, "runs": served.runs,
    });
    shell::write(&runs, serde_json::to_vec(&recorded)?)?;
    let program = example(places, "floor")?;
    println!("==> the floor: {} runs", served.runs.len());
    let floor = |layout: &[String]| -> Result<Value> {
        let mut command = on_cores(arguments.threads)?;
        command.push(program.display().to_string());
        command.extend([runs.display().to_string(), format!("turns={}", arguments.turns)]);
        command.extend_from_slice(layout);
        let (program, rest) = command.split_first().context("the command is empty")?;
        let text = shell::output(Command::new(program).args(rest))?;
        serde_json::from_str(text.lines().last().unwrap_or_default())
            .context("the output of the floor is not JSON")
    };
    let own = floor(&[])?;
    let (wall_s, cpu_s) = (number(&own, "wall_s"), number(&own, "cpu_s"));
    let (pages, usage) = (served.pages as f64, &served.usage);
    let share = wall_s / usage.wall_s;
    let line = |name: &str, wall_s: f64, cpu_s: f64, others_s: f64| {
        json!({
            "name": name, "pages_per_s": pages / wall_s, "cpu_s_per_page": cpu_s / pages,
            "cores_busy": cpu_s / wall_s, "others_cores": others_s / wall_s,
        })
    };
    let server = line("the server", usage.wall_s, usage.cpu_s, usage.others_s);
    let alone = line("the same runs alone", wall_s, cpu_s, number(&own, "others_s"));
    table::print("name pages_per_s:3 cpu_s_per_page:3 cores_busy:2 others_cores:2", &[server, alone]);
    let others = usage.others_s / usage.wall_s;
    if others > OTHERS_MAX {
        println!(
            "others kept {others:.2} cores busy while the server was measured: its throughput is unreliable, its CPU time less so"
        );
    }
    println!("by CPU time per page the server reaches {:.1} % of the floor", 100.0 * cpu_s / usage.cpu_s);
    println!(
        "the server reaches {:.1} % of the floor's throughput (wanted: {:.0} %)",
        100.0 * share,
        100.0 * SHARE_MIN
    );
    shares("CPU seconds per page, by thread and process of the server", &usage.by_thread, pages, usage.cpu_s);
    let stages_s: BTreeMap<String, f64> =
        served.stages_ms.iter().map(|(k, ms)| (k.clone(), ms / 1e3)).collect();
    let total = stages_s.get("total").copied().unwrap_or(f64::NAN);
    shares("wall-clock seconds per page, by stage (stages overlap and wait)", &stages_s, pages, total);
    let mut others = Vec::new();
    if arguments.session_layouts {
        for layout in session_layouts(arguments.threads) {
            let found = floor(&layout)?;
            let (wall_s, cpu_s) = (number(&found, "wall_s"), number(&found, "cpu_s"));
            others.push(json!({
                "sessions": layout.join(" "), "pages_per_s": pages / wall_s, "cpu_s_per_page": cpu_s / pages, "floor": found,
            }));
        }
        table::print("sessions pages_per_s:3 cpu_s_per_page:3 floor/peak_mib", &others);
    }
    write(
        places,
        "floor",
        json!({
            "pages": served.pages, "server": { "wall_s": usage.wall_s, "cpu_s": usage.cpu_s, "others_s": usage.others_s, "peak_rss_mib": usage.peak.rss_kib / 1024,
            "cpu_s_by_thread": usage.by_thread, "stages_s": stages_s }, "floor": own, "share": share,
            "variants": served.variants, "session_layouts": others,
        }),
    )?;
    ensure!(!arguments.strict || share >= SHARE_MIN, "{:.1} % of the floor's throughput", 100.0 * share);
    Ok(())
}

fn shares(title: &str, rows: &BTreeMap<String, f64>, pages: f64, whole: f64) {
    println!("\n{title}");
    let mut rows: Vec<(&String, &f64)> = rows.iter().collect();
    rows.sort_by(|a, b| b.1.total_cmp(a.1));
    for (name, seconds) in rows {
        println!("  {name:<34}{:>10.4}{:>8.1} %", seconds / pages, 100.0 * seconds / whole);
    }
}

/// Session layouts of detector and recognizer: one session over all threads, or one for each.
fn session_layouts(threads: usize) -> Vec<Vec<String>> {
    let kinds = [format!("1x{threads}"), format!("{threads}x1")];
    let both = kinds.iter().flat_map(|det| kinds.iter().map(move |rec| (det, rec)));
    both.map(|(det, rec)| vec![format!("det={det}"), format!("rec={rec}")]).collect()
}

/// Reads all pages twice, each document as a request and all at once; the second pass is measured.
fn serve(places: &Places, arguments: &Arguments, folder: &std::path::Path, rows: &[Row]) -> Result<Served> {
    let uploads = pages::uploads(folder, rows)?;
    let gateway = Gateway::start(places, "bench-floor", &on_cores(arguments.threads)?)?;
    settled(&gateway)?;
    let options = format!("explain=true&dpi={}", arguments.list.dpi);
    pages::read(&gateway, &uploads, &options)?;
    let (read, usage) = Usage::during(gateway.pid(), || pages::read(&gateway, &uploads, &options));
    gateway.stop()?;
    let pages = read?;
    let mut served = Served { pages: pages.len(), usage, ..Served::default() };
    collect(&pages, &mut served)?;
    Ok(served)
}

/// Collects the runs of the pages, each once even if several pages had items in it, and the times of the stages.
fn collect(pages: &[Value], served: &mut Served) -> Result<()> {
    let mut seen = BTreeSet::new();
    for page in pages {
        answers::add_stages(page, &mut served.stages_ms);
        for run in answers::runs(page)? {
            served.variants.insert(run.model.clone(), format!("{}/{}", run.provider, run.precision));
            // Runs with number 0 are not numbered and all count.
            if run.batch.run > 0 && !seen.insert((run.model.clone(), run.batch.run)) {
                continue;
            }
            let shape: Vec<Value> = [json!(run.batch.rows)].into_iter().chain(run.bucket).collect();
            served.runs.push(json!({ "model": run.model, "shape": shape }));
        }
    }
    // Spans are parts of other stages.
    served.stages_ms.remove("spans");
    ensure!(!served.runs.is_empty(), "no page lists its runs");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_run_that_served_two_pages_counts_once() {
        let run = |number: u64, rows: u64| {
            json!({ "model": "m", "provider": "cpu", "precision": "f32", "bucket": [3, 48, 64],
                "batch": { "run": number, "rows": rows, "items": rows, "tenants": 1 } })
        };
        let page = |runs: Vec<Value>| json!({ "timing_ms": { "total": 2.0, "inference": { "m": 1.5 } }, "explain": { "runs": runs } });
        let pages = [page(vec![run(1, 2), run(2, 1)]), page(vec![run(1, 2), run(0, 1), run(0, 1)])];
        let mut served = Served::default();
        collect(&pages, &mut served).unwrap();
        let shapes: Vec<&Value> = served.runs.iter().map(|run| &run["shape"]).collect();
        assert_eq!(
            shapes,
            [&json!([2, 3, 48, 64]), &json!([1, 3, 48, 64]), &json!([1, 3, 48, 64]), &json!([1, 3, 48, 64])]
        );
        assert_eq!(served.variants["m"], "cpu/f32");
        assert_eq!((served.stages_ms["total"], served.stages_ms["inference"]), (4.0, 3.0));
        assert!(collect(&[json!({})], &mut served).is_err());
    }
}
