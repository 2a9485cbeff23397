//! The inference plane on the real library and the real weights. Where they are missing (before `cargo xtask setup`) a
//! test prints that and passes; under `LECTOR_REQUIRE_MODELS=1` it fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods
)]

#[path = "common/places.rs"]
mod places;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::port::{Scheduling, WorkDone, WorkItem};
use lector_core::{Blame, Dtype, Engines, Fault, Kind, ModelName, Tensor, TensorData};
use lector_inference::{
    Catalog, CpuFeatures, Inference, InferenceConfig, InferenceError, ModelEntry, PreferenceError,
};

use places::{Places, cpu_features, missing, places};

const REC: &str = "pp-ocrv6-small-rec";
const TINY_REC: &str = "pp-ocrv6-tiny-rec";
const TINY_DET: &str = "pp-ocrv6-tiny-det";
const LOGITS: &str = "fetch_name_0";

/// Returns a configuration for `models`; `None`, with a message, where something is missing.
fn config(models: &[&str]) -> Option<InferenceConfig> {
    let Places { library, openvino_dir, models_dir } = places();
    let catalog = Catalog::read(&models_dir).unwrap_or_default();
    let present = |name: &str| catalog.find(&name.into()).is_some_and(ModelEntry::present);
    if !library.is_file() || !models.iter().all(|name| present(name)) {
        missing(format_args!("ONNX Runtime or weights of {models:?} are"));
        return None;
    }
    // The reference alone: no build and no swap changes the engine during a test.
    let mut config = InferenceConfig::new(library, models_dir, 2);
    config.openvino_dir = openvino_dir;
    config.cpu_features = cpu_features();
    config.providers = vec!["cpu".parse().unwrap()];
    config.cache_dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-engines");
    Some(config)
}

fn start(models: &[&str]) -> Option<Arc<Inference>> {
    config(models).map(|config| opened(config, models))
}

fn opened(config: InferenceConfig, models: &[&str]) -> Arc<Inference> {
    let inference = Inference::start(config).unwrap();
    inference.open(&names(models)).unwrap();
    inference
}

fn names(models: &[&str]) -> Vec<ModelName> {
    models.iter().map(|&name| name.into()).collect()
}

/// Returns stripes that differ by `seed`: a recognizer reads some characters in them.
fn stripes(shape: &[usize], seed: usize) -> Tensor {
    let width = *shape.last().unwrap();
    let count: usize = shape.iter().product();
    let value = |i: usize| {
        let (x, y) = (i % width, i / width);
        if (x * (seed + 3) / 11 + y / 9).is_multiple_of(4) { -0.8 } else { 0.9 }
    };
    Tensor::new(shape, TensorData::F32((0..count).map(value).collect())).unwrap()
}

fn item(model: &str, input: Tensor, outputs: &[&str]) -> WorkItem {
    WorkItem {
        model: model.into(),
        tenant: "test".into(),
        inputs: vec![("x".to_owned(), input)],
        outputs: outputs.iter().map(|&o| o.to_owned()).collect(),
        deadline: Instant::now() + Duration::from_secs(600),
        scheduling: Scheduling::default(),
    }
}

fn run(inference: &Inference, item: WorkItem) -> Result<WorkDone, Fault> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(inference.infer(item))
}

#[test]
fn the_reduction_equals_argmax_and_max_of_the_raw_logits() {
    let Some(inference) = start(&[REC, TINY_REC]) else { return };
    for model in [REC, TINY_REC] {
        let input = stripes(&[3, 3, 48, 384], 1);
        let done = run(&inference, item(model, input, &["confidence", LOGITS, "ids"])).unwrap();
        let [confidence, logits, ids] = done.outputs.as_slice() else { panic!("three outputs") };
        let classes = *logits.shape().last().unwrap();
        assert_eq!(classes, inference.model(&model.into()).unwrap().labels.len());
        assert_eq!(ids.shape(), &logits.shape()[..2]);
        assert_eq!(confidence.shape(), ids.shape());
        let TensorData::S64(ids) = ids.data() else { panic!("ids are s64") };
        let steps = logits.as_f32().unwrap().chunks_exact(classes);
        assert_eq!(steps.len(), ids.len());
        for ((step, &id), &confidence) in steps.zip(ids).zip(confidence.as_f32().unwrap()) {
            let max = step.iter().copied().fold(f32::MIN, f32::max);
            assert_eq!(step.iter().position(|&v| v == max), usize::try_from(id).ok());
            assert_eq!(confidence, max);
        }
    }
}

