//! `cargo xtask test`: runs every check in a fixed order, each with its duration and the command that repeats it. CI
//! calls only this. The host is built in the release profile with the same selection of packages in every step, so that
//! no dependency is compiled twice.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::places::Places;
use crate::setup::wasm::PLAIN;
use crate::{
    adversary, bench, clients, contract, corpus, deployment, formats, guests, integration, languages,
    processor, required, setup, shell, tidy,
};

/// Selection of steps.
#[derive(Args)]
pub struct Arguments {
    /// List the steps and exit
    #[arg(long)]
    list: bool,
    /// Run only this step (may be repeated)
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Skip this step (may be repeated)
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
    /// What the step did not check here, and why.
    Partly(String),
    /// The step could not run here, and the reason.
    Skipped(String),
}

/// Cheap steps that fail often come first.
const STEPS: &[Step] = &[
    step("fmt", "formatting of both workspaces", fmt),
    step("tidy", "repository rules and the dependency rule", |places| passed(tidy::run(places))),
    step("setup", "libraries, models, wasm std", |places| passed(setup::everything(places))),
    step("guests", "guest components", |places| passed(guests::build(places).map(drop))),
    step("guest-clippy", "lints of the guest workspace, native and wasm", guest_clippy),
    step("guest-unit", "unit tests of the guest workspace, native", guest_unit),
    step("clippy", "lints of the host workspace", clippy),
    step("build", "the whole host workspace", build_all),
    step("unit", "unit tests of the host workspace", unit),
    step("doc", "examples in the documentation of both workspaces", doc),
    step("corpus", "the PDFs of the test corpus", |places| passed(corpus::fetch(places, None).map(drop))),
    step("integration", "the real gateway, guests, models and documents", |places| {
        passed(integration::run(places))
    }),
    step("languages", "guests in Python, C and TypeScript: new, build, check, test", guest_languages),
    step("formats", "a sample of every output format, read by independent readers", |places| {
        Ok(formats::run(places)?.map_or(Outcome::Passed, Outcome::Skipped))
    }),
    step(
        "deploy",
        "chart, compose file, unit, rules and nginx example, by the programs that read them",
        |places| Ok(deployment::run(places)?.map_or(Outcome::Passed, Outcome::Skipped)),
    ),
    step("contract", "schemathesis against the OpenAPI document of the real gateway", |places| {
        Ok(contract::short(places)?.map_or(Outcome::Passed, Outcome::Skipped))
    }),
    step(
        "clients",
        "client libraries of this repository and of other APIs, against the real gateway",
        clients,
    ),
    step("adversary", "attacks on the real gateway beside a victim, in their short form", |places| {
        passed(adversary::short(places))
    }),
    step("avx2", "the engine tests with wider vector features hidden, if the processor has any", avx2),
    step("load", "bench load in its short form: checks that it runs, not its figures", |places| {
        passed(bench::run(places, ["load", "--short", "--no-build"]))
    }),
    step("bench-guests", "bench guests in its short form: checks that it runs, not its figures", |places| {
        passed(bench::run(places, ["guests", "--short", "--no-build"]))
    }),
    step(
        "jobs",
        "bench jobs in its short form: three kills of the server lose nothing; its times are not judged",
        |places| passed(bench::run(places, ["jobs", "--short", "--no-build"])),
    ),
    step("cobatch", "bench cobatch over the shipped pages: the same result alone and in a batch", |places| {
        passed(bench::run(places, ["cobatch", "--short", "--no-build"]))
    }),
    step("deny", "licenses, bans and sources of all dependencies", deny),
];

