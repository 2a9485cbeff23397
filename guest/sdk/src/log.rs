//! Log events and spans of a guest, for its operators. Used by guests and by the panic hook.

use crate::host;

pub use crate::bindings::lector::ocr::log::Level;

/// A span of work. It ends when it is dropped; its duration is added to the page's timing under its name.
#[must_use = "a span ends when it is dropped: bind it to a name"]
pub struct Span(#[allow(dead_code, reason = "held for its Drop")] host::Span);

/// Begins a span of work. Spans of the same name are added up.
pub fn span(name: &str) -> Span {
    Span(host::span_begin(name))
}

/// Writes one event into the host's log. Messages beyond the page budget are dropped and counted.
pub fn log(level: Level, message: impl AsRef<str>) {
    host::log_write(level, message.as_ref());
}

/// Logs an event for the author of the guest.
pub fn debug(message: impl AsRef<str>) {
    log(Level::Debug, message);
}

/// Logs an event of normal operation, for the operator.
pub fn info(message: impl AsRef<str>) {
    log(Level::Info, message);
}

/// Logs a problem that did not stop the page.
pub fn warn(message: impl AsRef<str>) {
    log(Level::Warn, message);
}

/// Logs a failure.
pub fn error(message: impl AsRef<str>) {
    log(Level::Error, message);
}
