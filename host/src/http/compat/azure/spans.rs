//! Places in the content of a document, in the unit that the client asks for.

use serde_json::{Value, json};

/// The unit of offsets and lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// What a reader sees as one character. Counted as code points: text of the pipelines has few combining characters.
    TextElement,
    CodePoint,
    Utf16,
}

impl Unit {
    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::TextElement, Self::CodePoint, Self::Utf16].into_iter().find(|unit| unit.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TextElement => "textElements",
            Self::CodePoint => "unicodeCodePoint",
            Self::Utf16 => "utf16CodeUnit",
        }
    }

    /// Returns the length of a text.
    pub(super) fn count(self, text: &str) -> usize {
        match self {
            Self::TextElement | Self::CodePoint => text.chars().count(),
            Self::Utf16 => text.encode_utf16().count(),
        }
    }
}

/// A place in the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) offset: usize,
    pub(super) length: usize,
}

impl Span {
    pub(super) fn json(self) -> Value {
        json!({ "offset": self.offset, "length": self.length })
    }

    /// Returns the place from the first to the last of `spans`.
    pub(super) fn around(spans: impl IntoIterator<Item = Self>) -> Option<Self> {
        spans.into_iter().reduce(|a, b| {
            let offset = a.offset.min(b.offset);
            let end = (a.offset + a.length).max(b.offset + b.length);
            Self { offset, length: end - offset }
        })
    }
}

/// Finds the places of texts that follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finder<'a> {
    text: &'a str,
    unit: Unit,
    offset: usize,
}

impl<'a> Finder<'a> {
    /// Makes a finder in `text`, which begins at `offset` of the content.
    pub(super) fn new(text: &'a str, unit: Unit, offset: usize) -> Self {
        Self { text, unit, offset }
    }

    /// Returns the next place of a text. A text that is not found, because Markdown escapes it, has no length.
    pub(super) fn next(&mut self, part: &str) -> Span {
        let Some((before, after)) = self.text.split_once(part).filter(|_| !part.is_empty()) else {
            return Span { offset: self.offset, length: 0 };
        };
        let span = Span { offset: self.offset + self.unit.count(before), length: self.unit.count(part) };
        self.offset = span.offset + span.length;
        self.text = after;
        span
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn places_in_each_unit() {
        let check = |unit: Unit, expect: [(usize, usize); 3]| {
            let mut finder = Finder::new("𝔸 b\nb c", unit, 10);
            let found = ["b", "b", "c"].map(|part| finder.next(part));
            assert_eq!(found.map(|span| (span.offset, span.length)), expect, "{unit:?}");
            assert_eq!(finder.next("z").length, 0);
        };
        check(Unit::CodePoint, [(12, 1), (14, 1), (16, 1)]);
        check(Unit::Utf16, [(13, 1), (15, 1), (17, 1)]);
        let spans = [Span { offset: 5, length: 2 }, Span { offset: 1, length: 1 }];
        assert_eq!(Span::around(spans), Some(Span { offset: 1, length: 6 }));
        assert_eq!(Unit::parse("utf16CodeUnit"), Some(Unit::Utf16));
    }
}
