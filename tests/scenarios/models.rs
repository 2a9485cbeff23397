//! The catalog is data: a third model family works without code, and an operator's own model is added, verified,
//! granted and used while the server runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lector_tests::answer::all_text;
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, paths};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{ask, component, deploy};
use crate::survival::lector;

const LINES: [&str; 2] = ["The third family reads this page", "Invoice number 2026-11-25"];

/// Keeps letters and digits only, to compare text without spacing.
fn squeeze(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

fn reads(answer: &Value) {
    assert_eq!(squeeze(&all_text(answer)), squeeze(&LINES.join("")), "{answer}");
}

#[tokio::test]
async fn a_third_family_is_granted_under_the_guests_aliases_and_reads() {
    let config = r#"
        [platform]
        default_deployment = "fifth"
        [[deployments]]
        name = "fifth"
        component = "guest/target/components/standard.wasm"
        settings = { tier = "small" }
        [deployments.grants]
        detection = "pp-ocrv5-mobile-det"
        recognition = "pp-ocrv5-mobile-rec"
        textline-orientation = "textline-orientation"
        page-orientation = "page-orientation"
    "#;
    let gateway = Gateway::builder().config(config).start().await;
    let bytes = pdf::document(&[PageSpec::a4(&LINES)]);
    reads(&gateway.ocr("application/pdf", bytes, "text_layer=never").await.ok());
    let engines = gateway.get("/api/v1/engines").await.ok();
    let models: Vec<&str> = engines["engines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|engine| engine["model"].as_str().unwrap())
        .collect();
    assert!(models.contains(&"pp-ocrv5-mobile-det") && models.contains(&"pp-ocrv5-mobile-rec"), "{models:?}");
    assert!(models.iter().all(|model| !model.starts_with("pp-ocrv6")), "{models:?}");
}

/// A catalog of own models, and `lector models` on it.
struct Own(tempfile::TempDir);

impl Own {
    fn models(&self) -> PathBuf {
        self.0.path().join("models")
    }

    fn engines(&self) -> PathBuf {
        self.0.path().join("engines")
    }

    fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        let set = |key: &str, value: &Path| format!("{key}={}", value.display());
        let Output { status, stdout, stderr } = Command::new(paths::lector())
            .arg("models")
            .args(args)
            .args(["--set", &set("engines.own_models_dir", &self.models())])
            .args(["--set", &set("engines.cache_dir", &self.engines())])
            .args(["--set", "engines.providers=[\"cpu\"]"])
            .current_dir(paths::repo())
            .output()
            .expect("lector runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (status.code(), text(&stdout) + &text(&stderr))
    }

    /// Adds the tiny recognizer as `own-reader`; returns the output.
    fn add_own_reader(&self) -> String {
        let tiny = paths::repo().join("models/pp-ocrv6-tiny-rec");
        let (weights, labels) = (tiny.join("model.onnx"), tiny.join("labels.txt"));
        let like =
            ["--like", "pp-ocrv6-tiny-rec", "--labels", labels.to_str().unwrap(), "--license", "Apache-2.0"];
        let (code, text) = self.add("own-reader", &weights, &like);
        assert_eq!(code, Some(0), "{text}");
        text
    }

    /// Runs `lector models add` with this name and file.
    fn add(&self, name: &str, weights: &Path, more: &[&str]) -> (Option<i32>, String) {
        let args = ["add", weights.to_str().unwrap(), "--name", name];
        self.run(&[&args[..], more].concat())
    }
}

fn grants() -> Value {
    json!({
        "detection": "pp-ocrv6-small-det",
        "recognition": "own-reader",
        "textline-orientation": "textline-orientation",
        "page-orientation": "page-orientation",
    })
}

fn options() -> Value {
    json!({ "settings": { "tier": "small" }, "promote": true, "grants": grants() })
}

async fn grant(gateway: &Gateway) {
    let policy = Some(json!({ "models": grants() }));
    let granted = ask(gateway, "", Method::PUT, "/api/v1/admin/tenants/default", policy).await;
    assert_eq!(granted.status, 200, "{}", granted.text());
}

async fn reads_with_it(gateway: &Gateway) {
    let bytes = pdf::document(&[PageSpec::a4(&LINES)]);
    let path = "/api/v1/deployments/own/ocr?text_layer=never";
    reads(&gateway.post(path, "application/pdf", bytes).await.ok());
}

#[tokio::test]
async fn a_backup_has_an_operators_own_models_and_they_serve_after_the_restore() {
    let own = Own(tempfile::tempdir().unwrap());
    let folder = |name: &str| own.0.path().join(name);
    let (data, copy, without, back) = (folder("data"), folder("copy"), folder("without"), folder("back"));
    let start = |data: &Path, models: &Path| {
        Gateway::builder()
            .set("platform.data_dir", data.display())
            .set("engines.own_models_dir", models.display())
            .set("engines.cache_dir", own.engines().display())
            .set("engines.providers", "[\"cpu\"]")
            .start()
    };
    own.add_own_reader();
    let gateway = start(&data, &own.models()).await;
    grant(&gateway).await;
    let answer = deploy(&gateway, "", "own", component("standard"), options()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());

    // While the server runs.
    let models_dir = format!("engines.own_models_dir={}", own.models().display());
    let backup = |to: &Path, more: &[&str]| {
        lector(&data, &[&["backup", to.to_str().unwrap(), "--set", &models_dir], more].concat())
    };
    let text = backup(&copy, &[]);
    assert!(text.contains("models of your own: own-reader; 17 files"), "{text}");
    let text = backup(&without, &["--without-models"]);
    assert!(text.contains("LEFT OUT: own-reader") && !without.join("models").exists(), "{text}");
    reads_with_it(&gateway).await;
    gateway.stop().await;

    // Only the backup of the first server is left.
    std::fs::remove_dir_all(own.models()).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    let text = lector(&back, &["restore", copy.to_str().unwrap()]);
    assert!(text.contains("models of your own: own-reader, in"), "{text}");
    let restored = start(&back, &back.join("models")).await;
    reads_with_it(&restored).await;
}

#[tokio::test]
async fn an_operators_own_model_is_added_and_granted_while_the_server_runs() {
    let own = Own(tempfile::tempdir().unwrap());
    let gateway = Gateway::builder()
        .set("engines.own_models_dir", own.models().display())
        .set("engines.cache_dir", own.engines().display())
        .set("engines.providers", "[\"cpu\"]")
        .start()
        .await;
    let deploy_own = || deploy(&gateway, "", "own", component("standard"), options());
    deploy_own().await.problem(403, "grant_missing");
    grant(&gateway).await;
    let answer = deploy_own().await;
    assert!(answer.text().contains("own-reader is not in the catalog"), "{}", answer.text());

    let text = own.add_own_reader();
    for expect in ["a run: ok", "golden images on cpu/f32: ok", "model.toml"] {
        assert!(text.contains(expect), "{text}");
    }
    let (_, listed) = own.run(&["list"]);
    assert!(listed.contains("own-reader"), "{listed}");
    let (code, shown) = own.run(&["get", "own-reader"]);
    assert_eq!(code, Some(0), "{shown}");
    for expect in [
        "an operator's own",
        "6906 of them, one for each class",
        "14 golden images",
        "engine       cpu/f32 accepted",
    ] {
        assert!(shown.contains(expect), "{shown}");
    }

    // The running server finds it, loads it and reads with it, without a restart.
    let answer = deploy_own().await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    reads_with_it(&gateway).await;
    gateway.stop().await;

    // Later changes of the file are detected.
    let (code, text) = own.run(&["verify", "own-reader"]);
    assert_eq!(code, Some(0), "{text}");
    let copy = own.models().join("own-reader/model.onnx");
    let mut bytes = std::fs::read(&copy).unwrap();
    bytes.push(0);
    std::fs::write(&copy, bytes).unwrap();
    let (code, text) = own.run(&["verify", "own-reader"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("weights: WRONG") && text.contains("sha256"), "{text}");
}

#[test]
fn a_file_that_is_not_a_model_is_not_added() {
    let own = Own(tempfile::tempdir().unwrap());
    let tiny = paths::repo().join("models/pp-ocrv6-tiny-rec");
    let (weights, labels) = (tiny.join("model.onnx"), tiny.join("labels.txt"));
    let few = own.0.path().join("few.txt");
    std::fs::write(&few, "a\nb\n").unwrap();
    let check = |name: &str, weights: &Path, more: &[&str], expect: &str| {
        let (code, text) = own.add(name, weights, more);
        assert!(code != Some(0) && text.contains(expect), "{code:?} {text} lacks {expect}");
        assert!(!own.models().join(name).exists(), "{name} was added");
    };
    let reader = ["--task", "recognition"];
    check("no-onnx", &labels, &reader, "no ONNX model with one input");
    check("no-file", Path::new("/nonexistent.onnx"), &reader, "/nonexistent.onnx");
    check("no-labels", &weights, &reader, "name a file of labels");
    let few = [&reader[..], &["--labels", few.to_str().unwrap()]].concat();
    check("few-labels", &weights, &few, "2 labels for 6906 classes");
    check("a-detector", &weights, &["--task", "detection"], "one map");
    check("Bad_Name", &weights, &reader, "a-z");
    check("pp-ocrv6-tiny-rec", &weights, &reader, "already");
    check("no-task", &weights, &[], "--task");
    // The file has the declared form, but no runtime can run it.
    let mut broken = std::fs::read(&weights).unwrap();
    let middle = broken.len() / 2;
    broken.truncate(middle);
    let cut = own.0.path().join("cut.onnx");
    std::fs::write(&cut, broken).unwrap();
    let like = ["--like", "pp-ocrv6-tiny-rec", "--labels", labels.to_str().unwrap()];
    check("cut", &cut, &like, "cut");
    let left = std::fs::read_dir(own.models()).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing stays");
}