#[test]
fn a_model_lists_its_inputs_and_outputs() {
    let Some(inference) = start(&[REC, "textline-orientation", "page-orientation", TINY_DET]) else { return };
    let model = |name: &str| inference.model(&name.into()).unwrap();
    let rec = model(REC);
    assert_eq!(rec.inputs[0].shape, [-1, 3, 48, -1]);
    assert_eq!(
        rec.outputs.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(),
        [LOGITS, "ids", "confidence"]
    );
    assert_eq!((rec.outputs[1].dtype, rec.outputs[2].dtype), (Dtype::S64, Dtype::F32));
    assert_eq!((rec.labels.len(), rec.labels[0].as_str(), rec.labels[18709].as_str()), (18710, "", " "));
    assert_eq!((rec.width_buckets[0], rec.width_buckets.last()), (128, Some(&3200)));
    assert_eq!(*model("textline-orientation").labels, ["0", "180"]);
    assert_eq!(model("textline-orientation").inputs[0].shape, [-1, 3, 48, 192]);
    assert_eq!(*model("page-orientation").labels, ["0", "90", "180", "270"]);
    assert!(inference.model(&"no-such-model".into()).is_none());
    let fault = run(&inference, item("no-such-model", stripes(&[1], 0), &[])).unwrap_err();
    assert_eq!((fault.code, fault.kind), ("model_not_found", Kind::NotFound));
    inference.probe().unwrap();
    assert_eq!(inference.lanes().iter().map(|lane| lane.runs).collect::<Vec<_>>(), [1, 1, 1, 1]);
}

#[test]
fn inputs_that_do_not_fit_blame_the_guest() {
    let Some(inference) = start(&[TINY_DET, TINY_REC]) else { return };
    let check = |model: &str, shape: &[usize], output: &str, code: &str, expect: &str| {
        let fault = run(&inference, item(model, stripes(shape, 0), &[output])).unwrap_err();
        assert_eq!((fault.code, fault.kind, fault.blame), (code, Kind::Invalid, Blame::Guest));
        assert!(fault.message.contains(expect), "{:?} lacks {expect:?}", fault.message);
    };
    check(TINY_REC, &[1, 3, 48, 100], "ids", "model_input_invalid", "multiple of 128");
    check(TINY_REC, &[1, 3, 32, 384], "ids", "model_input_invalid", "48");
    check(TINY_REC, &[17, 3, 48, 128], "ids", "model_input_invalid", "16 rows");
    check(TINY_REC, &[1, 3, 48, 128], "logits", "model_output_invalid", "`ids`");
    check(TINY_DET, &[1, 3, 33, 32], LOGITS, "model_input_invalid", "multiple of 32");
    check(TINY_DET, &[1, 3, 2560, 2560], LOGITS, "model_input_invalid", "pixels");
    let lanes = inference.lanes();
    assert_eq!(
        lanes.iter().map(|lane| (lane.refused_invalid, lane.runs)).collect::<Vec<_>>(),
        [(2, 0), (4, 0)]
    );
}

#[test]
fn the_same_input_gives_the_same_output_under_load() {
    let Some(inference) = start(&[TINY_REC]) else { return };
    let expected: Vec<Vec<f32>> = (0..4).map(|seed| confidences(&inference, seed)).collect();
    assert!(expected[0] != expected[1], "the inputs differ");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (inference, expected) = (&inference, &expected);
            scope.spawn(move || {
                for turn in 0..6 {
                    let seed = (thread + turn) % 4;
                    assert_eq!(confidences(inference, seed), expected[seed]);
                }
            });
        }
    });
    // Rows are counted once each; the lane decides the number of rows in a run, which does not change the results.
    let lane = &inference.lanes()[0];
    assert_eq!((lane.rows, lane.in_flight, lane.queue_depth), (52, 0, 0));
    assert!((1..=52).contains(&lane.runs), "{}", lane.runs);
}

fn confidences(inference: &Inference, seed: usize) -> Vec<f32> {
    let input = stripes(&[1, 3, 48, 128 + 128 * seed], seed);
    let done = run(inference, item(TINY_REC, input, &["confidence"])).unwrap();
    done.outputs[0].as_f32().unwrap().to_vec()
}

