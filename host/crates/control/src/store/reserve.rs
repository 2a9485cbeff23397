//! Disk space in reserve for the changes that an operator needs on a full disk: revocation of a key, rollback, limits
//! of a tenant, deletion.
//!
//! Owns the file `reserve` in the data folder. It is allocated while there is space, and shrinks step by step when such
//! a change finds the disk full. In steps, because what is freed may be taken by another writer before the change has
//! used it. The file grows back with a later commit, when the disk has space again.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::FallocateFlags;

use super::StoreError;

/// Name of the file in the data folder.
const RESERVE: &str = "reserve";
/// Size of the whole reserve. A change of a route or a key writes about 10 pages of 4 KiB.
const RESERVE_BYTES: u64 = 4 << 20;
/// Size of one step.
const STEP_BYTES: u64 = 256 << 10;
/// Smallest size that the file grows by.
const BLOCK_BYTES: u64 = 4 << 10;

/// The reserve of a data folder.
#[derive(Debug)]
pub(super) struct Reserve {
    file: Option<Mutex<File>>,
}

impl Reserve {
    /// Opens the reserve of `dir` and fills it. On a full or read-only disk the server starts without one.
    pub(super) fn open(dir: &Path) -> Self {
        let path = dir.join(RESERVE);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.inspect_err(|error| {
            tracing::warn!(file = %path.display(), %error, "no disk space is reserved for key revocations and rollbacks");
        });
        let reserve = Self { file: file.ok().map(Mutex::new) };
        reserve.fill();
        reserve.with_file(|_, bytes| {
            if bytes < RESERVE_BYTES {
                let file = path.display();
                tracing::warn!(%file, bytes, wanted = RESERVE_BYTES, "little disk space is reserved for key revocations and rollbacks");
            }
        });
        reserve
    }

    /// Returns the reserve of a store without a folder: there is none.
    pub(super) fn none() -> Self {
        Self { file: None }
    }

    /// Runs a write. If the disk is full and the write is `urgent`, runs it again with space from the reserve.
    pub(super) fn with<T>(
        &self,
        urgent: bool,
        mut write: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut written = write();
        while urgent && matches!(written, Err(StoreError::Full { .. })) && self.release() {
            written = write();
        }
        if written.is_ok() {
            self.fill();
        }
        written
    }

