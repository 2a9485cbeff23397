//! Faults: the error type that all crates pass on unchanged.

use std::fmt;
use std::time::Duration;

/// Kind of a fault: decides how a caller may react, and the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request or the document is not acceptable.
    Invalid,
    /// The caller has no permission.
    Denied,
    /// The named resource does not exist.
    NotFound,
    /// The state of the resource does not allow the operation.
    Conflict,
    /// A limit on size was exceeded (bytes, pixels, pages).
    TooLarge,
    /// No capacity now; a later try may succeed.
    Busy,
    /// The deadline has passed.
    Deadline,
    /// The guest trapped, exceeded its budget or returned an invalid answer.
    GuestFault,
    /// A part of the host cannot do its work now.
    Unavailable,
    /// A defect of Lector itself.
    Bug,
}

/// The party that can correct the cause of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The sender of the request.
    Client,
    /// The author of the guest.
    Guest,
    /// The operator of the host, or its developers.
    Host,
}

/// Prefix of the codes of faults that a guest returned itself.
const GUEST_ANSWER: &str = "guest_error_";

/// A fault: a stable code for programs, a message for the client, and the cause for the log.
///
/// The message states the failure, the object and the action to take. It never contains a path of the host or another
/// tenant's name; these belong into `detail`, which is logged and never sent.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Kind: how a caller may react.
    pub kind: Kind,
    /// Party that can correct the cause.
    pub blame: Blame,
    /// Stable, lower snake case, e.g. `pdf_password_required`; documented in the OpenAPI description.
    pub code: &'static str,
    /// Message for the client.
    pub message: String,
    /// Cause for the log.
    pub detail: Option<String>,
    /// Time after which a retry makes sense.
    pub retry_after: Option<Duration>,
    /// Code that a guest gave its own error; [`code`](Self::code) then names only its kind.
    pub guest_code: Option<Box<str>>,
}

impl Fault {
    /// Creates a fault of `kind` with the usual blame of that kind, which can be changed.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        let blame = match kind {
            Kind::Invalid | Kind::Denied | Kind::NotFound | Kind::Conflict | Kind::TooLarge => Blame::Client,
            Kind::GuestFault => Blame::Guest,
            Kind::Busy | Kind::Deadline | Kind::Unavailable | Kind::Bug => Blame::Host,
        };
        Self { kind, blame, code, message: message.into(), detail: None, retry_after: None, guest_code: None }
    }

    /// Returns whether the guest itself returned this fault.
    pub fn is_guest_answer(&self) -> bool {
        self.code.starts_with(GUEST_ANSWER)
    }

    /// Returns the fault with the cause for the log.
    pub fn with_detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Returns the fault with another blame.
    pub fn blaming(mut self, blame: Blame) -> Self {
        self.blame = blame;
        self
    }

    /// Returns the fault with the time after which to retry.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}
