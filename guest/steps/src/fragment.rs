//! A piece of text, from pixels or from embedded text, before it becomes part of a line. Used by `recognition`,
//! `embedded` and `compose`.

use lector_sdk::Source;
use lector_vision::ctc::{self, Reading};
use lector_vision::geometry::Quad;

/// A word and its position.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) confidence: f32,
    pub(crate) quad: Quad,
}

/// A piece of text; coordinates in pixels of the page as it is read (turned upright).
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    pub(crate) text: String,
    pub(crate) confidence: f32,
    pub(crate) quad: Quad,
    pub(crate) words: Vec<Word>,
    pub(crate) source: Source,
    /// Size of its font in pixels; `None` for text read from pixels.
    pub(crate) font_size: Option<f32>,
}

impl Fragment {
    /// Makes a fragment of a recognizer's reading inside `quad`; `None` if it contains only spaces.
    pub(crate) fn read(reading: &Reading, quad: Quad, words: bool) -> Option<Self> {
        let text = reading.text();
        if text.is_empty() {
            return None;
        }
        let words = if words { ctc::words(reading, &quad) } else { Vec::new() };
        let words = words
            .into_iter()
            .map(|word| Word { text: word.text, confidence: word.confidence, quad: word.quad })
            .collect();
        Some(Self {
            text,
            confidence: reading.confidence(),
            quad,
            words,
            source: Source::Ocr,
            font_size: None,
        })
    }
}
