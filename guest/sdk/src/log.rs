//! What a guest tells its operators: events and stretches of time. Called by guests and by the panic hook.

use crate::host;

pub use crate::bindings::lector::ocr::log::Level;

/// A stretch of work. It ends when it is dropped; its duration goes into the page's timing under its name.
#[must_use = "a span ends when it is dropped: bind it to a name"]
pub struct Span(#[allow(dead_code, reason = "held for its Drop")] host::Span);

/// Begins a stretch of work. Spans of one name are added up.
pub fn span(name: &str) -> Span {
    Span(host::span_begin(name))
}

/// Writes one event into the host's log. Messages beyond the page budget are dropped and counted.
pub fn log(level: Level, message: impl AsRef<str>) {
    host::log_write(level, message.as_ref());
}

/// For the author of the guest.
pub fn debug(message: impl AsRef<str>) {
    log(Level::Debug, message);
}

/// For the operator, in the course of things.
pub fn info(message: impl AsRef<str>) {
    log(Level::Info, message);
}

/// Something is not as it should be, and the page went on.
pub fn warn(message: impl AsRef<str>) {
    log(Level::Warn, message);
}

/// Something failed.
pub fn error(message: impl AsRef<str>) {
    log(Level::Error, message);
}
