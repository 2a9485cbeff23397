//! Markdown: one paragraph per block, a rule between pages. Words that are hyphenated at the end of a line stay so,
//! because the formatter cannot determine whether the hyphen belongs to the word.

use lector_core::Transcript;

use lector_serving::{DocumentResult, PageResult};

/// Returns a document as Markdown. A failed page is a note in its place.
pub fn document(result: &DocumentResult) -> String {
    result.pages.iter().enumerate().map(|(at, page)| page_result(at, page)).collect()
}

/// Returns the page at position `at` of the output, preceded by a rule.
pub(super) fn page_result(at: usize, result: &PageResult) -> String {
    let rule = if at == 0 { "" } else { "\n---\n\n" };
    match &result.outcome {
        Ok(transcript) => format!("{rule}{}", page(transcript)),
        Err(fault) => {
            let number = u64::from(result.index) + 1;
            format!("{rule}*Page {number} was not read: {}*\n", escape(&fault.message))
        }
    }
}

/// Returns one page. It ends in a line feed unless it is empty.
pub fn page(transcript: &Transcript) -> String {
    let mut out = String::new();
    for block in transcript.lines.chunk_by(|a, b| a.block_id == b.block_id) {
        let lines: Vec<&str> =
            block.iter().map(|line| line.text.trim()).filter(|text| !text.is_empty()).collect();
        if lines.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&paragraph(&lines.join(" ")));
        out.push('\n');
    }
    out
}

/// Escapes a paragraph so that Markdown readers interpret it as plain text.
fn paragraph(text: &str) -> String {
    let escaped = escape(text);
    let first = escaped.chars().next();
    let digits = escaped.bytes().take_while(u8::is_ascii_digit).count();
    match first {
        Some('#' | '-' | '+' | '=' | '~') => format!("\\{escaped}"),
        // "1. " and "1) " begin a list.
        Some('0'..='9') if escaped.get(digits..).is_some_and(|rest| rest.starts_with(['.', ')'])) => {
            let (number, rest) = escaped.split_at(digits);
            format!("{number}\\{rest}")
        }
        _ => escaped,
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '&') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
