//! Compiled code that was installed with the program: that of the guests of a release, which start without a compiler.
//!
//! The code is made for a baseline of processor features ([`engine::portable`]), so that most machines can run it; another
//! one compiles as without it. It becomes code of this process, as the libraries do that are installed beside it. For that
//! reason a file is used only if
//! - no user may write it, or the list of digests, who may not write the program itself, and
//! - its bytes have the digest that the list names.
//!
//! The bytes that are verified are those that are used. Nothing is written here. Does not know the layout of the
//! installation, which `host/src/app.rs` passes; called by `runtime.rs` for components that the cache lacks.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::OnceLock;

use lector_core::Fault;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::cache::CODE_BYTES_MAX;
use crate::compiler::{self, chain};
use crate::config::InstalledCodeConfig;
use crate::engine;
use crate::inspect::inspect;

/// Size of the largest list of digests that is read.
const LIST_BYTES_MAX: u64 = 4 << 20;

/// The installed code.
#[derive(Debug)]
pub(crate) struct InstalledCode {
    config: InstalledCodeConfig,
    /// Read with the first component that the cache lacks; `None`: no file can be used.
    list: OnceLock<Option<List>>,
}

#[derive(Debug)]
struct List {
    fingerprint: String,
    /// Digests by the path below the folder of the list.
    digests: BTreeMap<String, String>,
    writers: Writers,
}

impl InstalledCode {
    pub(crate) fn new(config: InstalledCodeConfig) -> Self {
        Self { config, list: OnceLock::new() }
    }

    /// Returns the code of the component with that digest; `None`: there is none that this process may use.
    pub(crate) fn get(&self, digest: &str) -> Option<Vec<u8>> {
        let list = self.list.get_or_init(|| self.read_list()).as_ref()?;
        let path = self.config.dir.join(file_name(digest, &list.fingerprint));
        let relative = path.strip_prefix(self.config.digests.parent()?).ok()?;
        let expected = list.digests.get(relative.to_str()?)?;
        match list.writers.read(&path, CODE_BYTES_MAX) {
            Ok(code) if *expected == base16ct::lower::encode_string(&Sha256::digest(&code)) => Some(code),
            Ok(_) => {
                warn!(file = %path.display(), "installed code is not that of the release; compiling instead");
                None
            }
            Err(error) => {
                warn!(file = %path.display(), %error, "installed code cannot be used; compiling instead");
                None
            }
        }
    }

    fn read_list(&self) -> Option<List> {
        let read = || -> io::Result<List> {
            let writers = Writers::of(&self.config.program)?;
            let text = writers.read(&self.config.digests, LIST_BYTES_MAX)?;
            let engine = engine::portable().map_err(|error| io::Error::other(chain(&error)))?;
            Ok(List {
                fingerprint: engine::fingerprint(&engine),
                digests: digests(&String::from_utf8_lossy(&text)),
                writers,
            })
        };
        read()
            .inspect_err(|error| {
                warn!(file = %self.config.digests.display(), %error, "installed code cannot be used; compiling instead");
            })
            .ok()
    }
}

/// Compiles a component for an installation: returns the name of its file in [`InstalledCodeConfig::dir`], and the code, which
/// depends on the component and this version of the program alone. Takes seconds of all cores.
pub fn installable_code(wasm: &[u8]) -> Result<(String, Vec<u8>), Fault> {
    let inspection = inspect(wasm)?;
    inspection.check()?;
    let engine = engine::portable().map_err(|error| compiler::invalid(&chain(&error)))?;
    let code = compiler::precompile(&engine, wasm).map_err(|why| compiler::invalid(&why))?;
    Ok((file_name(&inspection.sha256, &engine::fingerprint(&engine)), code))
}

/// Returns the name of the file with the code of a component.
fn file_name(digest: &str, fingerprint: &str) -> String {
    format!("{digest}-{fingerprint}.cwasm")
}

/// Parses the output of `sha256sum`: lines of a digest, two spaces and a path.
fn digests(list: &str) -> BTreeMap<String, String> {
    let entry = |line: &str| {
        let (digest, path) = line.split_once("  ")?;
        Some((path.to_owned(), digest.to_owned()))
    };
    list.lines().filter_map(entry).collect()
}

/// The users who may write the program: its owner, root, the user of this process, and the group if the mode says so.
#[derive(Debug)]
struct Writers {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Writers {
    fn of(program: &Path) -> io::Result<Self> {
        let meta = fs::metadata(program)?;
        Ok(Self { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() })
    }

