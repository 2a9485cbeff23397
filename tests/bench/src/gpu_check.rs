//! `gpu-check`: the checks for a machine with a GPU. Lists its devices and libraries; then measures each engine variant
//! that can serve: builds and acceptance, a swap under load, restarts, the same text as on the CPU, throughput and
//! latency at rising concurrency, rows per run, device memory. Results are JSON with device, driver, versions and
//! commit.
//!
//! Without a GPU it prints a message and fails. `--variants cpu/f32` or `openvino/bf16` runs the same checks on the
//! CPU, to test them on a machine without a GPU.

mod measure;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use xtask::places::Places;
use xtask::shell;

use crate::{documents, write, write_to};

/// Arguments of `gpu-check`.
#[derive(Args)]
pub struct Arguments {
    /// Documents to read (default: the shipped demo document)
    files: Vec<PathBuf>,
    /// Engine variants as provider/precision (default: those of device 0 whose libraries are installed)
    #[arg(long, value_delimiter = ',')]
    variants: Vec<String>,
    /// Numbers of concurrent clients, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16,32,64")]
    clients: Vec<usize>,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Folder for the result
    #[arg(long, default_value = "tests/results")]
    out: PathBuf,
}

/// Engine variants of a device, and the provider whose libraries each needs.
const VARIANTS: [(&str, &str); 3] =
    [("cuda", "cuda:0/f32"), ("tensorrt", "tensorrt:0/f16"), ("tensorrt", "tensorrt:0/f32")];

/// Runs the checks.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let preflight = preflight(places)?;
    let named = !arguments.variants.is_empty();
    let variants = if named { arguments.variants.clone() } else { possible(&preflight) };
    let mut result = json!({ "preflight": preflight, "variants": {} });
    if let Err(why) = judged(&preflight, &variants, named) {
        result["outcome"] = json!(why);
        write(places, "gpu-check", result)?;
        bail!("{why}");
    }
    let uploads = documents(places, &arguments.files)?;
    let setting =
        measure::Setting { places, uploads, clients: &arguments.clients, seconds: arguments.seconds };
    println!("\n== cpu/f32, for its text");
    let reference = measure::reference(&setting)?;
    let mut failed = Vec::new();
    for variant in &variants {
        println!("\n== {variant}");
        // A failed variant is a result, and the others are still measured.
        let found = measure::variant(&setting, variant, &reference).unwrap_or_else(|error| {
            println!("  FAILED: {error:#}");
            failed.push(format!("{variant}: {error:#}"));
            json!({ "failed": format!("{error:#}") })
        });
        result["variants"][variant] = found;
    }
    result["outcome"] = json!(if failed.is_empty() { "checked" } else { "failed" });
    let (folder, name) = match preflight["devices"][0]["name"].as_str() {
        Some(device) if !named => (arguments.out.clone(), format!("gpu-check-{}", slug(device))),
        // Without a device the result is not kept.
        _ => (PathBuf::from("target/bench"), "gpu-check".to_owned()),
    };
    write_to(places, &folder, &name, result)?;
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n")) }
}

fn preflight(places: &Places) -> Result<Value> {
    let mut command = Command::new(places.lector());
    command.args(["engines", "preflight", "--json"]).current_dir(&places.root);
    serde_json::from_str(&shell::output(&mut command)?).context("the preflight is not JSON")
}

/// Returns the engine variants whose provider has all libraries.
fn possible(preflight: &Value) -> Vec<String> {
    let providers = preflight["providers"].as_array().map_or(&[][..], Vec::as_slice);
    let whole = |name: &str| {
        providers.iter().any(|p| p["provider"] == name && p["missing"].as_array().is_some_and(Vec::is_empty))
    };
    VARIANTS
        .iter()
        .filter(|(provider, _)| whole(provider))
        .map(|(_, variant)| (*variant).to_owned())
        .collect()
}

/// Returns an error with what is missing if there is nothing to check.
fn judged(preflight: &Value, variants: &[String], named: bool) -> std::result::Result<(), String> {
    if named {
        return Ok(());
    }
    if preflight["devices"].as_array().is_none_or(Vec::is_empty) {
        return Err("no NVIDIA device: NVML (part of the driver) reports none. Nothing was checked".into());
    }
    if variants.is_empty() {
        let missing = preflight["providers"].as_array().into_iter().flatten().flat_map(|provider| {
            let libraries = provider["missing"].as_array().into_iter().flatten();
            libraries.map(|one| {
                let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
                format!("{} (from {})", text("file"), text("from"))
            })
        });
        let missing: Vec<String> = missing.collect();
        return Err(format!("a device without its libraries: {}", missing.join(", ")));
    }
    Ok(())
}

fn slug(name: &str) -> String {
    name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn machine(devices: Value, cuda: Value, tensorrt: Value) -> Value {
        json!({ "devices": devices, "providers": [
            { "provider": "cuda", "missing": cuda }, { "provider": "tensorrt", "missing": tensorrt } ] })
    }

    #[test]
    fn a_machine_is_judged_by_its_devices_and_libraries() {
        let lacks = |file: &str| json!([{ "file": file, "from": "a wheel", "why": "" }]);
        let bare = machine(json!([]), lacks("libcuda.so.1"), lacks("libnvinfer.so.10"));
        assert!(judged(&bare, &possible(&bare), false).unwrap_err().contains("no NVIDIA device"));
        assert!(judged(&bare, &["cpu/f32".to_owned()], true).is_ok());
        let device = json!([{ "number": 0, "name": "H" }]);
        let unset = machine(device.clone(), lacks("libcublas.so.13"), lacks("libnvinfer.so.10"));
        let why = judged(&unset, &possible(&unset), false).unwrap_err();
        assert!(why.contains("libcublas.so.13 (from a wheel)"), "{why}");
        let cuda = machine(device.clone(), json!([]), lacks("libnvinfer.so.10"));
        assert_eq!(possible(&cuda), ["cuda:0/f32"]);
        let both = machine(device, json!([]), json!([]));
        assert_eq!(possible(&both), ["cuda:0/f32", "tensorrt:0/f16", "tensorrt:0/f32"]);
        assert!(judged(&both, &possible(&both), false).is_ok());
    }

    #[test]
    fn without_a_gpu_it_says_so_and_fails() {
        let places = Places::find().unwrap();
        if !places.lector().is_file() {
            eprintln!("SKIPPED: no {}: build it first", places.lector().display());
            return;
        }
        if !preflight(&places).unwrap()["devices"].as_array().unwrap().is_empty() {
            eprintln!("SKIPPED: this machine has a GPU");
            return;
        }
        let arguments = Arguments {
            files: Vec::new(),
            variants: Vec::new(),
            clients: vec![1],
            seconds: 1.0,
            out: "tests/results".into(),
        };
        let error = run(&places, &arguments).unwrap_err().to_string();
        assert!(error.contains("no NVIDIA device"), "{error}");
        let written = shell::read(&places.repo("target/bench/gpu-check.json")).unwrap();
        let written: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(written["outcome"], error);
    }

    #[test]
    fn results_are_named_after_the_device() {
        assert_eq!(slug("NVIDIA H100 80GB HBM3"), "nvidia-h100-80gb-hbm3");
    }
}
