//! The command line, used by a person and in a pipe.

use std::process::{Command, Output};

use lector_tests::paths;
use lector_tests::pdf::{self, PageSpec};

fn lector(args: &[&str]) -> Output {
    Command::new(paths::lector()).args(args).current_dir(paths::repo()).output().expect("lector runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn ocr_in_process() {
    let dir = tempfile::tempdir().unwrap();
    let good = dir.path().join("good.pdf");
    let bad = dir.path().join("bad.pdf");
    std::fs::write(&good, pdf::document(&[PageSpec::a4(&["Read me on the command line"])])).unwrap();
    std::fs::write(&bad, b"no document").unwrap();
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let output = lector(&["ocr", good, "--text-layer", "never"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("Read me on the command line"), "{}", out(&output));
    let output = lector(&["ocr", good, bad, "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("document_unsupported_type"), "{}", err(&output));
    let output = lector(&["ocr", "/nowhere/at/all.pdf"]);
    assert_ne!(output.status.code(), Some(0));
    assert!(err(&output).contains("/nowhere/at/all.pdf"), "{}", err(&output));
}

#[test]
fn guest_check_and_models() {
    let component = paths::repo().join("guest/target/components/standard.wasm");
    let output = lector(&["guest", "check", component.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{} {}", out(&output), err(&output));
    assert!(out(&output).contains("lector:ocr"), "{}", out(&output));
    let output = lector(&["guest", "check", "Cargo.toml"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    let output = lector(&["models", "list"]);
    for name in ["pp-ocrv6-small-det", "pp-ocrv6-tiny-rec", "page-orientation"] {
        assert!(out(&output).contains(name), "{}", out(&output));
    }
}

#[test]
fn a_preflight_tells_of_devices_and_of_what_their_providers_lack() {
    let output = lector(&["engines", "preflight", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let device = !found["devices"].as_array().unwrap().is_empty();
    for provider in found["providers"].as_array().unwrap() {
        for library in provider["missing"].as_array().unwrap() {
            assert!(!library["file"].as_str().unwrap().is_empty(), "{library}");
            assert!(
                library["from"].as_str().unwrap().contains(char::is_numeric),
                "with a version: {library}"
            );
        }
        // Without a driver no provider has all libraries.
        assert!(device || !provider["missing"].as_array().unwrap().is_empty(), "{provider}");
    }
    let names: Vec<&str> =
        found["providers"].as_array().unwrap().iter().map(|one| one["provider"].as_str().unwrap()).collect();
    assert_eq!(names, ["cuda", "tensorrt"]);
    let text = out(&lector(&["engines", "preflight"]));
    assert!(device || text.contains("no device"), "{text}");
}

#[test]
fn configuration_mistakes_are_named() {
    let output = lector(&["config"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("[http]"), "{}", out(&output));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lector.toml");
    std::fs::write(&file, "[http]\nlissten = \"127.0.0.1:1\"\n").unwrap();
    let output = lector(&["config", "--config", file.to_str().unwrap()]);
    assert_ne!(output.status.code(), Some(0));
    assert!(err(&output).contains("lissten") && err(&output).contains("listen"), "{}", err(&output));
    let data = format!("platform.data_dir={}", dir.path().join("data").display());
    let output = lector(&["serve", "--listen", "0.0.0.0:0", "--set", &data]);
    assert_ne!(output.status.code(), Some(0));
    assert!(err(&output).contains("loopback"), "{}", err(&output));
}
