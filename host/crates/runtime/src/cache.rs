//! Compiled code on disk, keyed by the component's SHA-256 and the engine's fingerprint.
//!
//! A file of this folder is loaded as machine code, so only the host may be able to write to it: the folder has mode 0700
//! and belongs to the host's user, which is checked at the start; a file that belongs to another user, that others may
//! write, or that is a link is not read. The digest in each file protects against truncation and bit rot, not against the
//! host's own user or root, who are trusted. No failure here is fatal: unreadable code is compiled again, and code that cannot be written is
//! compiled again at the next load.

use std::fs;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use tracing::warn;

/// First bytes of a file: file type and version of the layout.
const MAGIC: &[u8; 16] = b"lector-cwasm-v1\n";
/// The magic, then the SHA-256 of the rest, as raw bytes.
pub const HEADER_BYTES: usize = 16 + 32;
/// Larger code is not stored; this is about 30 times the default guest's.
pub const CODE_BYTES_MAX: u64 = 256 << 20;
/// Maximum time that a file is being written.
const UNFINISHED_MAX: Duration = Duration::from_secs(3600);

/// Result of a lookup.
pub enum Found {
    /// The code, verified.
    Code(Vec<u8>),
    /// No file.
    Nothing,
    /// A damaged or foreign file; it is logged and will be replaced.
    Rejected,
}

/// The cache folder.
#[derive(Debug)]
pub struct CodeCache {
    dir: PathBuf,
    fingerprint: String,
    /// Maximum bytes of the folder; 0: no limit.
    bytes_max: u64,
    /// Counter that makes the names of temporary files unique in a process.
    temporary_files: AtomicU64,
}

impl CodeCache {
    /// Opens the cache in `dir` and creates the folder if it is missing.
    pub fn open(dir: PathBuf, fingerprint: String, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        }
        if !is_ours(&fs::metadata(&dir)?) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it does not belong to the user of this process",
            ));
        }
        let cache = Self { dir, fingerprint, bytes_max, temporary_files: AtomicU64::new(0) };
        cache.collect();
        Ok(cache)
    }

    /// Deletes temporary files of dead processes. Another process may be writing now, but no write takes an hour.
    fn collect(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let written = fs::metadata(&path).and_then(|meta| meta.modified());
            let old = written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > UNFINISHED_MAX));
            if old && path.extension().is_some_and(|extension| extension == "tmp") {
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}-{}.cwasm", self.fingerprint))
    }

    /// Returns the code of the component with that digest.
    pub fn get(&self, digest: &str) -> Found {
        let path = self.path(digest);
        let bytes = match read_bounded(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => {
                warn!(%error, component = digest, "compiled code cannot be read; compiling again");
                return Found::Rejected;
            }
        };
        match unsealed(bytes) {
            Some(code) => {
                // The modification time orders eviction (least recently used first). If it cannot be set, the file may
                // be compiled again.
                let _ = fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                Found::Code(code)
            }
            None => {
                warn!(
                    component = digest,
                    "compiled code in the cache is damaged or foreign; compiling again"
                );
                Found::Rejected
            }
        }
    }

    /// Stores the code: written to a temporary file, synced, then renamed, so that no reader sees a partial file.
    pub fn put(&self, digest: &str, code: &[u8]) {
        if code.len() as u64 > CODE_BYTES_MAX {
            return;
        }
        let path = self.path(digest);
        let number = self.temporary_files.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{}.{number}.tmp", std::process::id()));
        if let Err(error) = self.write(&temporary, &path, code) {
            warn!(%error, component = digest, "compiled code cannot be kept; it will be compiled again next time");
            let _ = fs::remove_file(&temporary);
        }
        self.trim();
    }

    /// Deletes the least recently used files until the rest fits; the newest file stays regardless of its size.
    fn trim(&self) {
        if self.bytes_max == 0 {
            return;
        }
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "cwasm"))
            .filter_map(|entry| {
                let meta = entry.metadata().ok()?;
                Some((meta.modified().ok()?, meta.len(), entry.path()))
            })
            .collect();
        files.sort();
        files.pop();
        let mut left: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if left <= self.bytes_max {
                return;
            }
            // A reader of this file has it open.
            if fs::remove_file(&path).is_ok() {
                left -= bytes;
            }
        }
    }

    fn write(&self, temporary: &Path, path: &Path, code: &[u8]) -> io::Result<()> {
        let mut file = fs::File::create(temporary)?;
        file.write_all(&seal(code))?;
        file.write_all(code)?;
        file.sync_all()?;
        drop(file);
        fs::rename(temporary, path)?;
        // A rename is durable only after the folder is synced.
        fs::File::open(&self.dir)?.sync_all()
    }

    /// Deletes a file that was unusable although its digest matched.
    pub fn forget(&self, digest: &str) {
        let _ = fs::remove_file(self.path(digest));
    }
}

