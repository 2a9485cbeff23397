//! The JSON of a request, and the document in it.
//!
//! Parsed JSON takes up to a hundred times the memory of its text, and the document is nearly all of a body. So the longest
//! text of a body is taken out before a parser sees it, whatever the name of its member: the parser finds a mark in its
//! place. The rest is limited, and its memory is counted before it is parsed. Called by every dialect that accepts a document
//! in JSON; it does not know their members.

use std::borrow::Cow;
use std::ops::Range;

use lector_core::Fault;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::inline::{decode, decoded_bytes_max};
use crate::http::json;
use crate::http::problem::option_invalid;

/// Maximum bytes of JSON beside the document.
pub(super) const REST_BYTES_MAX: usize = 1 << 20;
/// Length of a text from which it is taken out: no option is as long.
const TEXT_BYTES_MIN: usize = 64 << 10;
/// Memory of parsed JSON in bytes, for each byte of its text: a text becomes one or two copies.
const MEMORY_PER_TEXT_BYTE: u64 = 2;
/// As above, for a byte outside of texts. The worst is a list of `{"":0}`: each becomes a value of 72 bytes with a table for
/// four members, and the parser of MCP keeps its own form of it meanwhile.
pub(super) const MEMORY_PER_BYTE: u64 = 128;
/// Maximum characters of the parser's error in a response: it contains a text of the wrong type as a whole.
const ERROR_CHARS_MAX: usize = 200;
/// The mark in place of the text. A client that sends it names its own document.
const MARK: &str = "(the longest text)";

/// A JSON body of a client. Its memory is bounded; see [`memory_bytes`](Self::memory_bytes).
#[derive(Debug)]
pub(super) struct JsonBody {
    body: Vec<u8>,
    /// The place of the text that is taken out, without its quotes.
    text: Option<Range<usize>>,
    memory_bytes: u64,
}

/// The texts in a JSON body, without their quotes.
#[derive(Debug, Default)]
struct Texts {
    longest: Range<usize>,
    bytes: usize,
}

impl Texts {
    /// Finds them, without a look at the rest. The result for bytes that are not JSON is unspecified.
    fn of(body: &[u8]) -> Self {
        let find = |from: usize, wanted: fn(&u8) -> bool| {
            body.get(from..).and_then(|rest| rest.iter().position(wanted)).map(|at| from.saturating_add(at))
        };
        let (mut texts, mut from) = (Self::default(), 0);
        while let Some(quote) = find(from, |byte| *byte == b'"') {
            let (begin, mut end) = (quote + 1, quote + 1);
            loop {
                match find(end, |byte| matches!(byte, b'"' | b'\\')) {
                    // The escaped byte may be a quote.
                    Some(at) if body.get(at) == Some(&b'\\') => end = at + 2,
                    Some(at) => {
                        end = at;
                        break;
                    }
                    None => return texts,
                }
            }
            texts.bytes += end - begin;
            if end - begin > texts.longest.len() {
                texts.longest = begin..end;
            }
            from = end + 1;
        }
        texts
    }
}

impl JsonBody {
    /// Finds the document. Faults: `option_invalid` for what is no JSON, `json_too_large` for too much beside it.
    pub(super) fn new(body: Vec<u8>) -> Result<Self, Fault> {
        Self::without(body, TEXT_BYTES_MIN)
    }

