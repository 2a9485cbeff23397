//! Finds references of documents to files that do not exist: relative links, and file names in code spans that begin with
//! a folder of the repository.

use std::collections::BTreeSet;
use std::fs;

use crate::places::Places;

/// Documents that name files of other times: changes, and decisions when they were made.
const HISTORY: &[&str] = &["CHANGELOG.md", "host/adr/"];

/// Returns a message for each reference of the Markdown files among `files` to a file that is not among them.
pub(super) fn violations(places: &Places, files: &[String]) -> Vec<String> {
    let known = with_folders(files);
    let documents = files.iter().filter(|path| path.ends_with(".md"));
    documents
        .filter_map(|path| Some((path, fs::read_to_string(places.repo(path)).ok()?)))
        .flat_map(|(path, text)| of_text(&known, path, &text))
        .collect()
}

/// Returns the files and all folders above them.
fn with_folders(files: &[String]) -> BTreeSet<&str> {
    files.iter().flat_map(|file| folders(file)).collect()
}

/// Returns a path and the folders above it.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(folder, _)| folder))
}

fn of_text(known: &BTreeSet<&str>, path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        for link in links(line) {
            if !known.contains(resolved(path, link).as_str()) {
                found.push(format!("{path}:{}: the link {link} leads to no file", n + 1));
            }
        }
        if HISTORY.iter().any(|history| path.starts_with(history)) {
            continue;
        }
        for name in names(line).filter(|name| is_of_repository(known, name)) {
            if !known.contains(name.trim_end_matches('/')) {
                found.push(format!("{path}:{}: there is no file {name}", n + 1));
            }
        }
    }
    found
}

/// Returns the relative targets of the links of a line, without fragments.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty())
}

/// Returns the code spans of a line that can be names of files: no spaces, wildcards or placeholders.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let spans = line.split('`').skip(1).step_by(2);
    spans.filter(|span| {
        span.contains('/')
            && span.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/._-".contains(&b))
    })
}

/// Returns whether a name begins with a folder of the repository, and is not of a build.
fn is_of_repository(known: &BTreeSet<&str>, name: &str) -> bool {
    let first = name.split('/').next().unwrap_or_default();
    !first.is_empty() && !first.starts_with('.') && known.contains(first) && !name.contains("/target/")
}

/// Returns the path in the repository of a link in the document `path`.
fn resolved(path: &str, link: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_files() {
        let files =
            ["README.md", "host/src/app.rs", "host/adr/README.md", "deploy/README.md"].map(str::to_owned);
        let known = with_folders(&files);
        let check = |path: &str, text: &str, expected: usize| {
            let found = of_text(&known, path, text);
            assert_eq!(found.len(), expected, "{text}: {found:?}");
        };
        check(
            "README.md",
            "[a](deploy/README.md#engines) [b](https://x.org/y) [c](#below) [d](host/adr/)",
            0,
        );
        check("README.md", "[a](deploy/GONE.md) and [b](host/src/gone.rs)", 2);
        check("deploy/README.md", "[a](../host/adr/README.md), [b](adr/README.md)", 1);
        check(
            "README.md",
            "`host/src/app.rs`, `host/src`, `host/adr/`, `lector ocr`, `a/b.rs`, `host/{a,b}.rs`",
            0,
        );
        check("README.md", "`host/src/gone.rs`, then `host/crates/*/src`, and `guest/target/x.wasm`", 1);
        check("CHANGELOG.md", "`host/src/gone.rs`", 0);
        check("host/adr/0001-a.md", "`host/src/gone.rs`, [x](gone.md)", 1);
    }
}