/// Reads a file of this user; everything is checked on the open file.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let refused = |kind: io::ErrorKind, why: &str| Err(io::Error::new(kind, why));
    let no_links = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let file = fs::File::options().read(true).custom_flags(no_links).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || !is_ours(&meta) {
        return refused(
            io::ErrorKind::PermissionDenied,
            "users other than that of this process may write it",
        );
    }
    if meta.len() > CODE_BYTES_MAX + HEADER_BYTES as u64 {
        return refused(io::ErrorKind::InvalidData, "larger than the maximum size of stored code");
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    file.take(CODE_BYTES_MAX + HEADER_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns whether only the user of this process, and root, may write the file or folder.
fn is_ours(meta: &fs::Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o022 == 0
}

/// Returns the code behind a header that makes it verifiable.
pub fn seal(code: &[u8]) -> Vec<u8> {
    [&MAGIC[..], Sha256::digest(code).as_slice()].concat()
}

/// Returns the code of sealed bytes if it is complete.
pub fn unsealed(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let header = bytes.get(..HEADER_BYTES)?;
    let (magic, digest) = header.split_at(MAGIC.len());
    let code = bytes.get(HEADER_BYTES..)?;
    if magic != MAGIC || digest != Sha256::digest(code).as_slice() {
        return None;
    }
    bytes.drain(..HEADER_BYTES);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn kept(cache: &CodeCache, digest: &str) -> Option<Vec<u8>> {
        match cache.get(digest) {
            Found::Code(code) => Some(code),
            Found::Nothing | Found::Rejected => None,
        }
    }

    #[test]
    fn code_comes_back_only_whole() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(dir.path().join("code"), "f".repeat(16), 0).unwrap();
        assert!(matches!(cache.get("abc"), Found::Nothing));
        cache.put("abc", b"machine code");
        assert_eq!(kept(&cache, "abc").unwrap(), b"machine code");
        let path = cache.path("abc");
        let whole = fs::read(&path).unwrap();
        for damage in [&whole[..whole.len() - 1], &whole[..10], b"", &[&whole[..], b"more"].concat()] {
            fs::write(&path, damage).unwrap();
            assert!(matches!(cache.get("abc"), Found::Rejected));
        }
        let mut flipped = whole.clone();
        flipped[HEADER_BYTES + 3] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert!(matches!(cache.get("abc"), Found::Rejected));
        cache.put("abc", b"machine code");
        assert_eq!(kept(&cache, "abc").unwrap(), b"machine code");
        for mode in [0o666, 0o620, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(cache.get("abc"), Found::Rejected), "others may write it: {mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(matches!(cache.get("abc"), Found::Rejected), "a link");
        cache.put("abc", b"machine code");
        assert_eq!(kept(&cache, "abc").unwrap(), b"machine code");
        let other = CodeCache::open(dir.path().join("code"), "e".repeat(16), 0).unwrap();
        assert!(matches!(other.get("abc"), Found::Nothing), "another engine's code");
        let names = || fs::read_dir(dir.path().join("code")).unwrap().count();
        assert_eq!(names(), 1, "no temporary file is left");
        let (old, new) = (path.with_extension("7.0.tmp"), path.with_extension("8.0.tmp"));
        fs::write(&new, "being written").unwrap();
        let long_ago = std::time::SystemTime::now() - 2 * UNFINISHED_MAX;
        fs::File::create(&old).unwrap().set_modified(long_ago).unwrap();
        CodeCache::open(dir.path().join("code"), "f".repeat(16), 0).unwrap();
        assert!(names() == 2 && new.exists(), "what a dead process left is collected");
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(dir.path().join("code"), "f".repeat(16), 2500).unwrap();
        let aged = |digest: &str, minutes: u64| {
            let file = fs::File::open(cache.path(digest)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(60 * minutes)).unwrap();
        };
        for (digest, minutes) in [("old", 3), ("older", 4), ("used", 5)] {
            cache.put(digest, &[7; 1000]);
            aged(digest, minutes);
        }
        assert!(kept(&cache, "used").is_some(), "which makes it the newest");
        cache.put("new", &[7; 1000]);
        let there = ["old", "older", "used", "new"].map(|digest| cache.path(digest).exists());
        assert_eq!(there, [true, false, true, true], "the newest is not counted");
    }
}
