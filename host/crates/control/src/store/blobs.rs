//! Blobs: components by digest, in a folder of immutable files.
//!
//! Owns the writing (to a temporary file, synced, renamed, the folder synced) and the reading (complete, with the
//! digest verified). Independent of the content. Used by the stores.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Collected, PinnedBlobs, StoreError};
use crate::digest::Digest;

/// Largest file that is read as a blob.
const BLOB_BYTES_MAX: u64 = 1 << 30;

/// The place of the blobs.
#[derive(Debug)]
pub(super) enum Blobs {
    /// In files.
    Folder(Folder),
    /// In memory, for a process that keeps nothing.
    Memory(Mutex<BTreeMap<Digest, Arc<Vec<u8>>>>),
}

impl Blobs {
    pub(super) fn put(&self, bytes: Arc<Vec<u8>>) -> Result<Digest, StoreError> {
        match self {
            Self::Folder(folder) => folder.put(&bytes),
            Self::Memory(map) => {
                let digest = Digest::of(&bytes);
                map.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone(), bytes);
                Ok(digest)
            }
        }
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Folder(folder) => folder.get(digest),
            Self::Memory(map) => {
                Ok(map.lock().unwrap_or_else(PoisonError::into_inner).get(digest).map(|bytes| bytes.to_vec()))
            }
        }
    }

    /// Deletes the blobs that are not in `named`, if that is known, and not pinned; without `pinned`, also unfinished
    /// files.
    pub(super) fn collect(
        &self,
        named: Option<&BTreeSet<Digest>>,
        pinned: Option<&PinnedBlobs>,
    ) -> Result<Collected, StoreError> {
        match self {
            Self::Folder(folder) => folder.collect(named, pinned),
            Self::Memory(map) => {
                let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
                let before = map.len();
                map.retain(|digest, _| {
                    named.is_none_or(|named| named.contains(digest))
                        || pinned.is_some_and(|pinned| pinned.unless_pinned(digest, || ()).is_none())
                });
                Ok(Collected { unfinished: 0, unnamed: before - map.len() })
            }
        }
    }
}

/// A folder of blobs: `ab/abcdef…`, and `tmp/` for unfinished files.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    /// Makes the names of unfinished files unique within the process.
    next: AtomicU64,
}

impl Folder {
    /// Opens the folder `dir`, and creates it if it is missing.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(dir.join("tmp"))?;
        Ok(Self { dir, next: AtomicU64::new(0) })
    }

    /// Makes a folder to read from, without creating it.
    pub(super) fn at(dir: PathBuf) -> Self {
        Self { dir, next: AtomicU64::new(0) }
    }

    /// Returns the path of a blob, whether or not it exists.
    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        let digits = digest.as_str();
        self.dir.join(digits.get(..2).unwrap_or("xx")).join(digits)
    }

    pub(super) fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let path = self.path(&digest);
        // An existing file is kept only if it is intact: writing the bytes again repairs a damaged file.
        if matches!(self.get(&digest), Ok(Some(_))) {
            return Ok(digest);
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let aside = self.dir.join("tmp").join(format!("{}.{next}", std::process::id()));
        let written = write_whole(&aside, &path, bytes);
        if written.is_err() {
            let _ = fs::remove_file(&aside);
        }
        written.map_err(|error| StoreError::write("a component", error))?;
        Ok(digest)
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(digest);
        let bytes = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::read("a component", error)),
            Ok(meta) if meta.len() > BLOB_BYTES_MAX => {
                return Err(StoreError::Damaged { what: format!("component {digest}") });
            }
            Ok(_) => fs::read(&path).map_err(|error| StoreError::read("a component", error))?,
        };
        if Digest::of(&bytes) == *digest {
            Ok(Some(bytes))
        } else {
            Err(StoreError::Damaged { what: format!("component {digest}") })
        }
    }

    /// Returns every blob and its file. Files whose names are not digests are not blobs, and are ignored.
    pub(super) fn all(&self) -> io::Result<Vec<(Digest, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let dir = entry?.path();
            if !dir.is_dir() || dir.ends_with("tmp") {
                continue;
            }
            for file in fs::read_dir(&dir)? {
                let file = file?;
                if let Some(digest) = file.file_name().to_str().and_then(Digest::parse) {
                    found.push((digest, file.path()));
                }
            }
        }
        Ok(found)
    }

    /// Deletes the blobs that are not in `named` and not pinned; without `pinned`, also unfinished files.
    pub(super) fn collect(
        &self,
        named: Option<&BTreeSet<Digest>>,
        pinned: Option<&PinnedBlobs>,
    ) -> Result<Collected, StoreError> {
        let failed = |error| StoreError::write("the folder of components", error);
        let mut collected = Collected::default();
        if pinned.is_none() {
            for entry in fs::read_dir(self.dir.join("tmp")).map_err(failed)? {
                fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
                collected.unfinished += 1;
            }
        }
        let Some(named) = named else { return Ok(collected) };
        for (digest, file) in self.all().map_err(failed)? {
            if named.contains(&digest) {
                continue;
            }
            let delete = || fs::remove_file(&file).map_err(failed);
            let deleted = match pinned {
                Some(pinned) => pinned.unless_pinned(&digest, delete),
                None => Some(delete()),
            };
            if deleted.transpose()?.is_some() {
                collected.unnamed += 1;
            }
        }
        Ok(collected)
    }
}

