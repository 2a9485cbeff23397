//! JSON texts of the store.

use serde::Serialize;

/// Returns the JSON of a value of this crate, which can always be serialized.
pub(crate) fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        tracing::error!(%error, "a record of a job cannot be serialized");
        "null".to_owned()
    })
}
