//! Escaping for XML and HTML.

/// Escapes a text for element content and for attributes in double quotes.
///
/// XML 1.0 does not allow most control characters and U+FFFE and U+FFFF, even escaped: they become spaces, and so do
/// line feeds and tabs in attributes, which a reader would normalize to spaces. `>` is always escaped, so that no text
/// contains `]]>`.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            c if c.is_control() && c != '\n' && c != '\t' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Escapes a text for the content of a comment, which must not contain `--`.
pub(crate) fn comment(text: &str) -> String {
    escape(text).replace('-', "&#45;")
}

/// Returns the text with one space for each run of white space and control characters.
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|part| !part.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(part);
    }
    out
}
