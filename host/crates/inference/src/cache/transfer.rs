//! Export and import of entries: prebuilt engines for an image, or for machines of one kind.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{EngineCache, Manifest};

impl EngineCache {
    /// Copies an entry into a folder below `to`, after a check.
    pub fn export(&self, entry: &str, to: &Path) -> io::Result<PathBuf> {
        let from = self.dir.join(entry);
        if Path::new(entry).components().count() != 1 || !from.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the cache has no such engine; `lector engines list` shows the entries",
            ));
        }
        let manifest = checked(&from)?;
        let target = to.join(entry);
        fs::create_dir_all(to)?;
        fs::create_dir(&target)?;
        copy(&manifest, &from, &target)?;
        manifest.write(&target)?;
        super::files::sync(&target)?;
        Ok(target)
    }

    /// Imports an entry that [`export`](Self::export) copied, after a check of every byte, and returns its name. The
    /// key decides at each lookup whether the entry fits this machine. Acceptance ran where it was built; `verify`
    /// repeats it here.
    pub fn import(&self, from: &Path) -> io::Result<String> {
        let manifest = checked(from)?;
        let _locks = self.lock_for_build(&manifest.key, "import", |_| {})?;
        let draft = self.draft(&manifest.key)?;
        copy(&manifest, from, draft.dir())?;
        manifest.check_files(draft.dir()).map_err(io::Error::other)?;
        let dir = draft.publish(self, &manifest)?;
        Ok(dir.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }
}

fn checked(dir: &Path) -> io::Result<Manifest> {
    let manifest = Manifest::read(dir).and_then(|manifest| manifest.check_files(dir).map(|()| manifest));
    manifest.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
}

fn copy(manifest: &Manifest, from: &Path, to: &Path) -> io::Result<()> {
    manifest.files.keys().try_for_each(|name| fs::copy(from.join(name), to.join(name)).map(drop))
}
