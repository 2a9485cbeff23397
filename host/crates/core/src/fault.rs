//! What went wrong, said once and carried through every room unchanged.

use std::fmt;
use std::time::Duration;

/// The kind of a fault decides how a caller may react to it (and the HTTP status at the door).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request or the document is not acceptable as it is.
    Invalid,
    /// The caller may not do this.
    Denied,
    /// The thing named does not exist.
    NotFound,
    /// The thing is in a state that does not allow this.
    Conflict,
    /// A limit on size was exceeded (bytes, pixels, pages).
    TooLarge,
    /// No room now; later there will be.
    Busy,
    /// The time allowed has passed.
    Deadline,
    /// The guest trapped, ran over its budget or answered nonsense.
    GuestFault,
    /// A part of the host cannot do its work at the moment.
    Unavailable,
    /// A defect of Lector itself.
    Bug,
}

/// Who can do something about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The one who sent the request.
    Client,
    /// The author of the guest.
    Guest,
    /// The operator of the host, or its developers.
    Host,
}

/// How the codes of faults begin that a guest answered in words of its own.
const GUEST_ANSWER: &str = "guest_error_";

/// A fault: a stable code for programs, a sentence for the one who asked, and the cause for the log.
///
/// The sentence says what failed, on what, and what to do. It never holds a path of the host or
/// another tenant's name; such things belong into `detail`, which is logged and never sent.
#[derive(Clone, Debug)]
pub struct Fault {
    /// How a caller may react.
    pub kind: Kind,
    /// Who can do something about it.
    pub blame: Blame,
    /// Stable, lower snake case, e.g. `pdf_password_required`; documented in the OpenAPI page.
    pub code: &'static str,
    /// For the one who asked.
    pub message: String,
    /// For the log.
    pub detail: Option<String>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
    /// The code that a guest gave its own error; [`code`](Self::code) tells the kind of it then.
    pub guest_code: Option<Box<str>>,
}

impl Fault {
    /// A fault of `kind`; the blame that usually goes with the kind is set and can be changed.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        let blame = match kind {
            Kind::Invalid | Kind::Denied | Kind::NotFound | Kind::Conflict | Kind::TooLarge => Blame::Client,
            Kind::GuestFault => Blame::Guest,
            Kind::Busy | Kind::Deadline | Kind::Unavailable | Kind::Bug => Blame::Host,
        };
        Self { kind, blame, code, message: message.into(), detail: None, retry_after: None, guest_code: None }
    }

    /// Whether the guest itself answered so, in words of its own, and not the host.
    pub fn is_guest_answer(&self) -> bool {
        self.code.starts_with(GUEST_ANSWER)
    }

    /// The same, with the cause for the log.
    pub fn with_detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// The same, with another one to blame.
    pub fn blaming(mut self, blame: Blame) -> Self {
        self.blame = blame;
        self
    }

    /// The same, with the time after which to try again.
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
