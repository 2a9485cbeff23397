//! Paths of the files that `cargo xtask setup` fetches for the tests of real engines, and the message where they are
//! missing.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use lector_inference::CpuFeatures;

/// Libraries and models.
pub struct Places {
    pub library: PathBuf,
    pub openvino_dir: PathBuf,
    pub models_dir: PathBuf,
}

pub fn places() -> Places {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = var("LECTOR_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("lector")))
        .or_else(|| var("HOME").map(|dir| dir.join(".cache/lector")))
        .unwrap_or_default();
    Places {
        library: cache.join("lib/onnxruntime-1.31.1/libonnxruntime.so.1.31.1"),
        openvino_dir: cache.join("lib/openvino-2026.4.1"),
        models_dir: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models"),
    }
}

/// Returns the processor features that the tests may use: the variable that hides them from a server hides them from
/// the tests.
pub fn cpu_features() -> CpuFeatures {
    let words = std::env::var_os("LECTOR__ENGINES__CPU_FEATURES").unwrap_or_default();
    let words = words.to_string_lossy();
    let words: Vec<&str> = words.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    CpuFeatures::parse(&words).unwrap()
}

/// Prints that the test is skipped; fails under `LECTOR_REQUIRE_MODELS=1`.
pub fn missing(what: impl Display) {
    assert!(std::env::var_os("LECTOR_REQUIRE_MODELS").is_none(), "{what} missing");
    eprintln!("SKIPPED: {what} missing; run `cargo xtask setup`");
}
