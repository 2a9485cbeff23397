//! Conversion of SQLite's errors on a write to errors of the store.

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// Converts an error of SQLite on a write.
pub(super) fn wrote(what: &'static str, error: rusqlite::Error) -> StoreError {
    // The shared memory of the write-ahead log is a file that grows with it.
    let shm_size = |code: &rusqlite::ffi::Error| code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
    if error.sqlite_error().is_some_and(shm_size) {
        return StoreError::Full { what };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { what },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            StoreError::ReadOnly { what }
        }
        _ => StoreError::Write { what, source: error.into() },
    }
}
