//! The task runner: everything that is done to this project by a person or by CI starts here.
//!
//! `setup` fetches, `guests` builds the components, `demo` shows the whole slice, `test` is what CI runs, `fuzz` looks for
//! inputs that break a parser, `bench` measures, `gpu-check` does so on a GPU.

#![allow(clippy::print_stderr)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::places::Places;
use xtask::{bench, corpus, demo, fuzz, guests, setup, test, tidy, wit};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Lector's task runner", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetch and check what is not in git: libraries, model weights, the wasm std for guests
    Setup(setup::Arguments),
    /// Build the guest components into guest/target/components
    Guests,
    /// Set up, build, start the gateway on a free port, send a PDF and print its pages as they stream in
    Demo {
        /// Send these files instead of the one that is shipped
        files: Vec<PathBuf>,
    },
    /// Check everything: what CI runs
    Test(test::Arguments),
    /// Check the house rules that no compiler knows (part of `test`)
    Tidy,
    /// Write the list of the contract's released files, `wit/RELEASED`
    ReleaseWit(wit::Arguments),
    /// Fetch the 108 PDFs of the test corpus into the cache
    Corpus {
        /// Take files from this folder first, where their sha256 agrees
        #[arg(long)]
        from: Option<PathBuf>,
    },
    /// Feed arbitrary bytes to what parses bytes from outside, for longer than the test suite does
    Fuzz(fuzz::Arguments),
    /// Check everything that needs a GPU on the machine that has one, and keep the figures
    #[command(disable_help_flag = true)]
    GpuCheck(Passed),
    /// Build and run a benchmark of `tests/bench`: each measures next to a named reference
    #[command(disable_help_flag = true)]
    Bench(Passed),
}

/// Arguments of the program that does the work; `--help` is one of them.
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
        Task::Test(arguments) => test::run(&places, &arguments),
        Task::Tidy => tidy::run(&places),
        Task::ReleaseWit(arguments) => wit::run(&places, &arguments),
        Task::Corpus { from } => corpus::fetch(&places, from.as_deref()).map(drop),
        Task::Fuzz(arguments) => fuzz::run(&places, &arguments),
        Task::GpuCheck(Passed { arguments }) => {
            bench::run(&places, [OsString::from("gpu-check")].into_iter().chain(arguments))
        }
        Task::Bench(Passed { arguments }) => bench::run(&places, arguments),
    }
}
