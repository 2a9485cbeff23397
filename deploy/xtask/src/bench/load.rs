//! `bench load`: the gateway under load, in the forms that say whether it can be lived with. Each form starts a gateway of
//! its own on loopback, is bounded in time, and prints what was wanted beside what was got. Load and server share the machine.
//!
//! Owns the forms' names, their order and the verdicts. The traffic is `load/traffic.rs`.

mod accelerator;
mod neighbour;
mod overload;
mod plan;
mod report;
mod seeds;
mod soak;
mod steady;
pub mod traffic;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::write;
use crate::gateway::{Gateway, Upload};
use crate::places::Places;
use report::Report;

/// What to measure, and how long.
#[derive(Args)]
pub struct Arguments {
    /// Forms to measure; all of them otherwise
    forms: Vec<Form>,
    /// A few seconds each: shows that the forms run, its figures say nothing
    #[arg(long)]
    short: bool,
    /// The document that requests send, its first page; the shipped demo document otherwise
    #[arg(long)]
    file: Option<PathBuf>,
    /// The deployment that reads it (the form `seeds` takes `standard`)
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

impl Arguments {
    /// All forms, a few seconds each.
    pub fn short() -> Self {
        Self {
            forms: Vec::new(),
            short: true,
            file: None,
            deployment: "standard-tiny".to_owned(),
            clients: Vec::new(),
            seconds: 0,
            soak_minutes: 0.0,
            strict: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Throughput and latency at rising concurrency
    Steady,
    /// More than the house can take: goodput, refusals, memory, recovery
    Overload,
    /// One tenant that offers ten times its share, three that do not
    Neighbour,
    /// Mixed documents, rude clients and hot swaps, for long
    Soak,
    /// What merging across requests gains in front of a simulated accelerator
    Accelerator,
    /// A tenant's own batching program: latency, fill, and what asking costs
    Plan,
    /// A single PDF, a batch of ten, PDFs a minute, twenty users
    Seeds,
}

/// What every form is given.
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
    fn gateway(&self, form: &str, env: &[(&str, String)]) -> Result<Gateway> {
        Gateway::start_with(self.places, &format!("bench-load-{form}"), &[], env)
    }

    /// Path of one page's reading.
    fn path(&self) -> String {
        format!("/api/v1/deployments/{}/ocr?text_layer=never&pages=1", self.deployment)
    }
}

/// Runs them.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let file = arguments.file.clone().unwrap_or_else(|| places.repo("tests/data/demo.pdf"));
    let (seconds, soak_seconds) =
        if arguments.short { (2.0, 4.0) } else { (arguments.seconds as f64, arguments.soak_minutes * 60.0) };
    let setting = Setting {
        places,
        upload: Upload::read(&file)?,
        deployment: arguments.deployment.clone(),
        clients: if arguments.short { vec![1, 4] } else { arguments.clients.clone() },
        seconds,
        soak_seconds,
        short: arguments.short,
    };
    let all = Form::value_variants();
    let forms = if arguments.forms.is_empty() { all } else { &arguments.forms };
    let (mut results, mut missed) = (Map::new(), Vec::new());
    for form in forms {
        let name = form.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        println!("\n== {name}");
        let report: Report = match form {
            Form::Steady => steady::run(&setting)?,
            Form::Overload => overload::run(&setting)?,
            Form::Neighbour => neighbour::run(&setting)?,
            Form::Soak => soak::run(&setting)?,
            Form::Accelerator => accelerator::run(&setting)?,
            Form::Plan => plan::run(&setting)?,
            Form::Seeds => seeds::run(&setting)?,
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
