//! Characters around and inside printed values.

/// Returns the character at `index`, if any.
pub(crate) fn at(chars: &[char], index: usize) -> Option<char> {
    chars.get(index).copied()
}

/// Returns whether a number or a name may begin at `index`: no word character precedes it.
pub(crate) fn begins(chars: &[char], index: usize) -> bool {
    index.checked_sub(1).and_then(|before| at(chars, before)).is_none_or(|before| !before.is_alphanumeric())
}

/// Returns whether a number or a name may end before `index`.
pub(crate) fn ends(chars: &[char], index: usize) -> bool {
    at(chars, index).is_none_or(|after| !after.is_alphanumeric())
}

/// Returns whether a character is a space inside printed numbers, including non-breaking spaces.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}')
}

/// Returns whether a character is a hyphen inside printed numbers, or a dash that recognizers confuse with one.
pub(crate) fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{2013}')
}

/// Returns the number of ASCII digits from `index` on.
pub(crate) fn digits(chars: &[char], index: usize) -> usize {
    chars.iter().skip(index).take_while(|c| c.is_ascii_digit()).count()
}

/// Returns the number of spaces from `index` on.
pub(crate) fn spaces(chars: &[char], index: usize) -> usize {
    chars.iter().skip(index).take_while(|c| is_space(**c)).count()
}
