//! The files that the agent may read: those below one folder.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, ensure};

use crate::mcp::ToolError;

/// Most bytes of a file, which is held in memory while it is sent; the server has its own limit, usually lower.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// The folder whose files may be read.
#[derive(Clone, Debug)]
pub(super) struct Root(PathBuf);

impl Root {
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        let real = folder.canonicalize().with_context(|| format!("the folder {}", folder.display()))?;
        ensure!(real.is_dir(), "--root {} is not a folder", folder.display());
        Ok(Self(real))
    }

    /// Reads a file; returns its path below the folder, and its bytes. Codes: `file_outside_root`, `file_not_found`,
    /// `file_unreadable`, `file_too_large`.
    ///
    /// The place of the file is looked up after it was opened, so that it is the place of the bytes that are read: neither
    /// a link nor an exchange of folders during the call leads out of the folder.
    pub(super) fn read(&self, path: &str) -> Result<(String, Vec<u8>), ToolError> {
        // An absolute path replaces the folder.
        let wanted = normal(&self.0.join(path));
        if !wanted.starts_with(&self.0) {
            return Err(self.outside(path));
        }
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                ToolError::new("file_not_found", format!("There is no file `{}`.", shown(path)))
            }
            _ => ToolError::new("file_unreadable", format!("`{}` cannot be read: {error}.", shown(path))),
        };
        let mut options = OpenOptions::new();
        // Neither a pipe without a writer nor a terminal may hold the process.
        options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let file = options.open(&wanted).map_err(failed)?;
        let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(failed)?;
        let Ok(below) = real.strip_prefix(&self.0) else { return Err(self.outside(path)) };
        Ok((below.display().to_string(), bytes_of(&file, path).map_err(failed)??))
    }

    fn outside(&self, path: &str) -> ToolError {
        let (path, root) = (shown(path), self.0.display());
        let message = format!(
            "`{path}` is not in the folder {root}: name a file in it, or ask the user to start `lector mcp` with another \
             `--root`."
        );
        ToolError::new("file_outside_root", message)
    }
}

/// Returns the bytes of a regular file.
fn bytes_of(file: &File, path: &str) -> std::io::Result<Result<Vec<u8>, ToolError>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    // One byte beyond the limit shows that the file is too large, also one that grows.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("`{}` has more than {FILE_BYTES_MAX} bytes: split the document.", shown(path));
        return Ok(Err(ToolError::new("file_too_large", message)));
    }
    Ok(Ok(bytes))
}

/// Resolves `.` and `..` in the text of a path.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = normal.pop(),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// Returns a path for a message.
fn shown(path: &str) -> String {
    path.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_below_the_folder_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
        std::fs::create_dir_all(inside.join("deep")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(inside.join("a.pdf"), b"a").unwrap();
        std::fs::write(inside.join("deep/b.png"), b"b").unwrap();
        std::fs::write(outside.join("secret"), b"s").unwrap();
        // A folder whose name begins with that of the root.
        std::fs::create_dir(dir.path().join("in2")).unwrap();
        std::fs::write(dir.path().join("in2/c"), b"c").unwrap();
        symlink("../out/secret", inside.join("link")).unwrap();
        symlink("../out", inside.join("folder")).unwrap();
        symlink("a.pdf", inside.join("same")).unwrap();
        let root = Root::new(&inside).unwrap();
        let read = |path: &str| root.read(path).map_err(|error| error.code);
        assert_eq!(read("a.pdf").unwrap(), ("a.pdf".to_owned(), b"a".to_vec()));
        assert_eq!(read("deep/../deep/b.png").unwrap().1, b"b");
        assert_eq!(read(inside.join("a.pdf").to_str().unwrap()).unwrap().1, b"a");
        assert_eq!(read("same").unwrap().0, "a.pdf", "a link within the folder");
        for path in
            ["../out/secret", "link", "folder/secret", "../in2/c", "/etc/passwd", "deep/../../out/secret"]
        {
            assert_eq!(read(path), Err("file_outside_root".to_owned()), "{path}");
        }
        assert_eq!(
            read("../missing"),
            Err("file_outside_root".to_owned()),
            "nothing is told about other folders"
        );
        assert_eq!(read("missing.pdf"), Err("file_not_found".to_owned()));
        assert_eq!(read("deep"), Err("file_unreadable".to_owned()));
        assert!(Root::new(&inside.join("a.pdf")).is_err());
    }
}
