//! The engine cache: built engines, one folder for each key.
//!
//! Owns the layout of the folder, its locks, the checks of entries, and the collection. Must not know runtimes: the
//! engine builder interprets an engine's files. Safe between processes, and between machines that share the folder if
//! its file system supports `flock` between them.
//!
//! ```text
//! DIR/pp-ocrv6-small-det-openvino-bf16-1a2b3c4d5e6f7081/   manifest.json, the engine's files, `used` (its time: last use)
//! DIR/locks/                                              one file for each device and each key, locked by builds
//! DIR/tmp/                                                current builds
//! DIR/timing/                                             timing caches of builders, by device, driver and libraries
//! DIR/set-aside/                                          quarantined entries, with a reason
//! ```
//! An entry appears by one rename, complete and synced to the disk. A build that dies leaves a folder below `tmp`,
//! which the next build removes. A process that has loaded an entry holds a shared lock on its folder, and the entry
//! is never removed. (Not on a file in it: `verify` replaces the manifest, and the lock of a replaced file guards
//! nothing.)

mod files;
mod gc;
mod key;
mod manifest;
mod transfer;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::catalog::Sha256;
use files::{LOCKS, MANIFEST, QUARANTINE, TIMING, TMP, USED, plain};

pub use gc::Collected;
pub use key::EngineKey;
pub(crate) use key::LAYOUT;
pub use manifest::{FileEntry, Manifest};

/// Most folders of timings: those of other drivers and versions are of no use any more.
const TIMINGS_MAX: usize = 4;
/// Most quarantined entries, which are kept for inspection.
const QUARANTINED_MAX: usize = 8;

/// The cache.
#[derive(Clone, Debug)]
pub struct EngineCache {
    dir: PathBuf,
    bytes_max: u64,
}

/// A whole entry, locked against removal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its folder.
    pub dir: PathBuf,
    /// Its manifest.
    pub manifest: Arc<Manifest>,
    /// The shared lock on the folder.
    _held: Arc<File>,
}

/// The result of a lookup.
#[derive(Debug)]
pub enum Found {
    /// No entry.
    Nothing,
    /// A whole entry, accepted or refused.
    Entry(Entry),
    /// A damaged entry, which has been quarantined.
    Quarantined {
        /// The reason.
        reason: String,
    },
}

/// A folder for a build; removed when it is dropped before [`Draft::publish`].
pub struct Draft {
    dir: PathBuf,
    published: bool,
}

impl EngineCache {
    /// Returns the cache in `dir`, which is created at the first write. `bytes_max` of 0: no limit.
    pub fn new(dir: PathBuf, bytes_max: u64) -> Self {
        Self { dir, bytes_max }
    }