    /// Returns whether no one else may write a file or folder with this metadata.
    fn only(&self, meta: &fs::Metadata) -> bool {
        let (own, root) = (rustix::process::geteuid().as_raw(), 0);
        let group = meta.mode() & 0o020 == 0 || (self.mode & 0o020 != 0 && meta.gid() == self.gid);
        [self.uid, own, root].contains(&meta.uid()) && group && meta.mode() & 0o002 == 0
    }

    /// Reads a file that they alone may write, in a folder that they alone may write. The file is checked when it is open.
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let refused = |what: &str| {
            let why = format!("{what} may be written by users who may not write the program");
            Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        if !self.only(&fs::metadata(folder)?) {
            return refused("its folder");
        }
        let no_links = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let file = fs::File::options().read(true).custom_flags(no_links).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() || !self.only(&meta) {
            return refused("it");
        }
        if meta.len() > bytes_max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than any such file"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
        file.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    /// An installation with the code of one component, whose digest is `abc`.
    struct Installation {
        dir: tempfile::TempDir,
        code: PathBuf,
    }

    impl Installation {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("code")).unwrap();
            let fingerprint = engine::fingerprint(&engine::portable().unwrap());
            let code = dir.path().join("code").join(file_name("abc", &fingerprint));
            let installation = Self { dir, code };
            fs::write(&installation.code, b"machine code").unwrap();
            fs::write(installation.dir.path().join("lector"), b"program").unwrap();
            let digest = base16ct::lower::encode_string(&Sha256::digest(b"machine code"));
            let path = installation.code.strip_prefix(installation.dir.path()).unwrap().display();
            fs::write(installation.list(), format!("{}  lector\n{digest}  {path}\n", "0".repeat(64)))
                .unwrap();
            for path in [&installation.code, &installation.list(), &installation.dir.path().join("lector")] {
                fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
            }
            installation
        }

        fn list(&self) -> PathBuf {
            self.dir.path().join("SHA256SUMS")
        }

        /// Returns the code of `abc`, as a process finds it that starts now.
        fn found(&self) -> Option<Vec<u8>> {
            let installed = InstalledCode::new(InstalledCodeConfig {
                program: self.dir.path().join("lector"),
                dir: self.dir.path().join("code"),
                digests: self.list(),
            });
            assert_eq!(installed.get("abd"), None, "another component");
            installed.get("abc")
        }

        fn mode(&self, path: &Path, mode: u32) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    #[test]
    fn code_is_used_only_as_the_release_has_it() {
        let installation = Installation::new();
        assert_eq!(installation.found().unwrap(), b"machine code");
        for damage in [&b"machine codf"[..], b"machine cod", b"machine code ", b""] {
            fs::write(&installation.code, damage).unwrap();
            assert_eq!(installation.found(), None, "{damage:?}");
        }
        fs::write(&installation.code, b"machine code").unwrap();
        assert!(installation.found().is_some());
        let elsewhere = installation.dir.path().join("elsewhere");
        fs::rename(&installation.code, &elsewhere).unwrap();
        assert_eq!(installation.found(), None, "no file");
        std::os::unix::fs::symlink(&elsewhere, &installation.code).unwrap();
        assert_eq!(installation.found(), None, "a link");
        fs::remove_file(&installation.code).unwrap();
        fs::rename(&elsewhere, &installation.code).unwrap();
        fs::write(installation.list(), "").unwrap();
        assert_eq!(installation.found(), None, "a file that the list does not name");
        fs::remove_file(installation.list()).unwrap();
        assert_eq!(installation.found(), None, "no list");
    }

    #[test]
    fn code_that_others_may_write_is_not_used() {
        let installation = Installation::new();
        let (folder, program) =
            (installation.dir.path().join("code"), installation.dir.path().join("lector"));
        for (path, good) in [(&installation.code, 0o644), (&installation.list(), 0o644), (&folder, 0o755)] {
            for mode in [good | 0o002, good | 0o020] {
                installation.mode(path, mode);
                assert_eq!(installation.found(), None, "{} {mode:o}", path.display());
            }
            // The group may write the program as well.
            installation.mode(&program, 0o664);
            assert!(installation.found().is_some(), "{}", path.display());
            installation.mode(&program, 0o644);
            installation.mode(path, good);
            assert!(installation.found().is_some(), "{}", path.display());
        }
    }
}
