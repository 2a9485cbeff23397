//! Faults that several parts of the data plane return.

use std::time::Duration;

use lector_core::{Fault, Kind};

/// Returns the fault of a new document while the server drains.
pub(crate) fn shutting_down() -> Fault {
    Fault::new(
        Kind::Unavailable,
        "shutting_down",
        "The server is shutting down and accepts no new documents: send the request to another server, or try again later.",
    )
    .retry_after(Duration::from_secs(5))
}

/// Returns the fault of a request whose deadline has passed.
pub(crate) fn deadline_exceeded(what: &str) -> Fault {
    Fault::new(
        Kind::Deadline,
        "deadline_exceeded",
        format!("The timeout of the request expired {what}: set a longer timeout, or request fewer pages."),
    )
}
