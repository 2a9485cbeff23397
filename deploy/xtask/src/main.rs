//! The task runner: every task on this project, by a developer or by CI, starts here.
//!
//! `setup` downloads, `guests` builds the components, `demo` runs the whole path, `test` is what CI runs, `fuzz`
//! searches for inputs that break a parser, `adversary` attacks a server, `bench` measures, `gpu-check` measures on a GPU.

#![allow(clippy::print_stderr)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::places::Places;
use xtask::{
    adversary, bench, clients, contract, corpus, demo, dist, fuzz, guests, image, languages, setup, test,
    tidy, wit,
};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Lector's task runner", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Download and verify files that are not in git: libraries, model weights, the wasm std for guests
    Setup(setup::Arguments),
    /// Build the guest components into guest/target/components
    Guests,
    /// Set up, build, start the gateway on a free port, send a PDF and print its pages as they arrive
    Demo {
        /// Files to send instead of the shipped one
        files: Vec<PathBuf>,
    },
    /// Pack a release as one archive that runs anywhere; `--check` tries it in a minimal Debian
    Dist(dist::Arguments),
    /// Make a container image of the archive with podman; `--check` runs it
    Image(image::Arguments),
    /// Run every check; CI runs this
    Test(test::Arguments),
    /// Check the repository rules that no compiler checks (part of `test`)
    Tidy,
    /// Write the list of the contract's released files, `wit/RELEASED`
    ReleaseWit(wit::Arguments),
    /// Download the 108 PDFs of the test corpus into the cache
    Corpus {
        /// Take files from this folder first if their sha256 matches
        #[arg(long)]
        from: Option<PathBuf>,
    },
    /// Run the parsers of untrusted bytes on arbitrary input, for longer than the test suite does
    Fuzz(fuzz::Arguments),
    /// Attack a gateway and measure a victim beside each attack, for longer than the test suite does
    Adversary(adversary::Arguments),
    /// Run schemathesis against the OpenAPI document of a running gateway, with more requests than the test suite on request
    Contract(contract::Arguments),
    /// Drive client libraries of this and other APIs against a gateway
    Clients(clients::Arguments),
    /// Create, build, check and test a guest in each language other than Rust (part of `test`)
    Languages(languages::Arguments),
    /// Run every check that needs a GPU, and store the figures
    #[command(disable_help_flag = true)]
    GpuCheck(Passed),
    /// Build and run a benchmark of `tests/bench`; each measures against a named reference
    #[command(disable_help_flag = true)]
    Bench(Passed),
}

/// Arguments passed to the program that does the work, including `--help`.
#[derive(clap::Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    let places = Places::find()?;
    match task {
        Task::Setup(arguments) => setup::run(&places, &arguments),
        Task::Guests => guests::build(&places).map(drop),
        Task::Demo { files } => demo::run(&places, &files),
        Task::Dist(arguments) => dist::run(&places, &arguments),
        Task::Image(arguments) => image::run(&places, &arguments),
        Task::Test(arguments) => test::run(&places, &arguments),
        Task::Tidy => tidy::run(&places),
        Task::ReleaseWit(arguments) => wit::run(&places, &arguments),
        Task::Corpus { from } => corpus::fetch(&places, from.as_deref()).map(drop),
        Task::Adversary(arguments) => adversary::run(&places, &arguments),
        Task::Contract(arguments) => contract::run(&places, &arguments),
        Task::Clients(arguments) => clients::run(&places, &arguments),
        Task::Languages(arguments) => languages::run(&places, &arguments),
        Task::Fuzz(arguments) => fuzz::run(&places, &arguments),
        Task::GpuCheck(Passed { arguments }) => {
            bench::run(&places, [OsString::from("gpu-check")].into_iter().chain(arguments))
        }
        Task::Bench(Passed { arguments }) => bench::run(&places, arguments),
    }
}