    /// Allocates the missing part, or as much of it as the disk has, so that other writes cannot use what a change left
    /// of a step.
    fn fill(&self) {
        self.with_file(|file, mut bytes| {
            let mut more = RESERVE_BYTES.saturating_sub(bytes);
            while more >= BLOCK_BYTES {
                match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes + more) {
                    Ok(()) => bytes += more,
                    // A file system may allocate a part before it fails; the rest would be a hole.
                    Err(_) => drop(file.set_len(bytes)),
                }
                more = (more / 2).min(RESERVE_BYTES.saturating_sub(bytes));
            }
        });
    }

    /// Frees one step; returns whether there was one.
    fn release(&self) -> bool {
        let mut released = false;
        self.with_file(|file, bytes| {
            let left = bytes.saturating_sub(STEP_BYTES);
            released = bytes > 0 && file.set_len(left).is_ok();
            if released {
                tracing::warn!(left, "the disk is full: a change uses reserved space");
            }
        });
        released
    }

    fn with_file(&self, mut work: impl FnMut(&File, u64)) {
        let Some(file) = &self.file else { return };
        let file = file.lock().unwrap_or_else(PoisonError::into_inner);
        match file.metadata() {
            Ok(metadata) => work(&file, metadata.len()),
            Err(error) => tracing::warn!(%error, "the reserve cannot be used"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
    use std::ffi::OsStr;
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;
    use crate::store::{AuditEntry, Change, ChangeSet, SqliteStore, Store};
    use crate::tenant::{TenantPolicy, TenantRecord};

    fn bytes(dir: &Path) -> u64 {
        dir.join(RESERVE).metadata().unwrap().len()
    }

    #[test]
    fn only_urgent_writes_use_the_reserve_and_it_grows_back() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::open(dir.path());
        assert_eq!(bytes(dir.path()), RESERVE_BYTES);
        // A disk on which a write succeeds once three steps are free.
        let full = || StoreError::Full { what: "x" };
        let write = || {
            let free = RESERVE_BYTES - bytes(dir.path());
            if free >= 3 * STEP_BYTES { Ok(free) } else { Err(full()) }
        };
        assert!(matches!(reserve.with(false, write), Err(StoreError::Full { .. })));
        assert_eq!(bytes(dir.path()), RESERVE_BYTES);
        assert_eq!(reserve.with(true, write).unwrap(), 3 * STEP_BYTES);
        assert_eq!(bytes(dir.path()), RESERVE_BYTES, "this disk has space again");
        assert!(reserve.with(true, || Err::<(), _>(full())).is_err(), "a reserve ends");
        assert_eq!(bytes(dir.path()), 0);
    }

    /// Names the folder of a full disk, in the process that runs the test in a namespace of its own.
    const FULL_DISK: &str = "LECTOR_TEST_FULL_DISK";

    /// Runs this test again in a mount namespace with a file system of 12 MiB.
    #[test]
    fn a_key_can_be_revoked_on_a_full_disk() {
        if let Some(dir) = std::env::var_os(FULL_DISK) {
            return on_a_full_disk(&PathBuf::from(dir));
        }
        let dir = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=12m tmpfs \"$1\" || exit 77; shift; exec \"$@\"";
        let name = "store::reserve::tests::a_key_can_be_revoked_on_a_full_disk";
        let program = std::env::current_exe().unwrap();
        let arguments: [&OsStr; 6] = [
            dir.path().as_ref(),
            program.as_ref(),
            name.as_ref(),
            "--exact".as_ref(),
            "--nocapture".as_ref(),
            "-q".as_ref(),
        ];
        let ran = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
            .args(arguments)
            .env(FULL_DISK, dir.path())
            .output();
        match ran {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stderr);
                assert!(text.contains("revoked on a full disk"), "the inner test did not run: {text}");
            }
            Ok(output) if output.status.code() == Some(101) => {
                panic!("{}", String::from_utf8_lossy(&output.stdout))
            }
            other => eprintln!("SKIPPED: this machine allows no user namespace with a tmpfs: {other:?}"),
        }
    }

    fn action(action: &str, name: String) -> ChangeSet {
        let tenant = TenantRecord { name: name.into(), created_at_ms: 5, policy: TenantPolicy::default() };
        let entry = AuditEntry {
            seq: 0,
            at_ms: 0,
            tenant: None,
            actor: "cli".into(),
            action: action.into(),
            target: String::new(),
            from: serde_json::Value::Null,
            to: serde_json::Value::Null,
            request: None,
        };
        ChangeSet { changes: vec![Change::PutTenant(tenant)], entry }
    }

    fn on_a_full_disk(dir: &Path) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = SqliteStore::open(&dir.join("data")).unwrap();
            let put = |action_name: &str, name: String| store.commit(action(action_name, name));
            put("tenant_create", "first".into()).await.unwrap();
            // Another process fills the disk to the last byte.
            let filler = vec![7; 64 << 10];
            let mut ballast = File::create(dir.join("ballast")).unwrap();
            let mut step = filler.len();
            while step > 0 {
                match std::io::Write::write(&mut ballast, &filler[..step]) {
                    Ok(written) if written > 0 => {}
                    _ => step /= 2,
                }
            }
            let mut refused = 0;
            for number in 0..50 {
                refused += u32::from(put("tenant_create", format!("new-{number}")).await.is_err());
                put("key_revoke", format!("revoked-{number}")).await.unwrap();
            }
            assert!(refused >= 48, "other changes are refused on a full disk: {refused}");
            std::fs::remove_file(dir.join("ballast")).unwrap();
            drop(ballast);
            put("tenant_create", "space again".into()).await.unwrap();
            assert_eq!(bytes(&dir.join("data")), RESERVE_BYTES, "the reserve grew back");
            eprintln!("revoked on a full disk");
        });
    }
}
