//! A piece of text on its way to a line: what the readers of pixels and of embedded text both give. Called by
//! `recognition`, `embedded` and `compose`.

use lector_sdk::Source;
use lector_vision::ctc::{self, Reading};
use lector_vision::geometry::Quad;

/// A word and where it stands.
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
}

impl Fragment {
    /// What a recognizer read inside `quad`; `None` where it saw nothing but spaces.
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
        Some(Self { text, confidence: reading.confidence(), quad, words, source: Source::Ocr })
    }
}
