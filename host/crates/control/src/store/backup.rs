//! Backup of a data folder while a server serves from it, and restore.
//!
//! The database is copied in its state at one moment (`VACUUM INTO`). Components never change, and none is deleted
//! while a server runs, so the components that the copy names can be copied after it. Machine code and engines are
//! built again after a restore.

use std::fs;
use std::path::Path;

use super::blobs::Folder;
use super::sqlite::{self, BLOBS, DATABASE, Named};
use super::{Digest, StoreError};

/// The result of a backup or a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Number of components.
    pub components: usize,
    /// Bytes of database and components.
    pub bytes: u64,
    /// Components that revisions name and that are missing or damaged in the source.
    pub left_out: Vec<Digest>,
}

/// Copies the data folder `from` into the new or empty folder `to`.
pub fn backup(from: &Path, to: &Path) -> Result<Copied, StoreError> {
    if !from.join(DATABASE).is_file() {
        return Err(problem(
            from,
            "there is no database in it: name the data folder of a server (platform.data_dir)",
        ));
    }
    empty(to)?;
    sqlite::copy_database(from, &to.join(DATABASE))?;
    components(from, to)
}

/// Copies the backup `from` into the new or empty data folder `to`. `meanwhile` restores other parts of the backup. It
/// is called before the database is in place: if it fails, the restore is incomplete, as after a crash.
pub fn restore<E: From<StoreError>>(
    from: &Path,
    to: &Path,
    meanwhile: impl FnOnce() -> Result<(), E>,
) -> Result<Copied, E> {
    if !from.join(DATABASE).is_file() {
        return Err(
            problem(from, "there is no database in it: name a folder that `lector backup` made").into()
        );
    }
    empty(to)?;
    // Prevents a server from starting in the folder while it fills.
    let _lock = sqlite::lock(to)?;
    let aside = to.join("restoring.db");
    fs::copy(from.join(DATABASE), &aside).map_err(|error| StoreError::write("the database", error))?;
    let synced = fs::File::open(&aside).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::write("the database", error))?;
    let named = sqlite::named_components(to, &aside)?;
    let mut copied = copy(from, to, named)?;
    meanwhile()?;
    // The database comes last: an interrupted restore has none, and the next start reports that.
    let renamed = fs::rename(&aside, to.join(DATABASE)).and_then(|()| fs::File::open(to)?.sync_all());
    renamed.map_err(|error| StoreError::write("the database", error))?;
    for left in ["restoring.db-wal", "restoring.db-shm"] {
        let _ = fs::remove_file(to.join(left));
    }
    copied.bytes += bytes_of(&to.join(DATABASE));
    Ok(copied)
}

fn components(from: &Path, to: &Path) -> Result<Copied, StoreError> {
    let database = to.join(DATABASE);
    let named = sqlite::named_components(to, &database)?;
    let mut copied = copy(from, to, named)?;
    copied.bytes += bytes_of(&database);
    Ok(copied)
}

fn copy(from: &Path, to: &Path, named: Named) -> Result<Copied, StoreError> {
    let opened =
        |dir: &Path| Folder::open(dir.join(BLOBS)).map_err(|error| StoreError::write("components", error));
    let source = from.join(BLOBS);
    let (source, target) = (Folder::at(source), opened(to)?);
    let mut copied = Copied { components: 0, bytes: 0, left_out: Vec::new() };
    let mut digests = named.digests.clone();
    if !named.complete {
        // The component of a damaged revision is unknown: it may be any.
        let all = source.all().map_err(|error| StoreError::read("the folder of components", error))?;
        digests.extend(all.into_iter().map(|(digest, _)| digest));
    }
    for digest in digests {
        let bytes = match source.get(&digest) {
            Ok(bytes) => bytes,
            Err(StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        // A missing component does not prevent the others from being copied.
        let Some(bytes) = bytes else {
            if named.digests.contains(&digest) {
                copied.left_out.push(digest);
            }
            continue;
        };
        target.put(&bytes)?;
        copied.components += 1;
        copied.bytes += bytes.len() as u64;
    }
    Ok(copied)
}

fn empty(dir: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(dir).map_err(|error| StoreError::write("the folder", error))?;
    let mut entries = fs::read_dir(dir).map_err(|error| StoreError::read("the folder", error))?;
    if entries.next().is_some() {
        return Err(problem(dir, "it is not empty: name a new folder, so that nothing is overwritten"));
    }
    sqlite::private(dir).map_err(|error| StoreError::write("the folder", error))
}

fn problem(dir: &Path, problem: &str) -> StoreError {
    StoreError::Open { dir: dir.to_owned(), problem: problem.to_owned() }
}

fn bytes_of(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |meta| meta.len())
}
