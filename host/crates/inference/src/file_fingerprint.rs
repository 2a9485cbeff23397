//! The fingerprint of a file from its metadata, without reading it: enough to detect that the file has changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

/// Length, time of the last change, and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileFingerprint {
    pub(crate) bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl FileFingerprint {
    /// Returns the fingerprint; `None` where the file does not exist.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        Some(Self { bytes: data.len(), modified: data.modified().ok(), inode: data.ino() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn another_file_of_the_same_length_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let (file, new) = (dir.path().join("file"), dir.path().join("new"));
        assert_eq!(FileFingerprint::of(&file), None);
        fs::write(&file, "{}").unwrap();
        let before = FileFingerprint::of(&file);
        assert!(before.is_some() && before == FileFingerprint::of(&file));
        fs::write(&new, "{}").unwrap();
        fs::rename(&new, &file).unwrap();
        assert_ne!(FileFingerprint::of(&file), before);
    }
}
