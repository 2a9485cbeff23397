//! What SQLite says when it was to write, as an error of the store.

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// What SQLite said when it was to write.
pub(super) fn wrote(what: &'static str, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { what },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            StoreError::ReadOnly { what }
        }
        _ => StoreError::Write { what, source: error.into() },
    }
}
