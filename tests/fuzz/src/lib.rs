//! Fuzzing for every parser of untrusted bytes, on the pinned stable toolchain.
//!
//! A target is a unit test beside the parser, so that it reaches private items: it has a name, seeds (valid inputs),
//! and a closure that parses and asserts. The closure returns an outcome (a code, a count): an input with a new outcome
//! joins the pool from which further inputs are mutated. `cargo xtask fuzz` compiles the parsers and their dependencies
//! with coverage counters: an input that reaches a new edge of their control flow, or an old one more often, joins the
//! pool, too (`coverage.rs`).
//!
//! In the test suite a target runs for a fraction of a second, with the same inputs every time. `cargo xtask fuzz` sets
//! `LECTOR_FUZZ_SECONDS`, and inputs then differ each time; the pool is kept in the folder `LECTOR_FUZZ_CORPUS`. An input that panics, or takes longer than [`CASE_MAX`], is
//! written to `tests/fuzz/found/TARGET/`; the files there are tried first from then on, so a committed input is a
//! regression test.
#![warn(missing_docs)]
#![allow(clippy::panic, clippy::print_stderr, reason = "only tests use it")]

mod breed;
mod coverage;
mod feed;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use coverage::Coverage;
pub use feed::Feed;

/// Duration in the test suite: finds gross errors, without slowing the suite.
const SUITE: Duration = Duration::from_millis(300);
/// Maximum number of inputs in the test suite, so that a fast target does the same work on every machine.
const SUITE_CASES_MAX: u64 = 3000;
/// Maximum time of one input. Inputs are small and parsers linear; the rest is tolerance for a busy machine.
pub const CASE_MAX: Duration = Duration::from_secs(20);
/// Maximum number of inputs from which others are mutated.
const POOL_MAX: usize = 1 << 14;
/// Maximum length of an input.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// Runs a target: `seeds` and found inputs unchanged, then mutations of them. `words` are tokens of the format. The
/// closure panics on a defect; its return value distinguishes outcomes.
pub fn target<O: Hash>(name: &str, seeds: &[Vec<u8>], words: &[&[u8]], try_one: impl FnMut(&[u8]) -> O) {
    within(CASE_MAX, name, seeds, words, try_one);
}

fn within<O: Hash>(
    case_max: Duration,
    name: &str,
    seeds: &[Vec<u8>],
    words: &[&[u8]],
    mut try_one: impl FnMut(&[u8]) -> O,
) {
    let long = std::env::var_os("LECTOR_FUZZ_SECONDS").and_then(|text| text.to_str()?.parse::<u64>().ok());
    let until = long.map_or(SUITE, Duration::from_secs);
    let cases_max = if long.is_some() { u64::MAX } else { SUITE_CASES_MAX };
    let mut breeder = match long {
        None => breed::Breeder::new(0x001e_c708, words),
        Some(_) => breed::Breeder::new(fastrand::u64(..), words),
    };
    let mut pool: Vec<Vec<u8>> = Vec::new();
    let (mut outcomes, mut coverage) = (BTreeSet::new(), Coverage::default());
    let mut cases = 0_u64;
    let began = Instant::now();
    let corpus = corpus(name);
    let mut one = |input: Vec<u8>, pool: &mut Vec<Vec<u8>>, is_seed: bool| {
        Coverage::begin();
        let outcome = run(case_max, name, &input, &mut try_one);
        let is_new = coverage.add() | outcomes.insert(outcome);
        if is_new && pool.len() < POOL_MAX {
            if let Some(folder) = corpus.as_deref().filter(|_| !is_seed) {
                save(folder, &input);
            }
            pool.push(input);
        }
    };
    let kept = corpus.as_deref().map(inputs).unwrap_or_default();
    for seed in seeds.iter().cloned().chain(found(name)).chain(kept) {
        one(seed.clone(), &mut pool, true);
        // Seeds stay in the pool even if their outcomes are equal.
        if !pool.contains(&seed) {
            pool.push(seed);
        }
        cases += 1;
    }
    while cases < cases_max && began.elapsed() < until {
        let input = breeder.input(&pool, INPUT_BYTES_MAX);
        one(input, &mut pool, false);
        cases += 1;
    }
    let (outcomes, edges, took) = (outcomes.len(), coverage.edges(), began.elapsed().as_secs_f64());
    eprintln!(
        "fuzz {name}: {cases} inputs in {took:.1} s, {outcomes} outcomes, {edges} edges, {} in the pool",
        pool.len()
    );
}

/// Tries one input; a failing input is written to disk and reported with its path.
fn run<O: Hash>(case_max: Duration, name: &str, input: &[u8], try_one: &mut impl FnMut(&[u8]) -> O) -> u64 {
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| try_one(input)));
    let took = began.elapsed();
    match outcome {
        Ok(outcome) if took <= case_max => {
            let mut hasher = DefaultHasher::new();
            outcome.hash(&mut hasher);
            hasher.finish()
        }
        Ok(_) => panic!("{name}: an input took {took:?}: {}", keep(name, input).display()),
        Err(panic) => {
            eprintln!("{name}: an input panics: {}", keep(name, input).display());
            resume_unwind(panic)
        }
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("found").join(name)
}

/// Returns the folder of the pool of a target; `None` in the test suite.
fn corpus(name: &str) -> Option<PathBuf> {
    std::env::var_os("LECTOR_FUZZ_CORPUS").map(|folder| Path::new(&folder).join(name))
}

/// Returns the saved inputs that failed before.
fn found(name: &str) -> Vec<Vec<u8>> {
    inputs(&folder(name))
}

/// Returns the files of a folder, in the order of their names.
fn inputs(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files.iter().filter_map(|file| std::fs::read(file).ok()).collect()
}

fn keep(name: &str, input: &[u8]) -> PathBuf {
    save(&folder(name), input)
}

/// Writes an input to a folder, under the hash of its bytes.
fn save(folder: &Path, input: &[u8]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let file = folder.join(format!("{:016x}", hasher.finish()));
    let kept = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, input));
    if let Err(error) = kept {
        eprintln!("{}: the input cannot be kept ({error}): {input:?}", file.display());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_defect_is_found_and_kept() {
        let name = "planted";
        let _ = std::fs::remove_dir_all(folder(name));
        let seeds = [b"key=value;key=value".to_vec()];
        // Two steps deep: the outcome of the first step leads to the second.
        let planted = |input: &[u8]| {
            let equals = input.windows(2).filter(|pair| pair == b"==").count();
            assert!(equals < 3, "planted");
            equals
        };
        let outcome = catch_unwind(|| target(name, &seeds, &[b"==", b";"], planted));
        assert!(outcome.is_err(), "three pairs of signs were not found");
        let kept = found(name);
        assert_eq!(kept.len(), 1);
        assert!(kept.first().is_some_and(|input| input.windows(2).filter(|pair| pair == b"==").count() >= 3));
        let again = catch_unwind(|| target(name, &[], &[], planted));
        assert!(again.is_err(), "what was found is tried first");
        let _ = std::fs::remove_dir_all(folder(name));
    }

    #[test]
    fn an_input_that_takes_too_long_is_a_failure() {
        let name = "slow";
        let outcome = catch_unwind(|| {
            let slow = |_: &[u8]| std::thread::sleep(Duration::from_millis(5));
            within(Duration::from_millis(1), name, &[b"x".to_vec()], &[], slow);
        });
        assert!(outcome.is_err());
        let _ = std::fs::remove_dir_all(folder(name));
    }
}
