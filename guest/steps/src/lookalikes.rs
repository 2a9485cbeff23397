//! Words in which letters of two scripts look alike: a recognizer of Greek or Cyrillic reads `A`, `O` or `T` as Latin letters
//! at times, and a Latin `O` as a Greek one. A word is of one script, so the letters of the other one are replaced where
//! each of them has a look-alike. Independent of pixels; called for each word that the line recognizer reads.

use std::borrow::Cow;

/// A script with its letters that look like Latin ones: pairs of Latin letter and own letter, of the Unicode list of
/// confusable characters (Unicode Technical Standard 39), and with their accents.
#[derive(Debug, PartialEq)]
pub(crate) struct Letters {
    blocks: &'static [(char, char)],
    pairs: &'static [(char, char)],
    /// Signs that stand for an own letter, and the number of own letters from which a word has the letter and no sign.
    signs: &'static [(char, char, usize)],
}

static GREEK: Letters = Letters {
    blocks: &[('\u{370}', '\u{3ff}'), ('\u{1f00}', '\u{1fff}')],
    pairs: &[
        ('A', 'Α'),
        ('B', 'Β'),
        ('E', 'Ε'),
        ('Z', 'Ζ'),
        ('H', 'Η'),
        ('I', 'Ι'),
        ('K', 'Κ'),
        ('M', 'Μ'),
        ('N', 'Ν'),
        ('O', 'Ο'),
        ('P', 'Ρ'),
        ('T', 'Τ'),
        ('Y', 'Υ'),
        ('X', 'Χ'),
        ('Á', 'Ά'),
        ('É', 'Έ'),
        ('Í', 'Ί'),
        ('Ó', 'Ό'),
        ('Ý', 'Ύ'),
        ('a', 'α'),
        ('i', 'ι'),
        ('o', 'ο'),
        ('p', 'ρ'),
        ('u', 'υ'),
        ('v', 'ν'),
        ('y', 'γ'),
        ('á', 'ά'),
        ('í', 'ί'),
        ('ó', 'ό'),
        ('ú', 'ύ'),
    ],
    // `µε` is a word; `∆t` and `∆θ` are differences.
    signs: &[('\u{b5}', 'μ', 1), ('\u{2206}', 'Δ', 2)],
};

static CYRILLIC: Letters = Letters {
    blocks: &[('\u{400}', '\u{52f}'), ('\u{1c80}', '\u{1c8f}')],
    pairs: &[
        ('A', 'А'),
        ('B', 'В'),
        ('E', 'Е'),
        ('Ë', 'Ё'),
        ('K', 'К'),
        ('M', 'М'),
        ('H', 'Н'),
        ('O', 'О'),
        ('P', 'Р'),
        ('C', 'С'),
        ('T', 'Т'),
        ('Y', 'У'),
        ('X', 'Х'),
        ('I', 'І'),
        ('Ï', 'Ї'),
        ('J', 'Ј'),
        ('S', 'Ѕ'),
        ('a', 'а'),
        ('e', 'е'),
        ('ë', 'ё'),
        ('o', 'о'),
        ('p', 'р'),
        ('c', 'с'),
        ('y', 'у'),
        ('x', 'х'),
        ('i', 'і'),
        ('ï', 'ї'),
        ('j', 'ј'),
        ('s', 'ѕ'),
    ],
    signs: &[],
};

/// Letters from which a word is one: of two letters of two scripts, one may be a symbol (`Aβ`, `Kα`).
const WORD_MIN: usize = 3;

