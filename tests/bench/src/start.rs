//! `bench start`: measures the time until a server is ready and until its first response, on each provider of this
//! machine: with an empty engine cache, where the reference serves while better engines are built, and with a full one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;
use xtask::gateway::Upload;
use xtask::places::Places;
use xtask::{processor, shell};

use crate::client::{Client, engines, settled};
use crate::{documents, server_on, table, write};

/// Target for the readiness of a server with a full engine cache.
const READY_MAX: Duration = Duration::from_secs(3);
/// Provider preference lists: ONNX Runtime only, and each precision of OpenVINO before it.
const PREFERENCES: [(&str, &[&str]); 3] = [
    ("onnxruntime", &["cpu"]),
    ("openvino f32", &["openvino/f32", "cpu"]),
    ("openvino bf16", &["openvino/bf16", "cpu"]),
];
const COLUMNS: &str = "name empty/ready_s:2 empty/first_answer_s:2 empty/built_s:2 slowest_full/ready_s:2 \
                       slowest_full/first_answer_s:2 serving";
/// Path of a request that reads one page from pixels.
const PATH: &str = "/api/v1/ocr?text_layer=never&pages=1";

/// Arguments of `bench start`.
#[derive(Args)]
pub struct Arguments {
    /// Document whose first page is read (default: the shipped demo document)
    #[arg(long)]
    file: Option<PathBuf>,
    /// Number of starts with a full cache; the slowest counts
    #[arg(long, default_value_t = 3)]
    turns: usize,
}

/// A start: seconds from the start of the process.
struct Start {
    ready_s: f64,
    answered_s: f64,
    /// Until no better engine was being built.
    settled_s: f64,
    /// Engine variants that serve the models in the end.
    serving: Vec<String>,
}

/// Runs the benchmark.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let upload = documents(places, arguments.file.as_slice())?.remove(0);
    let cache = places.repo("target/bench-start.engines");
    let (mut rows, mut late) = (Vec::new(), Vec::new());
    for (name, preferred) in PREFERENCES {
        if let (true, Some(reason)) = (preferred.contains(&"openvino/bf16"), processor::lacks_bf16()) {
            println!("{name:<15}SKIPPED: {reason}");
            continue;
        }
        println!("{name}");
        shell::remove_folder(&cache)?;
        let empty = start(places, preferred, &cache, &upload)?;
        let starts = (0..arguments.turns.max(1)).map(|_| start(places, preferred, &cache, &upload));
        let full: Vec<Start> = starts.collect::<Result<_>>()?;
        let most = |of: fn(&Start) -> f64| full.iter().map(of).fold(0.0, f64::max);
        let (ready_s, first_answer_s) = (most(|start| start.ready_s), most(|start| start.answered_s));
        if ready_s > READY_MAX.as_secs_f64() {
            late.push(name);
        }
        let of = |start: &Start| json!({ "ready_s": start.ready_s, "first_answer_s": start.answered_s, "built_s": start.settled_s });
        rows.push(json!({
            "name": name, "providers": preferred, "empty": of(&empty), "full": full.iter().map(of).collect::<Vec<_>>(),
            "slowest_full": { "ready_s": ready_s, "first_answer_s": first_answer_s }, "serving": empty.serving.join(", "),
        }));
    }
    table::print(COLUMNS, &rows);
    println!(
        "seconds from the start of the process; of {} starts with a full cache the slowest",
        arguments.turns
    );
    write(places, "start", json!({ "file": upload.name, "starts": rows }))?;
    ensure!(late.is_empty(), "with a full cache ready after more than {} s: {late:?}", READY_MAX.as_secs());
    Ok(())
}

fn start(places: &Places, preferred: &[&str], cache: &Path, upload: &Upload) -> Result<Start> {
    let began = Instant::now();
    let (gateway, ready_s) = server_on(places, "bench-start", preferred, cache)?;
    let answer = Client::new(&gateway, None).ask(PATH, upload)?;
    ensure!(answer.status == 200, "the first request: status {}", answer.status);
    let answered_s = began.elapsed().as_secs_f64();
    settled(&gateway)?;
    let settled_s = began.elapsed().as_secs_f64();
    let mut serving: Vec<String> = engines(&gateway)?.into_iter().map(|engine| engine.serving).collect();
    serving.retain(|variant| !variant.is_empty());
    serving.sort_unstable();
    serving.dedup();
    gateway.stop()?;
    Ok(Start { ready_s, answered_s, settled_s, serving })
}
