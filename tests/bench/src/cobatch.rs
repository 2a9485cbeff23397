//! `bench cobatch`: checks that results do not depend on co-batched items. Every page is read alone, one after another;
//! then all again in another order, many at once and for several tenants: once with the shipped pipeline, once with one
//! whose batching policy collects as many rows as it can, because lanes on a CPU hardly batch. The texts must be equal,
//! and confidences within the tolerance that the tests of co-batched items in `lector-inference` define for the
//! engines' precision.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};
use xtask::gateway::{Gateway, Upload};
use xtask::places::Places;

use crate::client::{Client, admin, answers, settled};
use crate::traffic::Random;
use crate::{in_parallel, pages, write};

/// Maximum difference of a confidence for engines in f32, and for engines with lower precision. Confidences in a
/// response are rounded to four digits.
const TOLERANCE_F32: f64 = 1e-3;
const TOLERANCE_LOWER: f64 = 0.05;
const ROUNDED: f64 = 1e-4;
const TENANTS: usize = 4;
/// Deployment of the pipeline that collects rows.
const GATHERING: &str = "gathering";
/// Attempts for a page that the server rejects because it is overloaded.
const TRIES_MAX: usize = 100;
/// Maximum number of different lines shown.
const SHOWN_MAX: usize = 10;

/// Arguments of `bench cobatch`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    list: pages::Pages,
    /// Read only the shipped pages, which need no corpus
    #[arg(long)]
    short: bool,
    /// Pages in flight when they are batched with others
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    /// Seed of the order
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A page and its request.
struct Page<'a> {
    upload: &'a Upload,
    number: u32,
}

impl Page<'_> {
    fn name(&self) -> String {
        format!("{}, page {}", self.upload.name, self.number)
    }
}

/// Result of a page: text and confidence by line, and the number of runs with items of other pages.
#[derive(Default)]
struct Reading {
    lines: Vec<(String, f64)>,
    runs: usize,
    /// Runs with another item, and with another tenant's.
    shared: usize,
    with_other_tenants: usize,
    precisions: BTreeSet<String>,
}

/// Comparison of two results of all pages.
#[derive(Debug, Default, PartialEq)]
struct Difference {
    lines: usize,
    /// Lines that are different, missing, or additional.
    other: usize,
    worst: f64,
    shown: Vec<String>,
}

/// Runs the benchmark; fails if results depend on co-batched items.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let uploads = uploads(places, arguments)?;
    let pages: Vec<Page<'_>> = uploads
        .iter()
        .flat_map(|(upload, numbers)| numbers.iter().map(move |&number| Page { upload, number }))
        .collect();
    ensure!(!pages.is_empty(), "there is no page to read");
    let (gateway, admin) = admin::server(places, "bench-cobatch")?;
    settled(&gateway)?;
    let keys = (0..TENANTS).map(|n| admin::tenant(&gateway, &admin, &format!("reader-{n}")));
    let keys: Vec<String> = keys.collect::<Result<_>>()?;
    let gathering = json!({ "policy": "fill-by-width", "reading": {} });
    for key in &keys {
        let client = Client::new(&gateway, Some(key));
        admin::upload(places, &client, GATHERING, "planned")?;
        admin::promote(&client, GATHERING, &gathering, &Value::Null)?;
    }
    let options = format!("text_layer=never&explain=true&dpi={}", arguments.list.dpi);
    println!("{} pages, each alone", pages.len());
    let one = keys.get(..1).unwrap_or_default();
    let in_order: Vec<usize> = (0..pages.len()).collect();
    let alone = read(&gateway, one, "standard", &options, &pages, &in_order, 1)?;
    let precisions: BTreeSet<&String> = alone.values().flat_map(|reading| &reading.precisions).collect();
    let full = precisions.iter().all(|precision| *precision == "f32");
    let tolerance = if full { TOLERANCE_F32 } else { TOLERANCE_LOWER };

    let mut rows = Vec::new();
    for deployment in ["standard", GATHERING] {
        let order = shuffled(pages.len(), arguments.seed);
        let batched = read(&gateway, &keys, deployment, &options, &pages, &order, arguments.in_flight)?;
        let found = compare(&pages, &alone, &batched);
        let sum = |of: fn(&Reading) -> usize| batched.values().map(of).sum::<usize>();
        let (runs, shared, other_tenants) = (
            sum(|reading| reading.runs),
            sum(|reading| reading.shared),
            sum(|reading| reading.with_other_tenants),
        );
        println!(
            "\n{deployment}: {} pages in flight for {TENANTS} tenants; of {runs} runs as pages saw them {shared} were shared, \
             {other_tenants} of them with other tenants",
            arguments.in_flight
        );
        println!(
            "  {} lines, {} of them other than alone; worst difference of a confidence {:.4} (wanted: none, {tolerance})",
            found.lines, found.other, found.worst
        );
        found.shown.iter().for_each(|line| println!("  {line}"));
        rows.push(json!({
            "deployment": deployment, "pages": pages.len(), "lines": found.lines, "other_lines": found.other,
            "worst_confidence_difference": found.worst, "tolerance": tolerance, "runs": runs, "shared": shared,
            "with_other_tenants": other_tenants,
            // If nothing was co-batched, nothing is shown.
            "met": found.lines > 0 && found.other == 0 && found.worst <= tolerance + ROUNDED
                && (deployment != GATHERING || shared > 0),
        }));
    }
    gateway.stop()?;
    let met = rows.iter().all(|row| row["met"] == true);
    let precisions: Vec<&&String> = precisions.iter().collect();
    write(places, "cobatch", json!({ "precisions": precisions, "seed": arguments.seed, "rows": rows }))?;
    ensure!(met, "pages read differently when batched with others, or none was batched");
    Ok(())
}

