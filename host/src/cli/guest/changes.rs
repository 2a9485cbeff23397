//! When a project's files change: the kernel tells (inotify), once for each burst. Used by `guest dev`.
//!
//! inotify by `rustix`, which is in the house; a crate for other systems (`notify`) would bring a second event loop, and
//! Lector runs on Linux.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

/// Editors write a file in several steps; a burst is over when nothing came for so long.
const QUIET: Duration = Duration::from_millis(150);
/// A burst is over after so long even if changes keep coming.
const NOISY_MAX: Duration = Duration::from_secs(2);
/// Folders of one project; a slip of the path must not watch a disk.
const FOLDERS_MAX: usize = 4096;

/// Files and folders under watch.
pub(super) struct Changes {
    queue: OwnedFd,
    roots: Vec<PathBuf>,
}

impl Changes {
    /// Watches these from now on, folders with all that is in them. What is not there is passed over.
    pub(super) fn of(roots: Vec<PathBuf>) -> anyhow::Result<Self> {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        let changes = Self { queue: queue.context("asking the kernel to tell of changes")?, roots };
        changes.renew()?;
        Ok(changes)
    }

    /// Takes folders in that came since, and files that were replaced by others of their name.
    pub(super) fn renew(&self) -> anyhow::Result<()> {
        let mut waiting: Vec<PathBuf> = self.roots.iter().filter(|root| root.exists()).cloned().collect();
        let mut watched = 0;
        while let Some(path) = waiting.pop() {
            watched += 1;
            if watched > FOLDERS_MAX {
                bail!("{} and what is beside it hold more than {FOLDERS_MAX} folders", path.display());
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
        let told = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE;
        match inotify::add_watch(&self.queue, path, told) {
            // Gone between the look and the watch.
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).with_context(|| {
                format!("watching {} (fs.inotify.max_user_watches may be too low)", path.display())
            }),
        }
    }

    /// Waits for a change, and until it is quiet again.
    pub(super) fn next(&self) -> anyhow::Result<()> {
        while !self.came(None)? {}
        let end = Instant::now() + NOISY_MAX;
        while Instant::now() < end && self.came(Some(QUIET))? {}
        Ok(())
    }

    /// Whether anything changed within that time; takes all that is told of it.
    fn came(&self, within: Option<Duration>) -> anyhow::Result<bool> {
        let within = within.map(Timespec::try_from).transpose().context("a wait that is too long")?;
        let mut queue = [PollFd::new(&self.queue, PollFlags::IN)];
        match poll(&mut queue, within.as_ref()) {
            Ok(0) | Err(Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error).context("waiting for changes"),
        }
        // What changed does not matter: everything is built anew.
        let mut told = [MaybeUninit::uninit(); 4096];
        loop {
            match rustix::io::read(&self.queue, &mut told) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(true),
                Err(error) => return Err(error).context("reading what changed"),
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
        let errors_only = || !changes.came(Some(Duration::ZERO)).unwrap();
        assert!(errors_only());
        for number in 0..10 {
            std::fs::write(at("src/deep/lib.rs"), number.to_string()).unwrap();
        }
        changes.next().unwrap();
        assert!(errors_only(), "all of the burst was taken");
        std::fs::write(at("other"), "").unwrap();
        assert!(errors_only(), "what is beside the roots is not told");
        // Replaced by a rename, as editors do; watched on once renewed.
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
