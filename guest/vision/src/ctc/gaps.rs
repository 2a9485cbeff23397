//! Gaps between characters that are spaces, although the recognizer reads none there: columns of a table or a form on
//! one line.

/// Least distance of the middles of two characters across a space, relative to the typical distance of neighbors. The
/// middles of two wide letters (`WM`) are at most 1.7 typical distances apart.
const RELATIVE_MIN: f32 = 2.2;

/// Least number of steps by which that distance exceeds the typical one, for lines of narrow letters.
const STEPS_MIN: f32 = 3.0;

/// Advance of a full-width character in steps: the height of the recognizer's input divided by the columns of a step.
const FULL_WIDTH: f32 = 6.0;

/// Returns whether the gap between neighbors with the middles `from` and `to` (steps) is wider than a letter. `advance`
/// is the typical distance of neighbors of the line, in steps. A gap beside a space is none: it is read already.
pub(super) fn is_wide(from: f32, to: f32, left: &str, right: &str, advance: f32) -> bool {
    if left.trim().is_empty() || right.trim().is_empty() {
        return false;
    }
    let width = |text: &str| if is_full_width(text) { advance.max(FULL_WIDTH) } else { advance };
    let typical = (width(left) + width(right)) / 2.0;
    to - from >= (RELATIVE_MIN * typical).max(typical + STEPS_MIN)
}

/// Returns whether the text is a full-width character: Han, kana, Hangul, full-width forms, their punctuation.
fn is_full_width(text: &str) -> bool {
    text.chars().next().is_some_and(|c| {
        matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff60}' | '\u{20000}'..='\u{323af}')
    })
}
