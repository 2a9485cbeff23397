//! Faults that several parts of the data plane answer with.

use std::time::Duration;

use lector_core::{Fault, Kind};

/// Why nothing new is taken on.
pub(crate) fn shutting_down() -> Fault {
    Fault::new(
        Kind::Unavailable,
        "shutting_down",
        "The server is shutting down and takes on nothing new: send the request to another one, or again in a while.",
    )
    .retry_after(Duration::from_secs(5))
}

/// The deadline of the request has passed.
pub(crate) fn deadline_exceeded(what: &str) -> Fault {
    Fault::new(
        Kind::Deadline,
        "deadline_exceeded",
        format!("The time allowed for the request was over {what}: allow more time, or ask for fewer pages."),
    )
}
