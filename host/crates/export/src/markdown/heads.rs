//! Headers and footers of a document: each is written where its text appears first.
//!
//! A guest calls a line at the edge of a page a header or a footer by its place. Nothing on one page shows that it is repeated:
//! the seller and the bank account of an invoice stand there, too. The guest's summary states which texts are repeated, but
//! it comes after the pages, which are written as they are read.

use std::collections::HashSet;

use lector_core::{BlockKind, BlockView};

use crate::joined::joined;

/// The headers and footers that were written.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    seen: HashSet<String>,
}

impl Heads {
    /// Returns whether a block is a header or footer whose text, apart from its numbers, was written before.
    pub(crate) fn repeats(&mut self, view: &BlockView<'_>) -> bool {
        let is_head = |kind: &BlockKind| matches!(kind, BlockKind::Header | BlockKind::Footer);
        view.block.is_some_and(|block| is_head(&block.kind)) && !self.seen.insert(pattern(&joined(view)))
    }
}

/// Returns a text with each number as one mark: a header may hold the number of its page or section.
fn pattern(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_numeric() {
            out.extend(c.to_lowercase());
        } else if !out.ends_with('\0') {
            out.push('\0');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use lector_core::{Block, Line, Quad, Size, Transcript};

    use super::*;
    use crate::sample;

    fn page(blocks: &[(BlockKind, &str)]) -> Transcript {
        let mut page = Transcript::blank(Size { width: 100, height: 100 }, 72.0);
        for ((kind, text), id) in blocks.iter().cloned().zip(0..) {
            page.lines.push(Line { block_id: id, ..Line::new(text, 1.0, Quad::default()) });
            let quad = Quad::default();
            page.blocks.push(Block { id, kind, quad, confidence: 1.0, table: None, properties: None });
        }
        page
    }

    #[test]
    fn a_header_is_written_where_it_appears_first() {
        use BlockKind::{Footer, Header, PageNumber, Text};
        let invoice = page(&[
            (Header, "Blue River Trading Ltd"),
            (Text, "Invoice"),
            (Footer, "IBAN GB33 BUKB"),
            (PageNumber, "1"),
        ]);
        let next = page(&[
            (Header, "Blue River Trading Ltd"),
            (Text, "more"),
            (Footer, "Page 2, section 3.1"),
            (PageNumber, "2"),
        ]);
        let last = page(&[(Header, "Terms"), (Text, "end"), (Footer, "Page 3, section 14.2")]);
        let document = sample::document_of(vec![invoice, next, last]);
        let written = |format| String::from_utf8(crate::document(format, &document).unwrap()).unwrap();
        assert_eq!(
            written(&crate::markdown::Markdown),
            "Blue River Trading Ltd\n\nInvoice\n\nIBAN GB33 BUKB\n\n---\n\n\
             more\n\nPage 2, section 3.1\n\n---\n\nTerms\n\nend\n"
        );
        let chunks = written(&crate::chunks::Chunks);
        for (text, count) in [("Blue River", 1), ("IBAN", 1), ("section", 1), ("Terms", 1), ("more", 1)] {
            assert_eq!(chunks.matches(text).count(), count, "{text}: {chunks}");
        }
    }
}
