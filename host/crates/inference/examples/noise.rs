//! Acceptance of a model's weights with added noise. `cargo xtask bench acceptance`, which writes PLAN.json, then
//! measures the text quality with these weights in the model's place, and so relates it to the agreement on the golden
//! batch.
//!
//! `noise PLAN.json`. Every weight of the large tensors is multiplied by 1 + s g, g from a normal distribution:
//! relative errors, like those of a lower precision. With `sigmas` these are tried, one line of JSON each; without them
//! increasing ones, until the agreement is below `LEAST`. With `out`, OUT/SIGMA becomes a catalog with the noisy model
//! in it; with `loose`, its limits accept every engine, so that a server can read with an engine that would be refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/common/weights.rs"]
mod weights;

use std::path::{Path, PathBuf};

use lector_inference::catalog::Sha256;
use lector_inference::{Inference, InferenceConfig};

#[derive(serde::Deserialize)]
struct Plan {
    library: PathBuf,
    models_dir: PathBuf,
    threads: usize,
    model: String,
    #[serde(default)]
    sigmas: Vec<f32>,
    out: Option<PathBuf>,
    #[serde(default)]
    loose: bool,
}

/// The first sigma; each further one is `FACTOR` times the last, until the first measure is below `LEAST`.
const FIRST: f32 = 0.004;
const FACTOR: f32 = 1.5;
const LEAST: f64 = 0.6;
const STEPS_MAX: usize = 16;

fn main() {
    let path = std::env::args().nth(1).expect("PLAN.json");
    let plan: Plan = serde_json::from_slice(&std::fs::read(path).expect("the plan")).expect("a plan as JSON");
    let config = InferenceConfig::new(&plan.library, &plan.models_dir, plan.threads);
    let inference = Inference::start(config).expect("start");
    let file = plan.models_dir.join(&plan.model).join("model.onnx");
    let weights = std::fs::read(&file).expect("the weights");
    let judged = |sigma: f32| {
        let noisy = noisy(weights.clone(), sigma);
        assert!(sigma == 0.0 || noisy != weights, "the weights are stored where the noise does not reach");
        let acceptance =
            inference.agreement(&plan.model.as_str().into(), noisy.clone()).expect("an acceptance report");
        if let Some(out) = &plan.out {
            catalog(&plan, &out.join(format!("{sigma}")), &noisy);
        }
        println!("{}", serde_json::json!({ "sigma": sigma, "measures": acceptance.measures }));
        acceptance.measures[0].value
    };
    if plan.sigmas.is_empty() {
        let rising = std::iter::successors(Some(FIRST), |sigma| Some(sigma * FACTOR)).take(STEPS_MAX);
        let _ = rising.map(judged).find(|agreement| *agreement < LEAST);
    } else {
        plan.sigmas.iter().for_each(|&sigma| {
            judged(sigma);
        });
    }
}

fn noisy(model: Vec<u8>, sigma: f32) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    weights::changed(model, 1, |weight| weight * (1.0 + sigma * normal(&mut state)))
}

/// Returns a nearly normal number: the sum of twelve uniformly distributed ones.
fn normal(state: &mut u64) -> f32 {
    let mut even = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 40) as f32 / (1u32 << 24) as f32
    };
    (0..12).map(|_| even()).sum::<f32>() - 6.0
}

/// Writes the catalog with the noisy model in place of the original; all other files are links.
fn catalog(plan: &Plan, dir: &Path, weights: &[u8]) {
    let model = dir.join(&plan.model);
    std::fs::create_dir_all(&model).unwrap();
    let link = |from: &Path, to: PathBuf| {
        let _ = std::fs::remove_file(&to);
        std::os::unix::fs::symlink(from.canonicalize().unwrap(), to).unwrap();
    };
    for entry in std::fs::read_dir(&plan.models_dir).unwrap().map(|entry| entry.unwrap()) {
        if entry.path().is_dir() && entry.file_name() != plan.model.as_str() {
            link(&entry.path(), dir.join(entry.file_name()));
        }
    }
    let own = plan.models_dir.join(&plan.model);
    for entry in std::fs::read_dir(&own).unwrap().map(|entry| entry.unwrap()) {
        if !["model.toml", "model.onnx"].iter().any(|name| entry.file_name() == *name) {
            link(&entry.path(), model.join(entry.file_name()));
        }
    }
    let text = std::fs::read_to_string(own.join("model.toml")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let digest = lines.iter().position(|line| line.starts_with("sha256")).expect("a digest of the weights");
    lines[digest] = format!("sha256 = \"{}\"", Sha256::of(weights));
    if plan.loose {
        let limits = lines.iter().position(|line| line == "[acceptance.limits]").expect("limits");
        for line in lines.iter_mut().skip(limits) {
            let key = line.split(" = ").next().unwrap_or_default().to_owned();
            if key.ends_with("_min") || key.ends_with("_max") {
                *line = format!("{key} = {}", if key.ends_with("_min") { "0.0" } else { "1e9" });
            }
        }
    }
    std::fs::write(model.join("model.toml"), lines.join("\n")).unwrap();
    std::fs::write(model.join("model.onnx"), weights).unwrap();
}
