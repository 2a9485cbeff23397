//! Paths: the checkout, the binary under test, the cache, the corpus.

use std::path::{Path, PathBuf};

/// Returns the root of the checkout.
pub fn repo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_path_buf()
}

/// Returns the `lector` binary beside this test binary (`target/<profile>/lector`).
pub fn lector() -> PathBuf {
    let exe = std::env::current_exe().expect("a test binary has a path");
    let dir = exe.parent().and_then(Path::parent).expect("target/<profile>/deps");
    let binary = dir.join("lector");
    assert!(binary.exists(), "no {}: build it first (`cargo build --release -p lector`)", binary.display());
    binary
}

/// Returns a file of tests/data.
pub fn data(name: &str) -> Vec<u8> {
    let path = repo().join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Returns the cache root, by the same rule as the server.
pub fn cache() -> PathBuf {
    if let Some(dir) = std::env::var_os("LECTOR_CACHE") {
        return dir.into();
    }
    match std::env::var_os("XDG_CACHE_HOME") {
        Some(dir) => PathBuf::from(dir).join("lector"),
        None => PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/lector"),
    }
}

/// Returns the folder of the test corpus, or prints a message and returns `None` if it was not downloaded. With
/// `LECTOR_REQUIRE_CORPUS=1` its absence fails the test.
pub fn corpus() -> Option<PathBuf> {
    let dir = cache().join("corpus");
    if dir.is_dir() {
        return Some(dir);
    }
    assert!(
        std::env::var_os("LECTOR_REQUIRE_CORPUS").is_none_or(|v| v != "1"),
        "no corpus in {}: run `cargo xtask corpus`",
        dir.display()
    );
    eprintln!("SKIPPED: no corpus in {} (run `cargo xtask corpus`)", dir.display());
    None
}
