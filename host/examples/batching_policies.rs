//! Measures tenants' batching policies in front of a simulated accelerator: real policies in their sandbox, called by a
//! real lane, and a device whose runs take a fixed launch time and a time for each row, like a GPU. The figures
//! describe the lane and the policies, not a GPU.
//!
//! `batching_policies COMPONENT.wasm key=value...` with `clients=4,20 rows=2 launch_us=4000 row_us=60 rows_max=64
//! seconds=5`. A client reads one page repeatedly: its lines have three widths, with `rows` of each, submitted at once.
//! All clients belong to one tenant, because a policy sees the runs of its own tenant only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../../tests/src/quantile.rs"]
mod quantile;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::{join_all, try_join_all};
use lector_core::batching::Planner;
use lector_core::port::{Scheduling, WorkItem};
use lector_core::{CallCtx, Engines, Tensor, TensorData};
use lector_inference::simulated::{Accelerator, COLUMNS, Simulated};
use lector_runtime::{Runtime, RuntimeConfig};
use quantile::quantile;
use serde_json::json;

const MODEL: &str = "simulated";
const WIDTHS: [usize; 3] = [COLUMNS, 2 * COLUMNS, 4 * COLUMNS];
/// No policy, and the two of the component.
const POLICIES: [&str; 3] = ["no-policy", "latency-first", "fill-by-width"];

#[derive(Clone, Copy)]
struct Load {
    clients: usize,
    rows: usize,
    accelerator: Accelerator,
    seconds: f64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let component = args.next().context("no component given, e.g. guest/target/components/planned.wasm")?;
    let wasm = std::fs::read(&component).with_context(|| format!("cannot read {component}"))?;
    let options: BTreeMap<String, String> =
        args.filter_map(|a| a.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))).collect();
    let text = |key: &str, default: &str| options.get(key).map_or(default, |v| v).to_owned();
    let number = |key: &str, default: &str| text(key, default).parse::<f64>().context(key.to_owned());
    let accelerator = Accelerator {
        launch: Duration::from_micros(number("launch_us", "4000")? as u64),
        per_row: Duration::from_micros(number("row_us", "60")? as u64),
        rows_max: number("rows_max", "64")? as u32,
        queue_items_max: 512,
    };
    let (rows, seconds) = (number("rows", "2")? as usize, number("seconds", "5")?);
    for clients in text("clients", "4,20").split(',') {
        let load = Load { clients: clients.parse().context("clients")?, rows, accelerator, seconds };
        for policy in POLICIES {
            println!("{}", measure(&wasm, policy, load).await?);
        }
    }
    Ok(())
}

async fn measure(wasm: &[u8], policy: &str, load: Load) -> Result<serde_json::Value> {
    let lane = Simulated::start(MODEL, load.accelerator)?;
    let runtime = Runtime::new(RuntimeConfig::default(), lane.clone())?;
    let guest = runtime.load(wasm.to_vec(), &"t".into()).await?;
    let batching = guest.batching_policy().context("the component has no batching policy")?;
    let planner = (policy != "no-policy").then(|| batching.planner(&call(policy)));
    let end = Instant::now() + Duration::from_secs_f64(load.seconds);
    let clients = (0..load.clients).map(|_| {
        let (lane, planner) = (lane.clone(), planner.clone());
        tokio::spawn(async move { client(&lane, load, planner.as_ref(), end).await })
    });
    let mut latencies = Vec::new();
    for client in join_all(clients).await {
        latencies.extend(client??);
    }
    latencies.sort_by(f64::total_cmp);
    let (lane, asked) = (lane.status(), batching.status());
    Ok(json!({
        "simulated": true, "policy": policy, "clients": load.clients, "pages_per_s": latencies.len() as f64 / load.seconds,
        "p50_ms": quantile(&latencies, 0.5), "p99_ms": quantile(&latencies, 0.99), "rows_per_run": lane.rows as f64 / lane.runs.max(1) as f64,
        "asked": asked.asked, "late": asked.late, "invalid": asked.invalid, "trapped": asked.trapped,
        "skipped": asked.skipped, "disabled": asked.disabled,
        "us_per_answer": asked.computed_us as f64 / asked.asked.max(1) as f64,
    }))
}

/// Returns the latency of each page in milliseconds.
async fn client(
    lane: &Simulated,
    load: Load,
    planner: Option<&Arc<dyn Planner>>,
    end: Instant,
) -> Result<Vec<f64>> {
    let inputs: Vec<Tensor> = WIDTHS
        .iter()
        .map(|&width| {
            let ones = TensorData::F32(vec![1.0; load.rows * width]);
            Tensor::new(&[load.rows, width], ones).expect("as many values as the shape has")
        })
        .collect();
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        let runs = inputs.iter().map(|x| {
            lane.infer(WorkItem {
                model: MODEL.into(),
                tenant: "tenant".into(),
                inputs: vec![("x".to_owned(), x.clone())],
                outputs: vec!["y".to_owned()],
                deadline: began + Duration::from_secs(60),
                scheduling: Scheduling { planner: planner.cloned(), ..Scheduling::default() },
            })
        });
        try_join_all(runs).await?;
        latencies.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(latencies)
}

fn call(policy: &str) -> CallCtx {
    let settings = json!({ "policy": policy }).to_string();
    CallCtx::new("tenant", &settings, Instant::now() + Duration::from_secs(600))
}
