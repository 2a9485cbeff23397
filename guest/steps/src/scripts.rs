//! The scripts that PP-OCR lacks: their letters, and the language data that reads them.

/// A script of the host's line recognizer.
#[derive(Debug, PartialEq)]
pub(crate) struct Script {
    /// Name, as libtesseract's script detection writes it.
    pub(crate) name: &'static str,
    /// First and last characters of its Unicode blocks.
    blocks: &'static [(char, char)],
    /// Names of the data of its languages, the one with most readers first.
    pub(crate) languages: &'static [&'static str],
}

const fn script(
    name: &'static str,
    blocks: &'static [(char, char)],
    languages: &'static [&'static str],
) -> Script {
    Script { name, blocks, languages }
}

/// All scripts, the most used ones first. The data of Tatar, `tat`, is not among them: it reads Tatar in Latin letters.
pub(crate) static SCRIPTS: [Script; 28] = [
    script(
        "Cyrillic",
        &[('\u{400}', '\u{52f}'), ('\u{1c80}', '\u{1c8f}')],
        &["rus", "ukr", "bul", "srp", "bel", "mkd", "kaz", "kir", "mon", "tgk", "uzb_cyrl", "aze_cyrl"],
    ),
    script(
        "Arabic",
        &[('\u{600}', '\u{6ff}'), ('\u{750}', '\u{77f}'), ('\u{8a0}', '\u{8ff}'), ('\u{fb50}', '\u{feff}')],
        &["ara", "fas", "urd", "pus", "snd", "uig"],
    ),
    script("Devanagari", &[('\u{900}', '\u{97f}'), ('\u{a8e0}', '\u{a8ff}')], &["hin", "mar", "nep", "san"]),
    script(
        "Hangul",
        &[('\u{1100}', '\u{11ff}'), ('\u{3130}', '\u{318f}'), ('\u{ac00}', '\u{d7ff}')],
        &["kor"],
    ),
    script("Bengali", &[('\u{980}', '\u{9ff}')], &["ben", "asm"]),
    script("Greek", &[('\u{370}', '\u{3ff}'), ('\u{1f00}', '\u{1fff}')], &["ell", "grc"]),
    script("Hebrew", &[('\u{590}', '\u{5ff}'), ('\u{fb1d}', '\u{fb4f}')], &["heb", "yid"]),
    script("Thai", &[('\u{e00}', '\u{e7f}')], &["tha"]),
    script("Tamil", &[('\u{b80}', '\u{bff}')], &["tam"]),
    script("Telugu", &[('\u{c00}', '\u{c7f}')], &["tel"]),
    script("Gujarati", &[('\u{a80}', '\u{aff}')], &["guj"]),
    script("Kannada", &[('\u{c80}', '\u{cff}')], &["kan"]),
    script("Malayalam", &[('\u{d00}', '\u{d7f}')], &["mal"]),
    script("Gurmukhi", &[('\u{a00}', '\u{a7f}')], &["pan"]),
    script("Oriya", &[('\u{b00}', '\u{b7f}')], &["ori"]),
    script("Sinhala", &[('\u{d80}', '\u{dff}')], &["sin"]),
    script("Armenian", &[('\u{530}', '\u{58f}'), ('\u{fb13}', '\u{fb17}')], &["hye"]),
    script(
        "Georgian",
        &[('\u{10a0}', '\u{10ff}'), ('\u{1c90}', '\u{1cbf}'), ('\u{2d00}', '\u{2d2f}')],
        &["kat"],
    ),
    script("Ethiopic", &[('\u{1200}', '\u{139f}'), ('\u{2d80}', '\u{2ddf}')], &["amh", "tir"]),
    script("Khmer", &[('\u{1780}', '\u{17ff}')], &["khm"]),
    script("Lao", &[('\u{e80}', '\u{eff}')], &["lao"]),
    script("Myanmar", &[('\u{1000}', '\u{109f}')], &["mya"]),
    script("Tibetan", &[('\u{f00}', '\u{fff}')], &["bod", "dzo"]),
    script("Cherokee", &[('\u{13a0}', '\u{13ff}'), ('\u{ab70}', '\u{abbf}')], &["chr"]),
    script("Canadian_Aboriginal", &[('\u{1400}', '\u{167f}')], &["iku"]),
    script("Syriac", &[('\u{700}', '\u{74f}')], &["syr"]),
    script("Thaana", &[('\u{780}', '\u{7bf}')], &["div"]),
    // Latin letters are PP-OCR's but for those of Vietnamese, which it lacks in part.
    script("Vietnamese", &[('A', 'z'), ('\u{c0}', '\u{24f}'), ('\u{1e00}', '\u{1eff}')], &["vie"]),
];

/// Names that script detection has for scripts of PP-OCR.
const OF_PP_OCR: [&str; 7] = ["Latin", "Fraktur", "Han", "Hiragana", "Katakana", "Japanese", "Common"];

