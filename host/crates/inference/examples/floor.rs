//! The lower bound of a server's run time: runs of the shapes that a pipeline ran, back to back on the same engines and
//! session configuration, without rendering, guest code or waits in between. The content of a tensor does not change
//! the cost of its shape.
//!
//! `floor RUNS.json key=value...` with `det=1x2 rec=2x1` (sessions x threads), `turns=1` (repetitions), `window=8`
//! (concurrent runs). RUNS.json names the libraries, the cache, the engine variant of each model and the runs in their
//! order; `cargo xtask bench floor` writes it. Writes one line of JSON to standard output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "shared/measure.rs"]
mod measure;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lector_core::batching::BatchingHints;
use lector_core::port::{Scheduling, WorkItem};
use lector_core::{Engines, ModelName, Tensor, TensorData};
use lector_inference::{Inference, InferenceConfig, PreferredProvider, SessionConfig};
use measure::{cpu_seconds, page_like, status_mib};

#[derive(serde::Deserialize)]
struct Recorded {
    library: PathBuf,
    models_dir: PathBuf,
    openvino_dir: PathBuf,
    cache_dir: PathBuf,
    builder: PathBuf,
    threads: usize,
    /// Provider and precision by model.
    variants: BTreeMap<String, String>,
    runs: Vec<Run>,
}

#[derive(serde::Deserialize)]
struct Run {
    model: String,
    /// Rows, channels, height, width.
    shape: [usize; 4],
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let text = std::fs::read_to_string(args.get(1).expect("RUNS.json")).expect("the runs");
    let recorded: Recorded = serde_json::from_str(&text).expect("runs as JSON");
    let options: BTreeMap<&str, &str> = args.iter().skip(2).filter_map(|a| a.split_once('=')).collect();
    let number = |key: &str, default: usize| options.get(key).map_or(default, |v| v.parse().expect("number"));

    let mut config = InferenceConfig::new(&recorded.library, &recorded.models_dir, recorded.threads);
    config.openvino_dir.clone_from(&recorded.openvino_dir);
    config.cache_dir.clone_from(&recorded.cache_dir);
    // Another session configuration needs other engines: they are built, and waited for.
    config.builder_command =
        vec![recorded.builder.clone().into_os_string(), OsString::from("engine-builder")];
    for (key, session_config) in [("det", &mut config.plan.detection), ("rec", &mut config.plan.recognition)]
    {
        if let Some((sessions, threads)) = options.get(key).and_then(|v| v.split_once('x')) {
            *session_config =
                SessionConfig { sessions: sessions.parse().unwrap(), threads: threads.parse().unwrap() };
        }
    }
    for (model, variant) in &recorded.variants {
        let hint: PreferredProvider = variant.parse().expect("an engine variant");
        config.model_providers.insert(model.as_str().into(), vec![hint]);
    }
    let inference = Inference::start(config).expect("start");
    let models: Vec<ModelName> = recorded.variants.keys().map(|model| model.as_str().into()).collect();
    inference.open(&models).expect("open");
    // The optimized graph of ONNX Runtime is built in the background; no other work may run during the measurement.
    while inference.engines().iter().any(|engine| engine.upgrading) {
        std::thread::sleep(Duration::from_millis(20));
    }

    let mut tensors: BTreeMap<[usize; 4], Tensor> = BTreeMap::new();
    for run in &recorded.runs {
        tensors.entry(run.shape).or_insert_with(|| {
            Tensor::new(&run.shape, TensorData::F32(page_like(run.shape))).expect("a tensor")
        });
    }
    let pass = || {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for worker in 0..number("window", 8) {
                let (next, inference, recorded, tensors) = (&next, &inference, &recorded, &tensors);
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                    while let Some(run) = recorded.runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let item = item(inference, run, &tensors[&run.shape], worker);
                        runtime.block_on(inference.infer(item)).expect("a run");
                    }
                });
            }
        });
    };
    // Every shape is run once before the measurement, as in a server that has read pages before.
    pass();
    // The fastest repetition counts: wall time, CPU time of this process, CPU time of all other processes.
    let mut best = [f64::INFINITY; 3];
    for _ in 0..number("turns", 1) {
        let (wall, cpu, busy) = (Instant::now(), cpu_seconds(), machine_busy_seconds());
        pass();
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        if wall < best[0] {
            best = [wall, cpu, (machine_busy_seconds() - busy - cpu).max(0.0)];
        }
    }
    let lanes: BTreeMap<String, f64> = inference
        .lanes()
        .iter()
        .map(|lane| (lane.model.to_string(), lane.busy.as_secs_f64() * 1e3 / lane.runs.max(1) as f64))
        .collect();
    println!(
        "{}",
        serde_json::json!({
            "wall_s": best[0], "cpu_s": best[1], "others_s": best[2], "runs": recorded.runs.len(),
            "mean_run_ms": lanes, "peak_mib": status_mib("VmHWM"),
        })
    );
    inference.shutdown();
}

/// Requests outputs as guests do: the reduced ones where there are any. Each worker is a tenant of its own, so that
/// only runs merge that merged in the server.
fn item(inference: &Inference, run: &Run, tensor: &Tensor, worker: usize) -> WorkItem {
    let model: ModelName = run.model.as_str().into();
    let info = inference.model(&model).expect("an open model");
    let names = info.outputs.iter().map(|port| port.name.clone());
    let reduced: Vec<String> = names.clone().filter(|name| name == "ids" || name == "confidence").collect();
    WorkItem {
        model,
        tenant: format!("worker-{worker}").into(),
        inputs: vec![(info.inputs[0].name.clone(), tensor.clone())],
        outputs: if reduced.is_empty() { names.take(1).collect() } else { reduced },
        deadline: Instant::now() + Duration::from_secs(600),
        scheduling: Scheduling {
            hints: BatchingHints { isolated: true, ..BatchingHints::default() },
            ..Scheduling::default()
        },
    }
}

/// Measured as the task runner measures it for the server.
fn machine_busy_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    let fields = text.lines().next().unwrap().split_whitespace().skip(1).take(8).enumerate();
    fields.filter(|(at, _)| !matches!(at, 3 | 4)).map(|(_, f)| f.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}
