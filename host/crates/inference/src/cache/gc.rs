//! Collection of entries: least recently used first, never those in use.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files::{LOCKS, QUARANTINE, TMP};
use super::{EngineCache, files};

/// The result of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Entries removed, by folder name.
    pub removed: Vec<String>,
    /// Bytes of the removed entries.
    pub freed_bytes: u64,
    /// Number of remaining entries.
    pub kept: usize,
    /// Bytes of the remaining entries.
    pub kept_bytes: u64,
    /// Remaining entries that are in use and would have been removed.
    pub in_use: usize,
}

impl EngineCache {
    /// Removes quarantined entries, leftovers of dead builds, and the least recently used entries until the rest fits
    /// into `bytes_max` (`None`: the cache's own limit; 0: no limit).
    pub fn collect(&self, bytes_max: Option<u64>) -> io::Result<Collected> {
        let mut collected = Collected::default();
        for dir in files::folders(&self.dir.join(QUARANTINE))? {
            self.remove(&dir, &mut collected)?;
        }
        for dir in files::folders(&self.dir.join(TMP))? {
            if !self.is_being_built(&dir)? {
                self.remove(&dir, &mut collected)?;
            }
        }
        let mut entries: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
        for dir in files::folders(&self.dir)? {
            let used = Self::last_used(&dir).unwrap_or(SystemTime::UNIX_EPOCH);
            entries.push((used, dir.clone(), files::size(&dir)?));
        }
        entries.sort();
        let limit = match bytes_max.unwrap_or(self.bytes_max) {
            0 => u64::MAX,
            limit => limit,
        };
        let mut total: u64 = entries.iter().map(|(_, _, bytes)| bytes).sum();
        collected.kept = entries.len();
        for (_, dir, bytes) in entries {
            if total <= limit {
                break;
            }
            if self.remove_unused(&dir, &mut collected)? {
                total -= bytes;
                collected.kept -= 1;
            } else {
                collected.in_use += 1;
            }
        }
        collected.kept_bytes = total;
        Ok(collected)
    }

    /// Removes an entry. Returns false where it is in use.
    fn remove_unused(&self, dir: &Path, collected: &mut Collected) -> io::Result<bool> {
        let held = File::open(dir)?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Hidden by one rename, while the lock keeps other processes from using it.
        let trash = self.dir.join(TMP);
        fs::create_dir_all(&trash)?;
        let to = trash.join(format!(
            "removed-{}.{}",
            dir.file_name().unwrap_or_default().to_string_lossy(),
            std::process::id()
        ));
        fs::rename(dir, &to)?;
        drop(held);
        self.remove(&to, collected)?;
        Ok(true)
    }

    fn remove(&self, dir: &Path, collected: &mut Collected) -> io::Result<()> {
        collected.freed_bytes += files::size(dir)?;
        fs::remove_dir_all(dir)?;
        collected.removed.push(dir.file_name().unwrap_or_default().to_string_lossy().into_owned());
        Ok(())
    }

    /// Returns whether the build that made a folder below `tmp` holds its key's lock.
    fn is_being_built(&self, dir: &Path) -> io::Result<bool> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((key, _)) = name.rsplit_once('.') else { return Ok(false) };
        match File::open(self.dir.join(LOCKS).join(format!("{key}.lock"))) {
            Ok(file) => match file.try_lock() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
