//! Engines with the real libraries and weights: built by processes, cached, accepted or refused, swapped. Where files
//! are missing (before `cargo xtask setup`) a test prints that and passes; under `LECTOR_REQUIRE_MODELS=1` it fails.
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
#[path = "engines/retries.rs"]
mod retries;
#[path = "common/weights.rs"]
mod weights;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::port::{Scheduling, WorkItem};
use lector_core::{Engines, ModelName, Tensor, TensorData};
use lector_inference::build::Task;
use lector_inference::{BuildOrder, Inference, InferenceConfig, VariantState};

/// A condition that does not hold by then never holds, however busy the machine.
const HANG: Duration = Duration::from_secs(1200);
/// A small model, quick to build.
const LINE: &str = "textline-orientation";
const DET: &str = "pp-ocrv6-tiny-det";
const REC: &str = "pp-ocrv6-tiny-rec";

struct Stage {
    config: InferenceConfig,
    dir: tempfile::TempDir,
}

/// Returns an empty cache and a provider preference list; `None`, with a message, where something is missing.
fn stage(preference: &[&str]) -> Option<Stage> {
    let mut config = building::config(&[LINE, DET, REC], preference)?;
    let dir = tempfile::tempdir().unwrap();
    config.cache_dir = dir.path().join("engines");
    Some(Stage { config, dir })
}

fn open(config: &InferenceConfig, model: &str) -> Arc<Inference> {
    let inference = Inference::start(config.clone()).unwrap();
    inference.open(&[model.into()]).unwrap();
    inference
}

fn serving(inference: &Inference) -> (String, Option<String>) {
    let serving = inference.engines().remove(0).serving.unwrap();
    (serving.variant.to_string(), serving.entry)
}

/// Waits for a condition: builds have a low priority, and take many times as long on a busy machine.
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + HANG;
    while !condition() {
        assert!(Instant::now() < give_up, "the condition never held: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn run(inference: &Inference, model: &str, shape: &[usize], output: &str) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let value = |i: usize| if (i * 7 / 11 + i / 640).is_multiple_of(4) { -0.8 } else { 0.9 };
    let tensor = Tensor::new(shape, TensorData::F32((0..count).map(value).collect())).unwrap();
    let item = WorkItem {
        model: model.into(),
        tenant: "test".into(),
        inputs: vec![("x".to_owned(), tensor)],
        outputs: vec![output.to_owned()],
        deadline: Instant::now() + HANG,
        scheduling: Scheduling::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(inference.infer(item)).unwrap().outputs[0].as_f32().unwrap().to_vec()
}

#[test]
fn the_reference_serves_at_once_and_a_better_engine_replaces_it_without_failures() {
    let Some(stage) = stage(&["openvino/f32", "cpu"]) else { return };
    let inference = open(&stage.config, REC);
    assert_eq!(serving(&inference), ("cpu/f32".to_owned(), None), "the opening does not wait");
    assert!(inference.engines()[0].upgrading);
    // Runs continue during the build; none fails, and the answers stay the same within rounding.
    let read = || run(&inference, REC, &[1, 3, 48, 384], "confidence");
    let before = read();
    let done = || serving(&inference).0 == "openvino/f32";
    wait_for("the better engine", || {
        assert_eq!(read().len(), before.len());
        done()
    });
    let after = read();
    assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 0.01), "{before:?} {after:?}");
    let lane = &inference.lanes()[0];
    assert_eq!((lane.failures, lane.provider, lane.precision), (0, "openvino", "f32"));
    let status = inference.engines().remove(0);
    assert!(!status.upgrading);
    let built = status.variants[0].built.clone().unwrap();
    assert!(built.bytes > 1_000_000 && built.summary.contains("character_agreement"), "{built:?}");
    drop(inference);

    // The next start finds the engine, and builds nothing.
    let inference = open(&stage.config, REC);
    let (variant, entry) = serving(&inference);
    assert_eq!((variant.as_str(), entry), ("openvino/f32", Some(built.entry)));
    assert!(!inference.engines()[0].upgrading);
    assert_eq!(
        run(&inference, REC, &[1, 3, 48, 384], "confidence"),
        after,
        "the same engine, the same answer"
    );
    // An entry in use is not collected.
    let collected = inference.cache().collect(Some(1)).unwrap();
    assert_eq!((collected.removed.len(), collected.in_use), (0, 1));
    drop(inference);
    assert_eq!(open(&stage.config, REC).cache().collect(Some(1)).unwrap().in_use, 1);
}

