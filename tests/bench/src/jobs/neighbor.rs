//! A tenant's letters, alone and beside a large job of another tenant.

use anyhow::{Result, ensure};
use std::thread;
use std::time::{Duration, Instant};

use super::{Setting, document};
use crate::client::jobs::pages_done;
use crate::client::{Client, admin, settled};
use crate::report::Report;
use crate::traffic::{Samples, closed_as};

/// Target: the p99 beside the job, relative to the p99 alone.
const RATIO_MAX: f64 = 1.5;
/// Pages of the large job: more than are read in the time of the measurement.
const PAGES: usize = 2000;
/// Time within which the job must have its first page.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);

pub fn run(setting: &Setting<'_>) -> Result<Report> {
    let (gateway, admin) = admin::server(setting.places, "bench-jobs-neighbor")?;
    settled(&gateway)?;
    let (letters, large) =
        (admin::tenant(&gateway, &admin, "letters")?, admin::tenant(&gateway, &admin, "large")?);
    let letter = document(1, 1);
    let path = format!("/api/v1/ocr?text_layer=never&deployment={}", setting.deployment);
    let measure = |seconds: f64| closed_as(&gateway, Some(&letters), &path, &letter, 1, seconds);
    measure(1.0);
    let before = measure(setting.seconds / 2.0);

    let client = Client::new(&gateway, Some(&large));
    let query = format!("text_layer=never&deployment={}", setting.deployment);
    let job = client.submit(&query, &document(2, PAGES))?;
    let end = Instant::now() + BEGUN_WITHIN;
    let done = |client: &Client| -> Result<u64> { Ok(client.jobs()?.iter().map(pages_done).sum()) };
    while done(&client)? == 0 {
        ensure!(Instant::now() < end, "the job has not begun");
        thread::sleep(Duration::from_millis(50));
    }
    let from = done(&client)?;
    let beside = measure(setting.seconds);
    let pages = done(&client)? - from;
    ensure!(
        client.jobs()?.iter().any(|job| job["state"] == "running"),
        "the job ended during the measurement"
    );
    client.cancel(&job)?;

    let after = measure(setting.seconds / 2.0);
    gateway.stop()?;
    let mut report = Report::default();
    let alone = merged(before, after);
    report.row(alone.row("letters, alone (before and after)"));
    report.row(beside.row("letters, beside the job"));
    report.row(serde_json::json!({ "pages_of_the_job_per_s": pages as f64 / beside.seconds }));
    report.none("letters not read", [&alone, &beside].iter().map(|s| s.failed + s.unanswered).sum());
    report.none("letters refused", beside.refusals_s.len());
    report.at_least("pages of the job that were read meanwhile", 1.0, pages as f64);
    report.at_most(
        "p99 of the letters beside the job, of the p99 alone",
        RATIO_MAX,
        beside.quantile_s(0.99) / alone.quantile_s(0.99),
    );
    Ok(report)
}

/// Returns the samples of two measurements as one.
fn merged(mut one: Samples, other: Samples) -> Samples {
    one.latencies_s.extend(other.latencies_s);
    one.latencies_s.sort_by(f64::total_cmp);
    one.refusals_s.extend(other.refusals_s);
    one.sent += other.sent;
    one.failed += other.failed;
    one.unanswered += other.unanswered;
    one.seconds += other.seconds;
    one
}
