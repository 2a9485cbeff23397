//! Plain text: the summary of the guest if there is one, otherwise the pages one after the other.

use lector_serving::DocumentResult;

/// Returns the text of a document. It ends in one line feed unless it is empty.
pub fn document(result: &DocumentResult) -> String {
    let mut parts = Parts::default();
    let mut text: String = (0..result.pages.len()).map(|at| parts.page(result, at)).collect();
    text.push_str(&parts.end(result));
    text
}

/// State of writing the text of a document in parts of at most one page.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// White space that is written only if text follows.
    pending: String,
    /// Whether a page was written, even an empty one.
    any_page: bool,
    any_text: bool,
}

impl Parts {
    /// Returns the text of the page at position `at` of the result; empty if there is a summary.
    pub(super) fn page(&mut self, result: &DocumentResult, at: usize) -> String {
        let page = result.pages.get(at).and_then(|page| page.outcome.as_ref().ok());
        let Some(page) = page.filter(|_| result.summary.is_none()) else { return String::new() };
        if std::mem::replace(&mut self.any_page, true) {
            self.pending.push('\n');
        }
        self.push(&page.text())
    }

    /// Returns the text after the last page: the summary, and the final line feed.
    pub(super) fn end(&mut self, result: &DocumentResult) -> String {
        let mut text = result.summary.as_ref().map_or_else(String::new, |summary| self.push(&summary.text));
        if self.any_text {
            text.push('\n');
        }
        text
    }

    fn push(&mut self, text: &str) -> String {
        let trimmed = text.trim_end_matches(['\n', ' ', '\u{c}']);
        let (body, white) = text.split_at(trimmed.len());
        let mut out = String::new();
        if !body.is_empty() {
            self.any_text = true;
            out = std::mem::take(&mut self.pending);
            out.push_str(body);
        }
        self.pending.push_str(white);
        out
    }
}
