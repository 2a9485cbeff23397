//! Joining of lines to running text, without a dictionary: the words of the document itself decide about hyphens.

use std::collections::HashSet;

use super::patterns::ends_sentence;
use crate::script::{is_digit, is_unspaced};

/// The words of a text that decide whether a hyphen at the end of a line belongs to the word.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    words: HashSet<String>,
}

impl Vocabulary {
    /// Collects the words of lines; the last word of each line is left out, because it may be the part of one.
    pub fn of<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut words = HashSet::new();
        for line in lines {
            let mut found: Vec<&str> = line.split_whitespace().collect();
            if found.last().is_some_and(|word| word.ends_with(HYPHENS)) {
                found.pop();
            }
            words.extend(
                found
                    .into_iter()
                    .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()),
            );
        }
        Self { words }
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(&word.to_lowercase())
    }
}

/// The characters that end a line inside a word.
const HYPHENS: [char; 3] = ['-', '\u{2010}', '\u{ad}'];

/// Words after a hyphen that belongs to the word before ("Ein- und Ausgang").
const ELLIPTIC: [&str; 12] = ["und", "oder", "and", "or", "et", "ou", "y", "o", "e", "bis", "to", "nor"];

/// Returns the lines joined to running text: with a space, without one in a script without spaces between words, and with a word
/// that breaks over a line put together.
pub fn join<'a>(lines: impl Iterator<Item = &'a str>, vocabulary: &Vocabulary) -> String {
    let mut out = String::new();
    for line in lines {
        append(&mut out, line.trim(), vocabulary);
    }
    out
}

fn append(out: &mut String, line: &str, vocabulary: &Vocabulary) {
    let Some(next) = line.chars().next() else { return };
    let Some(last) = out.chars().next_back() else {
        out.push_str(line);
        return;
    };
    if HYPHENS.contains(&last) {
        match hyphen(out, line, last, vocabulary) {
            Hyphen::Dropped => {
                out.truncate(out.len() - last.len_utf8());
                out.push_str(line);
            }
            Hyphen::Kept => out.push_str(line),
            Hyphen::Apart => {
                out.push(' ');
                out.push_str(line);
            }
        }
        return;
    }
    if is_range(out, line) {
        out.push_str(line);
        return;
    }
    let is_joined = match (is_shared_mark(last), is_shared_mark(next)) {
        (false, false) => is_unspaced(last) && is_unspaced(next),
        (true, false) => is_unspaced(next),
        (false, true) => is_unspaced(last),
        // Two marks are those of the characters beside them.
        (true, true) => {
            let is_unspaced = |c: Option<char>| c.is_some_and(is_unspaced);
            is_unspaced(out.chars().rev().find(|c| !is_shared_mark(*c)))
                && is_unspaced(line.chars().find(|c| !is_shared_mark(*c)))
        }
    };
    if !is_joined {
        out.push(' ');
    }
    out.push_str(line);
}

/// Returns whether a range of numbers, or words with a slash between them, go on over the end of a line.
fn is_range(out: &str, line: &str) -> bool {
    let around = |mark: char, fits: fn(char) -> bool| {
        let fits = |c: Option<char>| c.is_some_and(fits);
        let behind = out.strip_suffix(mark).is_some_and(|before| fits(before.chars().next_back()));
        let before = line.strip_prefix(mark).is_some_and(|behind| fits(behind.chars().next()));
        (behind && fits(line.chars().next())) || (before && fits(out.chars().next_back()))
    };
    around('\u{2013}', is_digit) || around('/', char::is_alphanumeric)
}

enum Hyphen {
    /// It only marks the break.
    Dropped,
    /// It belongs to the word, which goes on.
    Kept,
    /// It ends a word or stands alone.
    Apart,
}

fn hyphen(out: &str, line: &str, last: char, vocabulary: &Vocabulary) -> Hyphen {
    if last == '\u{ad}' {
        return Hyphen::Dropped;
    }
    let before = out.trim_end_matches(last);
    let head = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    let tail: &str = line.split_whitespace().next().unwrap_or_default();
    let Some(end) = head.chars().next_back() else { return Hyphen::Apart };
    if before.len() + last.len_utf8() < out.len() {
        return Hyphen::Apart;
    }
    if ELLIPTIC.contains(&tail) && !vocabulary.has(&joined(head, tail)) {
        return Hyphen::Apart;
    }
    let next = tail.chars().next().unwrap_or(' ');
    let is_in_capitals = || next.is_uppercase() && is_capitals(before, line);
    if !end.is_alphabetic() || !(next.is_lowercase() || is_in_capitals()) {
        return Hyphen::Kept;
    }
    let whole = joined(head, tail);
    let compound = format!("{}-{}", trimmed(head), trimmed(tail));
    if vocabulary.has(&whole) {
        Hyphen::Dropped
    } else if vocabulary.has(&compound)
        || head.contains('-')
        || trimmed(head).chars().count() < 2
        || head.contains("://")
        || is_of_self(head, tail)
    {
        Hyphen::Kept
    } else {
        Hyphen::Dropped
    }
}

/// Least capitals around the end of a line in a text that is set in them: a name of capitals with a hyphen has fewer.
const CAPITALS_MIN: usize = 12;

/// Returns whether a word is broken in a text that is set in capitals.
fn is_capitals(before: &str, line: &str) -> bool {
    let near = || before.chars().rev().take(2 * CAPITALS_MIN).chain(line.chars().take(2 * CAPITALS_MIN));
    near().filter(|c| c.is_uppercase()).count() >= CAPITALS_MIN && !near().any(char::is_lowercase)
}

/// Returns whether a word begins with "self-": its hyphen stays, apart from a few words that have none. Of other parts
/// ("non-", "ex-") as many words are written without a hyphen, or they begin other words.
fn is_of_self(head: &str, tail: &str) -> bool {
    let without = ["ish", "less", "same", "hood"];
    trimmed(head).eq_ignore_ascii_case("self") && !without.iter().any(|end| tail.starts_with(end))
}

fn trimmed(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

fn joined(head: &str, tail: &str) -> String {
    format!("{}{}", trimmed(head), trimmed(tail))
}

/// Returns whether the character is a quote, a dash or dots that texts with and without spaces have in common: beside an
/// ideograph it stands without a space.
fn is_shared_mark(c: char) -> bool {
    matches!(
        c,
        '\u{b7}' | '\u{2014}' | '\u{2015}' | '\u{2018}'..='\u{201d}' | '\u{2025}' | '\u{2026}' | '\u{22ef}'
    )
}

/// Returns whether a paragraph that ends with `last` goes on with `next` on the next page or in the next column.
pub fn goes_on(last: &str, next: &str) -> bool {
    let (last, next) = (last.trim_end(), next.trim_start());
    let Some(first) = next.chars().find(|c| c.is_alphanumeric()) else { return false };
    if last.is_empty() {
        return false;
    }
    if last.ends_with(HYPHENS) {
        return first.is_lowercase();
    }
    let ends = ends_sentence(last);
    let lower = next.chars().next().is_some_and(char::is_lowercase);
    let unspaced =
        is_unspaced(first) && last.chars().next_back().is_some_and(|c| is_unspaced(c) && c.is_alphabetic());
    !ends && (lower || unspaced || last.ends_with(','))
}
