//! The dependency rule: the allowed dependencies between crates, and the crate that may use each foreign technology.
//!
//! `host/ARCHITECTURE.md` contains the rule as arrows between crates (`host -> serving -> runtime -> core`). This
//! module checks `cargo metadata` against it, so that page and code stay in agreement. Dev-dependencies are not
//! checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::places::Places;
use crate::shell;

/// Foreign technologies and the crates that may use them. `NAME*` matches every name with that prefix.
const HOMES: &[(&str, &[&str])] = &[
    ("ort*", &["inference"]),
    ("openvino*", &["inference"]),
    ("wasmtime*", &["runtime"]),
    ("pdfium-render", &["document"]),
    ("image", &["document"]),
    ("tiff", &["document"]),
    // Encoders: of pictures in a searchable PDF, and of the crops that an answer contains.
    ("png", &["document", "pixels"]),
    ("jpeg-encoder", &["pixels"]),
    // Reads the size in the head of a picture, and no pixel.
    ("imagesize", &["host"]),
    ("lopdf", &["document"]),
    ("rusqlite", &["control"]),
    ("seccompiler", &["sandbox"]),
    ("landlock", &["sandbox"]),
    ("fast_image_resize", &["pixels"]),
    ("rust_xlsxwriter", &["export"]),
    ("axum*", &["host"]),
    ("clap*", &["host"]),
    ("hyper*", &["host"]),
    ("tower*", &["host"]),
    ("reqwest", &["host"]),
    ("prometheus-client", &["host"]),
    ("rustls*", &["host"]),
    ("rmcp*", &["host"]),
    ("hmac", &["jobs"]),
    // Types and arithmetic run on any thread of the caller.
    ("tokio", &["host", "jobs", "serving", "control", "runtime", "inference", "document"]),
];

/// The task runner and the benchmarks: they start the server but depend on none of its crates, and no crate depends on
/// them.
const OUTSIDE: [&str; 2] = ["xtask", "lector-bench"];

/// Allowed edges by crate; a crate may also use the dependencies of the crates that it may use.
type Rule = BTreeMap<String, BTreeSet<String>>;

/// Returns a message for every edge that the page does not list.
pub fn violations(places: &Places) -> Result<Vec<String>> {
    let text = shell::output(
        shell::cargo().args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(&places.root),
    )?;
    let metadata: Value = serde_json::from_str(&text).context("the output of cargo metadata is not JSON")?;
    let page = places.repo("host/ARCHITECTURE.md");
    let Ok(page) = fs::read_to_string(&page) else {
        return Ok(vec!["host/ARCHITECTURE.md is missing: it contains the dependency rule".into()]);
    };
    Ok(check(&metadata, &rule(&page)))
}

fn rule(page: &str) -> Rule {
    let mut rule = Rule::new();
    for line in page.lines() {
        let parts: Vec<&str> = line.split("->").collect();
        for pair in parts.windows(2) {
            let [left, right] = pair else { continue };
            for from in names(left, End::Last) {
                for to in names(right, End::First) {
                    rule.entry(from.to_owned()).or_default().insert(to.to_owned());
                }
            }
        }
    }
    // Computes the transitive closure.
    loop {
        let mut grown = rule.clone();
        for targets in grown.values_mut() {
            for below in targets.clone().iter().filter_map(|target| rule.get(target)) {
                targets.extend(below.iter().cloned());
            }
        }
        if grown == rule {
            return rule;
        }
        rule = grown;
    }
}

enum End {
    First,
    Last,
}

/// Parses the text beside an arrow: a name, or several as `{a, b}`.
fn names(text: &str, end: End) -> Vec<&str> {
    let text = text.trim().trim_matches('`').trim();
    let group = match end {
        End::First => text.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(group, _)| group),
        End::Last => text.strip_suffix('}').and_then(|rest| rest.rsplit_once('{')).map(|(_, group)| group),
    };
    if let Some(group) = group {
        return group.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    }
    let between = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let name = match end {
        End::First => text.split(between).next(),
        End::Last => text.rsplit(between).next(),
    };
    name.filter(|name| !name.is_empty()).into_iter().collect()
}

/// Returns the name of a host crate as the page writes it.
fn host_crate(package: &str) -> Option<&str> {
    match package {
        "lector" => Some("host"),
        // The integration tests use everything from outside; the schedules of threads include sources by path.
        "lector-tests" | "lector-schedules" => None,
        other if OUTSIDE.contains(&other) => None,
        other => other.strip_prefix("lector-"),
    }
}

