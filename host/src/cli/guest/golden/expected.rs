//! The expected result of a document: its pages as they were read when an author accepted them, or the code of the
//! fault. Stored as JSON for review: numbers are rounded and short values stay on one line, so that diffs are small.

use std::fs;
use std::path::Path;

use anyhow::Context;
use lector_core::{Fault, Summary, Transcript};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::files::write_whole;
use lector_serving::DocumentResult;

/// Longest line that contains a whole list or object.
const LINE_CHARS_MAX: usize = 120;
/// Factor for rounding to three decimals: more is meaningless for pixels and probabilities.
const ROUNDING: f64 = 1000.0;

/// A result, or a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::cli::guest) enum Expected {
    /// The document could not be read; the code of the fault.
    Error(String),
    /// The document was read.
    Document(Document),
}

/// The result of a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli::guest) struct Document {
    /// In page order.
    pub(super) pages: Vec<Page>,
    /// The summary from the guest's `assemble`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<Summary>,
}

/// One page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Page {
    /// The page was not read; the code of the fault.
    Error(String),
    /// The page was read.
    Transcript(Transcript),
}

impl Expected {
    /// Returns the expectation that a result meets.
    pub(in crate::cli::guest) fn of(read: &Result<Box<DocumentResult>, Fault>) -> Self {
        let document = match read {
            Ok(document) => document,
            Err(fault) => return Self::Error(fault.code.to_owned()),
        };
        let pages = document.pages.iter().map(|page| match &page.outcome {
            Ok(transcript) => Page::Transcript(Transcript::clone(transcript)),
            Err(fault) => Page::Error(fault.code.to_owned()),
        });
        Self::Document(Document {
            pages: pages.collect(),
            summary: document.summary.as_ref().map(|summary| Summary::clone(summary)),
        })
    }

    /// Reads an expectation; `None` if the file does not exist.
    pub(in crate::cli::guest) fn read(file: &Path) -> anyhow::Result<Option<Self>> {
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        let expected = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is not an expectation; --bless writes a new one", file.display()))?;
        Ok(Some(expected))
    }

    /// Writes the expectation atomically.
    pub(in crate::cli::guest) fn write(&self, file: &Path) -> anyhow::Result<()> {
        write_whole(file, self.text()?.as_bytes())
    }

    fn text(&self) -> anyhow::Result<String> {
        let mut value = serde_json::to_value(self).context("writing an expectation as JSON")?;
        round(&mut value);
        let mut out = String::new();
        write_value(&value, 0, &mut out);
        out.push('\n');
        Ok(out)
    }
}

fn round(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(float) = number.as_f64() {
                *value = serde_json::json!((float * ROUNDING).round() / ROUNDING);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(round),
        Value::Object(members) => members.values_mut().for_each(round),
        _ => {}
    }
}

/// Writes a long value pretty-printed, and a short one on one line.
fn write_value(value: &Value, depth: usize, out: &mut String) {
    let flat = value.to_string();
    let (open, close, items): (_, _, Vec<(Option<&String>, &Value)>) = match value {
        Value::Array(items) => ('[', ']', items.iter().map(|item| (None, item)).collect()),
        Value::Object(members) => ('{', '}', members.iter().map(|(name, item)| (Some(name), item)).collect()),
        _ => (' ', ' ', Vec::new()),
    };
    if items.is_empty() || flat.chars().count() + depth <= LINE_CHARS_MAX {
        out.push_str(&flat);
        return;
    }
    out.push(open);
    for (number, (name, item)) in items.iter().enumerate() {
        out.push_str(if number == 0 { "\n" } else { ",\n" });
        out.extend(std::iter::repeat_n(' ', depth + 1));
        if let Some(name) = name {
            out.push_str(&Value::from(name.as_str()).to_string());
            out.push_str(": ");
        }
        write_value(item, depth + 1, out);
    }
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', depth));
    out.push(close);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use lector_core::{Block, BlockKind, Finding, Line, Point, Quad, Size};

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a.pdf.json");
        assert_eq!(Expected::read(&file).unwrap(), None);
        let quad = Quad([Point { x: 1.0 / 3.0, y: 2.0 }; 4]);
        let line = Line { block_id: 3, ..Line::new("a \"quoted\" line", 0.987_654, quad) };
        let block = Block {
            id: 3,
            kind: BlockKind::Heading { level: 1 },
            quad,
            confidence: 0.5,
            table: None,
            properties: Some("{}".into()),
        };
        let transcript = Transcript {
            lines: vec![line],
            blocks: vec![block],
            findings: vec![Finding::new("k", "t", 0, quad)],
            warnings: vec!["w".into()],
            properties: Some("{\"a\":1}".into()),
            ..Transcript::blank(Size { width: 100, height: 50 }, 72.0)
        };
        let pages = vec![Page::Transcript(transcript), Page::Error("page_too_large".into())];
        let summary = Some(Summary { text: "x".into(), properties: None });
        let expected = Expected::Document(Document { pages, summary });
        expected.write(&file).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("\"confidence\": 0.988"), "{text}");
        assert!(text.contains("\"quad\": [{\"x\":0.333,\"y\":2.0}"), "{text}");
        // Rounding is idempotent.
        let read = Expected::read(&file).unwrap().unwrap();
        read.write(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        fs::write(&file, "{\"document\": {\"pages\": [], \"page\": []}}").unwrap();
        assert!(format!("{:#}", Expected::read(&file).unwrap_err()).contains("--bless"));
    }
}
