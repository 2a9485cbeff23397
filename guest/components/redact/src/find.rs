//! The finders of a deployment: the kinds of `lector-find` that its settings choose, and its own patterns. Positions are in
//! characters, so that masking and boxes need no bytes. Called once per line.

use lector_find::Kind as Value;
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
        let mut found: Vec<Found> = Vec::new();
        for kind in [Kind::Iban, Kind::Card, Kind::Email] {
            if self.kinds.contains(&kind) {
                self.add(&mut found, kind, text);
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
            self.add(&mut found, Kind::Phone, text);
        }
        found.sort_by_key(|one| (one.from, one.to));
        found
    }

    fn add(&self, found: &mut Vec<Found>, kind: Kind, text: &str) {
        let keeps_last = matches!(kind, Kind::Card | Kind::Iban);
        for value in lector_find::find(text, &[value_of(kind)]) {
            let (from, to) = (value.range.start, value.range.end);
            let one = Found { kind: kind.name().to_owned(), from, to, keeps_last };
            // A finding that only touches another one has characters that the other does not mask.
            if !within(found, &one) {
                found.push(one);
            }
        }
    }
}

fn value_of(kind: Kind) -> Value {
    match kind {
        Kind::Email => Value::Email,
        Kind::Iban => Value::Iban,
        Kind::Card => Value::Card,
        Kind::Phone => Value::Phone,
    }
}

fn within(found: &[Found], one: &Found) -> bool {
    found.iter().any(|other| other.from <= one.from && one.to <= other.to)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

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
