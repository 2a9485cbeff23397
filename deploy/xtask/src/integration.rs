//! The step `integration`: the integration tests of all packages. Each scenario, and the program of each other package, is
//! a process; several run at once, the longest of the last run first. The slowest are listed at the end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::places::Places;
use crate::required;
use crate::shell::{self, Scratch};

/// The program whose tests are processes of their own: each starts servers, and waits for them most of the time.
const SCENARIOS: &str = "scenarios";
/// The program that another step runs.
const ADVERSARY: &str = "adversary";
/// Processes at once beyond the cores: a scenario waits for a start, a time limit or another process now and then.
const BEYOND_CORES: usize = 1;
/// Tests in the list of the slowest.
const SLOWEST: usize = 10;
/// Beginning of a line by which a test says what it did not check.
const SKIPPED: &str = "SKIPPED";

/// A test program that cargo has built.
#[derive(Clone, Debug, PartialEq)]
struct Program {
    name: String,
    path: PathBuf,
    /// Folder of its package, in which cargo runs it.
    folder: PathBuf,
}

/// A process of the step.
#[derive(Debug, PartialEq)]
struct Unit {
    name: String,
    program: Program,
    /// The only test that it runs; `None`: all of the program.
    test: Option<String>,
}

/// Builds and runs the integration tests.
pub fn run(places: &Places) -> Result<()> {
    let programs = built(places)?;
    let mut units = Vec::new();
    for program in programs {
        match program.name.as_str() {
            ADVERSARY => {}
            SCENARIOS => units.extend(tests(&program)?),
            _ => units.push(Unit { name: program.name.clone(), program, test: None }),
        }
    }
    let times = places.repo("target/integration-times.json");
    let known: BTreeMap<String, f64> =
        shell::read(&times).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    sort(&mut units, &known);
    let slots = thread::available_parallelism().map_or(1, usize::from) + BEYOND_CORES;
    println!("{} processes, {slots} at once", units.len());
    let took = at_once(places, &units, slots)?;
    list_slowest(&took);
    shell::write(&times, serde_json::to_string_pretty(&took)? + "\n")
}

/// Builds the test programs, and returns them.
fn built(places: &Places) -> Result<Vec<Program>> {
    let mut build = shell::cargo();
    build.arg("test").args(shell::HOST).args(["--test", "*", "--no-run", "--quiet"]);
    println!("$ {}", shell::line(&build));
    // The programs come on the standard output, messages of the compiler on the other one.
    build.args(["--message-format", "json-render-diagnostics"]);
    let output =
        build.current_dir(&places.root).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the integration tests cannot be built");
    programs(&String::from_utf8_lossy(&output.stdout))
}

/// Returns the test programs that messages of cargo name.
fn programs(messages: &str) -> Result<Vec<Program>> {
    let mut found = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("a message of cargo is not JSON")?;
        let of_test = message["target"]["kind"][0] == "test";
        let (true, Some(path)) = (of_test, message["executable"].as_str()) else { continue };
        let manifest = message["manifest_path"].as_str().context("a program without a package")?;
        found.push(Program {
            name: message["target"]["name"].as_str().context("a program without a name")?.to_owned(),
            path: path.into(),
            folder: Path::new(manifest).parent().context("a package without a folder")?.to_owned(),
        });
    }
    ensure!(!found.is_empty(), "cargo built no integration tests");
    Ok(found)
}

/// Returns a unit for each test of a program.
fn tests(program: &Program) -> Result<Vec<Unit>> {
    let list = shell::output(command(program).args(["--list", "--format", "terse"]))?;
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    let units: Vec<Unit> = names
        .map(|test| Unit { name: test.to_owned(), program: program.clone(), test: Some(test.to_owned()) })
        .collect();
    ensure!(!units.is_empty(), "`{}` has no tests", program.name);
    Ok(units)
}

fn command(program: &Program) -> Command {
    let mut command = Command::new(&program.path);
    command.current_dir(&program.folder).env("CARGO_MANIFEST_DIR", &program.folder);
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    required::by(&mut command);
    command
}

/// Puts the longest first, so that none begins when the others have ended; new ones before all.
fn sort(units: &mut [Unit], known: &BTreeMap<String, f64>) {
    let seconds = |unit: &Unit| known.get(&unit.name).copied().unwrap_or(f64::INFINITY);
    units.sort_by(|a, b| seconds(b).total_cmp(&seconds(a)).then_with(|| a.name.cmp(&b.name)));
}

