//! Throughput of merging across requests compared with merging within each request, in front of a simulated
//! accelerator: a real lane, and a device whose every run takes a fixed launch time and a little for each row, as on a
//! GPU. The figures measure the lane and do not predict those of a GPU.
//!
//! `accelerator key=value...` with `clients=20 rows=8 launch_us=4000 row_us=60 rows_max=128 seconds=5`. A client is a
//! request that sends its next `rows` (a page's lines) when it has its answer. Within each request: every client is a
//! tenant that asks for isolation, so that the same lane, with the same costs, does not merge items of different
//! clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../../../../tests/src/quantile.rs"]
mod quantile;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::batching::BatchingHints;
use lector_core::port::{Scheduling, WorkItem};
use lector_core::{Engines, Tensor, TensorData};
use lector_inference::simulated::{Accelerator, COLUMNS, Simulated};
use quantile::quantile;

struct Load {
    clients: usize,
    rows: usize,
    accelerator: Accelerator,
    seconds: f64,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let options: BTreeMap<&str, &str> = args.iter().skip(1).filter_map(|a| a.split_once('=')).collect();
    let number = |key: &str, default: f64| options.get(key).map_or(default, |v| v.parse().expect("number"));
    let load = Load {
        clients: number("clients", 20.0) as usize,
        rows: number("rows", 8.0) as usize,
        accelerator: Accelerator {
            launch: Duration::from_micros(number("launch_us", 4000.0) as u64),
            per_row: Duration::from_micros(number("row_us", 60.0) as u64),
            rows_max: number("rows_max", 128.0) as u32,
            queue_items_max: 256,
        },
        seconds: number("seconds", 5.0),
    };
    let within = measure(&load, true);
    let across = measure(&load, false);
    println!("{{\"simulated\":true,\"gain\":{}}}", across / within);
}

/// Returns requests a second.
fn measure(load: &Load, isolated: bool) -> f64 {
    let lane = Simulated::start("simulated", load.accelerator).expect("the lane starts");
    let end = Instant::now() + Duration::from_secs_f64(load.seconds);
    let mut latencies_ms: Vec<f64> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..load.clients)
            .map(|client| {
                let lane = lane.clone();
                scope.spawn(move || one(&lane, load, client, isolated, end))
            })
            .collect();
        let latencies = clients.into_iter().flat_map(|client| client.join().expect("a client"));
        latencies.map(|latency: Duration| latency.as_secs_f64() * 1e3).collect()
    });
    latencies_ms.sort_by(f64::total_cmp);
    let per_s = latencies_ms.len() as f64 / load.seconds;
    let status = lane.status();
    println!(
        "{{\"simulated\":true,\"merged\":\"{}\",\"clients\":{},\"rows_of_a_request\":{},\"requests_per_s\":{per_s:.1},\
         \"p50_ms\":{:.1},\"p99_ms\":{:.1},\"rows_of_a_run\":{:.1}}}",
        if isolated { "within each request" } else { "across requests" },
        load.clients,
        load.rows,
        quantile(&latencies_ms, 0.5),
        quantile(&latencies_ms, 0.99),
        status.rows as f64 / status.runs.max(1) as f64,
    );
    per_s
}

fn one(lane: &Arc<Simulated>, load: &Load, client: usize, isolated: bool, end: Instant) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let values = vec![client as f32; load.rows * COLUMNS];
    let x = Tensor::new(&[load.rows, COLUMNS], TensorData::F32(values)).expect("a tensor");
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        let done = runtime.block_on(lane.infer(WorkItem {
            model: "simulated".into(),
            tenant: format!("client-{client}").into(),
            inputs: vec![("x".to_owned(), x.clone())],
            outputs: vec!["y".to_owned()],
            deadline: began + Duration::from_secs(60),
            scheduling: Scheduling {
                hints: BatchingHints { isolated, ..BatchingHints::default() },
                ..Scheduling::default()
            },
        }));
        let y = done.expect("a run").outputs[0].as_f32().expect("numbers").to_vec();
        // Each client gets its own rows back, whichever items they ran with.
        assert!(y.len() == load.rows * COLUMNS && y.iter().all(|value| *value == 2.0 * client as f32));
        latencies.push(began.elapsed());
    }
    latencies
}
