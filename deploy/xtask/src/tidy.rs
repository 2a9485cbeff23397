//! Repository rules that the compiler and clippy cannot check. Each rule reads one file (path and text) or the list of
//! files, and is a function with a table of cases below.

mod prose;
mod records;
pub(crate) mod references;
mod words;

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::places::Places;
use crate::{clients, cycles, dependency_rule, feature_unity, shell, wit};

/// Allowed names in the root of the repository, besides hidden files.
const TOP_LEVEL: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "deploy",
    "engine_cache",
    "guest",
    "host",
    "models",
    "rust-toolchain.toml",
    "tests",
    "wit",
];

/// Maximum length of a source file. Tests and data are exempt.
const LINES_MAX: usize = 600;
/// Maximum size of a file in git: model weights do not belong there.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Number of lines below which the overview stays.
const OVERVIEW_LINES: usize = 150;

/// Written in two halves, so that this table does not match itself.
const BANNED: &[(&str, &str)] = &[
    (concat!("to", "do!("), "finish it, or leave the feature out"),
    (concat!("unimpl", "emented!("), "finish it, or leave the feature out"),
    (concat!("FIX", "ME"), "fix it, or file an issue"),
    (concat!("d", "bg!("), "use tracing"),
    (concat!("#[ig", "nore"), "a test that cannot run must print that it was skipped"),
];

/// Machine-specific folders, which no file may name.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Checks all rules, and fails with the list of violations.
pub fn run(places: &Places) -> Result<()> {
    let files = listed(places)?;
    let mut found = Vec::new();
    for path in &files {
        found.extend(of_path(path));
        let full = places.repo(path);
        let Ok(meta) = fs::metadata(&full) else { continue }; // deleted, but not yet committed
        if meta.len() > FILE_BYTES_MAX && !path.ends_with(".lock") {
            found.push(format!("{path}: {} KiB is too large for git", meta.len() / 1024));
            continue;
        }
        if let Ok(text) = fs::read_to_string(&full) {
            found.extend(of_text(path, &text));
        }
    }
    found.extend(references::violations(places, &files));
    found.extend(prose::violations(places, &files));
    found.extend(records::violations(places, &files));
    found.extend(words::violations(places, &files));
    found.extend(clients::check_generated(places).err().map(|error| format!("deploy/clients: {error:#}")));
    found.extend(wit::violations(&places.repo("wit"))?);
    found.extend(dependency_rule::violations(places)?);
    found.extend(feature_unity::violations(places)?);
    found.extend(cycles::violations(&places.root, &cycles::crates(&files)));
    if found.is_empty() {
        println!("tidy: {} files checked", files.len());
        return Ok(());
    }
    for line in &found {
        println!("  {line}");
    }
    bail!("{} violations", found.len());
}

/// Returns the tracked files, and untracked ones that are not ignored.
fn listed(places: &Places) -> Result<Vec<String>> {
    let text = shell::output(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(&places.root),
    )?;
    let mut files: Vec<String> =
        text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

fn of_path(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let top = path.split('/').next().unwrap_or(path);
    if !top.starts_with('.') && !TOP_LEVEL.contains(&top) {
        found.push(format!("{path}: `{top}` does not belong at the top level"));
    }
    if path.ends_with("/mod.rs") {
        found.push(format!("{path}: use `name.rs` beside `name/` instead of mod.rs"));
    }
    found
}

fn of_text(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if path.ends_with(".rs") {
        found.extend(of_rust(path, text));
    }
    if path.ends_with("Cargo.toml")
        && text.contains("[package]")
        && !text.contains("[lints]\nworkspace = true")
    {
        found.push(format!("{path}: the package does not use the workspace's lints"));
    }
    let lines = text.lines().count();
    if path == prose::OVERVIEW && lines >= OVERVIEW_LINES {
        found.push(format!(
            "{path}: {lines} lines; keep it under {OVERVIEW_LINES}: details belong in host/adr"
        ));
    }
    for (n, line) in text.lines().enumerate() {
        if let Some(machine) = MACHINE_PATHS.iter().find(|machine| names_root(line, machine)) {
            found.push(format!("{path}:{}: `{machine}` is a machine-specific folder", n + 1));
        }
    }
    found
}

/// Returns whether the line contains the path as an absolute one, not as a part of another path.
fn names_root(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || "._-/}*".contains(before))
    })
}

fn of_rust(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    let is_test = path.starts_with("tests/") && !path.starts_with("tests/bench/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs");
    if lines > LINES_MAX && !is_test {
        found.push(format!("{path}: {lines} lines; split files over {LINES_MAX}"));
    }
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    // The place of a test file beside its module documents it.
    if !path.ends_with("/tests.rs") && !first.is_some_and(|line| line.starts_with("//!")) {
        found.push(format!(
            "{path}: the module does not begin with `//!`: what it owns, what it must not depend on, its callers"
        ));
    }
    for (n, line) in text.lines().enumerate() {
        for (banned, instead) in BANNED {
            if line.contains(banned) {
                found.push(format!("{path}:{}: `{banned}`: {instead}", n + 1));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn paths() {
        let check = |path: &str, count: usize| assert_eq!(of_path(path).len(), count, "{path}");
        check("host/src/main.rs", 0);
        check(".ci/run", 0);
        check("NOTES.md", 1);
        check("scripts/x.sh", 1);
        check("host/src/http/mod.rs", 1);
    }

    #[test]
    fn rust_files() {
        let check = |path: &str, text: &str, count: usize| {
            assert_eq!(of_text(path, text).len(), count, "{path}: {:?}", of_text(path, text));
        };
        check("host/src/a.rs", "//! Owns a.\nfn a() {}\n", 0);
        check("host/src/a.rs", "#![allow(x)]\n\n//! Owns a.\n", 0);
        check("host/src/a.rs", "fn a() {}\n", 1);
        check("guest/sdk/src/a.rs", &format!("//! a\n{}", "\n".repeat(LINES_MAX)), 1);
        check("tests/bench/src/a.rs", &format!("//! a\n{}", "\n".repeat(LINES_MAX)), 1);
        check("tests/scenarios/a.rs", &format!("//! a\n{}", "\n".repeat(LINES_MAX)), 0);
        for (banned, _) in BANNED {
            check("host/src/a.rs", &format!("//! a\n{banned}\n"), 1);
        }
    }

    #[test]
    fn manifests_take_the_lints() {
        let check =
            |text: &str, count: usize| assert_eq!(of_text("a/Cargo.toml", text).len(), count, "{text}");
        check("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n", 0);
        check("[package]\nname = \"a\"\n", 1);
        check("[workspace]\n", 0);
    }

    #[test]
    fn machine_paths() {
        for machine in MACHINE_PATHS {
            let check =
                |line: String, count: usize| assert_eq!(of_text("a.md", &line).len(), count, "{line}");
            check(format!("see {machine}x"), 1);
            check(format!("\"{machine}x\""), 1);
            check(format!("frame{machine}x"), 0);
            check(format!("./a{machine}x"), 0);
        }
    }
}
