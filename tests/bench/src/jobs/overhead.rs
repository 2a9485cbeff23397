//! The overhead of a job: the same document as a request and as a job, in turns, on an idle server.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;
use xtask::gateway::Gateway;

use super::{Setting, document};
use crate::client::{Client, settled};
use crate::quantile::quantile;
use crate::report::Report;

/// Target: the time of a job, relative to that of a request.
const RATIO_MAX: f64 = 1.05;
/// Pages of the document, all in one turn of a job.
const PAGES: usize = 10;

pub fn run(setting: &Setting<'_>) -> Result<Report> {
    let gateway = Gateway::start(setting.places, "bench-jobs-overhead", &[])?;
    settled(&gateway)?;
    let client = Client::new(&gateway, None);
    let upload = document(0, PAGES);
    let query = format!("text_layer=never&deployment={}", setting.deployment);
    let request = || -> Result<f64> {
        let began = Instant::now();
        let answer = client.ask(&format!("/api/v1/ocr?{query}"), &upload)?;
        ensure!(answer.status == 200, "a request: status {}", answer.status);
        Ok(began.elapsed().as_secs_f64())
    };
    // The result is fetched as well, as the client of a request gets it.
    let job = || -> Result<f64> {
        let began = Instant::now();
        let job = client.submit_and_wait(&query, &upload)?;
        let id = crate::client::jobs::id(&job)?;
        let pages = client.job_result(&id)?["pages"].as_array().map_or(0, Vec::len);
        ensure!(pages == PAGES, "a job returned {pages} pages");
        Ok(began.elapsed().as_secs_f64())
    };
    request()?;
    job()?;
    let (mut requests, mut jobs) = (Vec::new(), Vec::new());
    for turn in 0..setting.turns {
        // Which is first changes, so that a drift of the machine affects both.
        if turn % 2 == 0 {
            requests.push(request()?);
            jobs.push(job()?);
        } else {
            jobs.push(job()?);
            requests.push(request()?);
        }
    }
    gateway.stop()?;
    let sum = |times: &[f64]| times.iter().sum::<f64>();
    let ratio = sum(&jobs) / sum(&requests);
    requests.sort_by(f64::total_cmp);
    jobs.sort_by(f64::total_cmp);
    let mut report = Report::default();
    report.row(json!({
        "pages": PAGES, "turns": setting.turns, "request_p50_s": quantile(&requests, 0.5), "job_p50_s": quantile(&jobs, 0.5),
        "ratio_of_sums": ratio, "ratio_of_medians": quantile(&jobs, 0.5) / quantile(&requests, 0.5),
    }));
    report.at_most("time of a job, of that of a request", RATIO_MAX, ratio);
    Ok(report)
}
