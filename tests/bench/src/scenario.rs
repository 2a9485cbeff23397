//! Measurements that are scenarios of the integration tests in their long form: real gateway, real guests, and strict
//! assertions on the targets. In the test suite the same scenarios are short and have looser bounds.

use anyhow::{Context, Result};
use xtask::places::Places;
use xtask::shell;

/// Runs a scenario in its long form; fails if a target is missed.
pub fn run(places: &Places, name: &str, test: &str) -> Result<()> {
    shell::run(
        shell::cargo()
            .arg("test")
            .args(shell::HOST)
            .args(["--test", "scenarios", "--quiet", "--", "--nocapture", "--exact", test])
            .env("LECTOR_BENCH", name)
            .current_dir(&places.root),
    )
    .with_context(|| format!("`bench {name}`: a target was missed, or the measurement failed"))
}
