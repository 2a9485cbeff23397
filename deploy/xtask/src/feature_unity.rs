//! Features of dependencies: the same for the program as for its tests.
//!
//! Cargo unifies the features of the selected packages, and dev-dependencies join only where tests are built. A feature
//! that only a dev-dependency wants makes two variants of a crate, and of all crates above it: then `cargo xtask demo`,
//! the tests and the benchmarks compile the host two times. `tests/Cargo.toml` wants such features as well.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::places::Places;
use crate::shell;

/// Returns a message for every dependency whose features differ.
pub fn violations(places: &Places) -> Result<Vec<String>> {
    let program = tree(places, "normal,build")?;
    let tests = tree(places, "normal,build,dev")?;
    Ok(differences(&features(&program), &features(&tests)))
}

/// Returns lines `NAME vVERSION|FEATURE,FEATURE` of all dependencies over the edges.
fn tree(places: &Places, edges: &str) -> Result<String> {
    let edges = format!("{edges},features");
    shell::output(
        shell::cargo()
            .args(["tree", "--locked", "--workspace", "--exclude", "xtask", "--edges", &edges])
            .args(["--format", "{p}|{f}", "--prefix", "none"])
            .current_dir(&places.root),
    )
}

/// Features by package: one set for the program, and others for build scripts and macros.
type Features<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Returns the features of a tree, in which a repeated package has a mark.
fn features(tree: &str) -> Features<'_> {
    let mut found = Features::new();
    for (package, features) in tree.lines().filter_map(|line| line.trim_end_matches(" (*)").split_once('|')) {
        found.entry(package).or_default().insert(features);
    }
    found
}

fn differences(program: &Features<'_>, tests: &Features<'_>) -> Vec<String> {
    let differing = |(package, own): (&&str, &BTreeSet<&str>)| {
        let other = tests.get(package).filter(|other| *other != own)?;
        Some(format!(
            "{package} has the features {own:?} in the program and {other:?} in its tests, and is compiled twice with all \
             above it: add it with these features to the dependencies of tests/Cargo.toml"
        ))
    };
    program.iter().filter_map(differing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_of_a_dev_dependency_is_found() {
        let program =
            features("lector v0.2.0|\nregex-syntax v0.8.12|std\nserde v1.0.0|std\nserde v1.0.0|std (*)\n");
        let tests = features("regex-syntax v0.8.12|std,unicode\nserde v1.0.0|std\nproptest v1.12.0|std\n");
        let found = differences(&program, &tests);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found.iter().all(|message| message.starts_with("regex-syntax v0.8.12 has")), "{found:?}");
    }
}