#[test]
fn the_optimized_graph_of_the_cpu_is_built_and_loaded_like_any_engine() {
    let Some(stage) = stage(&["cpu"]) else { return };
    let inference = open(&stage.config, LINE);
    let before = run(&inference, LINE, &[2, 3, 48, 192], output(&inference, LINE).as_str());
    wait_for("the optimized graph", || serving(&inference).1.is_some());
    let name = output(&inference, LINE);
    assert_eq!(run(&inference, LINE, &[2, 3, 48, 192], &name), before);
    drop(inference);
    let inference = open(&stage.config, LINE);
    assert!(serving(&inference).1.is_some());
    assert_eq!(run(&inference, LINE, &[2, 3, 48, 192], &name), before);
}

fn output(inference: &Inference, model: &str) -> String {
    inference.model(&model.into()).unwrap().outputs[0].name.clone()
}

#[test]
fn without_a_permitted_reference_the_opening_waits_for_a_build() {
    let Some(stage) = stage(&["openvino/f32"]) else { return };
    let inference = open(&stage.config, LINE);
    assert_eq!(serving(&inference).0, "openvino/f32");
    drop(inference);
    // A host without a builder names the command to run.
    let config = InferenceConfig {
        builder_command: vec![],
        cache_dir: stage.dir.path().join("empty"),
        ..stage.config.clone()
    };
    let inference = Inference::start(config).unwrap();
    let error = inference.open(&[LINE.into()]).unwrap_err().to_string();
    assert!(error.contains(LINE) && error.contains("lector engines build"), "{error}");
}

#[test]
fn a_damaged_entry_is_quarantined_and_built_again() {
    let Some(stage) = stage(&["openvino/f32", "cpu"]) else { return };
    let first = Inference::start(stage.config.clone()).unwrap();
    let outcome = first.order(Task::Build, &LINE.into(), "openvino/f32".parse().unwrap(), |_, _| {}).unwrap();
    assert!(outcome.accepted && !outcome.found, "{outcome:?}");
    let blob = stage.config.cache_dir.join(&outcome.entry).join("engine.blob");
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[1000] ^= 0x55;
    std::fs::write(&blob, bytes).unwrap();
    let inference = open(&stage.config, LINE);
    assert_eq!(serving(&inference).0, "cpu/f32", "the server keeps serving");
    let quarantined = inference.cache().quarantined().unwrap();
    assert!(quarantined[0].1.contains("engine.blob has other content"), "{quarantined:?}");
    wait_for("the new engine", || serving(&inference).0 == "openvino/f32");
}

#[test]
fn an_unloadable_entry_is_quarantined_and_built_again_without_a_restart() {
    for (preference, variant, file) in
        [(&["openvino/f32", "cpu"][..], "openvino/f32", "engine.blob"), (&["cpu"], "cpu/f32", "engine.onnx")]
    {
        let Some(stage) = stage(preference) else { return };
        let first = Inference::start(stage.config.clone()).unwrap();
        let outcome = first.order(Task::Build, &LINE.into(), variant.parse().unwrap(), |_, _| {}).unwrap();
        drop(first);
        replace(&stage, &outcome.entry, file, b"not loadable by any runtime");
        let inference = open(&stage.config, LINE);
        assert_eq!(
            serving(&inference),
            ("cpu/f32".to_owned(), None),
            "the next permitted one serves at once"
        );
        wait_for("the engine that was built again", || {
            let (serves, entry) = serving(&inference);
            serves == variant && entry.as_ref() == Some(&outcome.entry)
        });
        let quarantined = inference.cache().quarantined().unwrap();
        assert!(quarantined[0].1.contains("it could not be loaded"), "{quarantined:?}");
    }
}

