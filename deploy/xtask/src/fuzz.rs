//! `fuzz`: runs the fuzz targets for minutes instead of seconds. The targets are unit tests beside the parsers (see
//! `tests/fuzz`); this module compiles them with coverage counters, runs them by name, one after another, and sets the
//! duration.

use anyhow::{Result, ensure};
use clap::Args;

use crate::places::Places;
use crate::shell;

/// Targets and the input that each covers. A test compares the list with the sources.
const TARGETS: [(&str, &str); 22] = [
    ("archives", "exported engines and backups of models"),
    ("claims", "sizes and numbers that a render worker claims"),
    ("component", "inspection of wasm components"),
    ("configuration", "configuration files"),
    ("cursors", "pages of lists, and preconditions of changes"),
    ("deploys", "bodies of deploys: forms, JSON, components"),
    ("formats", "responses with arbitrary text"),
    ("frames", "messages from a render worker"),
    ("guest_options", "schemas of guests' options, options of requests"),
    ("headers", "keys, origins, request ids and trace contexts of requests"),
    ("image_arguments", "arguments of image operations of guests"),
    ("json", "JSON bodies of management requests"),
    ("json_body", "JSON bodies of other APIs: the document is cut out"),
    ("kind", "magic numbers and content types of documents"),
    ("model_toml", "descriptions of models"),
    ("multipart", "multipart request bodies"),
    ("onnx", "ONNX files"),
    ("options", "queries and headers of requests"),
    ("pictures", "headers and decoders of image files"),
    ("pipeline_info", "pipeline info, config errors, summaries and errors of guests"),
    ("stored_rows", "rows of the database in the data folder"),
    ("transcript", "transcripts of guests"),
];

/// Packages with targets.
const PACKAGES: [&str; 7] = [
    "lector",
    "lector-control",
    "lector-document",
    "lector-export",
    "lector-inference",
    "lector-pixels",
    "lector-runtime",
];

/// Counters for each edge of the control flow of all crates, from the stable compiler. `tests/fuzz/src/coverage.rs` reads
/// them.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Ccodegen-units=1 -Cdebug-assertions";

/// Flags do not apply to build scripts and macros if the platform is named; these would lack the functions that the flags
/// require.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Arguments of `cargo xtask fuzz`.
#[derive(Args)]
pub struct Arguments {
    /// Targets to run (default: all)
    #[arg(value_parser = TARGETS.map(|(name, _)| name))]
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Minutes for each target, instead of seconds
    #[arg(long, conflicts_with = "seconds")]
    minutes: Option<u64>,
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
    let seconds = arguments.minutes.map_or(arguments.seconds, |minutes| minutes.saturating_mul(60));
    ensure!(seconds > 0, "the duration is 0");
    let folder = places.repo("target/fuzz");
    println!(
        "{} targets, {seconds} s each; the inputs are kept in {}",
        names.len(),
        folder.join("corpus").display()
    );
    let mut cargo = shell::cargo();
    cargo.args(["test", "--release", "--locked", "--lib", "--quiet", "--target", PLATFORM]);
    cargo.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    cargo.args(["--", "--nocapture", "--test-threads", "1"]).args(&names);
    // A folder of its own: other flags would compile everything else again.
    cargo.env("CARGO_TARGET_DIR", &folder).env("RUSTFLAGS", COVERAGE);
    cargo.env("LECTOR_FUZZ_SECONDS", seconds.to_string()).env("LECTOR_FUZZ_CORPUS", folder.join("corpus"));
    shell::run(cargo.current_dir(&places.root)).map_err(|error| {
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
        let mut packages = std::collections::BTreeSet::new();
        for file in files {
            let text = shell::read(&file).unwrap();
            for (_, rest) in text.lines().filter_map(|line| line.trim().split_once("fn fuzz_")) {
                let mut parts = file.components().skip_while(|part| part.as_os_str() != "crates").skip(1);
                let of = parts.next().map(|name| format!("-{}", name.as_os_str().to_string_lossy()));
                packages.insert(format!("lector{}", of.unwrap_or_default()));
                assert!(file.ends_with("fuzz.rs"), "{}: a target must be in a module `fuzz`", file.display());
                found.push(rest.split('(').next().unwrap().to_owned());
            }
        }
        found.sort();
        assert_eq!(found, TARGETS.map(|(name, _)| name));
        assert!(packages.iter().map(String::as_str).eq(PACKAGES), "PACKAGES is not {packages:?}");
        let readme = shell::read(&Places::find().unwrap().repo("tests/fuzz/README.md")).unwrap();
        for (name, _) in TARGETS {
            assert!(readme.contains(&format!("| `{name}` |")), "tests/fuzz/README.md does not list {name}");
        }
    }
}
