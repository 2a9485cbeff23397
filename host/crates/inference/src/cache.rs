//! The engine cache: built engines, one folder for each key.
//!
//! Owns the layout of the folder, the locks in it, what is whole and what is not, and what may be removed. Knows no
//! runtime: what an engine's files mean is the forge's business. Safe between processes, and between machines that share
//! the folder, as far as its file system gives them `flock`.
//!
//! ```text
//! DIR/pp-ocrv6-small-det-openvino-bf16-1a2b3c4d5e6f7081/   manifest.json, the engine's files, `used` (its time: last use)
//! DIR/locks/                                              one file a device and a key, locked by builds
//! DIR/tmp/                                                builds under way
//! DIR/timing/                                             what builders have timed, by device, driver and libraries
//! DIR/set-aside/                                          what could not be trusted, with a reason
//! ```
//! An entry appears by one rename, complete and on disk; a build that dies leaves a folder below `tmp`, which the next
//! one removes. An entry that is loaded somewhere holds a shared lock on its manifest and is never removed.

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

pub use gc::Collected;
pub use key::EngineKey;
pub(crate) use key::LAYOUT;
pub use manifest::{FileEntry, Manifest};

const MANIFEST: &str = "manifest.json";
const USED: &str = "used";
const SET_ASIDE: &str = "set-aside";
const TMP: &str = "tmp";
const LOCKS: &str = "locks";
const TIMING: &str = "timing";
/// Folders of timings that are kept: those of other drivers and versions are of no use any more.
const TIMINGS_MAX: usize = 4;
/// What was set aside is kept for inspection, this many times.
const SET_ASIDE_MAX: usize = 8;

/// The folder.
#[derive(Clone, Debug)]
pub struct EngineCache {
    dir: PathBuf,
    bytes_max: u64,
}

/// A whole entry, held against removal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its folder.
    pub dir: PathBuf,
    /// What is known of it.
    pub manifest: Arc<Manifest>,
    /// The shared lock on the manifest.
    _held: Arc<File>,
}

/// What stands under a key.
#[derive(Debug)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A whole entry, accepted or refused.
    Entry(Entry),
    /// Something that could not be trusted; it was set aside.
    SetAside {
        /// Why.
        reason: String,
    },
}

/// A folder for a build; removed when it is dropped before [`Draft::publish`].
pub struct Draft {
    dir: PathBuf,
    published: bool,
}

