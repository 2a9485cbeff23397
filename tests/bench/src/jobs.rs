//! `bench jobs`: jobs under kills of the server, their overhead, and a neighbor beside a large one.
//!
//! - **Kills**: pages with a text layer, which are read fast, so that the store is the busy part. The server is killed while
//!   the jobs are read; afterwards each page of each acknowledged job must be in its result, and in its events, exactly
//!   once. Targets of this part fail the benchmark in any form.
//! - **Overhead**: the same document, read from pixels, as a request and as a job, in turns.
//! - **Neighbor**: a tenant's letters one after the other, alone and beside a large job of another tenant.

mod kills;
mod neighbor;
mod overhead;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;
use xtask::gateway::Upload;
use xtask::places::Places;

use crate::pdf;
use crate::write;

/// Arguments of `bench jobs`.
#[derive(Args)]
pub struct Arguments {
    /// A few jobs and seconds: nothing may be lost, and the times are not meaningful
    #[arg(long)]
    short: bool,
    /// Number of jobs that are read over the kills
    #[arg(long, default_value_t = 200)]
    jobs: usize,
    /// Pages of each of them
    #[arg(long, default_value_t = 10)]
    pages: usize,
    /// Number of kills
    #[arg(long, default_value_t = 3)]
    kills: usize,
    /// Turns of the overhead: each is a request and a job
    #[arg(long, default_value_t = 10)]
    turns: usize,
    /// Seconds of each measurement of the neighbor
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Deployment that reads from pixels
    #[arg(long, default_value = "standard-tiny")]
    deployment: String,
    /// Fail if a target of time is missed
    #[arg(long)]
    strict: bool,
}

/// What all parts need.
struct Setting<'a> {
    places: &'a Places,
    deployment: &'a str,
    jobs: usize,
    pages: usize,
    kills: usize,
    turns: usize,
    seconds: f64,
}

/// Runs the benchmark.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let Arguments { short, jobs, pages, kills, turns, seconds, .. } = *arguments;
    let setting = Setting {
        places,
        deployment: &arguments.deployment,
        jobs: if short { jobs.min(12) } else { jobs },
        pages: if short { pages.min(5) } else { pages },
        kills,
        turns: if short { turns.min(1) } else { turns },
        seconds: if short { seconds.min(3.0) } else { seconds },
    };
    println!("\n== kills: {} jobs of {} pages, {} kills", setting.jobs, setting.pages, setting.kills);
    let lost = kills::run(&setting)?;
    lost.print();
    println!("\n== overhead: {} turns", setting.turns);
    let overhead = overhead::run(&setting)?;
    overhead.print();
    println!("\n== neighbor: {} s each", setting.seconds);
    let neighbor = neighbor::run(&setting)?;
    neighbor.print();

    let lost_any: Vec<String> = lost.missed().collect();
    let slow: Vec<String> = overhead.missed().chain(neighbor.missed()).collect();
    let result = json!({
        "short": short, "deployment": arguments.deployment, "kills": lost.into_json(), "overhead": overhead.into_json(),
        "neighbor": neighbor.into_json(),
    });
    write(places, "jobs", result)?;
    ensure!(lost_any.is_empty(), "jobs lost or repeated something: {}", lost_any.join("; "));
    ensure!(!arguments.strict || slow.is_empty(), "targets were missed: {}", slow.join("; "));
    Ok(())
}

/// Returns a PDF whose pages have a text layer that names the document and the page.
fn document(name: usize, pages: usize) -> Upload {
    let page = |page: usize| {
        vec![title(name, page), "A page of a job, with a line that a model can read.".to_owned()]
    };
    let pages: Vec<Vec<String>> = (1..=pages).map(page).collect();
    Upload { name: format!("{name}.pdf"), bytes: pdf::document(&pages) }
}

/// Returns the first line of a page.
fn title(name: usize, page: usize) -> String {
    format!("Document {name} sheet {page}")
}
