//! Documents in texts: base64, `data:` URLs, addresses of other servers; and the recognition of plain text.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use lector_core::{Fault, Kind};

use crate::http::problem::option_invalid;

/// Padding is optional: some clients omit it.
const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
/// Characters that are decoded at once: whole groups of four.
const PIECE_BYTES: usize = 4096;
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);

/// Returns the bytes of a base64 text, with or without `data:…;base64,` before it. White space and the URL-safe alphabet
/// are accepted; the stated type is ignored, because it is often wrong.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, Fault> {
    let text = text.trim_start();
    let (media_type, data) = match text.get(..5).filter(|start| start.eq_ignore_ascii_case("data:")) {
        Some(_) => text.split_once(',').ok_or_else(|| not_base64("the `data:` URL has no comma"))?,
        None => ("base64", text),
    };
    if !media_type.to_ascii_lowercase().ends_with("base64") {
        return Err(not_base64("the `data:` URL is not in base64"));
    }
    let mut kept = data.bytes().filter(|b| !b.is_ascii_whitespace()).map(|b| match b {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    });
    // Piece by piece: a copy of the whole text would not be counted.
    let mut bytes = Vec::with_capacity(data.len().div_ceil(4).saturating_mul(3));
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    loop {
        piece.clear();
        piece.extend(kept.by_ref().take(PIECE_BYTES));
        if piece.is_empty() {
            return Ok(bytes);
        }
        // Only the last piece may end with padding, or within a group of four.
        if bytes.len() % 3 != 0 {
            return Err(not_base64("there is padding before its end"));
        }
        BASE64.decode_vec(&piece, &mut bytes).map_err(|error| not_base64(&error.to_string()))?;
    }
}

/// Returns an upper bound of the bytes that [`decode`] returns for a text of so many bytes.
pub(super) fn decoded_bytes_max(text_bytes: usize) -> u64 {
    (text_bytes as u64).div_ceil(4).saturating_mul(3)
}

fn not_base64(why: &str) -> Fault {
    option_invalid(format!("The document is not valid base64 ({why}): send the bytes of the file in base64."))
}

/// Returns whether a text is an address of another server.
pub(super) fn is_remote(text: &str) -> bool {
    let text = text.trim_start().as_bytes();
    let starts = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    };
    starts("http://") || starts("https://")
}

/// Returns the fault of a document that the server would have to fetch.
pub(super) fn remote_refused() -> Fault {
    let message = "The server does not fetch documents from URLs: this version has no setting that allows it. Send the \
                   bytes of the document.";
    Fault::new(Kind::Invalid, "compat_url_refused", message)
}

/// Returns the text of a file that is plain text, and nothing for documents that are read by a pipeline.
pub(super) fn plain_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let head = text.as_bytes().get(..1024).unwrap_or(text.as_bytes());
    if text.is_empty() || head.windows(5).any(|window| window == b"%PDF-") {
        return None;
    }
    let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{c}');
    text.chars().all(is_text).then_some(text)
}

/// Decodes `%XX`; invalid sequences stay.
pub(super) fn percent_decoded(text: &str) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, more)) = rest.split_first() {
        let digits = more.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match value.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(value) => {
                out.push(value);
                rest = more.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn base64_in_the_forms_that_clients_send() {
        for text in [
            "+/8=",
            "+/8",
            "-_8=",
            "+/\r\n8 =",
            "data:application/pdf;base64,+/8=",
            "DATA:image/png;name=a.png;BASE64,+/8",
            " data:;base64,-_8",
        ] {
            assert_eq!(decode(text).map_err(|f| f.message), Ok(vec![0xfb, 0xff]), "{text}");
            assert!(decoded_bytes_max(text.len()) >= 2);
        }
        for bytes in [PIECE_BYTES / 4 * 3, PIECE_BYTES, 3 * PIECE_BYTES + 1] {
            let long = STANDARD.encode(vec![7; bytes]);
            assert_eq!(decode(&long).unwrap(), vec![7; bytes]);
            assert_eq!(decode(&long.replace('B', "B \n")).unwrap(), vec![7; bytes]);
            let padded = format!("{}A==={long}", "A".repeat(PIECE_BYTES - 4));
            assert_eq!(decode(&padded).unwrap_err().code, "option_invalid");
            let padded = format!("{}AA=={long}", "A".repeat(PIECE_BYTES - 4));
            assert_eq!(decode(&padded).unwrap_err().code, "option_invalid");
        }
        for text in ["a", "!!!!", "data:text/plain,hello", "data:application/pdf;base64", "ü"] {
            assert_eq!(decode(text).map_err(|f| f.code), Err("option_invalid"), "{text}");
        }
    }

    #[test]
    fn text_is_recognized_by_its_bytes() {
        assert_eq!(plain_text("# Überschrift\r\n\tText".as_bytes()), Some("# Überschrift\r\n\tText"));
        assert_eq!(plain_text("\u{feff}a".as_bytes()), Some("a"));
        for other in [&b""[..], b"%PDF-1.7\n", b"junk\n%PDF-1.4", b"\x03", b"PK\x03\x04", b"\xff\xd8\xff"] {
            assert_eq!(plain_text(other), None, "{other:?}");
        }
    }

    #[test]
    fn percent_encoding() {
        for (text, expect) in
            [("a%20b.pdf", "a b.pdf"), ("%C3%BC", "ü"), ("100%", "100%"), ("%zz", "%zz"), ("%+1", "%+1")]
        {
            assert_eq!(percent_decoded(text), expect);
        }
    }

    #[test]
    fn remote_addresses() {
        assert!(is_remote("https://a/b") && is_remote("HTTP://a") && is_remote(" http://a"));
        assert!(!is_remote("data:x") && !is_remote("ftp://a") && !is_remote("aHR0cHM6Ly8="));
    }
}