/// Runs the selected steps and stops at the first failure.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    if arguments.list {
        for step in STEPS {
            println!("{:<14}{}", step.name, step.about);
        }
        return Ok(());
    }
    for name in arguments.only.iter().chain(&arguments.skip) {
        if !STEPS.iter().any(|step| step.name == name) {
            ensure!(name != "company", "the step `company` is named `cobatch`");
            bail!("there is no step `{name}`: `cargo xtask test --list` lists them");
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
            Ok(Outcome::Partly(why)) => {
                passed += 1;
                lines.push(format!("  ok      {:<14}{seconds:>8.1} s  {why}", step.name));
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

/// Prints a command and runs it.
fn run_printed(command: &mut Command) -> Result<()> {
    println!("$ {}", shell::line(command));
    shell::run(command)
}

fn cargo(places: &Places, arguments: &[&str]) -> Result<()> {
    run_printed(shell::cargo().args(arguments).current_dir(&places.root))
}

/// Runs a cargo command over the host in the release profile.
fn host(places: &Places, command: &str, arguments: &[&str]) -> Result<()> {
    run_printed(shell::cargo().arg(command).args(shell::HOST).args(arguments).current_dir(&places.root))
}

/// The profile of what the guest workspace builds for this machine.
const NATIVE: &str = "native";

fn guest(places: &Places, arguments: &[&str]) -> Result<()> {
    run_printed(shell::cargo().args(arguments).current_dir(places.repo("guest")))
}

fn fmt(places: &Places) -> Result<Outcome> {
    cargo(places, &["fmt", "--all", "--check"])?;
    passed(guest(places, &["fmt", "--all", "--check"]))
}

/// Returns the arguments of clippy for a workspace, native.
fn lint(profile: &str) -> Vec<&str> {
    let rest = ["--locked", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    [&["clippy", "--profile", profile], &rest[..]].concat()
}

fn clippy(places: &Places) -> Result<Outcome> {
    passed(cargo(places, &lint("release")))
}

fn unit(places: &Places) -> Result<Outcome> {
    host(places, "test", &["--lib", "--bins"])?;
    passed(cargo(places, &["test", "--locked", "--package", "xtask", "--lib"]))
}

fn doc(places: &Places) -> Result<Outcome> {
    host(places, "test", &["--doc", "--quiet"])?;
    passed(guest(places, &["test", "--profile", NATIVE, "--locked", "--workspace", "--doc", "--quiet"]))
}

/// The examples that tests start as programs; the others are built by the benchmarks that use them.
#[rustfmt::skip]
const PROGRAMS: &[&str] = &[
    "--example", "render_worker", "--example", "busy_host", "--example", "sandbox_probe",
    "--example", "tesseract_worker",
];

/// Builds everything that the tests use, in one command.
fn build_all(places: &Places) -> Result<Outcome> {
    let targets = ["--lib", "--bins", "--tests"];
    passed(host(places, "build", &[&targets[..], PROGRAMS].concat()))
}

/// Goes through the commands of an author in each language. Those whose tools cannot be installed are named, and no failure.
fn guest_languages(places: &Places) -> Result<Outcome> {
    let skipped = languages::drive(places, |_| true)?;
    Ok(match skipped.len() {
        0 => Outcome::Passed,
        count if count == languages::ALL.len() => Outcome::Skipped(skipped.join("; ")),
        _ => Outcome::Partly(format!("skipped: {}", skipped.join("; "))),
    })
}

/// Runs the clients whose packages are small. Those that the package indexes do not give are named, and no failure.
fn clients(places: &Places) -> Result<Outcome> {
    let report = clients::drive(places, &[], false)?;
    let skipped: Vec<&str> = report.skipped.iter().map(|skipped| skipped.name.as_str()).collect();
    let skipped = skipped.join(", ");
    Ok(match (report.passed.len(), skipped.is_empty()) {
        (0, _) => Outcome::Skipped(format!("no client could be installed: {skipped}")),
        (_, true) => Outcome::Passed,
        (ran, false) => Outcome::Partly(format!("{ran} clients; skipped, see above: {skipped}")),
    })
}

/// On a processor with bf16, also tests the selection of engines of a processor without it.
fn avx2(places: &Places) -> Result<Outcome> {
    if let Some(reason) = processor::lacks_bf16() {
        return Ok(Outcome::Skipped(format!("{reason}: covered by the step `integration`")));
    }
    let mut cargo = shell::cargo();
    required::by(cargo.arg("test").args(shell::HOST));
    cargo.args(["real", "engines", "cobatching"].iter().flat_map(|test| ["--test", test]));
    passed(run_printed(cargo.env(processor::FEATURES, processor::AVX2_ALONE).current_dir(&places.root)))
}

fn guest_clippy(places: &Places) -> Result<Outcome> {
    guest(places, &lint(NATIVE))?;
    let rust = guests::rust(places)?;
    if !rust.is_the_toolchains() {
        return Ok(Outcome::Skipped(
            "the lints for wasm: clippy cannot read the std of another compiler".into(),
        ));
    }
    let mut cargo = shell::cargo();
    cargo.args(["clippy", "--release", "--locked", "--workspace", "--quiet", "--target", PLAIN]);
    for package in guests::wasi_only(places)? {
        cargo.args(["--exclude", &package]);
    }
    cargo.args(["--", "-D", "warnings"]);
    rust.apply(cargo.current_dir(places.repo("guest")));
    passed(run_printed(&mut cargo))
}

fn guest_unit(places: &Places) -> Result<Outcome> {
    passed(guest(places, &["test", "--profile", NATIVE, "--locked", "--workspace", "--lib"]))
}

/// Checks licenses, bans and sources of both workspaces, for all platforms of the lock files; downloads those not
/// downloaded yet. The advisory database is another download, so it has a separate command.
fn deny(places: &Places) -> Result<Outcome> {
    if shell::output(shell::cargo().args(["deny", "--version"])).is_err() {
        return Ok(Outcome::Skipped(
            "cargo-deny is not installed: install it with `cargo install --locked cargo-deny`, which \
             compiles it, to enable this step"
                .into(),
        ));
    }
    let config = places.repo("deploy/deny.toml");
    for folder in [places.root.clone(), places.repo("guest")] {
        let mut deny = shell::cargo();
        deny.args(["deny", "--config"]).arg(&config).args(["check", "bans", "licenses", "sources"]);
        run_printed(deny.current_dir(folder))?;
    }
    println!("(known vulnerabilities: cargo deny --config deploy/deny.toml check advisories)");
    Ok(Outcome::Passed)
}
