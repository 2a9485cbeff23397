//! `cargo xtask test`: every check there is, in one order, each with its time and the command that repeats it. CI calls
//! this and nothing else. Everything is built in the release profile, and with the whole workspace selected, so that no
//! dependency is compiled twice.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::places::Places;
use crate::setup::wasm::PLAIN;
use crate::{bench, corpus, guests, processor, setup, shell, tidy};

/// Which steps.
#[derive(Args)]
pub struct Arguments {
    /// Name the steps and end
    #[arg(long)]
    list: bool,
    /// Run this step alone (may be given several times)
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Leave this step out (may be given several times)
    #[arg(long, value_name = "STEP")]
    skip: Vec<String>,
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Places) -> Result<Outcome>,
}

const fn step(name: &'static str, about: &'static str, run: fn(&Places) -> Result<Outcome>) -> Step {
    Step { name, about, run }
}

enum Outcome {
    Passed,
    /// Could not be run here; the reason.
    Skipped(String),
}

/// What is cheap and often wrong comes first.
const STEPS: &[Step] = &[
    step("fmt", "formatting of both workspaces", fmt),
    step("tidy", "house rules and the dependency rule", |places| passed(tidy::run(places))),
    step("setup", "libraries, models, wasm std", |places| passed(setup::everything(places))),
    step("guests", "guest components", |places| passed(guests::build(places).map(drop))),
    step("guest-clippy", "lints of the guest workspace, native and wasm", guest_clippy),
    step("guest-unit", "unit tests of the guest workspace, native", guest_unit),
    step("clippy", "lints of the host workspace", clippy),
    step("build", "the host workspace, all of it", build_all),
    step("unit", "unit tests of the host workspace", unit),
    step("doc", "examples in the documentation of both workspaces", doc),
    step("corpus", "the PDFs of the test corpus", |places| passed(corpus::fetch(places, None).map(drop))),
    step("integration", "the real gateway, guests, models and documents", integration),
    step("avx2", "the engine tests with wider vector features hidden, where the processor has any", avx2),
    step("load", "bench load in its short form: it runs, its figures say nothing", |places| {
        passed(bench::run(places, ["load", "--short", "--no-build"]))
    }),
    step(
        "cobatch",
        "bench cobatch over the shipped pages: alone and batched with others they read the same",
        |places| passed(bench::run(places, ["cobatch", "--short", "--no-build"])),
    ),
    step("deny", "licenses, bans and sources of all dependencies", deny),
];

/// Runs the chosen steps and stops at the first that fails.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    if arguments.list {
        for step in STEPS {
            println!("{:<14}{}", step.name, step.about);
        }
        return Ok(());
    }
    for name in arguments.only.iter().chain(&arguments.skip) {
        if !STEPS.iter().any(|step| step.name == name) {
            ensure!(name != "cobatch", "the step `company` is named `cobatch`");
            bail!("there is no step `{name}`: `cargo xtask test --list` names them");
        }
    }
    let chosen: Vec<&Step> = STEPS
        .iter()
        .filter(|step| arguments.only.is_empty() || arguments.only.iter().any(|name| name == step.name))
        .filter(|step| !arguments.skip.iter().any(|name| name == step.name))
        .collect();
    let start = Instant::now();
    let mut lines = Vec::new();
    let mut passed = 0;
    for step in &chosen {
        println!("\n==> {}: {}", step.name, step.about);
        let start = Instant::now();
        let outcome = (step.run)(places);
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(Outcome::Passed) => {
                passed += 1;
                lines.push(format!("  ok      {:<14}{seconds:>8.1} s", step.name));
            }
            Ok(Outcome::Skipped(why)) => {
                println!("SKIPPED: {why}");
                lines.push(format!("  skipped {:<14}{seconds:>8.1} s  {why}", step.name));
            }
            Err(error) => {
                lines.push(format!("  FAILED  {:<14}{seconds:>8.1} s", step.name));
                println!("\n{}", lines.join("\n"));
                println!("{passed} passed, 1 failed, {} not run", chosen.len() - lines.len());
                return Err(error
                    .context(format!("step `{0}` failed; again: cargo xtask test --only {0}", step.name)));
            }
        }
    }
    println!("\n{}", lines.join("\n"));
    println!("all in {:.0} s", start.elapsed().as_secs_f64());
    println!("{passed} passed, 0 failed");
    Ok(())
}

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

