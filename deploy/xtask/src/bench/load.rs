//! `bench load`: throughput and latency when many clients send at once, next to one client alone.

use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;

use super::{quantile, write};
use crate::gateway::{Gateway, Upload};
use crate::places::Places;

/// How to load it.
#[derive(Args)]
pub struct Arguments {
    /// The document that every request sends; the shipped demo document otherwise
    file: Option<PathBuf>,
    /// Clients at once, one measurement for each number; the first is the reference
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    clients: Vec<usize>,
    /// Length of each measurement
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Query of the request
    #[arg(long, default_value = "?text_layer=never")]
    query: String,
}

struct Sample {
    latency_s: f64,
    pages: usize,
}

/// Runs it.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let file = arguments.file.clone().unwrap_or_else(|| places.repo("tests/data/demo.pdf"));
    let upload = [Upload::read(&file)?];
    let gateway = Gateway::start(places, "bench-load", &[])?;
    one(&gateway, &upload, &arguments.query).context("the document cannot be read at all")?;
    println!(
        "{:>8}{:>10}{:>10}{:>9}{:>10}{:>10}{:>8}",
        "clients", "pages/s", "ratio", "refused", "p50 s", "p95 s", "n"
    );
    let mut table = Vec::new();
    let mut reference = None;
    for &clients in &arguments.clients {
        let start = Instant::now();
        let end = start + Duration::from_secs(arguments.seconds);
        let samples = Mutex::new((Vec::new(), 0_usize));
        thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    while Instant::now() < end {
                        let outcome = one(&gateway, &upload, &arguments.query);
                        let Ok(mut samples) = samples.lock() else { return };
                        match outcome {
                            Ok(sample) => samples.0.push(sample),
                            Err(_) => {
                                samples.1 += 1;
                                drop(samples);
                                // A refusal is quick; a client that is told to wait does.
                                thread::sleep(Duration::from_millis(100));
                            }
                        }
                    }
                });
            }
        });
        let seconds = start.elapsed().as_secs_f64();
        let (samples, refused) = samples.into_inner().unwrap_or_default();
        ensure!(!samples.is_empty(), "with {clients} clients no request was answered");
        let mut latencies: Vec<f64> = samples.iter().map(|sample| sample.latency_s).collect();
        latencies.sort_by(f64::total_cmp);
        let pages_per_s = samples.iter().map(|sample| sample.pages).sum::<usize>() as f64 / seconds;
        let ratio = pages_per_s / *reference.get_or_insert(pages_per_s);
        let (p50, p95) = (quantile(&latencies, 0.5), quantile(&latencies, 0.95));
        println!(
            "{clients:>8}{pages_per_s:>10.2}{ratio:>10.2}{refused:>9}{p50:>10.3}{p95:>10.3}{:>8}",
            samples.len()
        );
        table.push(json!({
            "clients": clients, "pages_per_s": pages_per_s, "ratio": ratio, "refused": refused,
            "p50_s": p50, "p95_s": p95, "requests": samples.len(),
        }));
    }
    gateway.stop()?;
    write(places, "load", json!({ "reference": "the first row", "rows": table }))
}

fn one(gateway: &Gateway, upload: &[Upload], query: &str) -> Result<Sample> {
    let start = Instant::now();
    let (mut pages, mut failed) = (0, 0);
    gateway.batch(upload, query, |event| {
        match event["event"].as_str() {
            Some("page") => pages += 1,
            Some("page_error" | "document_error") => failed += 1,
            _ => {}
        }
        Ok(())
    })?;
    ensure!(failed == 0, "{failed} pages failed");
    Ok(Sample { latency_s: start.elapsed().as_secs_f64(), pages })
}
