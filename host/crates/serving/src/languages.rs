//! The languages of a request: `ru,en`. Pure functions.

use lector_core::{Fault, Kind};

/// Maximum number of languages of a request: this many are read together.
const LANGUAGES_MAX: usize = 4;
/// Longest tag, in bytes (RFC 5646, section 4.4.1).
const TAG_BYTES_MAX: usize = 35;

/// Parses language tags (`ru`, `zh-Hant`, also written `zh_Hant`), or names of Tesseract's data (`chi_sim`), separated by commas.
/// The pipeline looks them up.
///
/// Fault `option_invalid` for anything else.
pub fn languages(text: &str) -> Result<Vec<String>, Fault> {
    let is_tag = |tag: &&str| {
        (2..=TAG_BYTES_MAX).contains(&tag.len())
            && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // One more than are possible, of a text of any length.
    let tags: Vec<&str> = text.split(',').map(str::trim).take(LANGUAGES_MAX + 1).collect();
    if tags.len() > LANGUAGES_MAX || !tags.iter().all(is_tag) {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
        let message = format!(
            "`languages` is `{shown}`: use 1 to {LANGUAGES_MAX} language tags separated by commas, such as `ru,en`."
        );
        return Err(Fault::new(Kind::Invalid, "option_invalid", message));
    }
    Ok(tags.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn tags_are_separated_by_commas() {
        assert_eq!(languages("ru").unwrap(), ["ru"]);
        assert_eq!(languages("ru, zh-Hant,chi_sim,pt_BR").unwrap(), ["ru", "zh-Hant", "chi_sim", "pt_BR"]);
        for wrong in ["", ",", "a,en", "ru,en,de,fr,it", "../x", "ru en", &"x".repeat(36)] {
            assert_eq!(languages(wrong).unwrap_err().code, "option_invalid", "{wrong}");
        }
    }
}
