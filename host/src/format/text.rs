//! Plain text: the guest's summary where there is one, else the pages one after the other.

use lector_serving::DocumentResult;

/// The text of a document. Ends in one line feed unless it is empty.
pub fn document(result: &DocumentResult) -> String {
    let text = match &result.summary {
        Some(summary) => summary.text.clone(),
        None => result.transcripts().map(|(_, page)| page.text()).collect::<Vec<_>>().join("\n"),
    };
    let trimmed = text.trim_end_matches(['\n', ' ', '\u{c}']);
    if trimmed.is_empty() { String::new() } else { format!("{trimmed}\n") }
}