/// What script detection says about a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Detected {
    /// A script that PP-OCR reads.
    OfPpOcr,
    /// Another one.
    Other(&'static Script),
    /// Nothing that is known.
    Nothing,
}

/// Finds a script by the name that script detection gives.
pub(crate) fn detected(name: &str) -> Detected {
    if OF_PP_OCR.contains(&name) {
        return Detected::OfPpOcr;
    }
    let name = if name == "Korean" { "Hangul" } else { name };
    named(name).map_or(Detected::Nothing, Detected::Other)
}

/// Returns the script that the data of a language reads.
pub(crate) fn of_language(language: &str) -> Option<&'static Script> {
    SCRIPTS.iter().find(|script| script.languages.contains(&language))
}

/// Returns the script of this name of the table.
pub(crate) fn named(name: &str) -> Option<&'static Script> {
    SCRIPTS.iter().find(|script| script.name == name)
}

impl Script {
    /// Tells whether a character is in the blocks of this script.
    pub(crate) fn has(&self, letter: char) -> bool {
        self.blocks.iter().any(|(first, last)| (*first..=*last).contains(&letter))
    }

    /// Returns the fraction of a text's letters (and of the signs that belong to letters) that are of this script; 0
    /// without letters.
    pub(crate) fn share(&self, text: &str) -> f32 {
        let (mut own, mut all) = (0_u32, 0_u32);
        for letter in text.chars() {
            let is_own = self.has(letter);
            own += u32::from(is_own);
            all += u32::from(is_own || letter.is_alphabetic());
        }
        if all == 0 { 0.0 } else { own as f32 / all as f32 }
    }

    /// Tells whether a sample of a page, as the data of one of the languages has read it, is of this script.
    pub(crate) fn has_page(&self, sample: &str) -> bool {
        let letters = || sample.chars().filter(|letter| letter.is_alphabetic());
        // The data of Vietnamese reads any Latin page with confidence.
        let is_own = || {
            letters().filter(is_vietnamese).count() as f32 >= VIETNAMESE_SAMPLE_MIN * letters().count() as f32
        };
        letters().count() >= SAMPLE_MIN && self.share(sample) >= SHARE_MIN && (!self.is_latin() || is_own())
    }

    /// Tells whether a line of such a page, as that data has read it, is of this script and hence not PP-OCR's.
    pub(crate) fn has_line(&self, text: &str) -> bool {
        self.share(text) >= SHARE_MIN
            && (!self.is_latin() || text.chars().any(|letter| is_vietnamese(&letter)))
    }

    /// Tells whether PP-OCR reads most letters of this script.
    pub(crate) fn is_latin(&self) -> bool {
        self.has('a')
    }
}

/// Fewest letters of a sample that show the script of a page: a spot of a picture is read as one letter or two.
const SAMPLE_MIN: usize = 3;
/// Least fraction of the letters of a text that are of a script.
const SHARE_MIN: f32 = 0.6;
/// Least fraction of letters that are hardly of another language in a sample of a Vietnamese page; the whole declaration has .25.
const VIETNAMESE_SAMPLE_MIN: f32 = 0.08;

/// Least letters for a judgement by the letters that PP-OCR has read.
const LETTERS_MIN: usize = 24;
/// Least fraction of Greek letters on a Greek page as PP-OCR reads it; formulas on a Latin page have less.
const GREEK_MIN: f32 = 0.3;
/// Least fractions of `đ` and of marked letters on a Vietnamese page as PP-OCR reads it. No other of 530 languages has both.
const VIETNAMESE_MIN: (f32, f32) = (0.01, 0.03);
/// Most letters of a Vietnamese word in the mean: each syllable is one. Sami, which has these letters at times, has twice as many.
const VIETNAMESE_WORD_MAX: f32 = 5.0;

/// Returns the script of a page by letters that PP-OCR has in part: it reads Greek without accents, and Vietnamese without
/// one of two marks of a letter, both with confidence.
pub(crate) fn by_letters(text: &str) -> Option<&'static Script> {
    let letters: Vec<char> = text.chars().filter(|letter| letter.is_alphabetic()).collect();
    if letters.len() < LETTERS_MIN {
        return None;
    }
    let share = |of: fn(&char) -> bool| {
        letters.iter().filter(|letter| of(letter)).count() as f32 / letters.len() as f32
    };
    let (barred, marked) = VIETNAMESE_MIN;
    if share(|letter| matches!(letter, 'đ' | 'Đ')) >= barred && share(is_marked) >= marked {
        let words = text.split_whitespace().filter(|word| word.contains(char::is_alphabetic)).count();
        if letters.len() as f32 <= VIETNAMESE_WORD_MAX * words as f32 {
            return named("Vietnamese");
        }
    }
    let is_greek = |letter: &char| matches!(letter, '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}');
    if share(is_greek) >= GREEK_MIN { named("Greek") } else { None }
}

