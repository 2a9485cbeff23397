//! Decides whether an embedded layer is text that can be used as it is.

use super::{Layer, Origin, Span, Verdict};
use crate::geometry::Rect;

/// Minimum number of characters for a decision.
const CHARACTERS_MIN: usize = 8;
/// Fraction of meaningless characters from which a layer is garbage: formulas have a few unmapped signs, broken fonts
/// have mostly such characters.
const GARBAGE_SHARE: f32 = 0.1;
/// Minimum fraction of letters and digits in text.
const WORDLIKE_SHARE: f32 = 0.3;
/// Fraction of words off the page or on top of others from which positions are not trusted.
const MISPLACED_SHARE: f32 = 0.2;
/// Number of words that a word is compared with for overlap, in order of their tops; bounds the work on dense pages.
const NEIGHBORS_MAX: usize = 200;

/// Judges a layer by the text of the page itself: form fields and annotations are correct in any case, may lie on top of
/// other text, and say nothing about the rest of the page.
pub fn judge(layer: &Layer<'_>) -> Verdict {
    let (mut total, mut odd, mut wordlike, mut hidden) = (0usize, layer.unmapped as usize, 0usize, 0usize);
    let spans: Vec<Span<'_>> =
        layer.spans.iter().filter(|span| span.origin == Origin::Page).copied().collect();
    let layer = &Layer { spans: &spans, ..*layer };
    for span in layer.spans {
        let count = span.text.chars().count();
        total += count;
        hidden += if span.visible { 0 } else { count };
        wordlike += span.text.chars().filter(|c| c.is_alphanumeric()).count();
        odd += if span.text.contains("(cid:") { count } else { span.text.chars().filter(is_odd).count() };
    }
    let share = |part: usize, whole: usize| part as f32 / whole.max(1) as f32;
    // Unmapped characters may or may not appear in the spans; adding them counts them slightly too much, not too
    // little.
    if share(odd, total.max(layer.unmapped as usize)) > GARBAGE_SHARE && odd >= CHARACTERS_MIN {
        return Verdict::Garbage;
    }
    if total < CHARACTERS_MIN {
        return Verdict::Absent;
    }
    if share(wordlike, total) < WORDLIKE_SHARE {
        return Verdict::Garbage;
    }
    if share(misplaced(layer), layer.spans.len()) > MISPLACED_SHARE {
        return Verdict::Misplaced;
    }
    if share(hidden, total) > 0.5 { Verdict::Hidden } else { Verdict::Real }
}

/// Returns whether a character is a control character, private use, the replacement character, a noncharacter, or a
/// dingbat. Fonts with their own encoding decode to dingbats (old TeX fonts give "❡" for "e"); a form has a few check
/// marks, never a tenth of its text.
fn is_odd(c: &char) -> bool {
    c.is_control()
        || matches!(*c, '\u{2700}'..='\u{27bf}' | '\u{fffd}' | '\u{fffe}' | '\u{ffff}')
        || matches!(*c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

/// Returns the number of words outside the page, without extent, or mostly under another word with a different text.
/// (The same word twice is a shadow or a fake bold.)
fn misplaced(layer: &Layer<'_>) -> usize {
    let page = Rect { x: 0.0, y: 0.0, width: layer.page.0, height: layer.page.1 };
    let mut spans: Vec<&Span<'_>> = layer.spans.iter().collect();
    spans.sort_by(|a, b| a.area.y.total_cmp(&b.area.y));
    let under = |i: usize, span: &Span<'_>| {
        spans.iter().skip(i + 1).take(NEIGHBORS_MAX).take_while(|o| o.area.y < span.area.bottom()).any(
            |other| {
                let least = span.area.area().min(other.area.area());
                other.text != span.text && span.area.intersection(&other.area).area() > 0.6 * least
            },
        )
    };
    spans
        .iter()
        .enumerate()
        .filter(|(i, span)| {
            let shown = span.area.intersection(&page).area();
            // Zero-height boxes come from fonts without metrics; NaN also fails the comparison.
            let placed = span.area.area() > 0.0 && shown >= 0.5 * span.area.area();
            !placed || under(*i, span)
        })
        .count()
}
