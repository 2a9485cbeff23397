//! Waits for changes of a project's files with inotify, once for each burst. Used by `guest dev`.
//!
//! Uses `rustix`, which is a dependency already; a portable crate (`notify`) would add a second event loop, and Lector
//! runs on Linux only.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

/// Editors write a file in several steps; a burst ends after this time without an event.
const QUIET: Duration = Duration::from_millis(150);
/// A burst ends after this time even if events continue.
const NOISY_MAX: Duration = Duration::from_secs(2);
/// Maximum number of folders of a project; a wrong path must not watch a whole disk.
const FOLDERS_MAX: usize = 4096;

/// Watched files and folders.
pub(super) struct Changes {
    queue: OwnedFd,
    roots: Vec<PathBuf>,
}

impl Changes {
    /// Starts to watch paths, folders with their content. Paths that do not exist are skipped.
    pub(super) fn of(roots: Vec<PathBuf>) -> anyhow::Result<Self> {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        let changes = Self { queue: queue.context("starting inotify")?, roots };
        changes.renew()?;
        Ok(changes)
    }

    /// Adds new folders, and files that were replaced by another file of the same name.
    pub(super) fn renew(&self) -> anyhow::Result<()> {
        let mut waiting: Vec<PathBuf> = self.roots.iter().filter(|root| root.exists()).cloned().collect();
        let mut watched = 0;
        while let Some(path) = waiting.pop() {
            watched += 1;
            if watched > FOLDERS_MAX {
                bail!(
                    "{} and the other watched paths contain more than {FOLDERS_MAX} folders",
                    path.display()
                );
            }
            self.add(&path)?;
            if path.is_dir() {
                let entries =
                    std::fs::read_dir(&path).with_context(|| format!("listing {}", path.display()))?;
                let inside = entries.filter_map(|entry| Some(entry.ok()?.path()));
                waiting.extend(inside.filter(|path| path.is_dir() && !path.is_symlink()));
            }
        }
        Ok(())
    }

    fn add(&self, path: &Path) -> anyhow::Result<()> {
        let events = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE;
        match inotify::add_watch(&self.queue, path, events) {
            // Deleted since it was listed.
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).with_context(|| {
                format!("watching {} (fs.inotify.max_user_watches may be too low)", path.display())
            }),
        }
    }

    /// Waits for a change, and for the end of its burst.
    pub(super) fn next(&self) -> anyhow::Result<()> {
        while !self.came(None)? {}
        let end = Instant::now() + NOISY_MAX;
        while Instant::now() < end && self.came(Some(QUIET))? {}
        Ok(())
    }

    /// Waits at most `within` for an event, and discards all that are queued.
    fn came(&self, within: Option<Duration>) -> anyhow::Result<bool> {
        let within = within.map(Timespec::try_from).transpose().context("converting a timeout")?;
        let mut queue = [PollFd::new(&self.queue, PollFlags::IN)];
        match poll(&mut queue, within.as_ref()) {
            Ok(0) | Err(Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error).context("waiting for changes"),
        }
        // The kind of change does not matter: everything is built again.
        let mut buffer = [MaybeUninit::uninit(); 4096];
        loop {
            match rustix::io::read(&self.queue, &mut buffer) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(true),
                Err(error) => return Err(error).context("reading inotify events"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_burst_of_changes_is_reported_once() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        std::fs::create_dir_all(at("src/deep")).unwrap();
        std::fs::write(at("Cargo.toml"), "old").unwrap();
        let changes = Changes::of(vec![at("src"), at("Cargo.toml"), at("not-there")]).unwrap();
        let is_quiet = || !changes.came(Some(Duration::ZERO)).unwrap();
        assert!(is_quiet());
        for number in 0..10 {
            std::fs::write(at("src/deep/lib.rs"), number.to_string()).unwrap();
        }
        changes.next().unwrap();
        assert!(is_quiet(), "the whole burst was consumed");
        std::fs::write(at("other"), "").unwrap();
        assert!(is_quiet(), "changes beside the roots are not reported");
        // Replaced by a rename, as editors do; still watched after `renew`.
        for text in ["new", "newer"] {
            std::fs::write(at("part"), text).unwrap();
            std::fs::rename(at("part"), at("Cargo.toml")).unwrap();
            changes.next().unwrap();
            changes.renew().unwrap();
        }
        std::fs::create_dir(at("src/young")).unwrap();
        changes.next().unwrap();
        changes.renew().unwrap();
        std::fs::write(at("src/young/mod.rs"), "").unwrap();
        changes.next().unwrap();
    }
}