fn check(metadata: &Value, rule: &Rule) -> Vec<String> {
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let from = host_crate(name);
        if from.is_none() && !OUTSIDE.contains(&name) {
            continue;
        }
        let mut used: BTreeSet<&str> = BTreeSet::new();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if dependency["kind"] != "dev" {
                used.insert(dependency["name"].as_str().unwrap_or_default());
            }
        }
        for used in used {
            match (from, host_crate(used)) {
                (Some(from), Some(to)) if !rule.get(from).is_some_and(|may| may.contains(to)) => found.push(
                    format!("{name} uses {used}, but host/ARCHITECTURE.md has no path `{from} -> … -> {to}`"),
                ),
                (None, Some(_)) => {
                    found.push(format!("{name} uses {used}, but it may not use crates of the host"))
                }
                (Some(_), None) if OUTSIDE.contains(&used) => {
                    found.push(format!("{name} uses {used}, which is not part of the host"))
                }
                (Some(from), None) => {
                    if let Some(homes) = homes(used).filter(|homes| !homes.contains(&from)) {
                        found.push(format!(
                            "{name} uses {used}, which only these crates may use: {}",
                            homes.join(", ")
                        ));
                    }
                }
                _ => {}
            }
        }
    }
    found
}

fn homes(dependency: &str) -> Option<&'static [&'static str]> {
    HOMES
        .iter()
        .find(|(pattern, _)| match pattern.strip_suffix('*') {
            Some(start) => {
                dependency == start
                    || dependency.strip_prefix(start).is_some_and(|rest| rest.starts_with(['-', '_']))
            }
            None => dependency == *pattern,
        })
        .map(|(_, homes)| *homes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    const PAGE: &str = "May depend on: `host -> serving -> {control, runtime}`, `runtime -> {pixels, core}`,\n\
                        `{control, inference, document} -> core`, and only `app.rs` also names `host -> inference`.";

    fn violations(package: &str, dependencies: &[&str]) -> Vec<String> {
        let dependencies: Vec<_> =
            dependencies.iter().map(|name| json!({ "name": name, "kind": null })).collect();
        check(&json!({ "packages": [{ "name": package, "dependencies": dependencies }] }), &rule(PAGE))
    }

    #[test]
    fn chains_are_read_and_closed() {
        let rule = rule(PAGE);
        let may = |from: &str| rule.get(from).map(|set| set.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(may("runtime"), Some(vec!["core", "pixels"]));
        assert_eq!(may("host"), Some(vec!["control", "core", "inference", "pixels", "runtime", "serving"]));
        assert_eq!(may("core"), None);
    }

    #[test]
    fn what_the_page_names_is_allowed() {
        let cases: &[(&str, &[&str])] = &[
            (
                "lector",
                &["lector-serving", "lector-control", "lector-core", "lector-inference", "axum", "clap"],
            ),
            ("lector-serving", &["lector-control", "lector-runtime", "lector-core", "tokio"]),
            ("lector-control", &["lector-core", "rusqlite", "tokio"]),
            ("lector-runtime", &["lector-pixels", "wasmtime", "wasmtime-wasi", "tokio"]),
            ("lector-inference", &["lector-core", "ort"]),
            ("lector-tests", &["image", "axum"]),
            ("lector-bench", &["xtask", "clap"]),
        ];
        for (package, dependencies) in cases {
            assert_eq!(violations(package, dependencies), Vec::<String>::new(), "{package}");
        }
    }

    #[test]
    fn anything_else_is_reported() {
        let cases: &[(&str, &str)] = &[
            ("lector-serving", "lector-inference"),
            ("lector-control", "lector-runtime"),
            ("lector-control", "lector-serving"),
            ("lector-runtime", "ort"),
            ("lector-core", "lector-pixels"),
            ("lector-core", "tokio"),
            ("lector-control", "wasmtime"),
            ("lector-document", "axum-extra"),
            ("xtask", "lector-core"),
            ("lector-bench", "lector-core"),
            ("lector", "lector-bench"),
        ];
        for (package, dependency) in cases {
            assert_eq!(violations(package, &[dependency]).len(), 1, "{package} -> {dependency}");
        }
    }

    #[test]
    fn dev_dependencies_are_free() {
        let metadata = json!({ "packages": [{ "name": "lector-core",
            "dependencies": [{ "name": "tokio", "kind": "dev" }] }] });
        assert_eq!(check(&metadata, &rule(PAGE)), Vec::<String>::new());
    }
}
