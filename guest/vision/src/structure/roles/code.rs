//! Program text: letters of one width in a document that is otherwise set in letters of different widths.

use super::super::frame::Frame;
use super::super::model::Kind;
use super::super::paragraphs::Draft;
use crate::statistics::quantile;

/// Minimum characters of a word whose width is measured.
const WORD_MIN: usize = 4;
/// Minimum measured words of a paragraph.
const WORDS_MIN: usize = 3;
/// Most relative deviation of the mean widths of letters. Proportional fonts vary by 8 % and more.
const SPREAD_MAX: f32 = 0.025;
/// Fraction of the page's measured paragraphs from which the document is set in such a font, as by a typewriter.
const MAJORITY: f32 = 0.6;
/// Largest size of program text, as a fraction of running text.
const SIZE_MAX: f32 = 1.1;

/// Marks the paragraphs of program text. Only embedded text has words that are placed exactly enough.
pub(super) fn mark(frame: &Frame<'_>, drafts: &[Draft], kinds: &mut [Option<Kind>]) {
    let even: Vec<Option<bool>> = drafts.iter().map(|draft| is_even(frame, draft)).collect();
    let weight = |draft: &Draft| draft.rows.len();
    let measured: usize = drafts.iter().zip(&even).filter(|(_, e)| e.is_some()).map(|(d, _)| weight(d)).sum();
    let count: usize =
        drafts.iter().zip(&even).filter(|(_, e)| **e == Some(true)).map(|(d, _)| weight(d)).sum();
    if count as f32 > MAJORITY * measured as f32 {
        return;
    }
    for ((draft, kind), even) in drafts.iter().zip(kinds.iter_mut()).zip(even) {
        // A heading may have words of even width by chance.
        if kind.is_none() && even == Some(true) && draft.size <= SIZE_MAX * frame.body {
            *kind = Some(Kind::Code);
        }
    }
}

/// Returns whether the letters have one width; `None` where too few words are known.
fn is_even(frame: &Frame<'_>, draft: &Draft) -> Option<bool> {
    let mut widths = Vec::new();
    for line in draft.rows.iter().flatten().filter_map(|i| frame.lines.get(*i)).filter(|line| line.embedded) {
        for word in &line.words {
            let count = word.text.chars().count();
            if count >= WORD_MIN && word.text.is_ascii() {
                widths.push(word.area.width / count as f32 / line.size);
            }
        }
    }
    if widths.len() < WORDS_MIN {
        return None;
    }
    let middle = quantile(&mut widths, 0.5);
    let mut off: Vec<f32> = widths.iter().map(|width| (width - middle).abs()).collect();
    Some(quantile(&mut off, 0.8) <= SPREAD_MAX * middle)
}
