//! Results do not depend on co-batched items: a line reads the same alone and in a run beside other tenants' items, on
//! every provider of this machine, with the real weights. A provider that the processor cannot compute on is skipped
//! with a message, and the others are tested. Where files are missing (before `cargo xtask setup`) a test prints that
//! and passes; under `LECTOR_REQUIRE_MODELS=1` it fails.
//!
//! The tolerances: in f32 a run of many rows adds up its sums in another order than a run of one row; in bf16 the
//! intermediate results are rounded to 8 bits as well. The text stays the same; probabilities may differ by
//! [`Case::tolerance`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods
)]

#[path = "common/building.rs"]
mod building;
#[path = "common/places.rs"]
mod places;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use lector_core::port::{Scheduling, WorkDone, WorkItem};
use lector_core::{Engines, Tensor, TensorData};
use lector_inference::{Inference, InferenceError, PreferenceError};

/// Columns of the bucket that all golden lines fit into.
const WIDTH: usize = 896;
/// Probability above which a pixel of a detector's map counts as text (the models' own value).
const THRESHOLD: f32 = 0.2;

struct Case {
    variant: &'static str,
    /// Greatest difference of a probability.
    tolerance: f32,
    /// Greatest share of a map's pixels that may cross the threshold.
    pixels: f32,
}

const CASES: [Case; 3] = [
    Case { variant: "cpu/f32", tolerance: 1e-3, pixels: 1e-4 },
    Case { variant: "openvino/f32", tolerance: 1e-3, pixels: 1e-4 },
    Case { variant: "openvino/bf16", tolerance: 0.05, pixels: 2e-3 },
];

#[test]
fn lines_read_the_same_in_any_batch() {
    for model in ["pp-ocrv6-small-rec", "pp-ocrv6-tiny-rec"] {
        for case in &CASES {
            let Some((inference, runtime)) = open(model, case) else { continue };
            let lines: Vec<Tensor> = (0..14).map(line).collect();
            let alone: Vec<Read> =
                lines.iter().map(|line| read(&runtime.block_on(run(&inference, model, line)))).collect();
            assert!(alone.iter().all(|read| read.ids.iter().any(|&id| id != 0)), "every line has text");

            // Offered at once, in three orders, so that the lane forms runs of its own choice.
            let mut shared = 0;
            for step in [1, 3, 5] {
                let order: Vec<usize> = (0..14).map(|n| (n * step + step) % 14).collect();
                let all = order.iter().map(|&n| run(&inference, model, &lines[n]));
                for (n, done) in order.iter().zip(runtime.block_on(join_all(all))) {
                    shared += usize::from(done.composition.items > 1);
                    same(&alone[*n], &read(&done), case, &format!("{model}, line {n} in the lane's batch"));
                }
            }
            // In runs of every size that the lane could have formed, beside lines and beside noise.
            for rows in [2, 3, 4, 7, 14, 16] {
                let members: Vec<usize> = (0..rows).map(|n| (n * 5 + rows) % 14).collect();
                let whole: Vec<&Tensor> = members.iter().map(|&n| &lines[n]).collect();
                let done = runtime.block_on(run(&inference, model, &Tensor::concat(&whole).unwrap()));
                for (row, n) in members.into_iter().enumerate() {
                    same(
                        &alone[n],
                        &row_of(&done, row),
                        case,
                        &format!("{model}, line {n}, row {row} of {rows}"),
                    );
                }
            }
            let noise = noise(&[1, 3, 48, WIDTH]);
            let done = runtime.block_on(run(
                &inference,
                model,
                &Tensor::concat(&[&noise, &lines[3], &noise]).unwrap(),
            ));
            same(&alone[3], &row_of(&done, 1), case, &format!("{model}, beside noise"));
            eprintln!("{model} on {}: {shared} of 42 items shared a run of the lane's choice", case.variant);
        }
    }
}

#[test]
fn pages_are_detected_the_same_in_any_batch() {
    for model in ["pp-ocrv6-small-det", "pp-ocrv6-tiny-det"] {
        for case in &CASES {
            let Some((inference, runtime)) = open(model, case) else { continue };
            let pages: Vec<Tensor> =
                ["page-letter", "page-receipt", "page-scan"].iter().map(|name| page(name)).collect();
            let map = |input: &Tensor| runtime.block_on(run(&inference, model, input)).outputs.remove(0);
            let alone: Vec<Tensor> = pages.iter().map(map).collect();
            let together = map(&Tensor::concat(&[&pages[2], &pages[0], &pages[1]]).unwrap());
            for (page, row) in [(2, 0), (0, 1), (1, 2)] {
                let (one, many) = (alone[page].as_f32().unwrap(), row_f32(&together, row));
                assert!(one.iter().any(|&p| p > THRESHOLD), "there is text on page {page}");
                let sides =
                    one.iter().zip(many).filter(|(a, b)| (**a > THRESHOLD) != (**b > THRESHOLD)).count();
                let share = sides as f32 / one.len() as f32;
                assert!(
                    share <= case.pixels,
                    "{model} on {}: page {page}: {sides} pixels crossed the threshold",
                    case.variant
                );
            }
        }
    }
}

