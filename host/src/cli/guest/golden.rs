//! Golden documents: inputs with their expected results.
//!
//! Owns the layout of a `golden` folder: documents, `DOCUMENT.json` with the expected result of each, and `golden.toml`
//! with the options. A subfolder with a `golden.toml` is a separate set. `golden/expected.rs` is the form of an
//! expectation, `golden/compare.rs` compares, and `golden/records.rs` writes
//! differences of records and JSON. Called by `lector guest test` and `dev`.

mod compare;
mod expected;
mod records;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use lector_core::{DeploymentName, ModelName, PageRequest, TextLayerPolicy};
use serde_json::{Map, Value};

pub(super) use compare::{Tolerance, compare};
pub(super) use expected::Expected;

/// File with the options of a set.
const SUITE_FILE: &str = "golden.toml";
/// File name extensions that the render workers read.
const DOCUMENTS: [&str; 9] = ["pdf", "png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp", "gif"];
/// Maximum number of documents of a project; a wrong path must not read a whole disk.
const DOCUMENTS_MAX: usize = 10_000;

/// Documents with the same options.
#[derive(Debug)]
pub(super) struct Suite {
    /// Settings of the guest.
    pub(super) settings: serde_json::Value,
    /// Options of the request.
    pub(super) request: PageRequest,
    /// Options of the request for the guest itself.
    pub(super) guest_options: Map<String, Value>,
    /// Allowed differences.
    pub(super) tolerance: Tolerance,
    /// Models by alias; `None`: those of the configuration.
    pub(super) grants: Option<BTreeMap<String, ModelName>>,
    /// The deployment of the configuration that the guest wraps.
    pub(super) wraps: Option<DeploymentName>,
    /// The documents, by name.
    pub(super) documents: Vec<PathBuf>,
}

/// `golden.toml`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawSuite {
    settings: toml::Table,
    request: RawRequest,
    tolerance: Tolerance,
    grants: Option<BTreeMap<String, ModelName>>,
    wraps: Option<DeploymentName>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRequest {
    dpi: Option<f32>,
    text_layer: Option<TextLayerPolicy>,
    words: bool,
    guest_options: toml::Table,
}

impl Suite {
    /// Returns the sets in `dir` and its subfolders. An expectation without its document is an error: no test would
    /// check it.
    pub(super) fn all(dir: &Path) -> anyhow::Result<Vec<Self>> {
        let mut suites = Vec::new();
        Self::gather(dir, &mut suites)?;
        suites.retain(|suite| !suite.documents.is_empty());
        let documents: usize = suites.iter().map(|suite| suite.documents.len()).sum();
        if documents > DOCUMENTS_MAX {
            bail!("{} contains {documents} documents; the limit is {DOCUMENTS_MAX}", dir.display());
        }
        Ok(suites)
    }

    /// Returns documents with default options.
    pub(super) fn plain(documents: Vec<PathBuf>) -> Self {
        Self {
            settings: serde_json::json!({}),
            request: PageRequest::default(),
            guest_options: Map::new(),
            tolerance: Tolerance::default(),
            grants: None,
            wraps: None,
            documents,
        }
    }

    fn gather(dir: &Path, suites: &mut Vec<Self>) -> anyhow::Result<()> {
        let mut files = Vec::new();
        let mut folders = Vec::new();
        for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
            let path = entry.with_context(|| format!("listing {}", dir.display()))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
        files.sort();
        folders.sort();
        suites.push(Self::of(dir, files)?);
        for folder in folders {
            if !folder.join(SUITE_FILE).is_file() {
                bail!("{} has no {SUITE_FILE}: each set of golden documents needs one", folder.display());
            }
            Self::gather(&folder, suites)?;
        }
        Ok(())
    }

    fn of(dir: &Path, files: Vec<PathBuf>) -> anyhow::Result<Self> {
        let file = dir.join(SUITE_FILE);
        let raw: RawSuite = match fs::read_to_string(&file) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("parsing {}", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => RawSuite::default(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        raw.tolerance.check().with_context(|| format!("{}", file.display()))?;
        let (documents, rest): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_document(file));
        let orphan = rest.iter().find(|file| {
            file.extension().is_some_and(|end| end == "json") && !documents.contains(&file.with_extension(""))
        });
        if let Some(orphan) = orphan {
            bail!("{} is the expectation of a document that does not exist", orphan.display());
        }
        let settings = serde_json::to_value(&raw.settings)
            .with_context(|| format!("converting the settings in {} to JSON", file.display()))?;
        let RawRequest { dpi, text_layer, words, guest_options } = raw.request;
        let guest_options = guest_options
            .into_iter()
            .map(|(name, value)| Ok((name, serde_json::to_value(value)?)))
            .collect::<Result<_, serde_json::Error>>()
            .with_context(|| format!("converting the guest options in {} to JSON", file.display()))?;
        let request = PageRequest { dpi, text_layer, words, ..PageRequest::default() };
        let RawSuite { tolerance, grants, wraps, .. } = raw;
        Ok(Self { settings, request, guest_options, tolerance, grants, wraps, documents })
    }
}

/// Returns the path of the expectation of a document.
pub(super) fn expectation_of(document: &Path) -> PathBuf {
    let mut name = document.file_name().unwrap_or_default().to_owned();
    name.push(".json");
    document.with_file_name(name)
}

fn is_document(file: &Path) -> bool {
    let end = file.extension().map(|end| end.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    DOCUMENTS.contains(&end.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sets_are_found_with_their_settings() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("b.PDF", "");
        write("a.png", "");
        write("a.png.json", "{}");
        write("notes.txt", "");
        let suites = Suite::all(home.path()).unwrap();
        assert_eq!(suites.len(), 1);
        assert_eq!(suites[0].documents, [home.path().join("a.png"), home.path().join("b.PDF")]);
        assert_eq!(suites[0].settings, serde_json::json!({}));
        assert_eq!(expectation_of(&suites[0].documents[0]), home.path().join("a.png.json"));

        write(
            "strict/golden.toml",
            "settings = { tier = \"tiny\" }\n[request]\nwords = true\ntext_layer = \"never\"\n\
             guest_options = { currency = \"EUR\" }",
        );
        write("strict/c.tif", "");
        let suites = Suite::all(home.path()).unwrap();
        assert_eq!(suites.len(), 2);
        assert_eq!(suites[1].settings, serde_json::json!({ "tier": "tiny" }));
        assert_eq!(suites[1].request.text_layer, Some(TextLayerPolicy::Never));
        assert!(suites[1].request.words && suites[0].guest_options.is_empty());
        assert_eq!(suites[1].guest_options["currency"], "EUR");

        for (name, text, expected) in [
            ("strict/golden.toml", "[tolerance]\nletters = 1", "letters"),
            ("strict/golden.toml", "[tolerance]\ncharacters = 2.0", "characters"),
            ("gone.pdf.json", "{}", "does not exist"),
            ("loose/d.pdf", "", "golden.toml"),
        ] {
            write(name, text);
            let error = format!("{:#}", Suite::all(home.path()).unwrap_err());
            assert!(error.contains(expected), "{name}: {error}");
            if name.ends_with("toml") {
                write(name, "");
            } else {
                fs::remove_file(home.path().join(name)).unwrap();
            }
        }
    }
}
