//! Measurements that are integration tests in their long form: real gateway, real guests, and strict assertions on the
//! targets. In the test suite the same tests are short and have looser bounds.

use anyhow::{Context, Result};
use xtask::places::Places;
use xtask::shell;

/// Runs a scenario in its long form; fails if a target is missed.
pub fn run(places: &Places, name: &str, test: &str) -> Result<()> {
    run_test(places, ("scenarios", test), name, &[("LECTOR_BENCH", name.to_owned())])
}

/// Runs a test, given by its program and its name, with this environment.
pub fn run_test(
    places: &Places,
    (program, test): (&str, &str),
    name: &str,
    env: &[(&str, String)],
) -> Result<()> {
    shell::run(
        shell::cargo()
            .arg("test")
            .args(shell::HOST)
            .args(["--test", program, "--quiet", "--", "--nocapture", "--exact", test])
            .envs(env.iter().map(|(name, value)| (*name, value)))
            .current_dir(&places.root),
    )
    .with_context(|| format!("`bench {name}`: a target was missed, or the measurement failed"))
}
