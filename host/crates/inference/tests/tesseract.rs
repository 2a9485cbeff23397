//! libtesseract in its workers, behind a lane. Where it or a language is not installed (`cargo xtask setup --languages`) a
//! test prints that and passes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods
)]

// Other tests use the rest of it.
#[allow(dead_code)]
#[path = "common/places.rs"]
mod places;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lector_core::port::{Scheduling, WorkItem};
use lector_core::{Engines, Fault, ModelName, Tensor, TensorData};
use lector_inference::tesseract::TesseractConfig;
use lector_inference::{Inference, InferenceConfig};

use places::{Places, places};

const MODEL: &str = "tesseract";

/// Opens the model; `None`, with a message, where libtesseract or one of the languages is not installed.
fn opened(languages: &[&str]) -> Option<Arc<Inference>> {
    let Places { library, models_dir, openvino_dir } = places();
    let dir = openvino_dir.with_file_name("tesseract-5.3.0");
    let data = |language: &&str| dir.join(format!("tessdata/{language}.traineddata"));
    let needed = languages.iter().map(data).chain([library.clone(), dir.join("libtesseract.so.5")]);
    if let Some(missing) = needed.into_iter().find(|file| !file.is_file()) {
        eprintln!(
            "SKIPPED: no {}; run `cargo xtask setup --languages {}`",
            missing.display(),
            languages.join(",")
        );
        return None;
    }
    let mut config = InferenceConfig::new(library, models_dir, 2);
    config.providers = vec!["cpu".parse().unwrap()];
    config.tesseract = TesseractConfig { dir, worker_command: vec![worker().into()], ..config.tesseract };
    let inference = Inference::start(config).unwrap();
    inference.open(&[MODEL.into()]).unwrap();
    Some(inference)
}

/// Cargo builds the examples of a package with its tests.
fn worker() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples/tesseract_worker")
}

/// Reads `tests/lines/NAME.pgm`, printed in the language `NAME`, as one line.
fn line(name: &str) -> Tensor {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/lines/{name}.pgm"));
    let bytes = std::fs::read(path).unwrap();
    let head = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(2).unwrap().0 + 1;
    let numbers: Vec<usize> = std::str::from_utf8(&bytes[2..head])
        .unwrap()
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    let plane: Vec<f32> = bytes[head..].iter().map(|level| f32::from(*level) / 255.0).collect();
    assert_eq!(plane.len(), numbers[0] * numbers[1]);
    Tensor::new(&[1, 3, numbers[1], numbers[0]], TensorData::F32(plane.repeat(3))).unwrap()
}

/// Returns the text with its line feeds, and the numbers of its words.
fn read(inference: &Inference, line: Tensor, languages: &[&str]) -> Result<(String, Vec<f32>), Fault> {
    let model: ModelName = MODEL.into();
    let info = inference.model(&model).unwrap();
    let label = |name: &&str| info.labels.iter().position(|own| own == name).unwrap() as i64;
    let labels: Vec<i64> = languages.iter().map(label).collect();
    let labels = Tensor::new(&[1, labels.len()], TensorData::S64(labels)).unwrap();
    let item = WorkItem {
        model,
        tenant: "t".into(),
        inputs: vec![("line".to_owned(), line), ("languages".to_owned(), labels)],
        outputs: vec!["text".to_owned(), "words".to_owned()],
        deadline: Instant::now() + Duration::from_secs(120),
        scheduling: Scheduling::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let done = runtime.block_on(inference.infer(item))?;
    assert_eq!(done.variant, ("tesseract", "f32"));
    let TensorData::U8(text) = done.outputs[0].data() else { panic!("the text is not bytes") };
    Ok((String::from_utf8(text.clone()).unwrap(), done.outputs[1].as_f32().unwrap().to_vec()))
}

fn text(read: &str) -> String {
    let words: Vec<&str> = read.split("\n\n").collect();
    words.iter().map(|word| word.replace('\n', "")).collect::<Vec<_>>().join(" ")
}

/// Held by each test: one kills all workers of this process.
static WORKERS: Mutex<()> = Mutex::new(());

#[test]
fn lines_of_four_scripts_are_read_in_logical_order() {
    let _workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
    let truth = [
        ("rus", "Все люди рождаются свободными"),
        ("kor", "모든 인간은 태어날 때부터"),
        ("heb", "כל בני האדם נולדו בני חורין"),
        ("hin", "सभी मनुष्यों को गौरव और अधिकार"),
    ];
    for (language, expect) in truth {
        let Some(inference) = opened(&[language]) else { continue };
        let (found, words) = read(&inference, line(language), &[language]).unwrap();
        assert_eq!(text(&found), expect);
        let words: Vec<&[f32]> = words.chunks_exact(5).collect();
        assert_eq!(words.len(), found.split_terminator('\n').filter(|word| !word.is_empty()).count());
        assert!(
            words.iter().all(|word| word[4] > 0.5 && word[0] < word[2] && word[1] < word[3]),
            "{words:?}"
        );
        // Text in logical order, boxes in image order.
        let runs_right = words.windows(2).all(|pair| pair[0][0] < pair[1][0]);
        let runs_left = words.windows(2).all(|pair| pair[0][0] > pair[1][0]);
        assert_eq!((runs_right, runs_left), (language != "heb", language == "heb"), "{language}: {words:?}");
        inference.shutdown();
    }
}

#[test]
fn a_third_set_of_languages_replaces_a_worker_and_a_lost_worker_costs_one_line() {
    let _workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(inference) = opened(&["rus", "kor"]) else { return };
    let sets: [&[&str]; 3] = [&["rus"], &["kor"], &["rus", "kor"]];
    for languages in sets.into_iter().chain(sets) {
        let (found, _) = read(&inference, line(languages[0]), languages).unwrap();
        assert!(!found.is_empty(), "{languages:?}");
    }
    let workers = children();
    // Two sessions, two workers each.
    assert!((1..=4).contains(&workers.len()), "{workers:?}");
    for worker in workers {
        rustix::process::kill_process(worker, rustix::process::Signal::KILL).unwrap();
    }
    let failed = (0..8).filter(|_| read(&inference, line("rus"), &["rus"]).is_err()).count();
    assert!(failed <= 2, "each of two sessions fails once at most: {failed}");
    inference.shutdown();
}

/// Returns the workers of this process.
fn children() -> Vec<rustix::process::Pid> {
    let own = std::process::id();
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        let parent = rest.split_whitespace().nth(1).and_then(|parent| parent.parse::<u32>().ok());
        if parent == Some(own) && name.contains("tesseract_work") {
            found.extend(rustix::process::Pid::from_raw(pid));
        }
    }
    found
}
