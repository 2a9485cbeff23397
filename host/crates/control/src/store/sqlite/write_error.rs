//! Conversion of SQLite's errors on a write to errors of the store.

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// Converts an error of SQLite on a write.
pub(super) fn wrote(what: &'static str, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { what },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            StoreError::ReadOnly { what }
        }
        _ => StoreError::Write { what, source: error.into() },
    }
}
