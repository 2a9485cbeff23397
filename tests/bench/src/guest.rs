//! `bench guest`: measures the time of a page by stage. Pages are sent one at a time, so that there is no wait and the
//! stages of a page add up to its total, which is the reference.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use xtask::gateway::{Gateway, Upload};
use xtask::places::Places;

use crate::client::answers;
use crate::quantile::quantile;
use crate::{documents, table, write};

/// Arguments of `bench guest`.
#[derive(Args)]
pub struct Arguments {
    /// Files to measure (default: the shipped demo document)
    files: Vec<PathBuf>,
    /// Number of times each file is sent; the first only warms up
    #[arg(long, default_value_t = 4)]
    rounds: usize,
}

/// Runs the benchmark.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let uploads = documents(places, &arguments.files)?;
    let gateway = Gateway::start(places, "bench-guest", &[])?;
    let mut stages: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for round in 0..arguments.rounds.max(2) {
        for upload in &uploads {
            let count = page_count(&gateway, upload)?;
            for page in 1..=count {
                let query = format!("?text_layer=never&pages={page}");
                let pages = answers::pages(&gateway, std::slice::from_ref(upload), &query)?;
                if round > 0 {
                    pages.iter().for_each(|page| collect(&mut stages, "", &page["timing_ms"]));
                }
            }
        }
    }
    gateway.stop()?;
    let total: f64 = stages.get("total").into_iter().flatten().sum();
    ensure!(total > 0.0, "no page has timings");
    let mut table = Vec::new();
    for (name, values) in &mut stages {
        values.sort_by(f64::total_cmp);
        let sum: f64 = values.iter().sum();
        table.push(json!({
            "stage": name, "mean_ms": sum / values.len() as f64, "p50_ms": quantile(values, 0.5),
            "p95_ms": quantile(values, 0.95), "share_of_total": sum / total,
        }));
    }
    table::print("stage mean_ms:2 p50_ms:2 p95_ms:2 share_of_total:3", &table);
    let share = stages.get("guest").into_iter().flatten().sum::<f64>() / total;
    println!("\nguest code and boundary: {:.2} % of a page (wanted: under 3 %)", 100.0 * share);
    let start_us =
        stages.get("start").map(|values| 1000.0 * values.iter().sum::<f64>() / values.len() as f64);
    match start_us {
        Some(us) => println!("starting a guest instance: {us:.0} us on average (wanted: under 100 us)"),
        None => println!("starting a guest instance: the timing of the pages has no `start`"),
    }
    write(places, "guest", json!({ "stages": table, "guest_share": share, "instance_start_us": start_us }))
}

fn page_count(gateway: &Gateway, upload: &Upload) -> Result<u64> {
    let mut count = 0;
    gateway.batch(std::slice::from_ref(upload), "?text_layer=only&pages=1", |event| {
        if event["event"] == "document" {
            count = event["page_count"].as_u64().unwrap_or(0);
        }
        Ok(())
    })?;
    ensure!(count > 0, "{} has no pages", upload.name);
    Ok(count)
}

/// Collects the numbers of a nested object by path.
fn collect(stages: &mut BTreeMap<String, Vec<f64>>, path: &str, value: &Value) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        match value.as_f64() {
            Some(ms) => stages.entry(path).or_default().push(ms),
            None => collect(stages, &path, value),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn nested_stages_are_named_by_their_path() {
        let mut stages = BTreeMap::new();
        collect(&mut stages, "", &json!({ "total": 5.0, "inference": { "det": 2.0 }, "note": "x" }));
        assert_eq!(stages.keys().collect::<Vec<_>>(), ["inference det", "total"]);
    }
}
