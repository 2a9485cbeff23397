//! Places in the content of a document, in the unit that the client asks for.

use std::ops::Range;

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

    /// Returns the place from the first to the last of `spans`, of those that the content has if there is one.
    pub(super) fn around(spans: impl IntoIterator<Item = Self>) -> Option<Self> {
        spans.into_iter().reduce(|a, b| {
            if a.length == 0 || b.length == 0 {
                return if a.length == 0 { b } else { a };
            }
            let offset = a.offset.min(b.offset);
            let end = (a.offset + a.length).max(b.offset + b.length);
            Self { offset, length: end - offset }
        })
    }
}

/// Bytes between two places whose offset is known.
const STEP_BYTES: usize = 1024;

/// Turns places in a text in bytes into places in the content.
#[derive(Debug)]
pub(super) struct Ruler<'a> {
    text: &'a str,
    unit: Unit,
    /// The offsets in the content of every [`STEP_BYTES`] of the text.
    steps: Vec<usize>,
}

impl<'a> Ruler<'a> {
    /// Makes a ruler for `text`, which begins at `offset` of the content.
    pub(super) fn new(text: &'a str, unit: Unit, offset: usize) -> Self {
        let (mut steps, mut at, mut offset) = (vec![offset], 0, offset);
        while at < text.len() {
            let next = text.floor_char_boundary(steps.len() * STEP_BYTES);
            offset += unit.count(text.get(at..next).unwrap_or_default());
            steps.push(offset);
            at = next;
        }
        Self { text, unit, steps }
    }

    pub(super) fn span(&self, range: &Range<usize>) -> Span {
        let offset = self.offset(range.start);
        Span { offset, length: self.offset(range.end).saturating_sub(offset) }
    }

    fn offset(&self, at: usize) -> usize {
        let step = at / STEP_BYTES;
        let before = self.text.get(self.text.floor_char_boundary(step * STEP_BYTES)..at).unwrap_or_default();
        self.steps.get(step).copied().unwrap_or_default() + self.unit.count(before)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn places_in_each_unit() {
        let text = "𝔸 b\nb c";
        let check = |unit: Unit, expect: [(usize, usize); 3]| {
            let ruler = Ruler::new(text, unit, 10);
            let found = [5..6, 7..8, 8..10].map(|range| ruler.span(&range));
            assert_eq!(found.map(|span| (span.offset, span.length)), expect, "{unit:?}");
        };
        check(Unit::CodePoint, [(12, 1), (14, 1), (15, 2)]);
        check(Unit::Utf16, [(13, 1), (15, 1), (16, 2)]);
        let spans = [Span { offset: 5, length: 2 }, Span { offset: 1, length: 1 }];
        assert_eq!(Span::around(spans), Some(Span { offset: 1, length: 6 }));
        // What the content does not have does not widen the place of what it has.
        let spans = [Span { offset: 5, length: 2 }, Span { offset: 1, length: 0 }];
        assert_eq!(Span::around(spans), Some(Span { offset: 5, length: 2 }));
        assert_eq!(Span::around([Span { offset: 4, length: 0 }]), Some(Span { offset: 4, length: 0 }));
        assert_eq!(Unit::parse("utf16CodeUnit"), Some(Unit::Utf16));
    }

    #[test]
    fn a_long_text_is_measured_from_the_nearest_step() {
        let text = "é𝔸x".repeat(3 * STEP_BYTES);
        for unit in [Unit::CodePoint, Unit::Utf16] {
            let ruler = Ruler::new(&text, unit, 7);
            for (at, _) in text.char_indices().chain([(text.len(), 'x')]).step_by(101) {
                assert_eq!(ruler.offset(at), 7 + unit.count(&text[..at]), "{at}");
            }
        }
    }
}