#[test]
fn withdrawn_and_late_items_are_not_run() {
    let Some(mut config) = config(&[TINY_REC]) else { return };
    config.queue_items_max = 8;
    let inference = opened(config, &[TINY_REC]);
    // Two long runs keep both sessions busy while the other items are offered.
    let input = stripes(&[16, 3, 48, 1664], 0);
    let long = || item(TINY_REC, input.clone(), &["ids"]);
    let busy = [inference.infer(long()), inference.infer(long())];
    wait_for(|| inference.lanes()[0].in_flight == 2);
    drop(inference.infer(item(TINY_REC, stripes(&[1, 3, 48, 128], 0), &["ids"])));
    let late = inference.infer(WorkItem { deadline: Instant::now(), ..long() });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for run in busy {
        runtime.block_on(run).unwrap();
    }
    assert_eq!(runtime.block_on(late).unwrap_err().code, "engine_deadline");
    let lane = &inference.lanes()[0];
    assert_eq!((lane.runs, lane.skipped_cancelled, lane.skipped_expired), (2, 1, 1));
}

#[test]
fn a_full_lane_rejects_and_a_shutdown_answers_all() {
    let Some(mut config) = config(&[TINY_REC]) else { return };
    config.queue_items_max = 2;
    let inference = opened(config, &[TINY_REC]);
    let input = stripes(&[16, 3, 48, 1664], 0);
    let long = || inference.infer(item(TINY_REC, input.clone(), &["ids"]));
    let busy = [long(), long()];
    wait_for(|| inference.lanes()[0].in_flight == 2);
    let waiting = [long(), long()];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fault = runtime.block_on(long()).unwrap_err();
    assert_eq!((fault.code, fault.kind), ("engine_queue_full", Kind::Busy));
    assert!(fault.retry_after.is_some());
    inference.shutdown();
    for run in busy {
        runtime.block_on(run).unwrap();
    }
    for run in waiting {
        assert_eq!(runtime.block_on(run).unwrap_err().code, "engine_stopped");
    }
    assert_eq!(runtime.block_on(long()).unwrap_err().code, "engine_stopped");
    inference.shutdown();
}

#[test]
fn missing_files_at_the_start_are_named() {
    let Some(mut good) = config(&[TINY_DET]) else { return };
    let lost = InferenceConfig { library: "/nonexistent/libonnxruntime.so".into(), ..good.clone() };
    let Err(error) = Inference::start(lost) else { panic!("started without a library") };
    assert!(matches!(error, InferenceError::LibraryMissing { .. }));
    assert!(error.to_string().contains("cargo xtask setup"), "{error}");
    // A named provider that cannot load is an error that names the missing files, and not a silent CPU session.
    let check = |word: &str, expect: &[&str]| {
        let config = InferenceConfig { providers: vec![word.parse().unwrap()], ..good.clone() };
        let Err(error) = Inference::start(config) else { panic!("started on {word}") };
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let text = format!("{error}: {source}");
        for expect in expect {
            assert!(text.contains(expect), "{text} lacks {expect}");
        }
    };
    check("cuda:0", &["provider cuda:0", "libonnxruntime_providers_cuda.so", "onnxruntime-gpu 1.31.1"]);
    check("tensorrt", &["provider tensorrt:0", "libnvinfer.so.10", "TensorRT 10.13"]);
    good.openvino_dir = "/nonexistent".into();
    let config = InferenceConfig { providers: vec!["openvino".parse().unwrap()], ..good.clone() };
    let Err(InferenceError::OpenVino(error)) = Inference::start(config) else { panic!("no OpenVINO there") };
    assert!(error.to_string().contains("2026.4.1") && error.to_string().contains("/nonexistent"), "{error}");
    let single = [("no-such-model".into(), vec!["cpu".parse().unwrap()])];
    let config = InferenceConfig { model_providers: single.into(), ..good };
    let Err(error) = Inference::start(config) else {
        panic!("a provider preference list for an unknown model")
    };
    assert!(matches!(error, InferenceError::ModelUnknown { .. }), "{error}");
}

