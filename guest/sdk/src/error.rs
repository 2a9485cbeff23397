//! Errors of a page, made by guests or returned by the host.

use crate::{ConfigError, Error, ErrorKind};

/// Defines one constructor of [`Error`] per kind.
macro_rules! constructors {
    ($($name:ident: $kind:ident, $about:literal;)*) => {
        $(
            #[doc = $about]
            ///
            /// `code` is a stable name in snake_case for programs, `message` one sentence for people.
            pub fn $name(code: impl Into<String>, message: impl Into<String>) -> Self {
                Self { kind: ErrorKind::$kind, code: code.into(), message: message.into(), retry_after_ms: None }
            }
        )*
    };
}

impl Error {
    constructors! {
        invalid: Invalid, "Makes an error for an argument that the call does not accept.";
        unreadable: Unreadable, "Makes an error for a page whose content cannot be parsed.";
        too_large: TooLarge, "Makes an error for a result that would exceed a limit.";
        denied: Denied, "Makes an error for something that the deployment has no grant for.";
        busy: Busy, "Makes an error for a full queue. Set `retry_after_ms` if the time is known.";
        deadline: Deadline, "Makes an error for a page whose deadline has passed.";
        failed: Failed, "Makes an error for work that failed.";
    }

    /// Returns the error with `what` before its message: `reading the total: ...`. Kind and code stay, so that the host
    /// recognizes its own error.
    #[must_use]
    pub fn within(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl ConfigError {
    /// Makes an error about the member at `pointer` (JSON pointer, RFC 6901; empty: the whole).
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }

    /// Returns the error with `prefix` before its pointer: for settings that are a member of other settings.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        self.pointer = format!("{prefix}{}", self.pointer);
        self
    }
}
