//! `bench neighbours`: what a well-behaved tenant notices of guests that do wrong.
//!
//! The measurement is the scenario `tests/scenarios/hostile.rs` in its long form: real gateway, real hostile guests, and the
//! victim's pages alone and beside each deed by turns. It fails where the median ratio of a deed is over 1.5.

use anyhow::{Context, Result};

use crate::places::Places;
use crate::shell;

/// Runs it.
pub fn run(places: &Places) -> Result<()> {
    shell::run(
        shell::cargo()
            .args(["test", "--release", "--locked", "--workspace", "--test", "scenarios", "--quiet", "--"])
            .args(["--nocapture", "--exact", "hostile::a_neighbour_does_not_notice"])
            .env("LECTOR_BENCH", "neighbours")
            .current_dir(&places.root),
    )
    .context("a neighbour noticed, or the measurement failed")
}