/// Tells whether a letter is one of Vietnamese with a circumflex, a breve or a horn, or with a mark of its tone below, above
/// or beside one of those.
fn is_marked(letter: &char) -> bool {
    matches!(letter, 'â' | 'Â' | 'ê' | 'Ê' | 'ô' | 'Ô' | 'ă' | 'Ă') || is_vietnamese(letter)
}

/// Tells whether a letter is of Vietnamese and hardly of another language: those with a horn, and those of U+1EA0 to U+1EF9.
fn is_vietnamese(letter: &char) -> bool {
    matches!(letter, 'ơ' | 'Ơ' | 'ư' | 'Ư' | '\u{1ea0}'..='\u{1ef9}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::languages;

    #[test]
    fn the_data_of_every_script_is_of_a_language_that_pp_ocr_lacks() {
        for script in &SCRIPTS {
            for language in script.languages {
                let names = languages::of_other_scripts(&[(*language).to_owned()]);
                assert_eq!(names, [*language], "{}", script.name);
            }
        }
    }

    #[test]
    fn names_of_script_detection_are_known() {
        for (name, expect) in [("Cyrillic", "rus"), ("Korean", "kor"), ("Hebrew", "heb"), ("Thai", "tha")] {
            assert!(
                matches!(detected(name), Detected::Other(script) if script.languages[0] == expect),
                "{name}"
            );
        }
        assert_eq!(detected("Latin"), Detected::OfPpOcr);
        assert_eq!(detected("Japanese"), Detected::OfPpOcr);
        assert_eq!(detected("Runic"), Detected::Nothing);
        assert_eq!(detected(""), Detected::Nothing);
    }

    #[test]
    fn the_share_of_a_script_counts_letters_and_their_signs() {
        let share = |name: &str, text: &str| named(name).unwrap().share(text);
        assert_eq!(share("Cyrillic", "\u{434}\u{430} 12, ok"), 0.5);
        assert_eq!(share("Thai", "\u{e01}\u{e34}"), 1.0);
        assert_eq!(share("Hebrew", "2024"), 0.0);
    }

    #[test]
    fn greek_and_vietnamese_are_seen_in_what_pp_ocr_reads_of_them() {
        let name = |text: &str| by_letters(text).map(|script| script.name);
        assert_eq!(name("Ολοι οι ανθρωποι γεννιουνται ελευθεροι και ισοι"), Some("Greek"));
        assert_eq!(name("The angles α and β of the triangle add up to γ, as shown above"), None);
        let vietnamese = "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm";
        assert_eq!(name(vietnamese), Some("Vietnamese"));
        // As PP-OCR reads it, without a mark of most letters; the fast recognizer has no horns, either.
        let accurate = "Tât ca moi nguời sinh ra đêu đươc tu do và bình đăng vê nhân phâm";
        assert_eq!(name(accurate), Some("Vietnamese"));
        assert_eq!(
            name("Tât ca moi nguoi sinh ra đêu đuoc tu do và bình đăng vê nhân phâm"),
            Some("Vietnamese")
        );
        for other in [
            "Gbogbo ènìyàn ni a bí ní òmìnira; iyì àti ẹ̀tọ́ kọ̀ọ̀kan sì dọ́gba",
            "Tous les êtres humains naissent libres et égaux en dignité et en droits",
            "Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima; između, takođe",
            "Buot olbmot leat riegádan friddjan ja olmmošárvu ja olmmošvuođaid dáfus, mearrádus dán birra",
            "Toate fiinţele umane se nasc libere şi egale în demnitate şi în drepturi, înzestrate cu raţiune",
            // Lule Sami: letters of both kinds, in words of more than one syllable.
            "Gájkka almatja li riegádam friddjan ja avtaárvvusattjan ja sujna li ednamvuođđâ ja êtnamvuođđô",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
        assert_eq!(name("ươ ạ"), None, "too few letters");
    }

    #[test]
    fn a_sample_in_latin_letters_is_vietnamese_by_letters_of_its_own() {
        let vietnamese = named("Vietnamese").unwrap();
        assert!(vietnamese.has_page("Tất cả mọi người sinh ra đều được tự do và bình đẳng"));
        // The data of Vietnamese reads other pages in Latin letters, too.
        assert!(
            !vietnamese.has_page("Sva ljudska bića rađaju se slobodna ị jednaka u dostojanstvu i pravima")
        );
        assert!(!vietnamese.has_page("Tous les êtres humains naissent libres et égaux en dignité"));
        assert!(
            vietnamese.has_line("tự do")
                && !vietnamese.has_line("tin tuc")
                && !vietnamese.has_line("www.example.org")
        );
        let cyrillic = named("Cyrillic").unwrap();
        assert!(
            cyrillic.has_page("Все люди")
                && !cyrillic.has_page("ю я")
                && cyrillic.has_line("Все люди")
                && !cyrillic.has_line("www.example.org")
        );
    }
}
