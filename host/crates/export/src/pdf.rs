//! Searchable PDF: the document itself, with its text where the words are, invisibly.
//!
//! The bytes of the document are parsed only in a render worker, which also composes the file. This module states the
//! text of each page as the document model has it; `lector_core::OpenDocument::compose` puts it in.

use std::io::Write;

use lector_core::{
    Direction, DocumentResult, DocumentView, Line, LineSource, PageText, PageView, PdfStandard, Transcript,
    Word, WordText,
};

use crate::{ExportError, Format, Info, Several, Writer};

const OWN: Info = Info {
    name: "pdf",
    about: "The document as a searchable PDF: an invisible text layer in a PDF, pictures as pages",
    content_type: "application/pdf",
    accepts: &["application/pdf"],
    extension: "pdf",
    needs_words: true,
    streams: false,
    has_preface: false,
    reports_failures: false,
    several: Several::Never,
    composed: Some(PdfStandard::Own),
};

static INFO: Info = OWN;

static INFO_A: Info = Info {
    name: "pdf-a",
    about: "The searchable PDF as PDF/A-2b; a PDF that has what the standard forbids is refused",
    accepts: &[],
    composed: Some(PdfStandard::A2b),
    ..OWN
};

/// Searchable PDF.
#[derive(Debug)]
pub(crate) struct Pdf;

impl Format for Pdf {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(NoWriter)
    }
}

/// Searchable PDF as PDF/A-2b.
#[derive(Debug)]
pub(crate) struct PdfA;

impl Format for PdfA {
    fn info(&self) -> &'static Info {
        &INFO_A
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(NoWriter)
    }
}

/// Writes nothing: the format needs the bytes of the document.
#[derive(Debug)]
struct NoWriter;

impl Writer for NoWriter {
    fn head(&mut self, _document: &DocumentView<'_>, _out: &mut dyn Write) -> Result<(), ExportError> {
        Err(ExportError::Composed { format: INFO.name })
    }

    fn page(
        &mut self,
        _document: &DocumentView<'_>,
        _page: &PageView<'_>,
        _out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        Err(ExportError::Composed { format: INFO.name })
    }
}

/// Returns the text of each page that was read, for its searchable PDF: the words of the lines that were read from
/// pixels. Lines from the text layer, form fields and annotations are in the document already.
pub fn page_texts<T: AsRef<Transcript>, S>(result: &DocumentResult<T, S>) -> Vec<PageText> {
    let page = |(index, page): (u32, &Transcript)| {
        let lines = page.lines.iter().filter(|line| line.source == LineSource::Ocr);
        PageText { index, size: page.size, words: lines.flat_map(words).collect() }
    };
    result.transcripts().map(page).collect()
}

/// Returns the words of a line. A line without words is one word, spaces included.
fn words(line: &Line) -> Vec<WordText> {
    let whole = [Word { text: line.text.clone(), confidence: line.confidence, quad: line.quad }];
    let words = if line.words.is_empty() { &whole[..] } else { &line.words };
    let mut rest = line.text.as_str();
    let mut placed: Vec<WordText> = Vec::with_capacity(words.len());
    for word in words {
        let text = word.text.trim();
        if text.is_empty() {
            continue;
        }
        // The text of the line says whether a space divides two words: between Chinese words there is none.
        let at = rest.find(text);
        if let Some(last) = placed.last_mut() {
            last.space_follows =
                at.is_none_or(|at| rest.get(..at).is_some_and(|gap| gap.contains(char::is_whitespace)));
        }
        rest = at.and_then(|at| rest.get(at + text.len()..)).unwrap_or(rest);
        let direction = match line.direction {
            // A number or a Latin word in a line from right to left.
            Direction::Rtl if !text.chars().any(is_right_to_left) => Direction::Ltr,
            direction => direction,
        };
        placed.push(WordText { text: text.to_owned(), quad: word.quad, direction, space_follows: false });
    }
    placed
}

/// Returns whether a character is of a script that is written from right to left: the blocks of the Unicode Standard for
/// Hebrew to Arabic Extended, their presentation forms, and the right-to-left area of plane 1.
fn is_right_to_left(character: char) -> bool {
    matches!(
        u32::from(character),
        0x0590..=0x08ff | 0xfb1d..=0xfdff | 0xfe70..=0xfeff | 0x1_0800..=0x1_0fff | 0x1_e800..=0x1_efff
    ) && !character.is_numeric()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::{Point, Quad};

    use super::*;

    fn quad(x: f32) -> Quad {
        Quad([(x, 0.0), (x + 9.0, 0.0), (x + 9.0, 9.0), (x, 9.0)].map(|(x, y)| Point { x, y }))
    }

    fn line(text: &str, words: &[&str], direction: Direction) -> Line {
        let word = |(at, text): (usize, &&str)| Word {
            text: (*text).into(),
            confidence: 1.0,
            quad: quad(at as f32),
        };
        let words = words.iter().enumerate().map(word).collect();
        Line { words, direction, ..Line::new(text, 1.0, quad(0.0)) }
    }

    fn spaces(line: &Line) -> Vec<(String, bool)> {
        words(line).into_iter().map(|word| (word.text, word.space_follows)).collect()
    }

    #[test]
    fn spaces_follow_where_the_text_of_the_line_has_them() {
        let check = |text: &str, words: &[&str], expect: &[(&str, bool)]| {
            let expect: Vec<_> = expect.iter().map(|(text, space)| ((*text).to_owned(), *space)).collect();
            assert_eq!(spaces(&line(text, words, Direction::Ltr)), expect, "{text}");
        };
        check("the cat", &["the", "cat"], &[("the", true), ("cat", false)]);
        check("中文字", &["中文", "字"], &[("中文", false), ("字", false)]);
        check("a a b", &["a", "a", "b"], &[("a", true), ("a", true), ("b", false)]);
        // Without words, the line is one.
        check("the cat", &[], &[("the cat", false)]);
        check("the cat", &["the", " ", "cat"], &[("the", true), ("cat", false)]);
        // A word that the line does not have: a space is safer than two words in one.
        check("xyz", &["ab", "cd"], &[("ab", true), ("cd", false)]);
        check("", &[], &[]);
    }

    #[test]
    fn words_of_the_other_direction_keep_theirs() {
        let line = line("שלום 42 abc ١٢", &["שלום", "42", "abc", "١٢"], Direction::Rtl);
        let directions: Vec<Direction> = words(&line).into_iter().map(|word| word.direction).collect();
        assert_eq!(directions, [Direction::Rtl, Direction::Ltr, Direction::Ltr, Direction::Ltr]);
    }

    #[test]
    fn only_what_was_read_from_pixels_is_added() {
        let mut result = crate::sample::document();
        let pages = page_texts(&result);
        let ocr = |result: &lector_core::DocumentResult| -> usize {
            let lines = result.transcripts().flat_map(|(_, page)| &page.lines);
            lines.filter(|line| line.source == LineSource::Ocr && !line.text.trim().is_empty()).count()
        };
        assert!(ocr(&result) > 0 && pages.iter().map(|page| page.words.len()).sum::<usize>() >= ocr(&result));
        for page in &mut result.pages {
            let Ok(page) = page.outcome.as_mut() else { continue };
            let page = std::sync::Arc::get_mut(page).unwrap();
            page.lines.iter_mut().for_each(|line| line.source = LineSource::TextLayer);
        }
        assert!(page_texts(&result).iter().all(|page| page.words.is_empty()));
    }
}
