//! The two kinds of errors, and the words that both use for pointers and values.

use std::fmt;

use serde_json::Value;

/// Most characters of a pointer in a message.
const POINTER_CHARS_MAX: usize = 200;
/// Most characters of a value in a message.
const SHOWN_CHARS_MAX: usize = 60;

/// The reason that a schema is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// JSON pointer (RFC 6901) to the keyword in the schema; empty: the whole.
    pub pointer: String,
    /// The keyword, the problem, and what is accepted.
    pub message: String,
}

/// The reason that options are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    /// JSON pointer (RFC 6901) to the option; empty: the whole.
    pub pointer: String,
    /// What was given, and what is allowed.
    pub message: String,
}

/// Returns the pointer to a member below `pointer`.
pub(super) fn below(pointer: &str, member: &str) -> String {
    format!("{pointer}/{}", member.replace('~', "~0").replace('/', "~1"))
}

/// Returns a value as JSON, shortened so that it can be part of a message. Control characters are escaped in JSON.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}... ({} bytes)", text.get(..end).unwrap_or_default(), text.len()),
    }
}

/// Writes a pointer and a message; names in a pointer are of the client or of the guest.
fn write_at(f: &mut fmt::Formatter<'_>, pointer: &str, message: &str) -> fmt::Result {
    let plain: String = pointer.chars().filter(|c| !c.is_control()).collect();
    match plain.char_indices().nth(POINTER_CHARS_MAX) {
        _ if plain.is_empty() => write!(f, "at `/`: {message}"),
        None => write!(f, "at `{plain}`: {message}"),
        Some((end, _)) => write!(f, "at `{}...`: {message}", plain.get(..end).unwrap_or_default()),
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_at(f, &self.pointer, &self.message)
    }
}

impl std::error::Error for SchemaError {}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_at(f, &self.pointer, &self.message)
    }
}

impl std::error::Error for OptionError {}
