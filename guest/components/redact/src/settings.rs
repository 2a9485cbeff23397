//! Settings of a deployment of this guest. Checked by `configure`, read by the finders and the mask.

use lector_sdk::ConfigError;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Maximum number of configured patterns.
const PATTERNS_MAX: usize = 32;

/// Maximum length of a configured pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 512;

/// Settings; every member has a default, unknown members are rejected.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Settings of the reading, until 0.2.0; refused with what to do instead.
    pub(crate) reading: Option<IgnoredAny>,
    /// Kinds to find; default all of `email`, `iban`, `card`, `phone`.
    pub(crate) kinds: Vec<Kind>,
    /// Additional patterns, at most 32.
    pub(crate) patterns: Vec<Pattern>,
    /// Replacement of a masked letter or digit: one character, default `*`.
    pub(crate) mask: String,
    /// Letters and digits that stay readable at the end of a card number or an IBAN, as is customary: 0 to 4, default
    /// 4.
    pub(crate) keep_last: u32,
}

/// The built-in kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// E-mail addresses.
    Email,
    /// International bank account numbers with a valid checksum.
    Iban,
    /// Payment card numbers with a valid checksum.
    Card,
    /// Telephone numbers.
    Phone,
}

impl Kind {
    /// Returns the kind's name in findings.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Iban => "iban",
            Self::Card => "card",
            Self::Phone => "phone",
        }
    }
}

/// A pattern of the deployment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pattern {
    /// Kind of its findings: 1 to 32 lower-case letters, digits, `_` and `-`.
    pub(crate) kind: String,
    /// A regular expression in the syntax of the `regex-lite` crate, at most 512 bytes; it is matched line by line, and
    /// the whole match is masked.
    pub(crate) pattern: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reading: None,
            kinds: vec![Kind::Email, Kind::Iban, Kind::Card, Kind::Phone],
            patterns: Vec::new(),
            mask: "*".to_owned(),
            keep_last: 4,
        }
    }
}

impl Settings {
    /// Returns the character that replaces a masked one.
    pub(crate) fn mask_char(&self) -> char {
        self.mask.chars().next().unwrap_or('*')
    }

    /// Checks constraints beyond the types; the patterns themselves are compiled elsewhere.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.reading.is_some() {
            let message = "this guest reads pages with the deployment that it wraps, with the settings of that deployment; to \
                           use others, deploy the standard guest with them under another name, and wrap that";
            return Err(ConfigError::at("/reading", message));
        }
        let mut mask = self.mask.chars();
        match (mask.next(), mask.next()) {
            (Some(only), None) if !only.is_alphanumeric() && !only.is_whitespace() && !only.is_control() => {}
            _ => {
                let message = format!(
                    "`{}` is not a valid mask; give one character that is not a letter, digit or space",
                    self.mask
                );
                return Err(ConfigError::at("/mask", message));
            }
        }
        if self.keep_last > 4 {
            let message = format!("{} is out of range; it must lie between 0 and 4", self.keep_last);
            return Err(ConfigError::at("/keep_last", message));
        }
        if self.patterns.len() > PATTERNS_MAX {
            let message =
                format!("{} patterns are configured; give at most {PATTERNS_MAX}", self.patterns.len());
            return Err(ConfigError::at("/patterns", message));
        }
        self.patterns.iter().enumerate().try_for_each(|(index, pattern)| pattern.check(index))
    }
}

impl Pattern {
    fn check(&self, index: usize) -> Result<(), ConfigError> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if !(1..=32).contains(&self.kind.len()) || !self.kind.bytes().all(letter) {
            let message = format!(
                "`{}` is not a valid kind; use 1 to 32 lower-case letters, digits, `_` and `-`",
                self.kind
            );
            return Err(ConfigError::at(format!("/patterns/{index}/kind"), message));
        }
        if !(1..=PATTERN_BYTES_MAX).contains(&self.pattern.len()) {
            let message =
                format!("a pattern has 1 to {PATTERN_BYTES_MAX} bytes, this one has {}", self.pattern.len());
            return Err(ConfigError::at(format!("/patterns/{index}/pattern"), message));
        }
        Ok(())
    }
}
