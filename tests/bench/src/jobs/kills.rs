//! Jobs over kills of the server: nothing that was acknowledged is lost, and each page is read into its result once.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xtask::gateway::Gateway;
use xtask::places::Places;
use xtask::shell;

use super::{Setting, document, title};
use crate::client::Client;
use crate::client::jobs::pages_done;
use crate::report::Report;

/// Longest time without a new page.
const STALLED_AFTER: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);

/// Runs the part: the jobs are submitted in as many groups as there are starts of the server, and each server but the last
/// is killed when half of the pages that it has are done.
pub fn run(setting: &Setting<'_>) -> Result<Report> {
    let data = setting.places.repo("target/bench-jobs-kills.kept");
    shell::remove_folder(&data)?;
    let began = Instant::now();
    let mut acknowledged: BTreeMap<String, usize> = BTreeMap::new();
    let mut submit = |client: &Client, group: usize| -> Result<(u64, BTreeMap<String, usize>)> {
        let groups = setting.kills + 1;
        for number in setting.jobs * group / groups..setting.jobs * (group + 1) / groups {
            acknowledged.insert(client.submit("text_layer=only", &document(number, setting.pages))?, number);
        }
        Ok(((acknowledged.len() * setting.pages) as u64, acknowledged.clone()))
    };
    let mut at_kills = Vec::new();
    for kill in 0..setting.kills {
        let gateway = server(setting.places, &data)?;
        let client = Client::new(&gateway, None);
        let (all, _) = submit(&client, kill)?;
        let already = done(&client.jobs()?);
        let pages = wait(&client, already + all.saturating_sub(already) / 2)?;
        println!("  kill {} with {pages} of {all} pages done", kill + 1);
        at_kills.push(pages);
        gateway.kill()?;
    }
    let gateway = server(setting.places, &data)?;
    let client = Client::new(&gateway, None);
    let (all, acknowledged) = submit(&client, setting.kills)?;
    wait(&client, all)?;
    check(setting, gateway, &acknowledged, &at_kills, began)
}

fn server(places: &Places, data: &std::path::Path) -> Result<Gateway> {
    let env = [
        ("LECTOR__PLATFORM__DATA_DIR", data.display().to_string()),
        // Short turns, so that a kill falls into the middle of a document.
        ("LECTOR__JOBS__PAGES_PER_TURN", "4".to_owned()),
        ("LECTOR__JOBS__DISK_FREE_BYTES_MIN", "0".to_owned()),
    ];
    Gateway::start_with(places, "bench-jobs-kills", &[], &env)
}

fn done(jobs: &[Value]) -> u64 {
    jobs.iter().map(pages_done).sum()
}

/// Waits until this number of pages is done; returns the number.
fn wait(client: &Client, pages: u64) -> Result<u64> {
    let (mut most, mut since) = (0, Instant::now());
    loop {
        let now = done(&client.jobs()?);
        if now >= pages {
            return Ok(now);
        }
        if now > most {
            (most, since) = (now, Instant::now());
        }
        ensure!(since.elapsed() < STALLED_AFTER, "no new page after {now} of {pages}");
        thread::sleep(POLL);
    }
}

/// Compares jobs, results and events with what was submitted.
fn check(
    setting: &Setting<'_>,
    gateway: Gateway,
    acknowledged: &BTreeMap<String, usize>,
    at_kills: &[u64],
    began: Instant,
) -> Result<Report> {
    let client = Client::new(&gateway, None);
    // The last page is stored before the job has ended.
    let end = Instant::now() + STALLED_AFTER;
    let jobs = loop {
        let jobs = client.jobs()?;
        if jobs.iter().all(|job| !matches!(job["state"].as_str(), Some("queued" | "running"))) {
            break jobs;
        }
        ensure!(Instant::now() < end, "a job whose pages are all stored does not end");
        thread::sleep(POLL);
    };
    let seconds = began.elapsed().as_secs_f64();
    let state: BTreeMap<&str, &str> =
        jobs.iter().filter_map(|job| Some((job["id"].as_str()?, job["state"].as_str()?))).collect();
    let (mut jobs_lost, mut pages_lost, mut pages_wrong, mut repeated) = (0, 0, 0, 0);
    for (id, number) in acknowledged {
        if state.get(id.as_str()) != Some(&"succeeded") {
            jobs_lost += 1;
            continue;
        }
        let result = client.job_result(id)?;
        let pages = result["pages"].as_array().context("a result without pages")?;
        pages_lost += setting.pages.saturating_sub(pages.len());
        for (at, page) in pages.iter().enumerate() {
            let text = page["text"].as_str().unwrap_or_default();
            let right = page["page"] == at + 1 && text.contains(&title(*number, at + 1));
            pages_wrong += usize::from(!right);
        }
        let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
        for event in client.job_events(id)? {
            if event["event"] == "page" {
                *seen.entry(event["page"].as_u64().unwrap_or(0)).or_default() += 1;
            }
        }
        pages_lost += setting.pages.saturating_sub(seen.len());
        repeated += seen.values().map(|times| times - 1).sum::<usize>();
    }
    gateway.stop()?;
    let mut report = Report::default();
    report.row(json!({
        "jobs": acknowledged.len(), "pages": acknowledged.len() * setting.pages, "kills": at_kills.len(),
        "pages_done_at_kills": at_kills, "seconds": seconds,
    }));
    report.none("acknowledged jobs that did not succeed", jobs_lost);
    report.none("jobs that nobody submitted", jobs.len().saturating_sub(acknowledged.len()));
    report.none("pages missing in results or events", pages_lost);
    report.none("pages in the wrong place or with another text", pages_wrong);
    report.none("pages with more than one event", repeated);
    Ok(report)
}
