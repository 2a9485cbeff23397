//! Conversion of SQLite's errors, with those of a damaged row apart.

use rusqlite::{Error, ErrorCode};

use crate::store::StoreError;
use crate::store::sqlite::write_error;

/// Returns whether a row has a value that it cannot have. A statement finds it when it reads the column, or when it
/// writes the row, whose types SQLite checks then.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..)
    ) || error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

fn damaged(what: &str, error: &Error) -> StoreError {
    StoreError::Damaged { what: format!("{what} ({error})") }
}

/// Returns a conversion for errors of a read.
pub(super) fn failed(what: &'static str) -> impl Fn(Error) -> StoreError {
    move |error| match is_damage(&error) {
        true => damaged(what, &error),
        false => StoreError::Read { what, source: error.into() },
    }
}

/// Converts an error of a write.
pub(super) fn wrote(what: &'static str, error: Error) -> StoreError {
    if is_damage(&error) { damaged(what, &error) } else { write_error::wrote(what, error) }
}