/// Returns the documents and the pages of each.
fn uploads(places: &Places, arguments: &Arguments) -> Result<Vec<(Upload, Vec<u32>)>> {
    if arguments.short {
        let shipped = [("demo.pdf", vec![1, 2, 3, 4]), ("line.png", vec![1]), ("sides.png", vec![1])];
        let read = |(name, pages): (&str, Vec<u32>)| {
            Ok((Upload::read(&places.repo("tests/data").join(name))?, pages))
        };
        return shipped.into_iter().map(read).collect();
    }
    let (folder, rows) = arguments.list.read(places)?;
    let of_row = |row: pages::Row| {
        let pages = row.pages.split(',').map(|page| page.parse().context("the list names no page by number"));
        Ok((Upload::read(&folder.join(&row.file))?, pages.collect::<Result<_>>()?))
    };
    rows.into_iter().map(of_row).collect()
}

/// Reads the pages in this order and concurrency, for the tenants in turn; returns them by their position in the list.
fn read(
    gateway: &Gateway,
    keys: &[String],
    deployment: &str,
    options: &str,
    pages: &[Page<'_>],
    order: &[usize],
    in_flight: usize,
) -> Result<BTreeMap<usize, Reading>> {
    let clients: Vec<Client> =
        keys.iter().cycle().take(in_flight.max(1)).map(|key| Client::new(gateway, Some(key))).collect();
    let readings = in_parallel(clients.len(), order.len(), |thread, job| {
        let (client, at) = (clients.get(thread), order.get(job).copied());
        let (client, at) = (client.context("a client")?, at.context("a page")?);
        let page = pages.get(at).context("a page")?;
        let reading = read_page(client, deployment, options, page);
        Ok((at, reading.with_context(|| format!("reading {}", page.name()))?))
    })?;
    Ok(readings.into_iter().collect())
}

fn read_page(client: &Client, deployment: &str, options: &str, page: &Page<'_>) -> Result<Reading> {
    let path = format!("/api/v1/deployments/{deployment}/ocr?{options}&pages={}", page.number);
    for _ in 0..TRIES_MAX {
        let answer = client.ask(&path, page.upload)?;
        if let (429 | 503, Some(after_s)) = (answer.status, answer.retry_after_s) {
            thread::sleep(Duration::from_secs(after_s));
            continue;
        }
        let json: Value = serde_json::from_slice(&answer.body).context("a response is not JSON")?;
        ensure!(answer.status == 200, "status {}: {json}", answer.status);
        return reading(&json["pages"][0]);
    }
    bail!("the server was overloaded {TRIES_MAX} times")
}

fn reading(page: &Value) -> Result<Reading> {
    let mut reading = Reading { lines: answers::lines(page)?, ..Reading::default() };
    for run in answers::runs(page)? {
        reading.runs += 1;
        reading.shared += usize::from(run.batch.items > 1);
        reading.with_other_tenants += usize::from(run.batch.tenants > 1);
        reading.precisions.insert(run.precision);
    }
    Ok(reading)
}

fn compare(
    pages: &[Page<'_>],
    alone: &BTreeMap<usize, Reading>,
    batched: &BTreeMap<usize, Reading>,
) -> Difference {
    let mut found = Difference::default();
    for (at, page) in pages.iter().enumerate() {
        let lines = |of: &BTreeMap<usize, Reading>| of.get(&at).map_or(Vec::new(), |r| r.lines.clone());
        let (alone, batched) = (lines(alone), lines(batched));
        found.lines += alone.len();
        for n in 0..alone.len().max(batched.len()) {
            let (one, other) = (alone.get(n), batched.get(n));
            if let (Some(one), Some(other)) = (one, other)
                && one.0 == other.0
            {
                found.worst = found.worst.max((one.1 - other.1).abs());
                continue;
            }
            found.other += 1;
            if found.shown.len() < SHOWN_MAX {
                let text = |line: Option<&(String, f64)>| line.map_or("no line", |line| &line.0).to_owned();
                let (one, other) = (text(one), text(other));
                found.shown.push(format!("{}, line {}: {one:?} alone, {other:?}", page.name(), n + 1));
            }
        }
    }
    found
}

/// Returns the numbers below `count` in another order, the same for the same seed (Fisher and Yates).
fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let (mut order, mut random) = ((0..count).collect::<Vec<_>>(), Random::new(seed));
    for last in (1..count).rev() {
        order.swap(last, random.below(last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn page(lines: &[(&str, f64)], items: u64) -> Reading {
        let lines: Vec<Value> = lines
            .iter()
            .map(|(text, confidence)| json!({ "text": text, "confidence": confidence }))
            .collect();
        let batch = json!({ "run": 1, "rows": items, "items": items, "tenants": 1 });
        let run =
            json!({ "model": "m", "provider": "cpu", "precision": "bf16", "bucket": [], "batch": batch });
        reading(&json!({ "lines": lines, "explain": { "runs": [run] } })).unwrap()
    }

    #[test]
    fn what_differs_is_found() {
        let upload = Upload { name: "a.pdf".into(), bytes: Vec::new() };
        let pages = [Page { upload: &upload, number: 7 }];
        let check = |batched: &[(&str, f64)], other: usize, worst: f64| {
            let alone = BTreeMap::from([(0, page(&[("one", 0.9), ("two", 0.8)], 1))]);
            let found = compare(&pages, &alone, &BTreeMap::from([(0, page(batched, 3))]));
            assert_eq!((found.lines, found.other), (2, other), "{found:?}");
            assert!((found.worst - worst).abs() < 1e-9, "{found:?}");
            assert_eq!(found.shown.len(), other);
        };
        check(&[("one", 0.9), ("two", 0.8)], 0, 0.0);
        check(&[("one", 0.93), ("two", 0.8)], 0, 0.03);
        check(&[("one", 0.9), ("tvo", 0.1)], 1, 0.0);
        check(&[("one", 0.9)], 1, 0.0);
        check(&[("one", 0.9), ("two", 0.8), ("three", 0.7)], 1, 0.0);
    }

    #[test]
    fn shared_runs_are_counted() {
        let (alone, shared) = (page(&[], 1), page(&[], 2));
        assert_eq!((alone.runs, alone.shared, shared.shared, shared.with_other_tenants), (1, 0, 1, 0));
        assert!(reading(&json!({ "lines": [] })).is_err(), "a page that does not list its runs");
    }

    #[test]
    fn an_order_has_every_page_once() {
        let mut order = shuffled(33, 1);
        assert_ne!(order, (0..33).collect::<Vec<_>>());
        assert_eq!(order, shuffled(33, 1));
        order.sort_unstable();
        assert_eq!(order, (0..33).collect::<Vec<_>>());
    }
}
