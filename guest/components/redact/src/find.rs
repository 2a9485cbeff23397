//! Finders of personal data in a line of text. Positions are in characters, so that masking and boxes need no bytes.
//! Called once per line.

mod card;
mod email;
mod iban;
mod phone;

use lector_sdk::ConfigError;
use regex_lite::{Regex, RegexBuilder};

use crate::settings::{Kind, Settings};

/// Maximum size of a compiled pattern, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// A finding in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// `email`, `iban`, `card`, `phone`, or the kind of a configured pattern.
    pub(crate) kind: String,
    /// Index of the first character.
    pub(crate) from: usize,
    /// End of the characters (exclusive).
    pub(crate) to: usize,
    /// Whether its last characters may stay readable.
    pub(crate) keeps_last: bool,
}

/// All finders of a deployment.
pub(crate) struct Finders {
    kinds: Vec<Kind>,
    patterns: Vec<(String, Regex)>,
}

impl Finders {
    /// Compiles the configured patterns.
    pub(crate) fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let compile = |(index, pattern): (usize, &crate::settings::Pattern)| {
            let pointer = || format!("/patterns/{index}/pattern");
            let regex = RegexBuilder::new(&pattern.pattern)
                .size_limit(PATTERN_SIZE_MAX)
                .build()
                .map_err(|error| ConfigError::at(pointer(), format!("not a usable pattern: {error}")))?;
            if regex.is_match("") {
                return Err(ConfigError::at(pointer(), "matches the empty text; it would match everywhere"));
            }
            Ok((pattern.kind.clone(), regex))
        };
        let patterns = settings.patterns.iter().enumerate().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { kinds: settings.kinds.clone(), patterns })
    }

    /// Returns the findings of a line, from left to right. A finding inside another one is left out: numbers with a
    /// valid checksum have priority, telephone numbers, which are only likely, come last.
    pub(crate) fn find(&self, text: &str) -> Vec<Found> {
        let chars: Vec<char> = text.chars().collect();
        let mut found: Vec<Found> = Vec::new();
        for kind in [Kind::Iban, Kind::Card, Kind::Email] {
            if self.kinds.contains(&kind) {
                self.add(&mut found, kind, places(kind, &chars));
            }
        }
        for (kind, regex) in &self.patterns {
            for hit in regex.find_iter(text) {
                let from = text.get(..hit.start()).map_or(0, |before| before.chars().count());
                let to = from + hit.as_str().chars().count();
                let one = Found { kind: kind.clone(), from, to, keeps_last: false };
                found.extend((to > from && !within(&found, &one)).then_some(one));
            }
        }
        if self.kinds.contains(&Kind::Phone) {
            self.add(&mut found, Kind::Phone, places(Kind::Phone, &chars));
        }
        found.sort_by_key(|one| (one.from, one.to));
        found
    }

    fn add(&self, found: &mut Vec<Found>, kind: Kind, places: Vec<(usize, usize)>) {
        let keeps_last = matches!(kind, Kind::Card | Kind::Iban);
        for (from, to) in places {
            let one = Found { kind: kind.name().to_owned(), from, to, keeps_last };
            // A possible telephone number is dropped if it touches any other finding.
            let taken = if kind == Kind::Phone { touches(found, &one) } else { within(found, &one) };
            if !taken {
                found.push(one);
            }
        }
    }
}

fn places(kind: Kind, chars: &[char]) -> Vec<(usize, usize)> {
    match kind {
        Kind::Email => email::find(chars),
        Kind::Iban => iban::find(chars),
        Kind::Card => card::find(chars),
        Kind::Phone => phone::find(chars),
    }
}

fn within(found: &[Found], one: &Found) -> bool {
    found.iter().any(|other| other.from <= one.from && one.to <= other.to)
}

fn touches(found: &[Found], one: &Found) -> bool {
    found.iter().any(|other| other.from < one.to && one.from < other.to)
}

/// Returns the character at `index`, if any.
fn at(chars: &[char], index: usize) -> Option<char> {
    chars.get(index).copied()
}

/// Returns whether a number or a name may begin at `index`: no word character precedes it.
fn begins(chars: &[char], index: usize) -> bool {
    index.checked_sub(1).and_then(|before| at(chars, before)).is_none_or(|before| !before.is_alphanumeric())
}

/// Returns whether a number or a name may end before `index`.
fn ends(chars: &[char], index: usize) -> bool {
    at(chars, index).is_none_or(|after| !after.is_alphanumeric())
}

/// Returns whether a character is a space inside printed numbers, including non-breaking spaces.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}')
}

/// Returns whether a character is a hyphen inside printed numbers, or a dash that recognizers confuse with one.
fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{2013}')
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// Checks the findings of one kind.
    pub(crate) fn check(kind: &str, text: &str, expected: &[&str]) {
        let all = [Kind::Email, Kind::Iban, Kind::Card, Kind::Phone];
        let kinds = all.into_iter().filter(|known| known.name() == kind).collect();
        let finders = Finders { kinds, patterns: Vec::new() };
        assert_eq!(shown(&finders, text), expected, "{kind} in: {text}");
    }

    fn shown(finders: &Finders, text: &str) -> Vec<String> {
        let shown = |one: &Found| text.chars().skip(one.from).take(one.to - one.from).collect();
        finders.find(text).iter().map(shown).collect()
    }

    #[test]
    fn proven_numbers_are_not_telephone_numbers() {
        let finders = Finders {
            kinds: vec![Kind::Phone, Kind::Card, Kind::Iban, Kind::Email],
            patterns: vec![("id".to_owned(), Regex::new(r"K-\d{6}").expect("a pattern"))],
        };
        let text = "Tel. 4111 1111 1111 1111, K-123456, +49 30 901820, Ä ä@b.de DE89 3704 0044 0532 0130 00";
        let kinds: Vec<String> = finders.find(text).into_iter().map(|one| one.kind).collect();
        assert_eq!(kinds, ["card", "id", "phone", "email", "iban"]);
    }
}