#[test]
fn hidden_processor_features_count_as_missing() {
    let Some(good) = config(&[TINY_REC]) else { return };
    let on = |provider: &str| {
        let cpu_features = CpuFeatures::parse(&["-avx512", "-amx"]).unwrap();
        let providers = vec![provider.parse().unwrap()];
        Inference::start(InferenceConfig { cpu_features, providers, ..good.clone() })
    };
    assert_eq!(on("auto").unwrap().preference(&TINY_REC.into()).to_string(), "openvino/f32, cpu/f32");
    let Err(InferenceError::ProviderPreference { key, source }) = on("openvino/bf16") else {
        panic!("bf16 is hidden")
    };
    assert!(matches!(source, PreferenceError::NoBf16 { .. }), "{key}: {source}");
}

#[test]
fn lanes_open_on_request_and_close_without_references() {
    let Some(inference) = start(&[]) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let prepare = |models: &[&str]| runtime.block_on(inference.prepare(names(models)));
    let fault = prepare(&["other"]).unwrap_err();
    assert_eq!((fault.code, fault.kind), ("model_not_found", Kind::NotFound));
    assert!(fault.message.contains("other is not in the catalog; it has: "), "{fault}");
    assert!(inference.model(&TINY_DET.into()).is_none());
    // Many at once, for overlapping models: each is opened once.
    let asked: Vec<_> = (0..8)
        .map(|n| if n % 2 == 0 { names(&[TINY_DET, TINY_REC]) } else { names(&[TINY_REC]) })
        .map(|models| runtime.spawn(inference.prepare(models)))
        .collect();
    for asked in asked {
        runtime.block_on(asked).unwrap().unwrap();
    }
    let open = || inference.lanes().iter().map(|lane| lane.model.to_string()).collect::<Vec<_>>();
    assert_eq!(open(), [TINY_DET, TINY_REC]);
    inference.probe().unwrap();
    prepare(&[TINY_DET]).unwrap();
    assert_eq!(inference.lanes()[0].runs, 1, "an open lane is not reopened");

    // A started run ends normally; then the lane is closed, and can be opened again.
    let long = inference.infer(item(TINY_REC, stripes(&[16, 3, 48, 1664], 0), &["ids"]));
    wait_for(|| inference.lanes()[1].in_flight == 1);
    assert_eq!(runtime.block_on(inference.retain(names(&[TINY_DET]))), names(&[TINY_REC]));
    runtime.block_on(long).unwrap();
    assert_eq!(open(), [TINY_DET]);
    assert!(runtime.block_on(inference.retain(names(&[TINY_DET]))).is_empty());
    let fault = run(&inference, item(TINY_REC, stripes(&[1, 3, 48, 128], 0), &["ids"])).unwrap_err();
    assert_eq!(fault.code, "model_not_found");
    prepare(&[TINY_REC]).unwrap();
    run(&inference, item(TINY_REC, stripes(&[1, 3, 48, 128], 0), &["ids"])).unwrap();

    inference.shutdown();
    assert_eq!(prepare(&["textline-orientation"]).unwrap_err().code, "engine_stopped");
}

#[test]
fn missing_or_altered_weights_open_no_lane() {
    let Some(good) = config(&[TINY_DET]) else { return };
    let models = tempfile::tempdir().unwrap();
    let folder = models.path().join(TINY_DET);
    std::fs::create_dir(&folder).unwrap();
    let description = good.models_dir.join(TINY_DET).join("model.toml");
    std::fs::copy(description, folder.join("model.toml")).unwrap();
    let golden = good.models_dir.join("golden");
    std::os::unix::fs::symlink(golden, models.path().join("golden")).unwrap();
    let config = InferenceConfig { models_dir: models.path().to_owned(), ..good };
    let inference = Inference::start(config).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let check = |expect: &str| {
        let fault = runtime.block_on(inference.prepare(names(&[TINY_DET]))).unwrap_err();
        assert_eq!((fault.code, fault.kind), ("model_unavailable", Kind::Unavailable));
        assert!(fault.message.contains(TINY_DET) && fault.message.contains(expect), "{fault}");
        let place = models.path().to_str().unwrap();
        assert!(!fault.message.contains(place), "paths belong in the detail: {fault}");
        assert!(fault.detail.unwrap().contains(place));
    };
    check("lacks `model.onnx`");
    std::fs::write(folder.join("model.onnx"), b"something else").unwrap();
    check("is not the file");
}

/// Waits for a condition; one that does not hold by the timeout never holds, however busy the machine.
fn wait_for(condition: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(600);
    while !condition() {
        assert!(Instant::now() < give_up, "the condition never held");
        std::thread::yield_now();
    }
}
