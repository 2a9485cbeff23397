//! Plain text: the guest's summary where there is one, else the pages one after the other.

use super::DocumentResult;

/// The text of a document. Ends in one line feed unless it is empty.
pub fn document(result: &DocumentResult) -> String {
    let mut parts = Parts::default();
    let mut text: String = (0..result.pages.len()).map(|at| parts.page(result, at)).collect();
    text.push_str(&parts.end(result));
    text
}

/// The text of a document part by part, each as short as a page.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// White space that is written if text follows.
    pending: String,
    /// A page was written, if an empty one.
    any_page: bool,
    any_text: bool,
}

impl Parts {
    /// Returns what the page at this position of the result adds; nothing where the guest has summed up.
    pub(super) fn page(&mut self, result: &DocumentResult, at: usize) -> String {
        let page = result.pages.get(at).and_then(|page| page.outcome.as_ref().ok());
        let Some(page) = page.filter(|_| result.summary.is_none()) else { return String::new() };
        if std::mem::replace(&mut self.any_page, true) {
            self.pending.push('\n');
        }
        self.push(&page.text())
    }

    /// Returns what comes behind the last page.
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
