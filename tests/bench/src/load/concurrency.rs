//! Throughput at rising concurrency: it rises to saturation and stays there, and no client waits much longer than
//! others.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Setting;
use crate::report::Report;
use crate::traffic::closed;

/// Number of clients for which the spread of latencies is a target.
const USERS: usize = 20;

pub fn run(setting: &Setting<'_>) -> Result<Report> {
    let gateway = setting.gateway("concurrency", &[])?;
    let path = setting.path();
    // Warms up, and shows whether the document can be read.
    let warm = closed(&gateway, &path, &setting.upload, 2, 0.5);
    ensure!(!warm.latencies_s.is_empty(), "the document was not read");
    let mut report = Report::default();
    let (mut best, mut last, mut spread) = (0.0f64, 0.0, None);
    for &clients in &setting.clients {
        let samples = closed(&gateway, &path, &setting.upload, clients, setting.seconds);
        ensure!(!samples.latencies_s.is_empty(), "with {clients} clients no request was answered");
        let mut row = samples.row("closed");
        row["clients"] = json!(clients);
        row["p99_by_p50"] = json!(samples.quantile_s(0.99) / samples.quantile_s(0.5));
        report.row(row);
        report.none(
            &format!("failed or unanswered with {clients} clients"),
            samples.failed + samples.unanswered,
        );
        (best, last) = (best.max(samples.per_s()), samples.per_s());
        if clients == USERS {
            spread = Some(samples.quantile_s(0.99) / samples.quantile_s(0.5));
        }
    }
    gateway.stop()?;
    report.at_least("throughput with most clients, of the best", 0.95, last / best);
    if let Some(spread) = spread {
        report.at_most("p99 / p50 with 20 clients", 4.0, spread);
    }
    report.row(Value::from_iter([("best_per_s", best)]));
    Ok(report)
}
