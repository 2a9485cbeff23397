//! `bench start`: how long a server takes to be ready, and to answer its first request, on each provider that this machine has:
//! with no engine in the cache, where the reference serves while better ones are built, and with all of them there.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::traffic::Client;
use super::write;
use crate::gateway::{Gateway, Upload, settled};
use crate::places::Places;
use crate::processor;
use crate::shell;

/// A server whose engines are all in the cache is to be ready within this.
const READY_MAX: Duration = Duration::from_secs(3);
/// Ladders: ONNX Runtime alone, OpenVINO with it below, each for its rung to be the one that serves.
const LADDERS: [(&str, &[&str]); 3] = [
    ("onnxruntime", &["cpu"]),
    ("openvino f32", &["openvino/f32", "cpu"]),
    ("openvino bf16", &["openvino/bf16", "cpu"]),
];
/// One page of the document, read from pixels.
const PATH: &str = "/api/v1/ocr?text_layer=never&pages=1";

/// What to run.
#[derive(Args)]
pub struct Arguments {
    /// The document of which the first page is asked for; the shipped demo document otherwise
    #[arg(long)]
    file: Option<PathBuf>,
    /// Starts with a full cache; the slowest counts
    #[arg(long, default_value_t = 3)]
    turns: usize,
}

/// One start, in seconds from the start of the process.
struct Start {
    ready_s: f64,
    answered_s: f64,
    /// When nothing better was being built any more.
    settled_s: f64,
    /// What served the models in the end.
    rungs: Vec<String>,
}

/// Runs it.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let file = arguments.file.clone().unwrap_or_else(|| places.repo("tests/data/demo.pdf"));
    let upload = Upload::read(&file)?;
    let cache = places.repo("target/bench-start.engines");
    println!(
        "\n{:<15}{:>11}{:>16}{:>13}{:>13}{:>16}   serving",
        "", "empty: ready", "first answer", "all built", "full: ready", "first answer"
    );
    let (mut rows, mut late) = (Vec::new(), Vec::new());
    for (name, ladder) in LADDERS {
        if let (true, Some(reason)) = (ladder.contains(&"openvino/bf16"), processor::lacks_bf16()) {
            println!("{name:<15}SKIPPED: {reason}");
            continue;
        }
        shell::remove_folder(&cache)?;
        let env = [
            ("LECTOR__ENGINES__PROVIDERS", serde_json::to_string(ladder)?),
            ("LECTOR__ENGINES__CACHE_DIR", cache.display().to_string()),
        ];
        let empty = start(places, &env, &upload)?;
        let full: Vec<Start> =
            (0..arguments.turns.max(1)).map(|_| start(places, &env, &upload)).collect::<Result<_>>()?;
        let most = |of: fn(&Start) -> f64| full.iter().map(of).fold(0.0, f64::max);
        let (ready_s, answered_s) = (most(|start| start.ready_s), most(|start| start.answered_s));
        println!(
            "{name:<15}{:>12.2}{:>16.2}{:>13.2}{ready_s:>13.2}{answered_s:>16.2}   {}",
            empty.ready_s,
            empty.answered_s,
            empty.settled_s,
            empty.rungs.join(", ")
        );
        if ready_s > READY_MAX.as_secs_f64() {
            late.push(name);
        }
        let of = |start: &Start| json!({ "ready_s": start.ready_s, "first_answer_s": start.answered_s, "built_s": start.settled_s });
        rows.push(json!({
            "ladder": ladder, "empty": of(&empty), "full": full.iter().map(of).collect::<Vec<_>>(), "serving": empty.rungs,
        }));
    }
    println!(
        "seconds from the start of the process; of {} starts with a full cache the slowest",
        arguments.turns
    );
    write(places, "start", json!({ "file": upload.name, "starts": rows }))?;
    ensure!(late.is_empty(), "with a full cache ready after more than {} s: {late:?}", READY_MAX.as_secs());
    Ok(())
}

fn start(places: &Places, env: &[(&str, String)], upload: &Upload) -> Result<Start> {
    let began = Instant::now();
    let gateway = Gateway::start_with(places, "bench-start", &[], env)?;
    let ready_s = began.elapsed().as_secs_f64();
    let answer = Client::new(&gateway, None).ask(PATH, upload)?;
    ensure!(answer.status == 200, "the first request was answered {}", answer.status);
    let answered_s = began.elapsed().as_secs_f64();
    settled(&gateway)?;
    let settled_s = began.elapsed().as_secs_f64();
    let told: Value = serde_json::from_str(&gateway.get("/api/v1/engines")?).context("no JSON")?;
    let engines = told["engines"].as_array().into_iter().flatten();
    let mut rungs: Vec<String> =
        engines.filter_map(|engine| engine["serving"]["rung"].as_str().map(str::to_owned)).collect();
    rungs.sort_unstable();
    rungs.dedup();
    gateway.stop()?;
    Ok(Start { ready_s, answered_s, settled_s, rungs })
}
