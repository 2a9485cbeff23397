//! `adversary`: the attacks of `tests/adversary` on a real gateway; short in `cargo xtask test`, for minutes by hand.

use anyhow::Result;
use clap::Args;

use crate::places::Places;
use crate::shell;

/// Arguments of `cargo xtask adversary`.
#[derive(Args)]
pub struct Arguments {
    /// Attacks to run, by a part of the name (default: all)
    attacks: Vec<String>,
    /// Minutes of all attacks together, with the target for the victim's p99; without it: the short form
    #[arg(long)]
    minutes: Option<u32>,
}

/// Runs `cargo xtask adversary`.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let mut cargo = shell::cargo();
    cargo.arg("test").args(shell::HOST).args(["--test", "adversary", "--", "--nocapture"]);
    // One after another: each measures a victim.
    cargo.args(["--test-threads", "1"]).args(&arguments.attacks);
    if let Some(minutes) = arguments.minutes {
        cargo.env("LECTOR_ADVERSARY_MINUTES", minutes.to_string());
    }
    println!("$ {}", shell::line(&cargo));
    shell::run(cargo.current_dir(&places.root))
}

/// Runs all attacks in their short form.
pub fn short(places: &Places) -> Result<()> {
    run(places, &Arguments { attacks: Vec::new(), minutes: None })
}
