//! Masking of findings. The number of characters and the separators between them stay, so that the reader sees the
//! shape of the original. Called once per line with findings.

use crate::find::Found;

/// Returns the text with every letter and digit of a finding masked, except the last ones of findings that may keep
/// some. In overlapping findings, a character stays readable only if all of them allow it.
pub(crate) fn masked(text: &str, found: &[Found], mask: char, keep_last: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = chars.clone();
    for one in found {
        let mut kept = if one.keeps_last { keep_last } else { 0 };
        let range = one.from..one.to.min(chars.len());
        let Some(places) = out.get_mut(range.clone()) else { continue };
        for (place, original) in places.iter_mut().zip(chars.get(range).unwrap_or_default()).rev() {
            if !original.is_alphanumeric() {
                continue;
            }
            if kept > 0 {
                kept -= 1;
            } else {
                *place = mask;
            }
        }
    }
    out.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(from: usize, to: usize, keeps_last: bool) -> Found {
        Found { kind: "test".to_owned(), from, to, keeps_last }
    }

    #[test]
    fn shape_stays_and_content_goes() {
        let card = [found(5, 24, true)];
        assert_eq!(masked("Card 4111 1111 1111 1111.", &card, '*', 4), "Card **** **** **** 1111.");
        assert_eq!(masked("Card 4111 1111 1111 1111.", &card, '#', 0), "Card #### #### #### ####.");
        assert_eq!(masked("jürg@x.de", &[found(0, 9, false)], '*', 4), "****@*.**");
    }

    #[test]
    fn overlapping_findings_never_uncover_each_other() {
        let both = [found(0, 4, true), found(2, 8, false)];
        assert_eq!(masked("12345678", &both, '*', 2), "********");
        let both = [found(2, 8, false), found(0, 4, true)];
        assert_eq!(masked("12345678", &both, '*', 2), "********");
    }

    #[test]
    fn a_place_outside_of_the_text_masks_nothing() {
        assert_eq!(masked("abc", &[found(5, 9, false)], '*', 0), "abc");
    }
}