/// Says the command and runs it.
fn say(command: &mut Command) -> Result<()> {
    println!("$ {}", shell::line(command));
    shell::run(command)
}

fn host(places: &Places, arguments: &[&str]) -> Result<()> {
    say(shell::cargo().args(arguments).current_dir(&places.root))
}

fn guest(places: &Places, arguments: &[&str]) -> Result<()> {
    say(shell::cargo().args(arguments).current_dir(places.repo("guest")))
}

fn fmt(places: &Places) -> Result<Outcome> {
    host(places, &["fmt", "--all", "--check"])?;
    passed(guest(places, &["fmt", "--all", "--check"]))
}

/// How both workspaces are linted, natively.
const LINT: &[&str] =
    &["clippy", "--release", "--locked", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];

fn clippy(places: &Places) -> Result<Outcome> {
    passed(host(places, LINT))
}

fn unit(places: &Places) -> Result<Outcome> {
    passed(host(places, &["test", "--release", "--locked", "--workspace", "--lib", "--bins"]))
}

fn doc(places: &Places) -> Result<Outcome> {
    host(places, &["test", "--release", "--locked", "--workspace", "--doc", "--quiet"])?;
    passed(guest(places, &["test", "--release", "--locked", "--workspace", "--doc", "--quiet"]))
}

/// Builds everything in one go, so that features resolve as for the tests that follow: with another
/// selection wasmtime and Cranelift would be compiled once more.
fn build_all(places: &Places) -> Result<Outcome> {
    passed(host(places, &["build", "--release", "--locked", "--workspace", "--all-targets"]))
}

fn integration(places: &Places) -> Result<Outcome> {
    passed(say(shell::cargo()
        .args(["test", "--release", "--locked", "--workspace", "--test", "*"])
        .env("LECTOR_REQUIRE_CORPUS", "1")
        .current_dir(&places.root)))
}

/// A processor that computes bf16 tests the choice of engines of one that does not, too.
fn avx2(places: &Places) -> Result<Outcome> {
    if let Some(reason) = processor::lacks_bf16() {
        return Ok(Outcome::Skipped(format!("{reason}: the step `integration` covers it")));
    }
    let mut cargo = shell::cargo();
    cargo.args(["test", "--release", "--locked", "--workspace"]);
    cargo.args(["real", "engines", "cobatch"].iter().flat_map(|test| ["--test", test]));
    passed(say(cargo.env(processor::FEATURES, processor::AVX2_ALONE).current_dir(&places.root)))
}

fn guest_clippy(places: &Places) -> Result<Outcome> {
    guest(places, LINT)?;
    let rust = guests::rust(places)?;
    if !rust.is_the_toolchains() {
        return Ok(Outcome::Skipped(
            "the lints for wasm: clippy cannot read the std of another compiler".into(),
        ));
    }
    let mut cargo = shell::cargo();
    cargo.args(["clippy", "--release", "--locked", "--workspace", "--quiet", "--target", PLAIN]);
    cargo.args(["--", "-D", "warnings"]);
    rust.apply(cargo.current_dir(places.repo("guest")));
    passed(say(&mut cargo))
}

fn guest_unit(places: &Places) -> Result<Outcome> {
    passed(guest(places, &["test", "--release", "--locked", "--workspace", "--lib"]))
}

/// Licenses, bans and sources of both workspaces, for all platforms of the lock files: what of these was never downloaded
/// comes now. The advisory database is another download, so it has a command of its own.
fn deny(places: &Places) -> Result<Outcome> {
    if shell::output(shell::cargo().args(["deny", "--version"])).is_err() {
        return Ok(Outcome::Skipped(
            "cargo-deny is not installed, and crates.io has it as source only: `cargo install --locked cargo-deny` \
             compiles it once, and this step runs from then on"
                .into(),
        ));
    }
    let config = places.repo("deploy/deny.toml");
    for folder in [places.root.clone(), places.repo("guest")] {
        let mut deny = shell::cargo();
        deny.args(["deny", "--config"]).arg(&config).args(["check", "bans", "licenses", "sources"]);
        say(deny.current_dir(folder))?;
    }
    println!("(known vulnerabilities: cargo deny --config deploy/deny.toml check advisories)");
    Ok(Outcome::Passed)
}