/// Runs the units; returns the seconds of each. All run, also after a failure.
fn at_once(places: &Places, units: &[Unit], slots: usize) -> Result<BTreeMap<String, f64>> {
    let scratch = Scratch::new(&places.repo("target"), "integration")?;
    let next = Mutex::new(units.iter().enumerate());
    let (took, failed) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some((number, unit)) = next.lock().ok().and_then(|mut next| next.next()) else { return };
            let (began, log) = (Instant::now(), scratch.path().join(format!("{number}.txt")));
            let outcome = run_one(unit, &log);
            let seconds = began.elapsed().as_secs_f64();
            let text = shell::read(&log).unwrap_or_default();
            // Held while the lines are printed, so that those of two tests do not mix.
            let Ok(mut took) = took.lock() else { return };
            took.insert(unit.name.clone(), seconds);
            match outcome {
                Ok(()) => {
                    println!("  ok     {seconds:>6.1} s  {}", unit.name);
                    text.lines()
                        .filter(|line| line.contains(SKIPPED))
                        .for_each(|line| println!("           {line}"));
                }
                Err(error) => {
                    println!("  FAILED {seconds:>6.1} s  {}: {error:#}\n{text}", unit.name);
                    if let Ok(mut failed) = failed.lock() {
                        failed.push(unit.name.clone());
                    }
                }
            }
            // Of a long run with a failure only what matters stays on the disk.
            let _ = fs::remove_file(&log);
        }
    };
    thread::scope(|scope| (0..slots).for_each(|_| _ = scope.spawn(work)));
    let mut failed = failed.into_inner().unwrap_or_default();
    failed.sort();
    if !failed.is_empty() {
        bail!("{} of {} failed: {}", failed.len(), units.len(), failed.join(", "));
    }
    Ok(took.into_inner().unwrap_or_default())
}

/// Runs a unit; its output goes to a file.
fn run_one(unit: &Unit, log: &Path) -> Result<()> {
    let mut command = command(&unit.program);
    // What a test that passes says is not lost.
    command.arg("--nocapture");
    if let Some(test) = &unit.test {
        command.args(["--exact", test]);
    }
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdout(file.try_clone()?).stderr(file);
    let status = command.status().with_context(|| format!("cannot start {}", unit.program.path.display()))?;
    ensure!(status.success(), "{status}");
    // A name that matches nothing is a success of the program.
    let mut text = String::new();
    File::open(log)?.read_to_string(&mut text)?;
    let ran = unit.test.is_none() || text.contains("test result: ok. 1 passed");
    ensure!(ran, "the test did not run");
    Ok(())
}

fn list_slowest(took: &BTreeMap<String, f64>) {
    let mut slowest: Vec<(&String, &f64)> = took.iter().collect();
    slowest.sort_by(|a, b| b.1.total_cmp(a.1));
    println!("the slowest:");
    for (name, seconds) in slowest.into_iter().take(SLOWEST) {
        println!("  {seconds:>6.1} s  {name}");
    }
    println!("  {:>6.1} s  all {}, added up", took.values().sum::<f64>(), took.len());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn program(path: &str) -> Program {
        Program { name: "p".to_owned(), path: path.into(), folder: "/".into() }
    }

    fn unit(name: &str, program: Program) -> Unit {
        Unit { name: name.to_owned(), program, test: None }
    }

    #[test]
    fn the_programs_of_a_build_are_its_tests() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/r/a/Cargo.toml","target":{"kind":["lib"],"name":"a"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/r/a/Cargo.toml","target":{"kind":["test"],"name":"real"},"executable":"/t/real-1"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let found = programs(messages).unwrap();
        assert_eq!(found, [Program { name: "real".into(), path: "/t/real-1".into(), folder: "/r/a".into() }]);
        assert!(programs("").is_err());
    }

    #[test]
    fn new_and_long_ones_begin_first() {
        let mut units = ["short", "new", "long"].map(|name| unit(name, program("/bin/true")));
        sort(&mut units, &BTreeMap::from([("short".to_owned(), 1.0), ("long".to_owned(), 9.0)]));
        assert_eq!(units.each_ref().map(|unit| unit.name.as_str()), ["new", "long", "short"]);
    }

    #[test]
    fn each_failure_is_named_and_the_others_run() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places { root: folder.path().to_owned(), cache: folder.path().to_owned() };
        let units = [("bad", "/bin/false"), ("good", "/bin/true"), ("gone", "/bin/no-such-program")];
        let units = units.map(|(name, path)| unit(name, program(path)));
        let error = at_once(&places, &units, 2).unwrap_err().to_string();
        assert_eq!(error, "2 of 3 failed: bad, gone");
        assert!(at_once(&places, &units[1..2], 2).unwrap().contains_key("good"));
        // A name that the program does not have is no success.
        let absent = Unit { test: Some("absent".to_owned()), ..unit("absent", program("/bin/true")) };
        assert!(at_once(&places, &[absent], 1).is_err());
    }
}