/// Returns a builder command that runs this shell script.
fn shell(script: String) -> Vec<std::ffi::OsString> {
    ["/bin/sh".to_owned(), "-c".to_owned(), script].map(Into::into).into()
}

#[test]
fn an_opening_that_waits_for_a_build_blocks_no_other_and_ends_with_the_plane() {
    let Some(mut stage) = stage(&["cpu"]) else { return };
    stage.config.model_providers = [(LINE.into(), vec!["openvino/f32".parse().unwrap()])].into();
    let begun = stage.dir.path().join("begun");
    stage.config.builder_command = shell(format!("touch {}; exec sleep 600", begun.display()));
    let inference = Inference::start(stage.config.clone()).unwrap();
    let waiting = std::thread::spawn({
        let inference = inference.clone();
        move || inference.open(&[LINE.into()])
    });
    wait_for("the build", || begun.exists());
    // Other lanes open, run and close; a request for a model that is not open is answered at once and builds nothing.
    inference.open(&[DET.into(), REC.into()]).unwrap();
    run(&inference, REC, &[1, 3, 48, 384], "confidence");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let item = WorkItem {
        model: LINE.into(),
        tenant: "test".into(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        deadline: Instant::now() + HANG,
        scheduling: Scheduling::default(),
    };
    let fault = runtime.block_on(inference.infer(item)).unwrap_err();
    assert_eq!(fault.code, "model_not_found");
    assert_eq!(inference.lanes().len(), 2);
    assert!(!waiting.is_finished());
    inference.shutdown();
    let error = waiting.join().unwrap().unwrap_err().to_string();
    assert!(error.contains("the server is shutting down"), "{error}");
}

/// Writes a catalog with one model of the real one, its description and weights changed.
fn catalog(stage: &Stage, model: &str, change: impl Fn(String) -> String, weights: Vec<u8>) -> PathBuf {
    let own = stage.dir.path().join("models");
    let real = &stage.config.models_dir;
    std::fs::create_dir_all(own.join(model)).unwrap();
    std::fs::create_dir_all(own.join("golden")).unwrap();
    for picture in std::fs::read_dir(real.join("golden")).unwrap().map(|entry| entry.unwrap().path()) {
        std::fs::copy(&picture, own.join("golden").join(picture.file_name().unwrap())).unwrap();
    }
    let text = std::fs::read_to_string(real.join(model).join("model.toml")).unwrap();
    let digest = lector_inference::catalog::Sha256::of(&weights);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let weights_sha = lines.iter().position(|line| line.starts_with("sha256")).unwrap();
    lines[weights_sha] = format!("sha256 = \"{digest}\"");
    std::fs::write(own.join(model).join("model.toml"), change(lines.join("\n"))).unwrap();
    std::fs::write(own.join(model).join("model.onnx"), weights).unwrap();
    // Not every model has one.
    let _ = std::fs::copy(real.join(model).join("labels.txt"), own.join(model).join("labels.txt"));
    own
}

/// Multiplies every `nth` weight of the large tensors by `factor`.
fn perturbed(model: Vec<u8>, nth: usize, factor: f32) -> Vec<u8> {
    weights::changed(model, nth, |weight| weight * factor)
}

/// Puts the file of a wrong engine under the key of a right one: only acceptance can detect it.
fn plant(stage: &Stage, right: &str, wrong: &Path) {
    replace(stage, right, "engine.blob", &std::fs::read(wrong.join("engine.blob")).unwrap());
}

/// Replaces a file of an entry, with a digest that fits.
fn replace(stage: &Stage, entry: &str, file: &str, content: &[u8]) {
    let dir = stage.config.cache_dir.join(entry);
    let path = dir.join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let digest = lector_inference::catalog::Sha256::of(content);
    manifest["files"][file] = serde_json::json!({ "bytes": content.len(), "sha256": digest.as_str() });
    std::fs::write(dir.join(file), content).unwrap();
    std::fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

#[test]
fn an_engine_that_is_wrong_is_refused_and_the_next_variant_serves() {
    let Some(stage) = stage(&["openvino/f32", "cpu"]) else { return };
    let variant = || "openvino/f32".parse().unwrap();
    // (The line classifier keeps its weights in `Constant` nodes, where the perturbation does not look.)
    for model in [DET, REC] {
        let right = Inference::start(stage.config.clone()).unwrap();
        let outcome = right.order(Task::Build, &model.into(), variant(), |_, _| {}).unwrap();
        assert!(outcome.accepted, "{outcome:?}");
        let weights = std::fs::read(stage.config.models_dir.join(model).join("model.onnx")).unwrap();
        let other = perturbed(weights.clone(), 2, -0.7);
        assert!(other != weights, "{model}: nothing was perturbed");
        let models_dir = catalog(&stage, model, |text| text, other);
        let cache_dir = stage.dir.path().join("wrong");
        let config = InferenceConfig { models_dir, cache_dir: cache_dir.clone(), ..stage.config.clone() };
        let wrong = Inference::start(config).unwrap();
        let built = wrong.order(Task::Build, &model.into(), variant(), |_, _| {}).unwrap();
        plant(&stage, &outcome.entry, &cache_dir.join(&built.entry));
        let outcome = right.order(Task::Verify, &model.into(), variant(), |_, _| {}).unwrap();
        assert!(!outcome.accepted, "{model}: {outcome:?}");
        // Kept for inspection, reported, and not built again.
        let inference = open(&stage.config, model);
        assert_eq!(serving(&inference).0, "cpu/f32");
        let status = inference.engines().remove(0);
        assert_eq!(status.variants[0].state, VariantState::Refused);
        assert_eq!(status.variants[0].built.as_ref().unwrap().summary, outcome.summary);
    }
}

#[test]
fn a_partly_wrong_engine_is_accepted_or_refused_by_the_threshold() {
    let Some(stage) = stage(&["openvino/f32", "cpu"]) else { return };
    let variant = || "openvino/f32".parse().unwrap();
    // The wrong engine: a few weights slightly changed.
    let weights = std::fs::read(stage.config.models_dir.join(DET).join("model.onnx")).unwrap();
    let models_dir = catalog(&stage, DET, |text| text, perturbed(weights.clone(), 5, 1.35));
    let cache_dir = stage.dir.path().join("half");
    let config = InferenceConfig { models_dir, cache_dir: cache_dir.clone(), ..stage.config.clone() };
    let wrong = Inference::start(config).unwrap();
    let built = wrong.order(Task::Build, &DET.into(), variant(), |_, _| {}).unwrap();
    // Acceptance with the threshold at, just below and just above the measured value.
    let judge = |least: f64| {
        let loose = |text: String| {
            text.replace("mask_agreement_min = 0.93", &format!("mask_agreement_min = {least}"))
                .replace("box_match_min = 0.97", "box_match_min = 0.0")
                .replace("area_drift_max = 0.02", "area_drift_max = 1.0")
        };
        let models_dir = catalog(&stage, DET, loose, weights.clone());
        let config = InferenceConfig { models_dir, ..stage.config.clone() };
        let right = Inference::start(config).unwrap();
        let outcome = right.order(Task::Build, &DET.into(), variant(), |_, _| {}).unwrap();
        plant(&stage, &outcome.entry, &cache_dir.join(&built.entry));
        right.order(Task::Verify, &DET.into(), variant(), |_, _| {}).unwrap()
    };
    let measured = judge(0.0);
    assert!(measured.accepted, "{measured:?}");
    let manifest = std::fs::read(stage.config.cache_dir.join(&measured.entry).join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let value = manifest["acceptance"]["measures"][0]["value"].as_f64().unwrap();
    assert!((0.05..0.93).contains(&value), "partly wrong: {value}");
    assert!(judge(value).accepted);
    let refused = judge(value + 1e-9);
    assert!(!refused.accepted && refused.summary.contains("mask_agreement"), "{refused:?}");
}

fn spawn_builder(order: &BuildOrder) -> Child {
    let command = building::builder_command();
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let text = serde_json::to_string(order).unwrap();
    child.stdin.as_mut().unwrap().write_all(format!("{text}\n").as_bytes()).unwrap();
    child
}

/// Returns the builder's output. Its standard input stays open until its end: a builder ends when its parent is gone.
fn finished(mut builder: Child) -> Output {
    let orders = builder.stdin.take();
    let output = builder.wait_with_output().unwrap();
    drop(orders);
    output
}

fn order(stage: &Stage, model: &str, task: Task) -> BuildOrder {
    let name: ModelName = model.into();
    let session_config = stage.config.plan.classification;
    BuildOrder::new(&stage.config, task, &name, "openvino/f32".parse().unwrap(), session_config)
}

#[test]
fn a_killed_build_leaves_no_entry_or_a_whole_one() {
    let Some(stage) = stage(&["openvino/f32", "cpu"]) else { return };
    let started = Instant::now();
    assert!(finished(spawn_builder(&order(&stage, LINE, Task::Build))).status.success());
    let whole = started.elapsed();
    let plane = Inference::start(stage.config.clone()).unwrap();
    let is_whole = || {
        let entries = plane.cache().entries().unwrap();
        entries.iter().all(|(dir, manifest)| manifest.check_files(dir).is_ok())
    };
    // At moments spread over the build, the last of them near the publication.
    for instant in 1..=8 {
        let mut child = spawn_builder(&order(&stage, LINE, Task::Rebuild));
        std::thread::sleep(whole * instant / 8);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_whole(), "after {instant} eighths");
    }
    // No leftover of the dead builds blocks the next one, and none stays.
    let name = LINE.into();
    let outcome = plane.order(Task::Rebuild, &name, "openvino/f32".parse().unwrap(), |_, _| {}).unwrap();
    assert!(outcome.accepted);
    let left = std::fs::read_dir(stage.config.cache_dir.join("tmp")).unwrap().count();
    assert_eq!(left, 0, "folders of dead builds");
    assert_eq!(plane.cache().entries().unwrap().len(), 1);
}

#[test]
fn two_processes_that_build_the_same_key_make_one_engine() {
    let Some(stage) = stage(&["openvino/f32", "cpu"]) else { return };
    let builders = [(), ()].map(|()| spawn_builder(&order(&stage, LINE, Task::Build)));
    let said: Vec<String> =
        builders.into_iter().map(|child| String::from_utf8(finished(child).stdout).unwrap()).collect();
    let found = |flag: &str| said.iter().filter(|text| text.contains(flag)).count();
    assert_eq!((found("\"found\":false"), found("\"found\":true")), (1, 1), "{said:?}");
    assert!(said.iter().all(|text| text.contains("\"accepted\":true")), "{said:?}");
    assert_eq!(Inference::start(stage.config.clone()).unwrap().cache().entries().unwrap().len(), 1);
}

#[test]
fn a_builder_ends_when_its_parent_is_gone() {
    let Some(stage) = stage(&["openvino/f32", "cpu"]) else { return };
    let mut child = spawn_builder(&order(&stage, REC, Task::Build));
    drop(child.stdin.take());
    // Long before a whole build could have ended it writes no more messages, and nothing is published.
    let output = child.wait_with_output().unwrap();
    assert!(!String::from_utf8(output.stdout).unwrap().contains("\"say\":\"done\""));
}