/// A line as read: the label and its probability, by step.
struct Read {
    ids: Vec<i64>,
    confidence: Vec<f32>,
}

fn read(done: &WorkDone) -> Read {
    row_of(done, 0)
}

fn row_of(done: &WorkDone, row: usize) -> Read {
    let TensorData::S64(ids) = done.outputs[0].data() else { panic!("ids are s64") };
    let steps = done.outputs[0].shape()[1];
    Read {
        ids: ids[row * steps..(row + 1) * steps].to_vec(),
        confidence: row_f32(&done.outputs[1], row).to_vec(),
    }
}

fn row_f32(tensor: &Tensor, row: usize) -> &[f32] {
    let size: usize = tensor.shape()[1..].iter().product();
    &tensor.as_f32().unwrap()[row * size..(row + 1) * size]
}

fn same(alone: &Read, composition: &Read, case: &Case, what: &str) {
    let what = format!("{what}, on {}", case.variant);
    assert_eq!(characters(&alone.ids), characters(&composition.ids), "{what}");
    let drift =
        alone.confidence.iter().zip(&composition.confidence).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(drift <= case.tolerance, "{what}: a probability moved by {drift}");
}

/// Decodes greedily: removes repetitions and blanks.
fn characters(ids: &[i64]) -> Vec<i64> {
    let mut characters = ids.to_vec();
    characters.dedup();
    characters.retain(|&id| id != 0);
    characters
}

async fn run(inference: &Inference, model: &str, input: &Tensor) -> WorkDone {
    let outputs: &[&str] = if model.ends_with("rec") { &["ids", "confidence"] } else { &["fetch_name_0"] };
    let item = WorkItem {
        model: model.into(),
        tenant: "test".into(),
        inputs: vec![("x".to_owned(), input.clone())],
        outputs: outputs.iter().map(|&name| name.to_owned()).collect(),
        deadline: Instant::now() + Duration::from_secs(1200),
        scheduling: Scheduling::default(),
    };
    inference.infer(item).await.unwrap()
}

/// Opens the model on that provider alone; `None`, with a message, where something is missing.
fn open(model: &str, case: &Case) -> Option<(Arc<Inference>, tokio::runtime::Runtime)> {
    let mut config = building::config(&[model], &[case.variant])?;
    config.cache_dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cobatching-engines");
    let inference = match Inference::start(config) {
        Err(InferenceError::ProviderPreference {
            source: reason @ PreferenceError::NoBf16 { .. }, ..
        }) => {
            eprintln!("SKIPPED: {model} on {}: {reason}", case.variant);
            return None;
        }
        started => started.unwrap(),
    };
    inference.open(&[model.into()]).unwrap();
    assert_eq!(inference.engines()[0].serving.as_ref().unwrap().variant.to_string(), case.variant);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    Some((inference, runtime))
}

/// Returns a golden line as the recognizers take it, padded with zeros after normalizing.
fn line(number: usize) -> Tensor {
    let picture = picture(&format!("line-{number:02}"));
    planes(&picture, 48, WIDTH, [0.5; 3], [0.5; 3])
}

/// Returns a golden image of a page as the detectors take it, on a sheet that is large enough for all of them.
fn page(name: &str) -> Tensor {
    planes(&picture(name), 448, 640, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
}

fn planes(picture: &(usize, Vec<u8>), height: usize, width: usize, mean: [f32; 3], std: [f32; 3]) -> Tensor {
    let (own, samples) = picture;
    let mut data = Vec::with_capacity(3 * height * width);
    for (mean, std) in mean.into_iter().zip(std) {
        for row in samples.chunks_exact(*own) {
            data.extend(row.iter().map(|&v| (f32::from(v) / 255.0 - mean) / std));
            data.resize(data.len() + width - own, 0.0);
        }
    }
    Tensor::new(&[1, 3, height, width], TensorData::F32(data)).unwrap()
}

/// Returns columns and gray samples of a golden picture (netpbm, P5, as `models/golden/make_golden.py` writes it).
fn picture(name: &str) -> (usize, Vec<u8>) {
    let bytes =
        std::fs::read(places::places().models_dir.join("golden").join(format!("{name}.pgm"))).unwrap();
    let header = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(2).unwrap().0;
    let words: Vec<&str> = std::str::from_utf8(&bytes[..header]).unwrap().split_whitespace().collect();
    assert_eq!((words[0], words[3]), ("P5", "255"));
    (words[1].parse().unwrap(), bytes[header + 1..].to_vec())
}

/// Returns the strongest possible noise: random samples from the ends of the scale.
fn noise(shape: &[usize]) -> Tensor {
    let mut state = 0x9E37_79B9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        if state & 1 == 0 { -1.0 } else { 1.0 }
    };
    let count: usize = shape.iter().product();
    Tensor::new(shape, TensorData::F32((0..count).map(|_| next()).collect())).unwrap()
}
