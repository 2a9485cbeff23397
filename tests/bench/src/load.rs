//! `bench load`: the server under several workloads. Each workload starts a server of its own on loopback, is bounded in time,
//! and prints its targets beside its figures. Load and server share the machine.
//!
//! Owns the workloads' names, their order and the verdicts. The load generator is `traffic.rs`.

mod accelerator;
mod batching_policy;
mod concurrency;
mod noisy_neighbor;
mod overload;
mod pdf_batches;
mod report;
mod soak;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use xtask::gateway::{Gateway, Upload};
use xtask::places::Places;

use crate::{documents, write};
use report::Report;

/// Workloads, and their length.
#[derive(Args)]
pub struct Arguments {
    /// Workloads to measure; all of them otherwise
    workloads: Vec<Workload>,
    /// A few seconds each: shows that the workloads run, its figures say nothing
    #[arg(long)]
    short: bool,
    /// The document that requests send, its first page; the shipped demo document otherwise
    #[arg(long)]
    file: Option<PathBuf>,
    /// The deployment that reads it (the workload `pdf-batches` takes `standard`)
    #[arg(long, default_value = "standard-tiny")]
    deployment: String,
    /// Clients at once, one measurement for each number
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16,20,32")]
    clients: Vec<usize>,
    /// Length of each measurement but the soak
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Length of the soak
    #[arg(long, default_value_t = 20.0)]
    soak_minutes: f64,
    /// A missed target is an error
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Throughput and latency at rising concurrency
    Concurrency,
    /// More than the server can take: goodput, refusals, memory, recovery
    Overload,
    /// One tenant that offers ten times its share, three that do not
    NoisyNeighbor,
    /// Mixed documents, rude clients and hot swaps, for long
    Soak,
    /// What merging across requests gains in front of a simulated accelerator
    Accelerator,
    /// A tenant's own batching policy: latency, fill of the runs, and the cost of asking it
    BatchingPolicy,
    /// A single PDF, a batch of ten, PDFs a minute, twenty users
    PdfBatches,
}

/// Input of every workload.
struct Setting<'a> {
    places: &'a Places,
    upload: Upload,
    deployment: String,
    clients: Vec<usize>,
    seconds: f64,
    soak_seconds: f64,
    short: bool,
}

impl Setting<'_> {
    fn gateway(&self, workload: &str, env: &[(&str, String)]) -> Result<Gateway> {
        Gateway::start_with(self.places, &format!("bench-load-{workload}"), &[], env)
    }

    /// Path of a request that reads one page.
    fn path(&self) -> String {
        format!("/api/v1/deployments/{}/ocr?text_layer=never&pages=1", self.deployment)
    }
}

/// Runs them.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let (seconds, soak_seconds) =
        if arguments.short { (2.0, 4.0) } else { (arguments.seconds as f64, arguments.soak_minutes * 60.0) };
    let setting = Setting {
        places,
        upload: documents(places, arguments.file.as_slice())?.remove(0),
        deployment: arguments.deployment.clone(),
        clients: if arguments.short { vec![1, 4] } else { arguments.clients.clone() },
        seconds,
        soak_seconds,
        short: arguments.short,
    };
    let all = Workload::value_variants();
    let workloads = if arguments.workloads.is_empty() { all } else { &arguments.workloads };
    let (mut results, mut missed) = (Map::new(), Vec::new());
    for workload in workloads {
        let name = workload.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        println!("\n== {name}");
        let report: Report = match workload {
            Workload::Concurrency => concurrency::run(&setting)?,
            Workload::Overload => overload::run(&setting)?,
            Workload::NoisyNeighbor => noisy_neighbor::run(&setting)?,
            Workload::Soak => soak::run(&setting)?,
            Workload::Accelerator => accelerator::run(&setting)?,
            Workload::BatchingPolicy => batching_policy::run(&setting)?,
            Workload::PdfBatches => pdf_batches::run(&setting)?,
        };
        report.print();
        missed.extend(report.missed().map(|target| format!("{name}: {target}")));
        results.insert(name, report.into_json());
    }
    results.insert("short".into(), arguments.short.into());
    results.insert("deployment".into(), arguments.deployment.clone().into());
    write(places, "load", Value::Object(results))?;
    for target in &missed {
        println!("missed: {target}");
    }
    ensure!(!arguments.strict || missed.is_empty(), "{} targets were missed", missed.len());
    Ok(())
}
