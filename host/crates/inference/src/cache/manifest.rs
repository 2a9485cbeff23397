//! The manifest of an entry: its key, its files with their digests, its build, its acceptance.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::{MANIFEST, USED};
use super::key::EngineKey;
use crate::acceptance::AcceptanceReport;
use crate::catalog::Sha256;

/// Largest manifest that is read.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// A file of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub sha256: String,
}

/// The manifest of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The key.
    pub key: EngineKey,
    /// The engine's files by name.
    pub files: BTreeMap<String, FileEntry>,
    /// Time of the build, in seconds since the epoch.
    pub built_at_s: u64,
    /// Duration of the build, without acceptance.
    pub build_ms: u64,
    /// Duration of acceptance.
    pub acceptance_ms: u64,
    /// Version of Lector that built it.
    pub lector: String,
    /// Log of the build, or its end.
    pub log: String,
    /// Result of acceptance.
    // The name in manifests of Lector 0.1.
    #[serde(alias = "verdict")]
    pub acceptance: AcceptanceReport,
}

impl Manifest {
    /// Reads the manifest of a folder.
    pub fn read(dir: &Path) -> Result<Self, String> {
        let path = dir.join(MANIFEST);
        let failed = |error: io::Error| format!("its manifest cannot be read: {error}");
        if fs::metadata(&path).map_err(failed)?.len() > MANIFEST_BYTES_MAX {
            return Err(format!("its manifest is longer than {MANIFEST_BYTES_MAX} bytes"));
        }
        let bytes = fs::read(&path).map_err(failed)?;
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|error| format!("its manifest is not valid: {error}"))?;
        // The name of the model begins the name of the folder; an entry for import may come from elsewhere.
        let model = manifest.key.model.as_str();
        if !is_plain_name(model) {
            return Err(format!("its manifest names the model `{model}`, which is not a plain name"));
        }
        Ok(manifest)
    }

    /// Checks every byte of every file.
    pub fn check_files(&self, dir: &Path) -> Result<(), String> {
        for (name, expected) in &self.files {
            if !is_plain_name(name) {
                return Err(format!("its manifest names `{name}`, which is not a plain file name"));
            }
            let path = dir.join(name);
            let found =
                fs::metadata(&path).map_err(|e| format!("its file {name} cannot be read: {e}"))?.len();
            if found != expected.bytes {
                return Err(format!("its file {name} has {found} bytes, expected {}", expected.bytes));
            }
            let digest =
                Sha256::of_file(&path).map_err(|e| format!("its file {name} cannot be read: {e}"))?;
            if digest.as_str() != expected.sha256 {
                return Err(format!("its file {name} has other content than the built one"));
            }
        }
        Ok(())
    }

    /// Returns the files of a folder, as a manifest lists them.
    pub(crate) fn list_files(dir: &Path) -> io::Result<BTreeMap<String, FileEntry>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == MANIFEST || name == USED {
                continue;
            }
            let sha256 = Sha256::of_file(&entry.path())?.as_str().to_owned();
            files.insert(name, FileEntry { bytes: entry.metadata()?.len(), sha256 });
        }
        Ok(files)
    }

    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        fs::write(dir.join(MANIFEST), text + "\n")
    }

    /// Returns the bytes of the engine's files.
    pub fn bytes(&self) -> u64 {
        self.files.values().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// Returns whether a name of a manifest stays in its folder.
fn is_plain_name(name: &str) -> bool {
    !name.contains(['/', '\\', '\0']) && !matches!(name, "" | "." | "..")
}