    /// Takes the longest text out, if it has `text_bytes_min` bytes or more.
    fn without(body: Vec<u8>, text_bytes_min: usize) -> Result<Self, Fault> {
        if !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
            let message = "The body is not JSON: send an object with the document in base64.";
            return Err(option_invalid(message));
        }
        let Texts { longest, bytes } = Texts::of(&body);
        let text = Some(longest).filter(|text| text.len() >= text_bytes_min);
        let taken = text.as_ref().map_or(0, Range::len);
        let rest = body.len() - taken;
        if rest > REST_BYTES_MAX {
            return Err(json::too_large("JSON beside the document", REST_BYTES_MAX as u64));
        }
        let (texts, taken_out) = (bytes - taken, text.clone().and_then(|text| body.get(text)));
        // A text with escapes is copied before it is decoded.
        let unescaped = taken_out.filter(|text| text.contains(&b'\\')).map_or(0, <[u8]>::len);
        let memory_bytes = (texts as u64)
            .saturating_mul(MEMORY_PER_TEXT_BYTE)
            .saturating_add(((rest - texts) as u64).saturating_mul(MEMORY_PER_BYTE))
            .saturating_add(decoded_bytes_max(taken.max(texts)))
            .saturating_add(unescaped as u64);
        Ok(Self { body, text, memory_bytes })
    }

    /// Returns the size of the body, with the document.
    pub(super) fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Returns an upper bound of the memory that its values and its document take, beside the body.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Returns the JSON with the mark in place of the text that was taken out.
    pub(super) fn rest(&self) -> Cow<'_, [u8]> {
        let Some(Range { start, end }) = self.text else { return Cow::Borrowed(&self.body) };
        let part = |range: Range<usize>| self.body.get(range).unwrap_or_default();
        Cow::Owned([part(0..start), MARK.as_bytes(), part(end..self.body.len())].concat())
    }

    /// Parses the JSON. Texts are read by [`text`](Self::text) and [`document`](Self::document). Fault `option_invalid`, whose
    /// message begins with `wrong`.
    pub(super) fn parse<T: DeserializeOwned>(&self, wrong: &str) -> Result<T, Fault> {
        serde_json::from_slice(&self.rest()).map_err(|error| {
            let error: String = error.to_string().chars().take(ERROR_CHARS_MAX).collect();
            option_invalid(format!("{wrong}: {error}."))
        })
    }

    /// Returns the text of a member: the one that was taken out, if `value` is its mark.
    pub(super) fn text<'a>(&'a self, value: &'a str) -> Result<Cow<'a, str>, Fault> {
        /// Borrowed, unless it has escapes.
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

        let Some(Range { start, end }) = self.text.clone().filter(|_| value == MARK) else {
            return Ok(Cow::Borrowed(value));
        };
        let quoted = self.body.get(start.saturating_sub(1)..=end).unwrap_or_default();
        let Text(text) = serde_json::from_slice(quoted)
            .map_err(|error| option_invalid(format!("The text of the document is invalid JSON: {error}.")))?;
        Ok(text)
    }

    /// Returns the document of a member in base64.
    pub(super) fn document(&self, value: &str) -> Result<Vec<u8>, Fault> {
        decode(&self.text(value)?)
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::{Value, json};

    use super::*;

    fn body(text: &str) -> JsonBody {
        JsonBody::new(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_longest_text_is_not_parsed() {
        let long = "QUJD".repeat(TEXT_BYTES_MIN);
        for (name, parsed_name) in [("file", "file"), (r#"an \"odd\\ name"#, r#"an "odd\ name"#)] {
            let body = body(&format!(r#"{{"a":"\"b","{name}":"{long}","c":[1]}}"#));
            let parsed: Value = body.parse("Wrong").unwrap();
            assert_eq!(parsed, json!({ "a": "\"b", parsed_name: MARK, "c": [1] }));
            assert_eq!(body.text(MARK).unwrap(), long);
            assert_eq!(body.document(MARK).unwrap(), b"ABC".repeat(TEXT_BYTES_MIN));
            assert_eq!(body.text("other").unwrap(), "other");
            assert!(body.rest().len() < 200);
            assert!(body.memory_bytes() < long.len() as u64);
        }
    }

    #[test]
    fn escapes_of_the_text_are_read_and_counted() {
        let (plain, escaped) = ("/".repeat(TEXT_BYTES_MIN), "\\/".repeat(TEXT_BYTES_MIN));
        let with = body(&format!("[\"{escaped}\"]"));
        assert_eq!(with.text(MARK).unwrap(), plain);
        assert!(with.memory_bytes() > escaped.len() as u64 * 7 / 4);
        for invalid in ["\u{1}", "\\x", "\\ud800"] {
            let text = format!("[\"{invalid}{plain}\"]");
            assert_eq!(body(&text).text(MARK).unwrap_err().code, "option_invalid");
        }
        let invalid = [b"[\"\xff".as_slice(), plain.as_bytes(), b"\"]"].concat();
        assert_eq!(JsonBody::new(invalid).unwrap().text(MARK).unwrap_err().code, "option_invalid");
    }

    #[test]
    fn a_short_text_stays_and_a_mark_without_a_text_is_a_text() {
        let body = body(&json!({ "file": "QUJD", "other": MARK }).to_string());
        assert_eq!(body.parse::<Value>("Wrong").unwrap(), json!({ "file": "QUJD", "other": MARK }));
        assert_eq!(
            (body.text(MARK).unwrap().as_ref(), body.document("QUJD").unwrap()),
            (MARK, b"ABC".to_vec())
        );
    }

    #[test]
    fn the_rest_is_limited_and_counted_before_it_is_parsed() {
        let code = |text: String| JsonBody::new(text.into_bytes()).err().map(|fault| fault.code);
        let list = |bytes: usize| format!("[{}0]", "0,".repeat((bytes - 3) / 2));
        assert_eq!(code(list(REST_BYTES_MAX - 1)), None);
        assert_eq!(code(list(REST_BYTES_MAX + 1)), Some("json_too_large"));
        let texts = |bytes: usize| format!("[{}]", vec![format!("\"{}\"", "x".repeat(bytes)); 2].join(","));
        assert_eq!(code(texts(REST_BYTES_MAX - 8)), None);
        assert_eq!(code(texts(REST_BYTES_MAX)), Some("json_too_large"));
        // Never closed.
        assert_eq!(code(format!("[\"{}", "x".repeat(REST_BYTES_MAX))), Some("json_too_large"));
        assert_eq!(code("\"x\"".to_owned()), Some("option_invalid"));
        assert_eq!(code(String::new()), Some("option_invalid"));
        assert!(body(&list(1001)).memory_bytes() > 100_000);
    }

    #[test]
    fn an_error_of_the_parser_is_short() {
        let body = body(&json!(["x".repeat(1000)]).to_string());
        let fault = body.parse::<[u8; 1]>("It is wrong").unwrap_err();
        assert!(fault.message.starts_with("It is wrong: ") && fault.message.len() < 300, "{fault}");
    }
}
