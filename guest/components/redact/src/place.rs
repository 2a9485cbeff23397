//! The words that show a masked text. Called once per line with findings.

use lector_sdk::Line;

/// Replaces the text of each word with its characters of the masked text. A word that is not found in the text (which
/// should not occur) is masked completely, to be safe.
pub(crate) fn mask_words(line: &mut Line, masked: &str) {
    let masked: Vec<char> = masked.chars().collect();
    let ranges = line.word_ranges();
    for (index, word) in line.words.iter_mut().enumerate() {
        word.text = match ranges.get(index).and_then(|range| masked.get(range.clone())) {
            Some(chars) => chars.iter().collect(),
            None => "*".repeat(word.text.chars().count()),
        };
    }
}