impl EngineCache {
    /// The cache in `dir`, which is made when it is first written to. `bytes_max` of 0: without a limit.
    pub fn new(dir: PathBuf, bytes_max: u64) -> Self {
        Self { dir, bytes_max }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Largest size of all entries; 0: no limit.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    fn folder(&self, key: &EngineKey) -> PathBuf {
        self.dir.join(key.folder())
    }

    /// Where the manifest of the entry under `key` is, or would be.
    pub(crate) fn manifest_path(&self, key: &EngineKey) -> PathBuf {
        self.folder(key).join(MANIFEST)
    }

    /// The entry under `key`, every byte of it checked.
    pub fn find(&self, key: &EngineKey) -> io::Result<Found> {
        let dir = self.folder(key);
        let Some(held) = hold(&dir)? else { return Ok(Found::Nothing) };
        let verdict = Manifest::read(&dir).and_then(|manifest| {
            if manifest.key != *key {
                return Err("it is the engine of another key".to_owned());
            }
            manifest.check_files(&dir)?;
            Ok(manifest)
        });
        match verdict {
            Ok(manifest) => {
                touch(&dir.join(USED));
                Ok(Found::Entry(Entry { dir, manifest: Arc::new(manifest), _held: Arc::new(held) }))
            }
            Err(reason) => {
                drop(held);
                self.quarantine(&dir, &reason)?;
                Ok(Found::SetAside { reason })
            }
        }
    }

    /// Manifests of all entries, unchecked but readable, by folder.
    pub fn entries(&self) -> io::Result<Vec<(PathBuf, Manifest)>> {
        let mut found = Vec::new();
        for dir in files::folders(&self.dir)? {
            if let Ok(manifest) = Manifest::read(&dir) {
                found.push((dir, manifest));
            }
        }
        Ok(found)
    }

    /// When an entry was last used.
    pub fn last_used(dir: &Path) -> Option<SystemTime> {
        fs::metadata(dir.join(USED)).and_then(|data| data.modified()).ok()
    }

    /// What was set aside, and why.
    pub fn quarantined(&self) -> io::Result<Vec<(PathBuf, String)>> {
        let folders = files::folders(&self.dir.join(SET_ASIDE))?;
        let reason = |dir: &Path| fs::read_to_string(dir.join("reason.txt")).unwrap_or_default();
        Ok(folders.into_iter().map(|dir| (dir.clone(), reason(&dir).trim().to_owned())).collect())
    }

    /// Moves an entry out of the way and writes down why. Another process may have done it already.
    pub(crate) fn quarantine(&self, dir: &Path, reason: &str) -> io::Result<()> {
        let place = self.dir.join(SET_ASIDE);
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
        tracing::warn!(entry = name, reason, kept = %to.display(), "an engine was set aside");
        let mut kept = files::folders(&place)?;
        kept.sort_by_key(|dir| fs::metadata(dir).and_then(|data| data.modified()).ok());
        for old in kept.iter().rev().skip(SET_ASIDE_MAX) {
            fs::remove_dir_all(old)?;
        }
        Ok(())
    }

    /// Waits until nobody else builds on `device` (of this machine), then for `key`. The locks end with the process that
    /// holds them. Leftovers of earlier builds of this key are removed: nobody can be at work on them.
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
            waiting("another build works on this device");
        })?;
        let key_lock = files::lock(&locks.join(format!("{}.lock", key.folder())), || {
            waiting("another machine builds the same engine");
        })?;
        for left in files::folders(&self.dir.join(TMP))? {
            if left.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&key.folder())) {
                fs::remove_dir_all(&left)?;
            }
        }
        Ok([device, key_lock])
    }

    /// Writes an entry's manifest anew, by one rename. The entry need not be idle: who has it loaded keeps its verdict.
    pub(crate) fn rewrite(&self, dir: &Path, manifest: &Manifest) -> io::Result<()> {
        let draft = self.draft(&manifest.key)?;
        manifest.write(draft.dir())?;
        files::sync(draft.dir())?;
        fs::rename(draft.dir().join(MANIFEST), dir.join(MANIFEST))
    }

    /// A folder for what a builder times on a device, with a driver and libraries: it is of use to every build there, and to
    /// no other. The least recently made go. The caller holds the device's lock.
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

    /// A folder to build in. The caller holds the key's lock.
    pub(crate) fn draft(&self, key: &EngineKey) -> io::Result<Draft> {
        let dir = self.dir.join(TMP).join(format!("{}.{}", key.folder(), std::process::id()));
        fs::create_dir_all(&dir)?;
        Ok(Draft { dir, published: false })
    }
}

impl Draft {
    /// Where the files go.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes it an entry: files and manifest to the disk, then one rename. What stands under the key is replaced.
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
            tracing::debug!(%error, dir = %self.dir.display(), "a build's folder stays until the next build");
        }
    }
}

/// A shared lock on the entry's manifest; `None`: no entry, or one that is just being removed.
fn hold(dir: &Path) -> io::Result<Option<File>> {
    let path = dir.join(MANIFEST);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir.is_dir() => {
            // A folder without a manifest was never published by us: it is opened for the reason, not for use.
            return File::open(dir).map(Some);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Between opening and locking it may have been collected.
    Ok(path.exists().then_some(file))
}

/// Sets a file's time to now; an entry whose use cannot be noted may be collected early, no more.
fn touch(path: &Path) {
    let noted = File::options().create(true).truncate(false).write(true).open(path);
    if let Err(error) = noted.and_then(|file| file.set_modified(SystemTime::now())) {
        tracing::debug!(%error, path = %path.display(), "the use of an engine was not noted");
    }
}

/// A text as a file name.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests;
