//! Finds references of documents to files and headings that do not exist: relative links, and file names in code spans
//! that begin with a folder of the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::prose;

use crate::places::Places;

/// Documents that name files of other times: changes, and decisions when they were made.
const HISTORY: &[&str] = &["CHANGELOG.md", "host/adr/"];

/// Returns a message for each reference of the Markdown files among `files` to a file that is not among them.
pub(super) fn violations(places: &Places, files: &[String]) -> Vec<String> {
    let documents = files.iter().filter(|path| path.ends_with(".md"));
    let texts: BTreeMap<&str, String> = documents
        .filter_map(|path| Some((path.as_str(), fs::read_to_string(places.repo(path)).ok()?)))
        .collect();
    let anchors = texts.iter().map(|(path, text)| (*path, anchors(text))).collect();
    let known = Known { paths: with_folders(files), anchors };
    texts.iter().flat_map(|(path, text)| of_text(&known, path, text)).collect()
}

/// The targets that references may have.
struct Known<'a> {
    /// Files and folders.
    paths: BTreeSet<&'a str>,
    /// Fragments of the headings of each document.
    anchors: BTreeMap<&'a str, BTreeSet<String>>,
}

/// Returns the fragments of a document's headings, as GitHub makes them: lower case, without punctuation, hyphens for spaces,
/// and a number where a heading occurs again.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in prose::outside_code(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String =
            kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|n| format!("{anchor}-{n}"));
        let free = std::iter::once(anchor.clone()).chain(again).find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

/// Returns the files and all folders above them.
fn with_folders(files: &[String]) -> BTreeSet<&str> {
    files.iter().flat_map(|file| folders(file)).collect()
}

/// Returns a path and the folders above it.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(folder, _)| folder))
}

fn of_text(known: &Known<'_>, path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        for link in links(line) {
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.to_owned() } else { resolved(path, file) };
            if !known.paths.contains(target.as_str()) {
                found.push(format!("{path}:{}: the link {link} leads to no file", n + 1));
            } else if let Some(anchors) = known.anchors.get(target.as_str())
                && !fragment.is_empty()
                && !anchors.contains(fragment)
            {
                found.push(format!("{path}:{}: {target} has no heading for the link {link}", n + 1));
            }
        }
        if HISTORY.iter().any(|history| path.starts_with(history)) {
            continue;
        }
        for name in names(line).filter(|name| is_of_repository(&known.paths, name)) {
            if !known.paths.contains(name.trim_end_matches('/')) {
                found.push(format!("{path}:{}: there is no file {name}", n + 1));
            }
        }
    }
    found
}

/// Returns the relative targets of the links of a line, with their fragments.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
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
pub(crate) fn resolved(path: &str, link: &str) -> String {
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
        let anchors = [
            ("README.md", anchors("# Lector\n## Below\n")),
            ("deploy/README.md", anchors("# Operating\n```\n# no heading\n```\n## Engines\n")),
        ];
        let known = Known { paths: with_folders(&files), anchors: anchors.into() };
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
        check(
            "README.md",
            "[a](deploy/README.md#lector), [b](#engines), [c](deploy/README.md#no-heading)",
            3,
        );
        check(
            "deploy/README.md",
            "[a](../README.md#below), [b](README.md#engines), [c](../host/src/app.rs#L3)",
            0,
        );
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

    #[test]
    fn fragments_of_headings() {
        let found = anchors("# `lector top`: a view, live\n## Limits\ntext\n### Limits\n#no-heading\n");
        assert_eq!(Vec::from_iter(found), ["lector-top-a-view-live", "limits", "limits-1"]);
    }
}
