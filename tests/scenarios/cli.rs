//! The command line, as a person and as a pipe use it.

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
