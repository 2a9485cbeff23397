//! `bench load`: measures the server under several workloads. Each workload starts its own server on loopback, is
//! bounded in time, and prints its targets with its figures. Load and server share the machine.
//!
//! Owns the names of the workloads, their order and their targets. The load generator is `traffic.rs`.

mod accelerator;
mod batching_policy;
mod concurrency;
mod noisy_neighbor;
mod overload;
mod pdf_batches;
mod soak;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use xtask::gateway::{Gateway, Upload};
use xtask::places::Places;

use crate::report::Report;
use crate::{documents, write};

/// Arguments of `bench load`.
#[derive(Args)]
pub struct Arguments {
    /// Workloads to measure (default: all)
    workloads: Vec<Workload>,
    /// Run a few seconds each, to check that the workloads run; the figures are not meaningful
    #[arg(long)]
    short: bool,
    /// Document whose first page the requests send (default: the shipped demo document)
    #[arg(long)]
    file: Option<PathBuf>,
    /// Deployment that reads it (the workload `pdf-batches` uses `standard`)
    #[arg(long, default_value = "standard-tiny")]
    deployment: String,
    /// Numbers of concurrent clients, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16,20,32")]
    clients: Vec<usize>,
    /// Seconds of each measurement except the soak
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Minutes of the soak
    #[arg(long, default_value_t = 20.0)]
    soak_minutes: f64,
    /// Fail if a target is missed
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Throughput and latency at rising concurrency
    Concurrency,
    /// More than the server can handle: goodput, rejections, memory, recovery
    Overload,
    /// One tenant that sends ten times its share, and three that do not
    NoisyNeighbor,
    /// Mixed documents, misbehaving clients and hot swaps, for a long time
    Soak,
    /// The gain of merging across requests in front of a simulated accelerator
    Accelerator,
    /// A tenant's own batching policy: latency, rows per run, and the cost of its calls
    BatchingPolicy,
    /// A single PDF, a batch of ten, PDFs per minute, twenty users
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

    /// Returns the path of a request that reads one page.
    fn path(&self) -> String {
        format!("/api/v1/deployments/{}/ocr?text_layer=never&pages=1", self.deployment)
    }
}

/// Runs the workloads.
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
