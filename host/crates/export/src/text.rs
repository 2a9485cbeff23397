//! Plain text: the summary of the guest if there is one, otherwise the pages one after the other.

use std::io::Write;

use lector_core::{DocumentView, PageView};

use crate::{ExportError, Format, Info, Several, Writer};

static INFO: Info = Info {
    name: "text",
    about: "The text only",
    content_type: "text/plain; charset=utf-8",
    accepts: &["text/plain"],
    extension: "txt",
    needs_words: false,
    streams: true,
    has_preface: false,
    reports_failures: false,
    several: Several::Named { before: "==> ", after: " <==\n" },
    composed: None,
};

/// Plain text. It ends in one line feed unless it is empty.
#[derive(Debug)]
pub(crate) struct Text;

impl Format for Text {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(Parts::default())
    }
}

/// State of writing the text of a document in parts of at most one page.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// White space that is written only if text follows.
    pending: String,
    /// Whether a page was written, even an empty one.
    any_page: bool,
    any_text: bool,
}

impl Writer for Parts {
    fn page(
        &mut self,
        document: &DocumentView<'_>,
        page: &PageView<'_>,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        Ok(out.write_all(self.of_page(document, page).as_bytes())?)
    }

    fn tail(&mut self, document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(out.write_all(self.end(document).as_bytes())?)
    }
}

impl Parts {
    /// Returns the text of a page; empty if there is a summary.
    pub(crate) fn of_page(&mut self, document: &DocumentView<'_>, page: &PageView<'_>) -> String {
        let Some(page) = page.outcome.ok().filter(|_| document.summary.is_none()) else {
            return String::new();
        };
        if std::mem::replace(&mut self.any_page, true) {
            self.pending.push('\n');
        }
        self.push(&page.text())
    }

    /// Returns the text after the last page: the summary, and the final line feed.
    pub(crate) fn end(&mut self, document: &DocumentView<'_>) -> String {
        let mut text = document.summary.map_or_else(String::new, |summary| self.push(&summary.text));
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