impl Letters {
    /// Returns the letters of the script with this name; `None` where it has no Latin look-alikes.
    pub(crate) fn of_script(name: &str) -> Option<&'static Self> {
        match name {
            "Greek" => Some(&GREEK),
            "Cyrillic" => Some(&CYRILLIC),
            _ => None,
        }
    }

    /// Returns the text of a word in one script; as it is where it has letters that are of two.
    pub(crate) fn in_one_script<'a>(&self, word: &'a str) -> Cow<'a, str> {
        let is_address = word.contains(['@', '\\']) || word.contains("//") || word.contains("www.");
        if is_address || word.is_ascii() {
            return Cow::Borrowed(word);
        }
        // The parts of `pH-μέτρο` are words by themselves; those of `Α.Ε.` are not.
        let is_joint = |c: char| matches!(c, '-' | '–' | '/' | '_' | '+' | '=' | '(' | ')');
        let parts: String = word.split_inclusive(is_joint).map(|part| self.part(part)).collect();
        if parts == word { Cow::Borrowed(word) } else { Cow::Owned(parts) }
    }

    fn is_own(&self, letter: char) -> bool {
        self.blocks.iter().any(|(first, last)| (*first..=*last).contains(&letter))
    }

    fn part(&self, part: &str) -> String {
        let part = self.letters(part);
        let own = part.chars().filter(|c| self.is_own(*c)).count();
        let letter = |c: char| {
            let sign = self.signs.iter().find(|(sign, _, least)| *sign == c && own >= *least);
            sign.map_or(c, |(_, letter, _)| *letter)
        };
        part.chars().map(letter).collect()
    }

    /// Replaces the letters of a part of a word.
    fn letters(&self, part: &str) -> String {
        let owns = || part.chars().filter(|c| self.is_own(*c));
        let latins = || part.chars().filter(|c| is_latin(*c));
        let (own, latin) = (owns().count(), latins().count());
        let is_sign = |c: char| self.signs.iter().any(|(sign, ..)| *sign == c);
        let has_others =
            part.chars().any(|c| c.is_alphabetic() && !is_latin(c) && !self.is_own(c) && !is_sign(c));
        let is_capitals = !part.chars().any(char::is_lowercase);
        if own == 0 || latin == 0 || has_others || (own + latin < WORD_MIN && !is_capitals) {
            return part.to_owned();
        }
        let to_own = |c: char| self.pairs.iter().find(|(latin, _)| *latin == c).map(|(_, own)| *own);
        let to_latin = |c: char| self.pairs.iter().find(|(_, own)| *own == c).map(|(latin, _)| *latin);
        let can_own = latins().all(|c| to_own(c).is_some());
        let can_latin = owns().all(|c| to_latin(c).is_some());
        // Where both are possible, the word is of the script of most of its letters, else of that of the page.
        if can_own && (own >= latin || !can_latin) {
            part.chars().map(|c| to_own(c).unwrap_or(c)).collect()
        } else if can_latin {
            part.chars().map(|c| to_latin(c).unwrap_or(c)).collect()
        } else {
            part.to_owned()
        }
    }
}

fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic() || (('\u{c0}'..='\u{24f}').contains(&c) && c.is_alphabetic())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn greek(word: &str) -> String {
        GREEK.in_one_script(word).into_owned()
    }

    #[test]
    fn letters_of_the_other_script_become_those_of_the_word() {
        // Latin A, T, O, P, I, H, E, B, Y among Greek letters.
        for (read, is) in [
            ("IΣTOPIA", "ΙΣΤΟΡΙΑ"),
            ("ΔHMOKPATIA,", "ΔΗΜΟΚΡΑΤΙΑ,"),
            ("Eλλάδα", "Ελλάδα"),
            ("Oδός", "Οδός"),
            ("A.Ε.", "Α.Ε."),
            ("Α.E.", "Α.Ε."),
            ("TΟ", "ΤΟ"),
            ("«ΥΠEP»", "«ΥΠΕΡ»"),
            ("κaι", "και"),
            ("\u{b5}ε", "με"),
            ("\u{b5}ου", "μου"),
            ("\u{2206}εν", "Δεν"),
            ("\u{2206}HMOΣ", "ΔΗΜΟΣ"),
        ] {
            assert_eq!(greek(read), is, "{read}");
        }
        // A Latin word with a Greek letter, on the same page.
        assert_eq!(greek("Ηotel"), "Hotel");
        assert_eq!(greek("ΝATO"), "NATO");
        let russian = |word: &str| CYRILLIC.in_one_script(word).into_owned();
        assert_eq!(russian("MОCКВA"), "МОСКВА");
        assert_eq!(russian("Cтатья"), "Статья");
        assert_eq!(russian("Мicrosoft"), "Microsoft");
    }

    #[test]
    fn words_of_both_scripts_and_symbols_stay() {
        for word in [
            "www.εφημερίδα.gr",
            "http://ελ.gr/ΑB",
            "info@ΟTE.gr",
            "e-mail",
            "pH-μέτρο",
            "USBστικ",
            "\u{b5}m",
            "5\u{b5}g/ml",
            "\u{b5}",
            "\u{2206}t",
            "\u{2206}θ",
            "Aβ",
            "Kα",
            "Wi-Fi",
            "TV",
            "ATHENA",
            "Αθήνα",
            "2,4-D",
            "",
        ] {
            assert_eq!(greek(word), word);
        }
        assert_eq!(CYRILLIC.in_one_script("USB-кабель"), "USB-кабель");
        assert_eq!(CYRILLIC.in_one_script("WWW"), "WWW");
    }

    #[test]
    fn each_letter_has_one_look_alike() {
        for letters in [&GREEK, &CYRILLIC] {
            for (at, (latin, own)) in letters.pairs.iter().enumerate() {
                assert!(is_latin(*latin) && letters.is_own(*own), "{latin} {own}");
                assert!(letters.pairs[..at].iter().all(|(a, b)| a != latin && b != own), "{latin} {own}");
                assert_eq!(latin.is_lowercase(), own.is_lowercase(), "{latin} {own}");
            }
        }
    }
}
