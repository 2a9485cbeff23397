//! The position of a finding on the page, and the words that show it. Called once per line with findings.

use lector_sdk::{Line, Quad, Word};

/// A word and its characters in the line.
struct Placed<'a> {
    word: &'a Word,
    from: usize,
    to: usize,
}

/// Returns the quad around the characters `from..to` of a line: from its words if it has any, otherwise from the line.
pub(crate) fn quad(line: &Line, from: usize, to: usize) -> Quad {
    let placed = placed(&line.text, &line.words);
    let mut touched = placed.iter().filter(|word| word.from < to && from < word.to);
    let Some(first) = touched.next() else {
        let length = line.text.chars().count().max(1) as f32;
        return line.quad.between(from as f32 / length, to as f32 / length);
    };
    let last = touched.next_back().unwrap_or(first);
    let start = piece(first, from, to);
    let end = piece(last, from, to);
    Quad { top_right: end.top_right, bottom_right: end.bottom_right, ..start }
}

/// Returns the part of a word's quad that covers the characters `from..to` of the line.
fn piece(placed: &Placed<'_>, from: usize, to: usize) -> Quad {
    let length = (placed.to - placed.from).max(1) as f32;
    let share = |index: usize| (index.clamp(placed.from, placed.to) - placed.from) as f32 / length;
    placed.word.quad.between(share(from), share(to))
}

/// Replaces the text of each word with its characters of the masked text. A word that is not found in the text (which
/// should not occur) is masked completely, to be safe.
pub(crate) fn mask_words(line: &mut Line, masked: &str) {
    let masked: Vec<char> = masked.chars().collect();
    let ranges: Vec<(usize, usize)> =
        placed(&line.text, &line.words).iter().map(|word| (word.from, word.to)).collect();
    for (index, word) in line.words.iter_mut().enumerate() {
        word.text = match ranges.get(index).and_then(|&(from, to)| masked.get(from..to)) {
            Some(chars) => chars.iter().collect(),
            None => "*".repeat(word.text.chars().count()),
        };
    }
}

/// Returns the positions of words in a line's text, in order, as far as they can be found one after the other.
fn placed<'a>(text: &str, words: &'a [Word]) -> Vec<Placed<'a>> {
    let mut placed = Vec::with_capacity(words.len());
    let (mut bytes, mut chars) = (0, 0);
    for word in words {
        let Some(rest) = text.get(bytes..) else { break };
        let Some(skipped) = rest.find(word.text.as_str()) else { break };
        let before = rest.get(..skipped).map_or(0, |skipped| skipped.chars().count());
        let (from, length) = (chars + before, word.text.chars().count());
        placed.push(Placed { word, from, to: from + length });
        bytes += skipped + word.text.len();
        chars = from + length;
    }
    placed
}
