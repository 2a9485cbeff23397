//! Measures an engine variant on a server of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use xtask::gateway::{Gateway, Upload};
use xtask::places::Places;
use xtask::shell;

use crate::client::{Client, Lanes, answers, engines, label, lanes, lanes_between, settled_within};
use crate::traffic::{Samples, closed, closed_until};
use crate::{number, server_on};

/// TensorRT builds take minutes each.
const BUILT_WITHIN: Duration = Duration::from_secs(3600);
/// Clients that must not be affected by a swap.
const SWAP_CLIENTS: usize = 4;
/// Share of all words on the pages; acceptance limits the effect of half precision.
const WORDS_IN_COMMON_MIN: f64 = 0.99;
const PATH: &str = "/api/v1/ocr?text_layer=never&pages=1";

pub struct Setting<'a> {
    pub places: &'a Places,
    pub uploads: Vec<Upload>,
    pub clients: &'a [usize],
    pub seconds: f64,
}

/// Number of occurrences of each word.
pub type Words = BTreeMap<String, usize>;

impl Setting<'_> {
    /// Starts a gateway with this provider preference list and a separate cache; returns it and its start time.
    fn gateway(&self, preferred: &[&str], empty: bool) -> Result<(Gateway, f64)> {
        let cache = self.places.repo("target/gpu-check.engines");
        if empty {
            shell::remove_folder(&cache)?;
        }
        server_on(self.places, "gpu-check", preferred, &cache)
    }

    fn first(&self) -> Result<&Upload> {
        self.uploads.first().context("no document to read")
    }
}

/// Returns the words that the CPU reads.
pub fn reference(setting: &Setting<'_>) -> Result<Words> {
    let (gateway, _) = setting.gateway(&["cpu"], true)?;
    let words = words(&gateway, &setting.uploads)?;
    gateway.stop()?;
    Ok(words)
}

/// Runs all measurements of one variant.
pub fn variant(setting: &Setting<'_>, variant: &str, reference: &Words) -> Result<Value> {
    let preferred: Vec<&str> = if variant == "cpu/f32" { vec![variant] } else { vec![variant, "cpu"] };
    let (gateway, ready_s) = setting.gateway(&preferred, true)?;
    let (built_s, under_load) = until_built(setting, &gateway)?;
    let engines = engines(&gateway)?;
    gateway.stop()?;
    let swap = under_load.row("while engines were built and swapped");
    println!("  empty cache: ready in {ready_s:.2} s, all engines in {built_s:.1} s; {}", one_line(&swap));
    let noticed = under_load.failed + under_load.unanswered;
    ensure!(
        noticed == 0,
        "{noticed} requests failed or had no response while engines were built and swapped"
    );
    for engine in &engines {
        let (state, acceptance) = engine.variant(variant);
        println!("  {}: serves on {}; {variant} {state}: {acceptance}", engine.model, engine.serving);
    }

    let (gateway, restart_s) = setting.gateway(&preferred, false)?;
    let began = Instant::now();
    let first = Client::new(&gateway, None).ask(PATH, setting.first()?).context("the first request")?;
    let first_s = began.elapsed().as_secs_f64();
    ensure!(first.status == 200, "the first request was answered {}", first.status);
    println!("  full cache: ready in {restart_s:.2} s, the first page read in {first_s:.2} s");
    let read = words(&gateway, &setting.uploads)?;
    let common = in_common(reference, &read);
    println!("  words in common with cpu/f32: {common:.4}");
    let mut loads = Vec::new();
    for &clients in setting.clients {
        let before = lanes(&gateway)?;
        let samples = closed(&gateway, PATH, setting.first()?, clients, setting.seconds);
        let mut row = samples.row("closed");
        row["clients"] = json!(clients);
        row["rows_of_a_run"] = rows_of_a_run(&lanes_between(&before, &lanes(&gateway)?));
        println!("  {}", one_line(&row));
        loads.push(row);
    }
    let metrics = gateway.get("/metrics")?;
    let device: Vec<&str> = metrics.lines().filter(|line| line.starts_with("lector_gpu_")).collect();
    let found = json!({
        "empty_cache": { "ready_s": ready_s, "all_built_s": built_s, "traffic": swap },
        "engines": engines.into_iter().map(|engine| engine.json).collect::<Vec<_>>(),
        "full_cache": { "ready_s": restart_s, "first_answer_s": first_s },
        "words_in_common": common,
        "loads": loads,
        "device": device,
    });
    gateway.stop()?;
    ensure!(
        common >= WORDS_IN_COMMON_MIN,
        "only {common:.4} of the words are those that cpu/f32 reads, and {WORDS_IN_COMMON_MIN} must be"
    );
    Ok(found)
}

