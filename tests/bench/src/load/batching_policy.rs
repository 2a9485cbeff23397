//! A tenant's own batching policy: the effect of the two examples on latency and rows per run, compared with the same
//! pipeline without one, and the cost of the calls. Measured on this machine's engines and in front of a simulated
//! accelerator, whose figures are not those of a GPU (the example `batching_policies` of the host).

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xtask::gateway::Gateway;
use xtask::shell;

use super::Setting;
use crate::client::{Client, admin, lanes, metric};
use crate::report::Report;
use crate::traffic::closed;
use crate::{example, rows};

const CLIENTS: usize = 8;
/// Deployments and their components.
const POLICIES: [(&str, &str); 3] =
    [("no-policy", "standard"), ("latency-first", "planned"), ("fill-by-width", "planned")];

/// Counters at one time.
struct Counted {
    rows: f64,
    runs: f64,
    planning_s: f64,
    answers: f64,
}

pub fn run(setting: &Setting<'_>) -> Result<Report> {
    let gateway = setting.gateway("batching-policy", &[])?;
    let mut report = Report::default();
    let seconds = setting.seconds.min(20.0);
    let mut rates = Vec::new();
    let mut costliest: f64 = 0.0;
    for (name, component) in POLICIES {
        deploy(&gateway, setting, name, component)?;
        let path = format!("/api/v1/deployments/{name}/ocr?text_layer=never&pages=1");
        // Warms up engines and code before the measurement.
        closed(&gateway, &path, &setting.upload, 1, seconds / 10.0);
        let before = counted(&gateway)?;
        let samples = closed(&gateway, &path, &setting.upload, CLIENTS, seconds);
        let after = counted(&gateway)?;
        ensure!(!samples.latencies_s.is_empty(), "{name} read nothing");
        let planning = (after.planning_s - before.planning_s) / samples.seconds;
        costliest = costliest.max(planning);
        rates.push(samples.per_s());
        report.row(samples.row(name));
        report.row(json!({
            "policy": name, "rows_per_run": (after.rows - before.rows) / (after.runs - before.runs).max(1.0),
            "answers_per_page": (after.answers - before.answers) / samples.latencies_s.len() as f64,
            "planning_share_of_time": planning,
            "read_per_s_to_none": samples.per_s() / rates.first().copied().unwrap_or(1.0),
        }));
        if component == "planned" {
            report.at_least(&format!("{name}: answers applied"), 1.0, after.answers - before.answers);
        }
        report.none(&format!("{name}: failed or unanswered"), samples.failed + samples.unanswered);
    }
    gateway.stop()?;
    report.at_most("share of time that policies compute", 0.01, costliest);
    on_an_accelerator(setting, &mut report)?;
    Ok(report)
}

/// Runs the policies in front of the simulated accelerator.
fn on_an_accelerator(setting: &Setting<'_>, report: &mut Report) -> Result<()> {
    let seconds = if setting.short { 0.5 } else { setting.seconds.min(10.0) };
    let program = example(setting.places, "batching_policies")?;
    let mut command = Command::new(program);
    command.arg(setting.places.components().join("planned.wasm")).arg(format!("seconds={seconds}"));
    let (mut bad, mut asked) = (0, 0);
    for row in rows(&shell::output(&mut command).context("the simulated accelerator")?)? {
        let count = |key: &str| row[key].as_u64().unwrap_or_default() as usize;
        bad += count("invalid") + count("trapped");
        asked += count("asked");
        report.row(row);
    }
    report.at_least("SIMULATED: calls of the policies", 1.0, asked as f64);
    report.none("SIMULATED: invalid answers and traps", bad);
    Ok(())
}

fn deploy(gateway: &Gateway, setting: &Setting<'_>, name: &str, component: &str) -> Result<()> {
    let reading = json!({ "tier": "tiny" });
    let settings: Value =
        if component == "planned" { json!({ "policy": name, "reading": reading }) } else { reading };
    let client = Client::new(gateway, None);
    admin::upload(setting.places, &client, name, component)?;
    admin::promote(&client, name, &settings, &Value::Null)
}

fn counted(gateway: &Gateway) -> Result<Counted> {
    let lanes = lanes(gateway)?;
    let planning = metric(gateway, "lector_batching_plan_seconds_total")?;
    let taken = metric(gateway, "lector_batching_plans_total")?;
    Ok(Counted {
        rows: lanes.values().map(|lane| lane.rows).sum(),
        runs: lanes.values().map(|lane| lane.runs).sum(),
        planning_s: planning.iter().map(|series| series.1).sum(),
        answers: taken.iter().filter(|series| series.0.contains("applied")).map(|series| series.1).sum(),
    })
}
