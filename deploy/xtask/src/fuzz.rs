//! `fuzz`: runs the fuzz targets for minutes instead of seconds. The targets are unit tests beside the parsers (see
//! `tests/fuzz`); this module runs them by name, one after another, and sets the duration.

use anyhow::Result;
use clap::Args;

use crate::places::Places;
use crate::shell;

/// Targets and the input that each covers. A test compares the list with the sources.
const TARGETS: [(&str, &str); 13] = [
    ("claims", "sizes and numbers that a render worker claims"),
    ("component", "inspection of wasm components"),
    ("configuration", "configuration files"),
    ("formats", "responses with arbitrary text"),
    ("frames", "messages from a render worker"),
    ("kind", "magic numbers and content types of documents"),
    ("model_toml", "descriptions of models"),
    ("multipart", "multipart request bodies"),
    ("onnx", "ONNX files"),
    ("options", "queries and headers of requests"),
    ("pictures", "headers and decoders of image files"),
    ("pipeline_info", "pipeline info, config errors, summaries and errors of guests"),
    ("transcript", "transcripts of guests"),
];

/// Arguments of `cargo xtask fuzz`.
#[derive(Args)]
pub struct Arguments {
    /// Targets to run (default: all)
    #[arg(value_parser = TARGETS.map(|(name, _)| name))]
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// List the targets and exit
    #[arg(long)]
    list: bool,
}

/// Runs `cargo xtask fuzz`.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    if arguments.list {
        for (name, about) in TARGETS {
            println!("{name:<16}{about}");
        }
        return Ok(());
    }
    let wanted = |name: &str| arguments.targets.is_empty() || arguments.targets.iter().any(|one| one == name);
    let names: Vec<String> = TARGETS
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, _)| format!("fuzz::fuzz_{name}"))
        .collect();
    println!("{} targets, {} s each", names.len(), arguments.seconds);
    shell::run(
        shell::cargo()
            .args(["test", "--release", "--locked", "--workspace", "--lib", "--quiet", "--"])
            .args(["--nocapture", "--test-threads", "1"])
            .args(&names)
            .env("LECTOR_FUZZ_SECONDS", arguments.seconds.to_string())
            .current_dir(&places.root),
    )
    .map_err(|error| {
        error.context(
            "a failing input was saved in tests/fuzz/found and is tried first from now on; commit it",
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_target_is_listed_and_there() {
        let mut files = shell::files_below(&Places::find().unwrap().repo("host")).unwrap();
        files.retain(|file| file.extension().is_some_and(|end| end == "rs"));
        let mut found: Vec<String> = Vec::new();
        for file in files {
            let text = shell::read(&file).unwrap();
            for (_, rest) in text.lines().filter_map(|line| line.trim().split_once("fn fuzz_")) {
                assert!(file.ends_with("fuzz.rs"), "{}: a target must be in a module `fuzz`", file.display());
                found.push(rest.split('(').next().unwrap().to_owned());
            }
        }
        found.sort();
        assert_eq!(found, TARGETS.map(|(name, _)| name));
    }
}
