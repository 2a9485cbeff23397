//! Texts of a model's classes: from the model's metadata, a file beside it, or the description itself.

use std::path::PathBuf;

use lector_core::ModelName;

use super::digest::{self, Sha256};
use super::error::CatalogError;
use crate::onnx;

/// Most labels of a model; the largest character sets in OCR stay below 2^17.
const LABELS_MAX: usize = 1 << 20;

/// The source of the labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSource {
    /// The middle part.
    pub from: LabelOrigin,
    /// Labels before it (the blank of CTC).
    pub prefix: Vec<String>,
    /// Labels after it (the space).
    pub suffix: Vec<String>,
}

/// The middle part of the labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelOrigin {
    /// A value of the model's metadata, one label a line.
    Metadata {
        /// The key.
        key: String,
    },
    /// A file beside the weights, one label a line.
    File {
        /// The path, also before `cargo xtask setup` has fetched it.
        path: PathBuf,
        /// The expected digest; `None` for an operator's own model.
        sha256: Option<Sha256>,
    },
    /// A list in the description.
    List(Vec<String>),
}

pub(super) fn read(
    model: &ModelName,
    source: &LabelSource,
    weights: &[u8],
) -> Result<Vec<String>, CatalogError> {
    let wrong = |what: String| CatalogError::Labels { model: model.clone(), what };
    let middle = match &source.from {
        LabelOrigin::List(list) => list.clone(),
        LabelOrigin::Metadata { key } => {
            let text = onnx::metadata(weights, key)
                .ok_or_else(|| wrong(format!("the weights have no metadata `{key}`")))?;
            lines(&text)
        }
        LabelOrigin::File { path, sha256 } => {
            let bytes = std::fs::read(path).map_err(|e| CatalogError::of_file(model, path, e))?;
            if let Some(expected) = sha256 {
                CatalogError::unless_same(model, path, expected, digest::of_bytes(&bytes))?;
            }
            lines(&String::from_utf8(bytes).map_err(|_| wrong(format!("{} is not UTF-8", path.display())))?)
        }
    };
    let labels: Vec<String> = source.prefix.iter().chain(&middle).chain(&source.suffix).cloned().collect();
    if labels.len() > LABELS_MAX {
        return Err(wrong(format!("{} labels; the limit is {LABELS_MAX}", labels.len())));
    }
    Ok(labels)
}

/// Splits a text into lines without their ends. A label may be a space of any kind, so nothing else is trimmed.
pub(super) fn lines(text: &str) -> Vec<String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        let check = |text: &str, expect: &[&str]| assert_eq!(lines(text), expect, "{text:?}");
        check("a\nb", &["a", "b"]);
        check("a\nb\n", &["a", "b"]);
        check("a\r\n\u{3000}\r\n", &["a", "\u{3000}"]);
        check(" \n\t", &[" ", "\t"]);
    }
}