    /// Returns the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the largest size of all entries; 0: no limit.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    fn folder(&self, key: &EngineKey) -> PathBuf {
        self.dir.join(key.folder())
    }

    /// Returns the path of the manifest of the entry under `key`, which may not exist.
    pub(crate) fn manifest_path(&self, key: &EngineKey) -> PathBuf {
        self.folder(key).join(MANIFEST)
    }

    /// Returns the entry under `key` after a check of every byte. Quarantines a damaged one.
    pub fn find(&self, key: &EngineKey) -> io::Result<Found> {
        let dir = self.folder(key);
        let Some(held) = hold(&dir)? else { return Ok(Found::Nothing) };
        let outcome = Manifest::read(&dir).and_then(|manifest| {
            if manifest.key != *key {
                return Err("it is the engine of another key".to_owned());
            }
            manifest.check_files(&dir)?;
            Ok(manifest)
        });
        match outcome {
            Ok(manifest) => {
                touch(&dir.join(USED));
                Ok(Found::Entry(Entry { dir, manifest: Arc::new(manifest), _held: Arc::new(held) }))
            }
            Err(reason) => {
                drop(held);
                self.quarantine(&dir, &reason)?;
                Ok(Found::Quarantined { reason })
            }
        }
    }

    /// Returns the readable manifests of all entries by folder, without a check of their files.
    pub fn entries(&self) -> io::Result<Vec<(PathBuf, Manifest)>> {
        let mut found = Vec::new();
        for dir in files::folders(&self.dir)? {
            if let Ok(manifest) = Manifest::read(&dir) {
                found.push((dir, manifest));
            }
        }
        Ok(found)
    }

    /// Returns the time of the last use of an entry.
    pub fn last_used(dir: &Path) -> Option<SystemTime> {
        fs::metadata(dir.join(USED)).and_then(|data| data.modified()).ok()
    }

    /// Returns the quarantined entries, with their reasons.
    pub fn quarantined(&self) -> io::Result<Vec<(PathBuf, String)>> {
        let folders = files::folders(&self.dir.join(QUARANTINE))?;
        let reason = |dir: &Path| fs::read_to_string(dir.join("reason.txt")).unwrap_or_default();
        Ok(folders.into_iter().map(|dir| (dir.clone(), reason(&dir).trim().to_owned())).collect())
    }

    /// Quarantines an entry and writes down the reason. Another process may have done it already.
    pub(crate) fn quarantine(&self, dir: &Path, reason: &str) -> io::Result<()> {
        let place = self.dir.join(QUARANTINE);
        fs::create_dir_all(&place)?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let to = place.join(format!("{name}.{}.{}", since.as_millis(), std::process::id()));
        match fs::rename(dir, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        fs::write(to.join("reason.txt"), format!("{reason}\n"))?;
        tracing::warn!(entry = name, reason, kept = %to.display(), "an engine was quarantined");
        let mut kept = files::folders(&place)?;
        kept.sort_by_key(|dir| fs::metadata(dir).and_then(|data| data.modified()).ok());
        for old in kept.iter().rev().skip(QUARANTINED_MAX) {
            fs::remove_dir_all(old)?;
        }
        Ok(())
    }

    /// Waits until no other build runs on `device` (of this machine), then for `key`. The locks end with the process
    /// that holds them. Removes the leftovers of earlier builds of this key: no process can be using them.
    pub(crate) fn lock_for_build(
        &self,
        key: &EngineKey,
        device: &str,
        mut waiting: impl FnMut(&str),
    ) -> io::Result<[File; 2]> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let locks = self.dir.join(LOCKS);
        fs::create_dir_all(&locks)?;
        let device = files::lock(&locks.join(format!("{}-{}.lock", plain(&host), plain(device))), || {
            waiting("another build is running on this device");
        })?;
        let key_lock = files::lock(&locks.join(format!("{}.lock", key.folder())), || {
            waiting("another process is building the same engine");
        })?;
        for left in files::folders(&self.dir.join(TMP))? {
            if left.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&key.folder())) {
                fs::remove_dir_all(&left)?;
            }
        }
        Ok([device, key_lock])
    }

    /// Replaces an entry's manifest by one rename. The entry may be in use: a process that has loaded it keeps the old
    /// acceptance.
    pub(crate) fn rewrite(&self, dir: &Path, manifest: &Manifest) -> io::Result<()> {
        let draft = self.draft(&manifest.key)?;
        manifest.write(draft.dir())?;
        files::sync(draft.dir())?;
        fs::rename(draft.dir().join(MANIFEST), dir.join(MANIFEST))
    }

    /// Returns the folder of a builder's timings on a device, with a driver and libraries, which all builds there
    /// share. Removes the least recently made folders. The caller holds the device's lock.
    pub(crate) fn timing(&self, key: &EngineKey) -> io::Result<PathBuf> {
        let place = self.dir.join(TIMING);
        let (device, libraries) = (&key.device, &key.libraries);
        let machine = format!("{} {} {device} {libraries:?}", key.variant.provider, key.driver);
        let digest = Sha256::of(machine.as_bytes());
        let dir = place.join(digest.as_str().get(..16).unwrap_or_default());
        if !dir.is_dir() {
            let mut kept = files::folders(&place)?;
            kept.sort_by_key(|dir| fs::metadata(dir).and_then(|data| data.modified()).ok());
            for old in kept.iter().rev().skip(TIMINGS_MAX - 1) {
                fs::remove_dir_all(old)?;
            }
            fs::create_dir_all(&dir)?;
        }
        Ok(dir)
    }

    /// Creates a folder to build in. The caller holds the key's lock.
    pub(crate) fn draft(&self, key: &EngineKey) -> io::Result<Draft> {
        let dir = self.dir.join(TMP).join(format!("{}.{}", key.folder(), std::process::id()));
        fs::create_dir_all(&dir)?;
        Ok(Draft { dir, published: false })
    }
}

impl Draft {
    /// Returns the folder for the files.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes it an entry: syncs files and manifest to the disk, then renames once. Replaces an entry under the same
    /// key.
    pub(crate) fn publish(mut self, cache: &EngineCache, manifest: &Manifest) -> io::Result<PathBuf> {
        manifest.write(&self.dir)?;
        files::sync(&self.dir)?;
        let to = cache.folder(&manifest.key);
        if to.exists() {
            cache.quarantine(&to, "it was built again")?;
        }
        fs::rename(&self.dir, &to)?;
        self.published = true;
        File::open(&cache.dir)?.sync_all()?;
        Ok(to)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            tracing::debug!(%error, dir = %self.dir.display(), "a build folder could not be removed; the next build removes it");
        }
    }
}

/// Takes a shared lock on the entry's folder; `None`: no entry, or one that is being removed.
fn hold(dir: &Path) -> io::Result<Option<File>> {
    let folder = match File::open(dir) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match folder.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // It may have been collected between opening and locking. A folder without a manifest was never published by the
    // cache: it is held to report the reason, not for use.
    Ok(dir.is_dir().then_some(folder))
}

/// Sets a file's time to now. An entry whose use cannot be recorded may be collected early, nothing more.
fn touch(path: &Path) {
    let noted = File::options().create(true).truncate(false).write(true).open(path);
    if let Err(error) = noted.and_then(|file| file.set_modified(SystemTime::now())) {
        tracing::debug!(%error, path = %path.display(), "the use of an engine could not be recorded");
    }
}

#[cfg(test)]
mod tests;
