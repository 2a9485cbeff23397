//! Measurements that are scenarios of the integration tests in their long form: real gateway, real guests, and what is
//! promised asserted to the letter. In the suite the same scenarios run short and hold to looser bounds.

use anyhow::{Context, Result};
use xtask::places::Places;
use xtask::shell;

/// Runs a scenario in its long form; fails where a promise is not kept.
pub fn run(places: &Places, name: &str, test: &str) -> Result<()> {
    shell::run(
        shell::cargo()
            .args(["test", "--release", "--locked", "--workspace", "--test", "scenarios", "--quiet", "--"])
            .args(["--nocapture", "--exact", test])
            .env("LECTOR_BENCH", name)
            .current_dir(&places.root),
    )
    .with_context(|| format!("`bench {name}`: what is promised is not kept, or the measurement failed"))
}