/// Sends requests until no engine is being built.
fn until_built(setting: &Setting<'_>, gateway: &Gateway) -> Result<(f64, Samples)> {
    let (began, done) = (Instant::now(), AtomicBool::new(false));
    let upload = setting.first()?;
    thread::scope(|scope| {
        let running = || !done.load(Ordering::Relaxed);
        let traffic = scope.spawn(move || closed_until(gateway, None, PATH, upload, SWAP_CLIENTS, running));
        let outcome = settled_within(gateway, BUILT_WITHIN);
        let built_s = began.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        let Ok(samples) = traffic.join() else { bail!("the traffic ended by a panic") };
        outcome.map(|()| (built_s, samples))
    })
}

/// Reads every page of every document.
fn words(gateway: &Gateway, uploads: &[Upload]) -> Result<Words> {
    let mut words = Words::new();
    for page in answers::pages(gateway, uploads, "?text_layer=never")? {
        for word in answers::text(&page).split_whitespace() {
            *words.entry(word.to_owned()).or_default() += 1;
        }
    }
    ensure!(!words.is_empty(), "no words were read");
    Ok(words)
}

/// Returns the share of common words, relative to the longer text.
fn in_common(one: &Words, other: &Words) -> f64 {
    let count = |words: &Words| words.values().sum::<usize>();
    let common: usize = one.iter().map(|(word, n)| (*n).min(other.get(word).copied().unwrap_or(0))).sum();
    common as f64 / count(one).max(count(other)).max(1) as f64
}

/// Returns the mean rows per run by model.
fn rows_of_a_run(lanes: &Lanes) -> Value {
    let mut models = BTreeMap::<&str, (f64, f64)>::new();
    for (labels, lane) in lanes {
        let (runs, rows) = models.entry(label(labels, "model").unwrap_or_default()).or_default();
        *runs += lane.runs;
        *rows += lane.rows;
    }
    models.into_iter().map(|(model, (runs, rows))| (model, json!(rows / runs))).collect()
}

fn one_line(row: &Value) -> String {
    format!(
        "{} clients: {} read, {:.2}/s, p50 {:.3} s, p99 {:.3} s, {} failed, {} unanswered",
        row["clients"].as_u64().map_or_else(|| SWAP_CLIENTS.to_string(), |n| n.to_string()),
        row["read"],
        number(row, "read_per_s"),
        number(row, "p50_s"),
        number(row, "p99_s"),
        row["failed"],
        row["unanswered"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Lane;

    #[test]
    fn words_are_compared_by_how_often_they_come() {
        let words = |text: &str| {
            let mut words = Words::new();
            text.split(' ').for_each(|word| *words.entry(word.to_owned()).or_default() += 1);
            words
        };
        let check = |one: &str, other: &str, expect: f64| {
            assert!((in_common(&words(one), &words(other)) - expect).abs() < 1e-9, "{one} | {other}");
        };
        check("a b c d", "d c b a", 1.0);
        check("a a b", "a b", 2.0 / 3.0);
        check("a", "b", 0.0);
    }

    #[test]
    fn the_rows_of_a_run_are_those_of_all_lanes_of_a_model() {
        let lane = |runs: f64, rows: f64| Lane { runs, rows, busy_s: 0.0 };
        let labels = |provider: &str| format!("{{model=\"m\",provider=\"{provider}\"}}");
        let lanes = Lanes::from([(labels("cpu"), lane(1.0, 2.0)), (labels("tensorrt"), lane(3.0, 22.0))]);
        assert_eq!(rows_of_a_run(&lanes), json!({ "m": 6.0 }));
    }
}
