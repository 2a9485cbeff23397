//! `lector guest dev --server`: deploys every build to a server as the live revision, and reads the documents with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use similar::{Algorithm, DiffTag, capture_diff_slices};

use super::golden::Suite;
use crate::cli::files::bytes_of;
use crate::cli::server_client::Server;
use crate::cli::terminal;

/// Maximum size of a component or document.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A deployment on a server, and its last results.
pub(super) struct Deployed<'a> {
    server: Server<'a>,
    name: &'a str,
    before: BTreeMap<PathBuf, String>,
}

impl<'a> Deployed<'a> {
    pub(super) fn new(server: Server<'a>, name: &'a str) -> Self {
        Self { server, name, before: BTreeMap::new() }
    }

    /// Deploys the component with the settings of a suite, reads its documents, and prints the changes in their text.
    pub(super) async fn round(&mut self, component: &Path, suite: &Suite, dir: &Path) -> anyhow::Result<()> {
        let wasm = bytes_of(component, FILE_BYTES_MAX).await?;
        let mut options = json!({ "settings": suite.settings, "promote": true });
        // Not those of the suite before, which the deployment would inherit.
        match &suite.grants {
            Some(grants) => options["grants"] = json!(grants),
            None => options["all_models"] = json!(true),
        }
        if let Some(wraps) = &suite.wraps {
            options["wraps"] = json!(wraps);
        }
        let deploy = self.server.deploy(self.name, &options, wasm);
        let answer: Value = self.server.answer(deploy).await?.json().await.context("reading the response")?;
        let revision = answer.get("revision").and_then(Value::as_u64).unwrap_or_default();
        terminal::print(&format!("-- revision {revision} of {} is live\n", self.name))?;
        for document in &suite.documents {
            let shown = document.strip_prefix(dir).unwrap_or(document).display();
            let report = match self.read(document).await {
                Ok(text) => {
                    let report = match self.before.get(document) {
                        Some(before) if *before == text => "no change\n".to_owned(),
                        Some(before) => changes(before, &text),
                        None => text.clone(),
                    };
                    self.before.insert(document.clone(), text);
                    report
                }
                Err(error) => format!("{error:#}\n"),
            };
            terminal::print(&format!("==> {shown} <==\n{report}"))?;
        }
        Ok(())
    }

    async fn read(&self, document: &Path) -> anyhow::Result<String> {
        let bytes = bytes_of(document, FILE_BYTES_MAX).await?;
        let path = format!("/deployments/{}/ocr?format=text&partial=true", self.name);
        let answer = self.server.answer(self.server.at(Method::POST, &path).body(bytes)).await?;
        answer.text().await.context("receiving the response")
    }
}

/// Returns the removed and added lines with their numbers.
fn changes(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let mut report = String::new();
    for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
        if op.tag() == DiffTag::Equal {
            continue;
        }
        for (sign, lines, range) in [('-', &old, op.old_range()), ('+', &new, op.new_range())] {
            for (number, line) in lines.iter().enumerate().skip(range.start).take(range.len()) {
                let _ = writeln!(report, "{sign} {:>4}  {line}", number + 1);
            }
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_reported() {
        let report = changes("one\ntwo\nthree\n", "one\n2\nthree\nfour\n");
        assert_eq!(report, "-    2  two\n+    2  2\n+    4  four\n");
    }
}