/// Writes to a temporary file, syncs it, renames it, syncs the folder: a reader sees all or nothing, even after a power
/// failure.
pub(super) fn write_whole(aside: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a path without a folder"))?;
    if !folder.is_dir() {
        fs::create_dir_all(folder)?;
        // The name of a new folder is durable only once its parent folder is synced.
        if let Some(above) = folder.parent() {
            fs::File::open(above)?.sync_all()?;
        }
    }
    let mut file = fs::File::create(aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(aside, path)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn digests_have_64_lower_case_digits() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(Digest::parse(empty), Some(Digest::of(b"")));
        for bad in ["", "e3", &empty.to_uppercase(), &format!("{empty}0"), "../../../../etc/passwd"] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_damaged_blob_is_reported_and_mended() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join("blobs")).unwrap();
        let digest = folder.put(b"a component").unwrap();
        fs::write(folder.path(&digest), b"a compOnent").unwrap();
        assert!(matches!(folder.get(&digest), Err(StoreError::Damaged { .. })));
        assert_eq!(folder.put(b"a component").unwrap(), digest);
        assert_eq!(folder.get(&digest).unwrap().unwrap(), b"a component");
    }

    #[test]
    fn unfinished_files_are_deleted_and_other_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join("blobs")).unwrap();
        let (kept, dropped) = (folder.put(b"kept").unwrap(), folder.put(b"dropped").unwrap());
        fs::write(dir.path().join("blobs/tmp/1.0"), b"half").unwrap();
        let other_file = folder.path(&kept).with_file_name("README");
        fs::write(&other_file, b"mine").unwrap();
        let collected = folder.collect(Some(&BTreeSet::from([kept.clone()])), None).unwrap();
        assert_eq!(collected, Collected { unfinished: 1, unnamed: 1 });
        assert!(folder.get(&kept).unwrap().is_some() && folder.get(&dropped).unwrap().is_none());
        assert!(other_file.exists());
    }

    #[test]
    fn at_run_time_pinned_and_unfinished_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join("blobs")).unwrap();
        let (pinned, dropped) = (folder.put(b"pinned").unwrap(), folder.put(b"dropped").unwrap());
        fs::write(dir.path().join("blobs/tmp/1.0"), b"half").unwrap();
        let pins: Arc<PinnedBlobs> = Arc::default();
        let pin = pins.pin(pinned.clone());
        let again = pins.pin(pinned.clone());
        drop(again);
        let collected = folder.collect(Some(&BTreeSet::new()), Some(&pins)).unwrap();
        assert_eq!(collected, Collected { unfinished: 0, unnamed: 1 });
        assert!(folder.get(&pinned).unwrap().is_some() && folder.get(&dropped).unwrap().is_none());
        assert!(dir.path().join("blobs/tmp/1.0").exists());
        drop(pin);
        assert_eq!(folder.collect(Some(&BTreeSet::new()), Some(&pins)).unwrap().unnamed, 1);
    }
}
