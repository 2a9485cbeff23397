//! An entry of the list of problem codes.

use axum::http::StatusCode;
use serde::Serialize;

/// A problem code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ProblemCode {
    /// The code, lower snake case.
    pub(crate) code: &'static str,
    /// The statuses with which it is sent. If there are several, the kind and the blame of the fault choose.
    pub(crate) statuses: &'static [u16],
    /// What happened.
    pub(crate) description: &'static str,
    /// What to do.
    pub(crate) action: &'static str,
}

impl ProblemCode {
    /// Returns the title: `pdf_password_required` -> `PDF password required`.
    pub(crate) fn title(&self) -> String {
        title(self.code)
    }

    /// Returns `derived` if it is a status of the code, otherwise the first one.
    pub(crate) fn status(&self, derived: StatusCode) -> StatusCode {
        let listed = self.statuses.iter().find(|status| **status == derived.as_u16());
        let first = listed.or(self.statuses.first()).and_then(|status| StatusCode::from_u16(*status).ok());
        first.unwrap_or(derived)
    }
}

/// Converts a code to a title.
pub(crate) fn title(code: &str) -> String {
    let words = code.split('_').enumerate().map(|(at, word)| match word {
        "pdf" | "json" | "dpi" => word.to_ascii_uppercase(),
        _ if at == 0 => {
            word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect()
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Makes the entries of an area: `code [statuses] description action;`.
macro_rules! codes {
    ($($code:ident [$($status:literal),+] $description:literal $action:literal;)+) => {
        pub(super) const CODES: &[ProblemCode] = &[$(ProblemCode {
            code: stringify!($code),
            statuses: &[$($status),+],
            description: $description,
            action: $action,
        }),+];
    };
}
pub(super) use codes;
