//! Names of files and folders, locks, syncs to the disk.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const USED: &str = "used";
pub(super) const QUARANTINE: &str = "set-aside";
pub(super) const TMP: &str = "tmp";
pub(super) const LOCKS: &str = "locks";
pub(super) const TIMING: &str = "timing";

/// Returns the folders in `dir` that may be entries, sorted; none where `dir` does not exist.
pub(super) fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let own = path.file_name().is_some_and(|n| [QUARANTINE, TMP, LOCKS, TIMING].iter().any(|o| n == *o));
        if path.is_dir() && !own {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Takes an exclusive lock on the file; calls `waits` once where another process has the lock.
pub(super) fn lock(path: &Path, waits: impl FnOnce()) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => waits(),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    file.lock()?;
    Ok(file)
}

/// Syncs every file of a folder, and the folder, to the disk.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(dir)?.sync_all()
}

/// Returns the bytes of all files of a folder.
pub(super) fn size(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// Returns a text as a file name.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
